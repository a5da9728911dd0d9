package extension

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"hearth/internal/testing/lambdatest"
)

const (
	never  = time.Duration(-1)
	margin = 200 * time.Millisecond
	budget = 500 * time.Millisecond
)

// sandbox plays Lambda to an AfterInvoke, inside a bubble.
type sandbox struct {
	*Extension
	telemetry Telemetry
	refreshes int
	refresh   func(context.Context)
	log       bytes.Buffer
	requests  int
}

func newSandbox() *sandbox {
	s := &sandbox{refresh: func(context.Context) {}}
	s.telemetry.setOn(true)
	logger := slog.New(slog.NewTextHandler(&s.log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	after := NewAfterInvoke(AfterInvokeConfig{
		Telemetry: &s.telemetry, Budget: budget, Logger: logger,
		Refresh: func(ctx context.Context) {
			s.refreshes++
			s.refresh(ctx)
		},
	})
	s.Extension = &Extension{cfg: Config{OnInvoke: after.OnInvoke, DeadlineMargin: margin, Logger: logger}}
	return s
}

// invoke is an invocation of a function whose timeout is given. Its end is told lag after its handler has ended, or
// never. It returns how long the extension kept it, and whether that was for a refresh.
func (s *sandbox) invoke(t *testing.T, timeout, handler, lag time.Duration) (kept time.Duration, refreshed bool) {
	t.Helper()
	s.requests++
	id := fmt.Sprint(s.requests)
	begun, before := time.Now(), s.refreshes
	if lag != never {
		go func() {
			time.Sleep(handler + lag)
			s.telemetry.record([]RuntimeDone{{RequestID: id, Status: "success", Duration: handler}})
		}()
	}
	s.runOnInvoke(t.Context(), Event{Type: "INVOKE", RequestID: id, DeadlineMS: begun.Add(timeout).UnixMilli()})
	return time.Since(begun), s.refreshes > before
}

func (s *sandbox) expect(t *testing.T, what string, kept time.Duration, refreshed bool, wantKept time.Duration, want bool) {
	t.Helper()
	if kept != wantKept || refreshed != want {
		t.Errorf("%s: kept for %v, refreshed %v; want %v, %v", what, kept, refreshed, wantKept, want)
	}
}

func TestItRefreshesOnceTheHandlerHasEnded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSandbox()
		s.refresh = func(context.Context) { time.Sleep(100 * time.Millisecond) }
		kept, refreshed := s.invoke(t, time.Minute, time.Second, 25*time.Millisecond)
		s.expect(t, "an invocation", kept, refreshed, 1125*time.Millisecond, true)
	})
}

func TestARefreshEndsWithTheBudgetOrBeforeTheDeadline(t *testing.T) {
	untilItEnds := func(ctx context.Context) { <-ctx.Done() }
	for name, tc := range map[string]struct {
		timeout, handler, want time.Duration
		refreshed              bool
	}{
		"the budget ends first":      {time.Minute, time.Second, time.Second + budget, true},
		"the deadline comes first":   {time.Second + 300*time.Millisecond, time.Second, time.Second + 100*time.Millisecond, true},
		"no time is left":            {time.Second + 100*time.Millisecond, time.Second, 900 * time.Millisecond, false},
		"a deadline that has passed": {-time.Hour, time.Second, time.Second + budget, true},
		"not with the wait's bound":  {time.Minute, firstBound - budget/2, firstBound + budget/2, true},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newSandbox()
				s.refresh = untilItEnds
				kept, refreshed := s.invoke(t, tc.timeout, tc.handler, 0)
				s.expect(t, name, kept, refreshed, tc.want, tc.refreshed)
				time.Sleep(time.Minute) // for what is told late
			})
		})
	}
}

func TestALostEndCostsTheBoundAtMost(t *testing.T) {
	for name, tc := range map[string]struct {
		handlers  []time.Duration // of the invocations before
		timeout   time.Duration
		want      time.Duration
		wantLevel string
	}{
		"nothing is known":            {nil, time.Minute, 5 * time.Second, "DEBUG"},
		"quick handlers":              {[]time.Duration{time.Millisecond}, time.Minute, time.Second, "DEBUG"},
		"twice the slowest":           {[]time.Duration{time.Second, 3 * time.Second, time.Second}, time.Minute, 6 * time.Second, "DEBUG"},
		"the deadline comes first":    {[]time.Duration{9 * time.Second}, 10 * time.Second, 10*time.Second - margin, "DEBUG"},
		"a deadline that has passed":  {[]time.Duration{2 * time.Second}, -time.Minute, 4 * time.Second, "DEBUG"},
		"nor is there time to wait":   {nil, margin, 0, "DEBUG"},
		"handlers of unknown lengths": {[]time.Duration{0}, time.Minute, 5 * time.Second, "DEBUG"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newSandbox()
				for i, handler := range tc.handlers {
					s.telemetry.record([]RuntimeDone{{RequestID: fmt.Sprintf("before %d", i), Status: "success", Duration: handler}})
				}
				kept, refreshed := s.invoke(t, tc.timeout, time.Second, never)
				s.expect(t, name, kept, refreshed, tc.want, false)
				if got := s.log.String(); strings.Count(got, "\n") != 1 || !strings.Contains(got, "level="+tc.wantLevel) {
					t.Errorf("logged %q", got)
				}
			})
		})
	}
}

func TestTheBoundFollowsTheLast16Handlers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSandbox()
		s.invoke(t, time.Minute, 4*time.Second, 25*time.Millisecond)
		for range 15 {
			s.invoke(t, time.Minute, 2*time.Second, 25*time.Millisecond)
		}
		kept, refreshed := s.invoke(t, time.Minute, time.Second, never)
		s.expect(t, "while the slow one is remembered", kept, refreshed, 8*time.Second, false)
		s.invoke(t, time.Minute, 2*time.Second, 25*time.Millisecond)
		kept, refreshed = s.invoke(t, time.Minute, time.Second, never)
		s.expect(t, "once it is forgotten", kept, refreshed, 4*time.Second, false)
	})
}

// Telemetry may be refused in silence: nobody shall pay for waiting for it again and again.
func TestAfterThreeLostEndsItWaitsNoMoreUntilOneComes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSandbox()
		for range 3 {
			kept, refreshed := s.invoke(t, time.Minute, time.Second, never)
			s.expect(t, "lost", kept, refreshed, 5*time.Second, false)
		}
		for range 10 {
			kept, refreshed := s.invoke(t, time.Minute, time.Second, never)
			s.expect(t, "given up", kept, refreshed, 0, false)
		}
		if log := s.log.String(); strings.Count(log, "level=DEBUG") != 2 || strings.Count(log, "level=WARN") != 1 {
			t.Errorf("logged\n%s", log)
		}
		kept, refreshed := s.invoke(t, time.Minute, time.Second, 0)
		s.expect(t, "telemetry is back", kept, refreshed, 0, false)
		time.Sleep(time.Minute)
		kept, refreshed = s.invoke(t, time.Minute, time.Second, 0)
		s.expect(t, "the next", kept, refreshed, time.Second, true)
		for range 2 {
			kept, refreshed = s.invoke(t, time.Minute, time.Second, never)
			s.expect(t, "lost, but not three in a row", kept, refreshed, 2*time.Second, false)
		}
		if n := strings.Count(s.log.String(), "level=WARN"); n != 1 {
			t.Errorf("warned %d times", n)
		}
		kept, refreshed = s.invoke(t, time.Minute, time.Second, never)
		s.expect(t, "the third in a row", kept, refreshed, 2*time.Second, false)
		kept, refreshed = s.invoke(t, time.Minute, time.Second, never)
		s.expect(t, "given up again", kept, refreshed, 0, false)
		s.telemetry.record([]RuntimeDone{{RequestID: "late", Status: "success", Duration: time.Second}})
		kept, refreshed = s.invoke(t, time.Minute, time.Second, never)
		s.expect(t, "lost though another was told", kept, refreshed, 2*time.Second, false)
		if n := strings.Count(s.log.String(), "level=WARN"); n != 2 {
			t.Errorf("warned %d times", n)
		}
	})
}

func TestALateEndIsOnlyLearnedFrom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSandbox()
		s.invoke(t, time.Minute, time.Millisecond, 0)
		kept, refreshed := s.invoke(t, time.Minute, 20*time.Second, 0) // longer than ever
		s.expect(t, "a slow handler", kept, refreshed, time.Second, false)
		time.Sleep(time.Hour) // its end is told meanwhile
		kept, refreshed = s.invoke(t, time.Hour, 30*time.Second, 0)
		s.expect(t, "the next slow one", kept, refreshed, 30*time.Second, true)
		if strings.Contains(s.log.String(), "level=WARN") {
			t.Errorf("logged\n%s", s.log.String())
		}
	})
}

func TestNothingIsRefreshedWhen(t *testing.T) {
	for name, set := range map[string]func(*sandbox, *AfterInvokeConfig){
		"there is no budget":               func(_ *sandbox, cfg *AfterInvokeConfig) { cfg.Budget = 0 },
		"there is no telemetry":            func(_ *sandbox, cfg *AfterInvokeConfig) { cfg.Telemetry = nil },
		"telemetry was refused":            func(s *sandbox, _ *AfterInvokeConfig) { s.telemetry.setOn(false) },
		"the sandbox is about to be reset": func(s *sandbox, _ *AfterInvokeConfig) { s.telemetry.record([]RuntimeDone{{"1", "failure", 0}}) },
		"the handler ran out of time":      func(s *sandbox, _ *AfterInvokeConfig) { s.telemetry.record([]RuntimeDone{{"1", "timeout", 0}}) },
		"the handler failed":               func(s *sandbox, _ *AfterInvokeConfig) { s.telemetry.record([]RuntimeDone{{"1", "error", 0}}) },
		"how it ended is not told":         func(s *sandbox, _ *AfterInvokeConfig) { s.telemetry.record([]RuntimeDone{{"1", "", 0}}) },
		"no time is left": func(s *sandbox, _ *AfterInvokeConfig) {
			s.telemetry.record([]RuntimeDone{{"1", "success", 0}})
			s.cfg.DeadlineMargin = time.Minute
		},
	} {
		synctest.Test(t, func(t *testing.T) {
			s := newSandbox()
			cfg := AfterInvokeConfig{Telemetry: &s.telemetry, Budget: budget, Refresh: func(context.Context) { t.Errorf("%s: refreshed", name) }}
			set(s, &cfg)
			s.cfg.OnInvoke = NewAfterInvoke(cfg).OnInvoke
			if kept, _ := s.invoke(t, time.Minute, time.Second, never); kept != 0 {
				t.Errorf("%s: waited %v", name, kept)
			}
		})
	}
}

func TestItEndsAtOnceWithItsContext(t *testing.T) {
	for name, ends := range map[string][]RuntimeDone{
		"while it waits": nil, "while it refreshes": {{RequestID: "1", Status: "success"}},
	} {
		synctest.Test(t, func(t *testing.T) {
			s := newSandbox()
			s.refresh = func(ctx context.Context) { <-ctx.Done() }
			s.telemetry.record(ends)
			ctx, cancel := context.WithCancel(t.Context())
			begun := time.Now()
			time.AfterFunc(budget/2, cancel)
			s.runOnInvoke(ctx, Event{Type: "INVOKE", RequestID: "1"})
			if took := time.Since(begun); took != budget/2 || s.refreshes != len(ends) || s.log.Len() != 0 {
				t.Errorf("%s: ended after %v and %d refreshes, logged %q", name, took, s.refreshes, s.log.String())
			}
		})
	}
}

// Over the wire: an end that is told costs what it takes to tell, one that is lost the time to the deadline's margin, and
// after three of them nothing. Most must be so, not all: the machine may be busy.
func TestASandboxIsRefreshedAfterEachInvocationWhoseEndIsTold(t *testing.T) {
	const (
		handler, timeout = 100 * time.Millisecond, 2 * time.Second
		margin           = timeout - handler - 300*time.Millisecond // the wait for a lost end is 300 ms long
		invocations      = 8
	)
	for name, tc := range map[string]struct {
		cfg       lambdatest.Config
		refreshes bool
	}{
		"each is told":           {lambdatest.Config{}, true},
		"each is lost":           {lambdatest.Config{LoseEvent: func(string, string) bool { return true }}, false},
		"telemetry is refused":   {lambdatest.Config{TelemetryStatus: 202}, false},
		"telemetry is forbidden": {lambdatest.Config{TelemetryStatus: 403}, false},
		"it is the emulator":     {lambdatest.Config{Platform: lambdatest.Emulator}, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			tc.cfg.Timeout = timeout
			tc.cfg.Answer = func(ctx context.Context, _ []byte) ([]byte, error) {
				<-time.After(handler)
				return nil, ctx.Err()
			}
			host, err := lambdatest.New(tc.cfg)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(host.Close)
			var telemetry Telemetry
			refreshes := 0 // read once Run has returned
			after := NewAfterInvoke(AfterInvokeConfig{
				Telemetry: &telemetry, Budget: budget, Refresh: func(context.Context) { refreshes++ },
			})
			e, err := registered(t.Context(), Config{
				RuntimeAPI: host.Addr(), Name: "hearth", Events: []string{"INVOKE"},
				Telemetry: &telemetry, OnInvoke: after.OnInvoke, DeadlineMargin: margin,
			})
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(e.http.CloseIdleConnections)
			ended := make(chan error, 1)
			go func() { ended <- e.Run(t.Context()) }()
			for range invocations {
				if _, err := host.Invoke(t.Context(), nil); err != nil {
					t.Fatal(err)
				}
			}
			if err := errors.Join(host.WaitReady(t.Context()), host.Shutdown(t.Context(), "spindown"), <-ended); err != nil {
				t.Error(err)
			}
			var added []time.Duration
			for _, invocation := range host.Invocations() {
				added = append(added, invocation.Added)
			}
			slices.Sort(added)
			if median := added[invocations/2]; median > 200*time.Millisecond {
				t.Errorf("%v were added to invocations", added)
			}
			if got := refreshes > invocations/2; got != tc.refreshes || !got && refreshes > 0 {
				t.Errorf("%d refreshes in %d invocations", refreshes, invocations)
			}
		})
	}
}
