package pool

import (
	"context"
	"errors"
	"net/http"
	"sync"
	"time"

	"hearth/internal/clock"
	"hearth/internal/guard"
)

// race is the link that hides broken connections from requests that are safe to repeat.
//
//  1. A request that is not repeatable goes to the next link once.
//  2. A repeatable request may go over an unproven connection, unless its [Options] say Proven. If it has no answer after a
//     short wait, it is sent again over a proven or new connection, and the first answer counts.
//  3. A freeze makes the connections of the requests under way unproven: rule 2 holds for them from then on.
//  4. If the second try of rule 2 fails while an older try still runs, there is another try after twice the wait.
//  5. If the only try fails on a connection that was open before, the upstream may have closed that connection. The request
//     is replayed at once over a new connection, but only once, and not if the error would be the same again.
type race struct {
	next   http.RoundTripper
	pulse  *clock.Pulse
	policy Policy
	stats  *counters
	tries  sync.WaitGroup // Add happens within RoundTrip
}

// errSlower is the cause of the cancellation of a try, after another try has brought the answer.
var errSlower = errors.New("another connection was faster")

const (
	shortestWait = 50 * time.Millisecond
	longestWait  = time.Second
)

// raceAfter is how long a request waits for its answer on an unproven connection before it is sent again: twice the median round
// trip, but at least shortestWait and at most longestWait.
func (r *race) raceAfter() time.Duration {
	return min(max(2*r.stats.roundTrips.median(), shortestWait), longestWait)
}

// RoundTrip sends req by the rules of [race].
func (r *race) RoundTrip(req *http.Request) (*http.Response, error) {
	if !optionsOf(req.Context()).Repeatable {
		return r.next.RoundTrip(req)
	}
	ctx, cancel := context.WithCancelCause(req.Context())
	defer cancel(errSlower)
	t := &tries{race: r, req: req, results: make(chan result)}
	first := make(chan taken, 1)
	t.start(ctx, Options{taken: func(c taken) { first <- c }})

	again := Options{Proven: true, Background: true} // Background: the caller needs one connection, and this is another one
	var pause time.Duration
	var due <-chan time.Time // when the request is sent once more
	sendAfter := func(d time.Duration) {
		if !r.policy.NoRace {
			pause, due = d, time.After(d)
		}
	}
	replayed := false
	var thawed <-chan struct{} // closed by the next freeze; nil until the first try has its connection: Conns.Take copes with freezes
	for {
		select {
		case c := <-first:
			thawed = r.pulse.After(c.freezes)
			if !c.proven {
				sendAfter(r.raceAfter())
			}
		case <-thawed:
			thawed = r.pulse.After(r.pulse.Freezes())
			sendAfter(r.raceAfter())
		case <-due:
			due = nil
			r.stats.races.Add(1)
			t.start(ctx, again)
		case res := <-t.results:
			t.running--
			switch {
			case res.err == nil:
				return res.resp, nil
			case ctx.Err() != nil:
				return nil, context.Cause(ctx)
			case t.running > 0: // another try of this request is under way
				if res.number == t.started && due == nil {
					sendAfter(min(2*pause, longestWait))
				}
			case replayed, !res.reused, r.policy.NoReplay, permanent(res.err):
				return nil, res.err
			default:
				select {
				case c := <-first: // it failed so fast that its connection was not looked at yet
					thawed = r.pulse.After(c.freezes)
				default:
				}
				replayed, due = true, nil
				r.stats.replays.Add(1)
				replay := again
				replay.fresh = true
				t.start(ctx, replay)
			}
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}
}

// tries are the tries of one request. Only RoundTrip uses the fields; the goroutine of a try only sends its result.
type tries struct {
	race    *race
	req     *http.Request
	results chan result
	started int // how many tries were started
	running int // how many of them have no result yet
}

type result struct {
	resp   *http.Response
	err    error
	number int  // of the try, from 1
	reused bool // its connection was open before
}

// start sends the request once more, with the options o. RoundTrip cancels ctx when it returns, and that ends the other tries.
func (t *tries) start(ctx context.Context, o Options) {
	t.started++
	t.running++
	r := result{number: t.started}
	tell := o.taken
	o.taken = func(c taken) {
		r.reused = c.reused
		if tell != nil {
			tell(c)
		}
	}
	t.race.tries.Go(func() {
		r.err = guard.Do(func() (err error) {
			r.resp, err = t.race.next.RoundTrip(t.req.WithContext(With(ctx, o))) //nolint:bodyclose // the next link has read it; below it is closed if the try has lost
			return err
		})
		select {
		case t.results <- r:
		case <-ctx.Done():
			if r.resp != nil {
				_ = r.resp.Body.Close() // it holds a share of the memory
			}
		}
	})
}
