package extension

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// lambda is as much of the Extensions API as a test needs: it answers /next with the given bodies, one by one.
type lambda struct {
	*httptest.Server
	registered []string
	next       chan string // a body; "": a failure; closed: hang
	telemetry  int         // the status that a subscription is answered with
	subscribed chan string // the bodies of subscriptions
}

func newLambda(t *testing.T, next ...string) *lambda {
	t.Helper()
	l := &lambda{next: make(chan string, len(next)), telemetry: http.StatusOK, subscribed: make(chan string, 2)}
	for _, n := range next {
		l.next <- n
	}
	mux := http.NewServeMux()
	mux.HandleFunc("POST /2020-01-01/extension/register", func(w http.ResponseWriter, r *http.Request) {
		var body struct{ Events []string }
		if r.Header.Get("Lambda-Extension-Name") != "hearth" || json.NewDecoder(r.Body).Decode(&body) != nil {
			http.Error(w, "bad register", http.StatusBadRequest)
			return
		}
		l.registered = body.Events
		w.Header().Set("Lambda-Extension-Identifier", "id")
		fmt.Fprint(w, `{"functionName":"f"}`)
	})
	mux.HandleFunc("GET /2020-01-01/extension/event/next", func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Lambda-Extension-Identifier") != "id" {
			http.Error(w, "who?", http.StatusForbidden)
			return
		}
		select {
		case body := <-l.next:
			if body == "" {
				http.Error(w, "not now", http.StatusInternalServerError)
				return
			}
			fmt.Fprint(w, body)
		case <-r.Context().Done():
		}
	})
	mux.HandleFunc("PUT /2022-07-01/telemetry", func(w http.ResponseWriter, r *http.Request) {
		b, _ := io.ReadAll(r.Body)
		if r.Header.Get("Lambda-Extension-Identifier") != "id" {
			http.Error(w, "who?", http.StatusForbidden)
			return
		}
		w.WriteHeader(l.telemetry)
		l.subscribed <- string(b)
	})
	l.Server = httptest.NewServer(mux)
	t.Cleanup(l.Close)
	return l
}

// registered makes an extension and announces it.
func registered(ctx context.Context, cfg Config) (*Extension, error) {
	e, err := New(cfg)
	if err != nil {
		return nil, err
	}
	return e, e.Register(ctx)
}

func (l *lambda) register(t *testing.T, cfg Config) *Extension {
	t.Helper()
	cfg.RuntimeAPI, cfg.Name = strings.TrimPrefix(l.URL, "http://"), "hearth"
	e, err := registered(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(e.http.CloseIdleConnections)
	return e
}

func TestItRunsUntilShutdownAndAsksAgainAfterAFailure(t *testing.T) {
	l := newLambda(t, `{"eventType":"INVOKE","requestId":"1"}`, "", `not JSON`, `{"eventType":"SHUTDOWN","shutdownReason":"spindown"}`)
	if err := l.register(t, Config{}).Run(t.Context()); err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(l.registered, []string{"SHUTDOWN"}) || len(l.next) != 0 {
		t.Errorf("registered for %v, %d events left", l.registered, len(l.next))
	}
}

// A function's proxy is for its handler.
func TestNoProxyStandsBetweenItAndLambda(t *testing.T) {
	l := newLambda(t)
	if e := l.register(t, Config{}); e.http.Transport.(*http.Transport).Proxy != nil || e.http.Timeout != 0 {
		t.Error("it would ask a proxy, or not for as long as Lambda likes")
	}
}

func TestItEndsWithItsContext(t *testing.T) {
	l := newLambda(t)
	e := l.register(t, Config{})
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- e.Run(ctx) }()
	cancel()
	if err := <-done; !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}

func TestTheNextEventIsAskedForOnceOnInvokeHasReturned(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e, s := scripted(invoke, `{"eventType":"SOMETHING NEW"}`, invoke, shutdown)
		var events []Event
		e.cfg.OnInvoke = func(_ context.Context, event Event) {
			events = append(events, event)
			time.Sleep(time.Second)
			if len(events) == 1 {
				panic("on purpose")
			}
		}
		var log bytes.Buffer // read once Run has returned
		e.cfg.Logger = slog.New(slog.NewTextHandler(&log, nil))
		if err := e.Run(t.Context()); err != nil {
			t.Fatal(err)
		}
		if got := s.pauses(); !slices.Equal(got, []time.Duration{time.Second, 0, time.Second}) {
			t.Errorf("waited %v", got)
		}
		want := Event{Type: "INVOKE", RequestID: "1", DeadlineMS: 1784000000123}
		if !slices.Equal(events, []Event{want, want}) {
			t.Errorf("called for %+v", events)
		}
		if got := log.String(); strings.Count(got, "level=ERROR") != 1 || !strings.Contains(got, "on purpose") {
			t.Errorf("logged %q", got)
		}
	})
}

func TestOnInvokeEndsBeforeADeadlineThatLiesAhead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e, _ := scripted()
		e.cfg.DeadlineMargin = 200 * time.Millisecond
		now := time.Now()
		for name, tc := range map[string]struct {
			deadline time.Time
			want     time.Time // zero: none
		}{
			"ahead, to the millisecond": {now.Add(1234 * time.Millisecond), now.Add(1034 * time.Millisecond)},
			"within the margin":         {now.Add(time.Millisecond), now.Add(-199 * time.Millisecond)},
			"passed":                    {now.Add(-time.Millisecond), time.Time{}},
			"none":                      {time.UnixMilli(0), time.Time{}},
		} {
			event := Event{Type: "INVOKE", DeadlineMS: tc.deadline.UnixMilli()}
			if !event.Deadline().Equal(tc.deadline) {
				t.Errorf("%s: the deadline is %v, want %v", name, event.Deadline(), tc.deadline)
			}
			e.cfg.OnInvoke = func(ctx context.Context, _ Event) {
				if got, _ := ctx.Deadline(); !got.Equal(tc.want) {
					t.Errorf("%s: ends at %v, want %v", name, got, tc.want)
				}
			}
			e.runOnInvoke(t.Context(), event)
		}
	})
}

func TestAllThatIsWrongWithAConfigIsSaidAtOnce(t *testing.T) {
	_, err := New(Config{DeadlineMargin: -1})
	for _, want := range []string{"RuntimeAPI", "Name", "DeadlineMargin"} {
		if err == nil || !strings.Contains(err.Error(), "extension: Config."+want+" is ") {
			t.Errorf("%s is not in %v", want, err)
		}
	}
}

func TestARefusedRegistrationIsAnError(t *testing.T) {
	for name, answer := range map[string]http.HandlerFunc{
		"403": func(w http.ResponseWriter, _ *http.Request) {
			http.Error(w, "Extension.InvalidEventType", http.StatusForbidden)
		},
		"no identifier": func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, `{}`) },
	} {
		s := httptest.NewServer(answer)
		if _, err := registered(t.Context(), Config{RuntimeAPI: s.Listener.Addr().String(), Name: "hearth"}); err == nil {
			t.Errorf("%s: no error", name)
		}
		s.CloseClientConnections()
		s.Close()
	}
	if _, err := registered(t.Context(), Config{RuntimeAPI: "127.0.0.1:1", Name: "hearth"}); err == nil {
		t.Error("nobody there: no error")
	}
}
