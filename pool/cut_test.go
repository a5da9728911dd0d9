package pool

import (
	"errors"
	"net/http"
	"testing"
	"time"

	"hearth/client/wire"
	"hearth/pool/conn"
)

// Requests that share a connection fail together when it ends, and so do those that wait for one dial.
func TestTheEndOfOneConnectionIsOneFailure(t *testing.T) {
	for name, err := range map[string]error{
		"a connection": errors.New("reset"),
		"a dial":       &conn.UnsentError{Err: errors.New("refused")},
	} {
		t.Run(name, func(t *testing.T) {
			guardBubble(t, func(c *Config) { c.Size = 8 }, func(g *guarded) {
				g.upstream(func(*http.Request) (*http.Response, error) {
					time.Sleep(time.Millisecond)
					return failure(err)()
				})
				for range tooManyFailed - 1 {
					g.together(8, time.Second)
					g.wantState(wire.BreakerClosed)
				}
				g.together(8, time.Second)
				g.wantState(wire.BreakerOpen)
			})
		})
	}
}

// An upstream that says of each request that it has failed has failed that often.
func TestEachAnswerThatSaysNoIsAFailure(t *testing.T) {
	guardBubble(t, nil, func(g *guarded) {
		g.upstream(func(req *http.Request) (*http.Response, error) {
			time.Sleep(time.Millisecond)
			return down(req)
		})
		g.together(tooManyFailed, time.Second)
		g.wantState(wire.BreakerOpen)
	})
}

// Connections that take long to fail are no single moment's: their callers have waited.
func TestConnectionsThatFailAfterALongWaitAreAFailureEach(t *testing.T) {
	guardBubble(t, nil, func(g *guarded) {
		g.upstream(func(*http.Request) (*http.Response, error) {
			time.Sleep(2 * mostPatience)
			return failure(errors.New("reset"))()
		})
		g.together(tooManyFailed, time.Minute)
		g.wantState(wire.BreakerOpen)
	})
}
