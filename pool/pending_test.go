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

// A caller's own time may be too short for any answer: that says nothing of the upstream, whatever other requests are overdue.
func TestACallerWithLittleTimeTellsNothing(t *testing.T) {
	guardBubble(t, func(c *Config) { c.Timeout = time.Minute }, func(g *guarded) {
		g.upstream(func(req *http.Request) (*http.Response, error) { time.Sleep(10 * mostPatience); return ok(req) })
		var waiting sync.WaitGroup
		waiting.Go(func() {
			if err := g.call(time.Minute); err != nil {
				g.Error(err)
			}
		})
		time.Sleep(2 * mostPatience)
		for range 3 * windowSize {
			g.pool.cfg.Breaker.CallerLeft(50 * time.Millisecond)
		}
		g.wantState(wire.BreakerClosed)
		waiting.Wait()
	})
}

// A call that the pool's own timeout ends has waited for long enough, however short that is.
func TestAnUpstreamThatIsSilentForAShortTimeoutOpensTheBreaker(t *testing.T) {
	for _, usual := range []time.Duration{0, 20 * time.Millisecond} {
		guardBubble(t, func(c *Config) { c.Timeout = mostPatience / 5 }, func(g *guarded) {
			if usual > 0 {
				g.pool.stats.usuals.add("", usual)
			}
			g.upstream(never)
			for range windowSize {
				_ = g.call(time.Minute)
			}
			g.wantState(wire.BreakerOpen)
		})
	}
}

// Two answers that are far too late may be one pause of the upstream.
func TestAPauseOfTheUpstreamDoesNotOpenTheBreaker(t *testing.T) {
	guardBubble(t, nil, func(g *guarded) {
		for range 10 {
			g.pool.stats.usuals.add("", 20*time.Millisecond)
		}
		g.upstream(func(req *http.Request) (*http.Response, error) { time.Sleep(2 * mostPatience); return ok(req) })
		for range 2 {
			g.together(tooManyFailed-1, time.Minute)
			g.wantState(wire.BreakerClosed)
			g.upstream(ok)
			g.together(windowSize, time.Minute)
		}
	})
}

// An upstream that usually takes seconds does not fail when a caller has less time.
func TestASlowUpstreamIsGivenItsUsualTime(t *testing.T) {
	guardBubble(t, func(c *Config) { c.Timeout = time.Minute }, func(g *guarded) {
		const usual = 3 * time.Second
		for range 10 {
			g.pool.stats.usuals.add("", usual)
		}
		g.upstream(never)
		for range windowSize {
			_ = g.call(usual - time.Second)
		}
		g.wantState(wire.BreakerClosed)
		for range tooManySilent {
			_ = g.call(2 * usual)
		}
		g.wantState(wire.BreakerOpen)
	})
}

// A large answer takes long to come: that says nothing of the upstream.
func TestALargeAnswerIsNotTooLate(t *testing.T) {
	guardBubble(t, nil, func(g *guarded) {
		for range 10 {
			g.pool.stats.usuals.add("", 20*time.Millisecond)
		}
		g.upstream(func(req *http.Request) (*http.Response, error) {
			optionsOf(req.Context()).heard()
			time.Sleep(3 * mostPatience)
			return ok(req)
		})
		for range windowSize {
			if err := g.call(time.Minute); err != nil {
				g.Fatal(err)
			}
		}
		g.wantState(wire.BreakerClosed)
	})
}

// One of two questions may end the other one, and its own error is the cause.
func TestACallerThatLeavesForACauseOfItsOwnTellsNothing(t *testing.T) {
	guardBubble(t, nil, func(g *guarded) {
		g.upstream(func(req *http.Request) (*http.Response, error) {
			<-req.Context().Done()
			return nil, context.Cause(req.Context())
		})
		for range windowSize {
			ctx, cancel := context.WithCancelCause(g.Context())
			time.AfterFunc(time.Millisecond, func() { cancel(errors.New("the other question has failed")) })
			_, _ = g.pool.Do(ctx, Request{Method: http.MethodGet, Path: "/"})
		}
		g.wantState(wire.BreakerClosed)
		if log := g.log.String(); log != "" {
			g.Errorf("the log says\n%s", log)
		}
	})
}
