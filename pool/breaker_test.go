package pool

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"hearth/client/wire"
	"hearth/internal/clock"
)

// guarded is a pool in a bubble before an upstream without a wire. Its breaker asks probe.
type guarded struct {
	*testing.T
	pool   *Pool
	frozen *shift
	log    lines

	mu     sync.Mutex
	answer func(*http.Request) (*http.Response, error) // guarded by mu
	asked  int                                         // guarded by mu: requests that reached the upstream, without probes
	probed int                                         // guarded by mu
}

// lines are what was logged.
type lines struct {
	mu  sync.Mutex
	all []byte // guarded by mu
}

func (l *lines) Write(line []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.all = append(l.all, line...)
	return len(line), nil
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return string(l.all)
}

// shift is what the wall clock is ahead of the monotonic one, because the process was frozen.
type shift struct{ by atomic.Int64 }

func (s *shift) now() clock.Instant {
	now := time.Now()
	return clock.Instant{Wall: now.Add(time.Duration(s.by.Load())), Mono: time.Duration(now.UnixNano())}
}

func guardBubble(t *testing.T, change func(*Config), run func(*guarded)) {
	synctest.Test(t, func(t *testing.T) {
		g := &guarded{T: t, frozen: new(shift)}
		g.upstream(ok)
		pulse := clock.NewPulse(g.frozen.now)
		beating, stop := context.WithCancel(t.Context())
		var beats sync.WaitGroup
		beats.Go(func() { pulse.Run(beating, func() {}) })
		cfg := Config{Name: "upstream", URL: "http://127.0.0.1:1", Pulse: pulse, Retries: -1, Logger: slog.New(slog.NewTextHandler(&g.log, nil))}
		if change != nil {
			change(&cfg)
		}
		g.pool = newPool(t, cfg)
		g.pool.chain = newRetry(g.pool.guarded(g), g.pool.cfg, &g.pool.stats)
		run(g)
		g.pool.Close()
		stop()
		beats.Wait()
	})
}

func (g *guarded) RoundTrip(req *http.Request) (*http.Response, error) {
	g.mu.Lock()
	if optionsOf(req.Context()).probe != nil {
		g.probed++
	} else {
		g.asked++
	}
	answer := g.answer
	g.mu.Unlock()
	return answer(req)
}

// upstream changes what the upstream makes of a request.
func (g *guarded) upstream(answer func(*http.Request) (*http.Response, error)) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.answer = answer
}

// seen is how many requests and probes have reached the upstream.
func (g *guarded) seen() (requests, probes int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.asked, g.probed
}

func ok(*http.Request) (*http.Response, error) { return answer(http.StatusOK, "", "")() }

func down(*http.Request) (*http.Response, error) {
	return answer(http.StatusServiceUnavailable, "", "")()
}

// never does not answer.
func never(req *http.Request) (*http.Response, error) {
	<-req.Context().Done()
	return nil, context.Cause(req.Context())
}

// freeze lets the wall clock go on alone, as a frozen sandbox sees it.
func (g *guarded) freeze(d time.Duration) {
	g.frozen.by.Add(int64(d))
	g.pool.cfg.Pulse.Freezes()
}

func (g *guarded) call(timeout time.Duration) error {
	ctx, cancel := context.WithTimeout(g.Context(), timeout)
	defer cancel()
	_, err := g.pool.Do(ctx, Request{Method: http.MethodGet, Path: "/"})
	return err
}

// write makes a call that must not be repeated.
func (g *guarded) write(timeout time.Duration) error {
	ctx, cancel := context.WithTimeout(g.Context(), timeout)
	defer cancel()
	_, err := g.pool.Do(ctx, Request{Method: http.MethodPost, Path: "/"})
	return err
}

// together makes n calls at the same time.
func (g *guarded) together(n int, timeout time.Duration) {
	var calls sync.WaitGroup
	for range n {
		calls.Go(func() { _ = g.call(timeout) })
	}
	calls.Wait()
}

func (g *guarded) wantState(want string) {
	g.Helper()
	synctest.Wait()
	if got := g.pool.Stats().Breaker.State; got != want {
		g.Errorf("the breaker is %s, want %s", got, want)
	}
}

func (g *guarded) wantRefused() {
	g.Helper()
	begun := time.Now()
	err := g.call(time.Minute)
	e, isOurs := errors.AsType[*Error](err)
	if !isOurs || !errors.Is(err, ErrOpen) || e.Sent || e.RetryAfter <= 0 || time.Since(begun) > 0 {
		g.Errorf("after %v: %+v, want an ErrOpen at once that was not sent", time.Since(begun), err)
	}
}

func TestAnUpstreamThatFailsIsNotAskedAnyMore(t *testing.T) {
	refused := func(*http.Request) (*http.Response, error) { return failure(errors.New("reset"))() }
	for name, fails := range map[string]func(*http.Request) (*http.Response, error){
		"503": down, "429": func(*http.Request) (*http.Response, error) { return answer(http.StatusTooManyRequests, "", "")() },
		"500":    func(*http.Request) (*http.Response, error) { return answer(http.StatusInternalServerError, "", "")() },
		"broken": refused,
		"gRPC": func(*http.Request) (*http.Response, error) {
			return &http.Response{StatusCode: http.StatusOK, Trailer: http.Header{"Grpc-Status": {"14"}}, Body: http.NoBody}, nil
		},
	} {
		t.Run(name, func(t *testing.T) {
			guardBubble(t, nil, func(g *guarded) {
				g.upstream(fails)
				for range tooManyFailed {
					g.wantState(wire.BreakerClosed)
					_ = g.call(time.Second)
				}
				g.wantState(wire.BreakerOpen)
				for range 100 {
					g.wantRefused()
				}
				if requests, probes := g.seen(); requests != tooManyFailed || probes != 0 {
					g.Errorf("the upstream saw %d requests and %d probes", requests, probes)
				}
				if s := g.pool.Stats().Breaker; s.Opened != 1 || s.Refused != 100 {
					g.Errorf("%+v", s)
				}
			})
		})
	}
}

func TestWhatSaysNothingOfTheUpstreamDoesNotOpenTheBreaker(t *testing.T) {
	for name, tc := range map[string]struct {
		answer  func(*http.Request) (*http.Response, error)
		timeout time.Duration
	}{
		"a mistake of the caller":   {func(*http.Request) (*http.Response, error) { return answer(http.StatusNotFound, "", "")() }, time.Second},
		"a caller with little time": {never, mostPatience - time.Millisecond},
		"an answer that is late":    {func(req *http.Request) (*http.Response, error) { time.Sleep(2 * mostPatience); return ok(req) }, time.Minute},
		"a message that is too large": {func(*http.Request) (*http.Response, error) {
			return &http.Response{StatusCode: http.StatusOK, Body: http.NoBody, Header: http.Header{"Grpc-Status": {"8"}, "Grpc-Message": {"trying to send message larger than max"}}}, nil
		}, time.Second},
		"an answer that is too large": {func(*http.Request) (*http.Response, error) { return nil, &TooLargeError{} }, time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			guardBubble(t, nil, func(g *guarded) {
				g.upstream(tc.answer)
				for range 3 * windowSize {
					_ = g.call(tc.timeout)
				}
				g.wantState(wire.BreakerClosed)
				if s := g.pool.Stats(); s.Limit != s.Size {
					g.Errorf("the limit is %d of %d", s.Limit, s.Size)
				}
			})
		})
	}
	t.Run("a caller that leaves", func(t *testing.T) {
		guardBubble(t, nil, func(g *guarded) {
			g.upstream(never)
			for range 3 * windowSize {
				ctx, leave := context.WithCancel(g.Context())
				time.AfterFunc(3*time.Second, leave)
				_, _ = g.pool.Do(ctx, Request{Method: http.MethodPost, Path: "/"})
			}
			g.wantState(wire.BreakerClosed)
		})
	})
	t.Run("a call that a freeze has interrupted", func(t *testing.T) {
		guardBubble(t, nil, func(g *guarded) {
			g.upstream(func(req *http.Request) (*http.Response, error) {
				time.Sleep(mostPatience / 2)
				g.freeze(time.Hour)
				return never(req)
			})
			for range 3 * windowSize {
				_ = g.call(3 * time.Second)
			}
			g.wantState(wire.BreakerClosed)
		})
	})
	t.Run("a few failures among answers", func(t *testing.T) {
		guardBubble(t, nil, func(g *guarded) {
			for n := range 10 * windowSize {
				g.upstream(ok)
				if n%5 < 2 {
					g.upstream(down)
				}
				_ = g.call(time.Second)
			}
			g.wantState(wire.BreakerClosed)
		})
	})
}

// Two calls that have waited in vain are enough, and a freeze between them makes no difference. One invocation makes a call whose
// time is too short, another one a call that has waited for long when the freeze comes.
func TestSilenceOpensTheBreakerAcrossFreezes(t *testing.T) {
	guardBubble(t, func(c *Config) { c.Timeout = 5 * time.Second }, func(g *guarded) {
		g.upstream(never)
		g.together(1, 1900*time.Millisecond)
		g.wantState(wire.BreakerClosed)
		g.freeze(time.Hour)
		var left sync.WaitGroup
		left.Go(func() { _ = g.call(time.Minute) })
		time.Sleep(mostPatience + time.Millisecond)
		g.wantState(wire.BreakerClosed)
		g.freeze(time.Hour)
		if s := g.pool.Stats().Breaker; s.Opened != 1 { // the thaw that opened it is not one that the breaker was open in
			g.Errorf("%+v", s)
		}
		g.wantRefused()
		left.Wait()
	})
}

// Requests that were sent while the upstream was silent may end long after it answers again. They do not speak of the upstream as it is now.
func TestSilenceOfTheRequestsBeforeAnAnswerOpensNothing(t *testing.T) {
	guardBubble(t, func(c *Config) { c.Timeout = time.Minute }, func(g *guarded) {
		g.upstream(never)
		var before sync.WaitGroup
		for range 2 * tooManySilent {
			before.Go(func() { _ = g.call(10 * time.Second) })
		}
		time.Sleep(time.Second)
		g.upstream(ok)
		if err := g.call(time.Second); err != nil {
			g.Fatal(err)
		}
		before.Wait()
		g.wantState(wire.BreakerClosed)
		g.upstream(never)
		for range tooManySilent {
			_ = g.call(10 * time.Second)
		}
		g.wantState(wire.BreakerOpen)
	})
}

// What was sent before the breaker opened says nothing once it has closed again.
func TestWhatWasSentBeforeTheBreakerOpenedDoesNotOpenItAgain(t *testing.T) {
	guardBubble(t, func(c *Config) { c.Timeout = time.Minute }, func(g *guarded) {
		g.upstream(never)
		var before sync.WaitGroup
		before.Go(func() { _ = g.write(10 * time.Second) }) // it goes on when the breaker opens
		time.Sleep(time.Millisecond)
		g.upstream(down)
		for range tooManyFailed {
			_ = g.call(time.Second)
		}
		g.wantState(wire.BreakerOpen)
		g.upstream(ok)
		for g.call(time.Second) != nil {
			time.Sleep(leastWait)
		}
		before.Wait()
		g.wantState(wire.BreakerClosed)
		if g.pool.cfg.Breaker.last.count != 1 {
			g.Errorf("%d outcomes count, want that of the call after the outage", g.pool.cfg.Breaker.last.count)
		}
	})
}

func TestAnAnswerThatIsFarTooLateIsAFailureBeforeItComes(t *testing.T) {
	guardBubble(t, nil, func(g *guarded) {
		const usual = 150 * time.Millisecond
		for range 10 {
			g.pool.stats.usuals.add("", usual)
		}
		g.upstream(never)
		begun := time.Now()
		var calls sync.WaitGroup
		for range tooManyFailed {
			calls.Go(func() {
				err := g.call(time.Minute)
				if took := time.Since(begun); took != 10*usual || !errors.Is(err, ErrOpen) {
					g.Errorf("the call ended after %v: %v", took, err)
				}
			})
		}
		calls.Wait()
		g.wantState(wire.BreakerOpen)
	})
}

func TestAWriteGoesOnWhenTheBreakerOpens(t *testing.T) {
	guardBubble(t, nil, func(g *guarded) {
		g.upstream(func(req *http.Request) (*http.Response, error) {
			if req.Method == http.MethodPost {
				time.Sleep(4 * time.Second)
				return ok(req)
			}
			return down(req)
		})
		var write sync.WaitGroup
		write.Go(func() {
			if _, err := g.pool.Do(g.Context(), Request{Method: http.MethodPost, Path: "/"}); err != nil {
				g.Errorf("the write: %v", err)
			}
		})
		time.Sleep(2 * time.Second)
		for range tooManyFailed {
			_ = g.call(time.Second)
		}
		g.wantState(wire.BreakerOpen)
		write.Wait()
	})
}

func TestTheBreakerRefusesTheCallsThatWaitForASlot(t *testing.T) {
	guardBubble(t, func(c *Config) { c.Size, c.Timeout = 2*tooManyFailed, time.Minute }, func(g *guarded) {
		g.upstream(func(req *http.Request) (*http.Response, error) { time.Sleep(time.Second); return down(req) })
		begun := time.Now()
		g.together(5*tooManyFailed, time.Minute)
		if took := time.Since(begun); took != time.Second {
			g.Errorf("the last one ended after %v", took)
		}
		if requests, _ := g.seen(); requests != 2*tooManyFailed {
			g.Errorf("%d requests were sent", requests)
		}
		if refused := g.pool.Stats().Breaker.Refused; refused != 3*tooManyFailed {
			g.Errorf("%d were refused", refused)
		}
	})
}

// What a caller waits for may be shared and go on for longer than the caller: that the caller has left is known at once.
func TestACallerThatLeavesTellsOfTheSilence(t *testing.T) {
	guardBubble(t, func(c *Config) { c.Timeout = time.Minute }, func(g *guarded) {
		g.upstream(never)
		var waiting sync.WaitGroup
		for range 3 {
			waiting.Go(func() { _ = g.call(time.Minute) })
		}
		time.Sleep(mostPatience / 2)
		g.pool.cfg.Breaker.CallerLeft(time.Minute) // too early: nobody knows how long an answer takes
		time.Sleep(mostPatience)
		g.wantState(wire.BreakerClosed)
		g.pool.cfg.Breaker.CallerLeft(mostPatience)
		g.wantState(wire.BreakerClosed)
		g.pool.cfg.Breaker.CallerLeft(mostPatience)
		g.wantState(wire.BreakerOpen)
		waiting.Wait()
	})
}

// Two callers that waited in vain for one shared request are as much of a sign as two requests.
func TestEachCallerOfASharedRequestTellsOfTheSilence(t *testing.T) {
	guardBubble(t, func(c *Config) { c.Timeout = time.Minute }, func(g *guarded) {
		g.upstream(never)
		var waiting sync.WaitGroup
		waiting.Go(func() { _ = g.call(time.Minute) })
		time.Sleep(2 * mostPatience)
		g.pool.cfg.Breaker.CallerLeft(mostPatience)
		g.wantState(wire.BreakerClosed)
		g.pool.cfg.Breaker.CallerLeft(mostPatience)
		g.wantState(wire.BreakerOpen)
		waiting.Wait()
	})
}
