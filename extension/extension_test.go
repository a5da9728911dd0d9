package extension

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// lambda is as much of the Extensions API as a test needs: it answers /next with the given bodies, one by one.
type lambda struct {
	*httptest.Server
	registered []string
	next       chan string // a body; "": a failure; closed: hang
	reports    []string
}

func newLambda(t *testing.T, next ...string) *lambda {
	t.Helper()
	l := &lambda{next: make(chan string, len(next))}
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
	report := func(w http.ResponseWriter, r *http.Request) {
		b, _ := io.ReadAll(r.Body)
		l.reports = append(l.reports, r.URL.Path+" "+r.Header.Get("Lambda-Extension-Function-Error-Type")+" "+string(b))
		w.WriteHeader(http.StatusAccepted)
	}
	mux.HandleFunc("POST /2020-01-01/extension/init/error", report)
	mux.HandleFunc("POST /2020-01-01/extension/exit/error", report)
	l.Server = httptest.NewServer(mux)
	t.Cleanup(l.Close)
	return l
}

func (l *lambda) register(t *testing.T) *Extension {
	t.Helper()
	e, err := Register(t.Context(), Config{RuntimeAPI: strings.TrimPrefix(l.URL, "http://"), Name: "hearth"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(e.http.CloseIdleConnections)
	return e
}

func TestItRunsUntilShutdownAndAsksAgainAfterAFailure(t *testing.T) {
	l := newLambda(t, `{"eventType":"INVOKE","requestId":"1"}`, "", `not JSON`, `{"eventType":"SHUTDOWN","shutdownReason":"spindown"}`)
	if err := l.register(t).Run(t.Context()); err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(l.registered, []string{"SHUTDOWN"}) || len(l.next) != 0 {
		t.Errorf("registered for %v, %d events left", l.registered, len(l.next))
	}
}

func TestItEndsWithItsContext(t *testing.T) {
	l := newLambda(t)
	e := l.register(t)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- e.Run(ctx) }()
	cancel()
	if err := <-done; !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}

func TestErrorsAreReportedWithTheirType(t *testing.T) {
	l := newLambda(t)
	e := l.register(t)
	if err := errors.Join(e.InitError(t.Context(), "Hearth.Config", errors.New("why")), e.ExitError(t.Context(), "Hearth.Exit", errors.New("so"))); err != nil {
		t.Fatal(err)
	}
	for i, want := range []string{"/init/error Hearth.Config", "/exit/error Hearth.Exit"} {
		if len(l.reports) <= i || !strings.Contains(l.reports[i], want) {
			t.Errorf("report %d of %q: want %s", i, l.reports, want)
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
		if _, err := Register(t.Context(), Config{RuntimeAPI: s.Listener.Addr().String(), Name: "hearth"}); err == nil {
			t.Errorf("%s: no error", name)
		}
		s.CloseClientConnections()
		s.Close()
	}
	if _, err := Register(t.Context(), Config{RuntimeAPI: "127.0.0.1:1", Name: "hearth"}); err == nil {
		t.Error("nobody there: no error")
	}
}
