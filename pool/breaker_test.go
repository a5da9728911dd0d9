package pool

import (
	"context"
	"errors"
	"net/http"
	"sync"
	"testing"
	"time"

	"hearth/client/wire"
)

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
