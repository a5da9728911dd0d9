package pool

import (
	"errors"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"hearth/client/wire"
)

// invocations are as short as those of a handler that gives up when its call is refused, and between them the process is frozen. It
// returns how long each call took, or -1 if it was answered.
func (g *guarded) invocations(n int) (took []time.Duration) {
	for range n {
		g.freeze(time.Minute)
		began := time.Now()
		err := g.call(3 * time.Second)
		switch spent := time.Since(began); {
		case err == nil:
			took = append(took, -1)
		case errors.Is(err, ErrOpen):
			took = append(took, spent)
		default:
			g.Errorf("after %v: %v", spent, err)
		}
		time.Sleep(5 * time.Millisecond)
	}
	return took
}

func TestTheBreakerClosesThoughEveryInvocationIsTooShortForAProbe(t *testing.T) {
	guardBubble(t, nil, func(g *guarded) {
		g.upstream(down)
		g.together(tooManyFailed, time.Second)
		g.upstream(func(req *http.Request) (*http.Response, error) { // 60 ms away
			select {
			case <-time.After(60 * time.Millisecond):
				return ok(req)
			case <-req.Context().Done():
				return nil, req.Context().Err()
			}
		})
		took := g.invocations(6)
		for i, d := range took[3:] {
			if d >= 0 {
				g.Errorf("call %d after the outage is refused: %v", i+3, took)
			}
		}
		g.wantState(wire.BreakerClosed)
	})
}

func TestATrialEndsSoonAndTheNextOneIsNotAtOnce(t *testing.T) {
	guardBubble(t, nil, func(g *guarded) {
		g.upstream(down)
		g.together(tooManyFailed, time.Second)
		g.upstream(never)
		trials := 0
		for i, d := range g.invocations(20) {
			switch d {
			case 0:
			case trialTime:
				trials++
			default:
				g.Errorf("call %d took %v", i, d)
			}
		}
		if trials < 5 || trials > 10 {
			g.Errorf("%d of 20 calls were trials", trials)
		}
		if s := g.pool.Stats().Breaker; s.Opened != 1 {
			g.Errorf("%+v", s)
		}
	})
}

// Only one request at a time is a trial, and no write is one.
func TestOneReadIsTheTrial(t *testing.T) {
	guardBubble(t, nil, func(g *guarded) {
		g.upstream(down)
		g.together(tooManyFailed, time.Second)
		g.upstream(never)
		time.Sleep(time.Millisecond)
		g.freeze(time.Minute)
		g.wantRefused()
		time.Sleep(time.Millisecond)
		g.freeze(time.Minute)
		synctest.Wait()
		if _, err := g.pool.Do(g.Context(), Request{Method: http.MethodPost, Path: "/"}); !errors.Is(err, ErrOpen) {
			g.Errorf("a write: %v", err)
		}
		synctest.Wait() // the write has noticed the freeze
		before, _ := g.seen()
		g.together(5, time.Minute)
		if after, _ := g.seen(); after != before+1 {
			g.Errorf("%d of 5 requests were sent", after-before)
		}
	})
}
