package pool

import (
	"context"
	"errors"
	"net/http"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"hearth/client/wire"
)

// away is an upstream whose answers take d.
func away(d time.Duration) func(*http.Request) (*http.Response, error) {
	return func(req *http.Request) (*http.Response, error) {
		select {
		case <-time.After(d):
			return ok(req)
		case <-req.Context().Done():
			return nil, context.Cause(req.Context())
		}
	}
}

func TestTheBreakerClosesThoughEveryInvocationIsTooShortForAProbe(t *testing.T) {
	openBubble(t, func(g *guarded) {
		g.upstream(away(60 * time.Millisecond))
		took := g.invocations(5)
		for i, d := range took[1:] {
			if d >= 0 {
				g.Errorf("invocation %d after the outage is refused: %v", i+1, took)
			}
		}
		g.wantState(wire.BreakerClosed)
	})
}

// An invocation that has waited in vain was long enough for a probe. So the next one does not wait.
func TestNotEveryInvocationOfAnOutageWaits(t *testing.T) {
	openBubble(t, func(g *guarded) {
		g.upstream(never)
		waited := 0
		for i, d := range g.invocations(20) {
			switch d {
			case 0:
			case mostAwaited:
				waited++
			default:
				g.Errorf("call %d took %v", i, d)
			}
		}
		if waited < 5 || waited > 10 {
			g.Errorf("%d of 20 calls have waited", waited)
		}
		if s := g.pool.Stats().Breaker; s.Opened != 1 {
			g.Errorf("%+v", s)
		}
	})
}

// All requests of an invocation wait together, and no longer than their callers. None of them is sent.
func TestRequestsThatWaitForAProbeAreNotSent(t *testing.T) {
	openBubble(t, func(g *guarded) {
		g.upstream(never)
		g.invocations(1)
		sent, _ := g.seen()
		time.Sleep(time.Millisecond)
		g.freeze(time.Minute)
		var waiting sync.WaitGroup
		begun := time.Now()
		for _, patient := range []time.Duration{time.Millisecond, time.Minute, time.Minute} {
			for _, ask := range []func(time.Duration) error{g.call, g.write} {
				waiting.Go(func() {
					e, isOurs := errors.AsType[*Error](ask(patient))
					if took := time.Since(begun); !isOurs || e.Sent || took != min(patient, mostAwaited) {
						g.Errorf("after %v of %v: %+v", took, patient, e)
					}
				})
			}
		}
		waiting.Wait()
		if again, _ := g.seen(); again != sent {
			g.Errorf("%d requests were sent", again-sent)
		}
	})
}

// inSteps is an openBubble whose breaker's probe consists of three requests, one after another.
func inSteps(t *testing.T, run func(*guarded)) {
	var p *Pool
	steps := func(c *Config) {
		c.Limit = NewLimit(LimitConfig{Pulse: c.Pulse})
		c.Breaker = NewBreaker(BreakerConfig{Name: "upstream", Limit: c.Limit, Pulse: c.Pulse, Probe: func(ctx context.Context) error {
			for range 3 {
				if err := p.ping(ctx); err != nil {
					return err
				}
			}
			return nil
		}})
	}
	guardBubble(t, steps, func(g *guarded) {
		p = g.pool
		g.open()
		run(g)
	})
}

func TestRequestsWaitForTheEndOfAProbeThatHasAnAnswer(t *testing.T) {
	inSteps(t, func(g *guarded) {
		const step = mostAwaited - time.Millisecond
		g.upstream(away(step))
		time.Sleep(leastWait)
		g.wantRefused() // starts the probe
		begun := time.Now()
		time.Sleep(step - time.Millisecond)
		g.wantRefused() // it has no answer yet
		time.Sleep(2 * time.Millisecond)
		g.upstream(away(step))
		g.together(5, time.Minute)
		if took := time.Since(begun); took != 4*step {
			g.Errorf("the calls ended %v after the probe's beginning", took)
		}
		g.wantState(wire.BreakerClosed)
		if s := g.pool.Stats().Breaker; s.Probes != 1 || s.Refused != 2 {
			g.Errorf("%+v", s)
		}
	})
}

// answerOnce starts a probe, and returns once the first of its requests is answered. The next ones are for then.
func (g *guarded) answerOnce(then func(*http.Request) (*http.Response, error)) {
	g.Helper()
	g.upstream(away(time.Millisecond))
	time.Sleep(leastWait)
	g.wantRefused()
	time.Sleep(time.Millisecond)
	g.upstream(then)
	synctest.Wait()
}

func TestRequestsDoNotWaitLongForAProbeThatHangsAfterAnAnswer(t *testing.T) {
	inSteps(t, func(g *guarded) {
		g.answerOnce(never)
		begun := time.Now()
		g.together(5, time.Minute)
		if took := time.Since(begun); took > 2*mostAwaited {
			g.Errorf("the calls have waited for %v", took)
		}
		for range 50 {
			g.wantRefused()
		}
		g.wantState(wire.BreakerHalfOpen)
	})
}

func TestRequestsWaitNoLongerThanAProbeThatFails(t *testing.T) {
	inSteps(t, func(g *guarded) {
		g.answerOnce(func(req *http.Request) (*http.Response, error) { time.Sleep(10 * time.Millisecond); return down(req) })
		begun := time.Now()
		g.together(5, time.Minute)
		if took := time.Since(begun); took > 20*time.Millisecond {
			g.Errorf("the calls have waited for %v", took)
		}
		g.wantState(wire.BreakerOpen)
		g.wantRefused()
	})
}
