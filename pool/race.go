package pool

import (
	"context"
	"errors"
	"net/http"
	"sync"
	"time"

	"hearth/internal/clock"
	"hearth/internal/growstack"
	"hearth/internal/guard"
)

// race is the link that hides broken and silent connections from requests that are safe to repeat. It may send such a request
// several times, each time over another connection or stream. The first answer counts, and the other tries are cancelled.
//
//  1. A request that is not repeatable goes to the next link once. If its connection is found dead, the request waits on, because it may
//     have arrived, but it gives back its slot. Any request that the upstream has refused unread (refused.go) is sent again at once, at
//     most mostUnread times: GOAWAY may hit all the requests on a connection.
//  2. A race: over an unproven connection (package conn says which are), the request waits a short while for its answer. Then it is
//     sent again over a proven or new connection. A freeze makes the connections of the requests under way unproven too. A request
//     whose [Options] say Proven is never given an unproven connection.
//  3. A look: over a proven connection, the request waits four times as long as is usual for its kind. Then the connection is
//     looked at (look.go), and again from time to time.
//  4. If a connection is found dead, each repeatable request whose newest try is on it is sent again over a new connection.
//  5. If a connection is found alive, the upstream is slow. The request may be sent once more: a hedge. A hedge is not made
//     for a request that says Proven or Background, while another try runs, or if the usual is not known: the first calls of a
//     process are slow, and many processes may begin at the same time.
//  6. If the newest try of rule 2 or 4 fails while an older try still runs, there is another try after twice the wait.
//  7. A replay: if the only try fails on a connection that was open before, and no answer has begun, the upstream may have closed that
//     connection. The request is sent again at once over a new connection, but only once, and not if the error would be the same again.
//  8. Before a request that says Proven is sent again while an older try runs, the connection of that try is aborted. It is a
//     write, and a copy that got stuck in the connection could arrive after the next write and undo that one.
//
// A try that was cancelled because another try has brought the answer is never counted as a failure.
type race struct {
	next   http.RoundTripper
	pulse  *clock.Pulse
	policy Policy
	stats  *counters
	hedges *Budget        // nil: no request is hedged
	tries  sync.WaitGroup // and looks; Add happens within RoundTrip
}

// errSlower is the cause of the cancellation of a try, after another try has brought the answer.
var errSlower = errors.New("another connection was faster")

const (
	shortestWait = 50 * time.Millisecond
	longestWait  = time.Second
	mostUnread   = 2
)

// raceAfter is how long a request waits for its answer on an unproven connection before it is sent again: twice the median round
// trip, but at least shortestWait and at most longestWait.
func (r *race) raceAfter() time.Duration {
	return min(max(2*r.stats.roundTrips.median(), shortestWait), longestWait)
}

// RoundTrip sends req by the rules of [race].
func (r *race) RoundTrip(req *http.Request) (*http.Response, error) {
	o := optionsOf(req.Context())
	if !o.Repeatable {
		return r.once(req)
	}
	ctx, cancel := context.WithCancelCause(req.Context())
	defer cancel(errSlower)
	if r.hedges != nil && !o.retry {
		r.hedges.call()
	}
	t := &tries{race: r, req: req, options: o, usual: r.stats.usual(o.Kind), lines: make(chan taken), results: make(chan result)}
	return t.run(ctx)
}

// tries are the tries of one request. Only run and the methods that it calls use the fields. The goroutine of a try sends to lines and
// results, and nothing else.
type tries struct {
	race    *race
	req     *http.Request
	options Options
	usual   time.Duration // for its kind; 0: not known

	lines   chan taken // the connections of the tries; that of a try comes before its result
	results chan result
	started int // how many tries were started
	running int // how many of them have no result yet

	newest taken         // the connection of the newest try; zero while the try waits for one
	pause  time.Duration // before the last try of rules 2, 4 and 6; 0: there was none
	wait   time.Duration // before the next look

	thawed  <-chan struct{}  // closed by the next freeze; nil until the first try has its connection: Conns.Take copes with freezes
	due     <-chan time.Time // when the request is sent once more
	lookDue <-chan time.Time // when the newest connection is looked at
	looked  chan struct{}    // closed when a look has ended
	dead    <-chan struct{}  // closed when the newest connection was found dead

	hedged, replayed bool // by rules 5 and 7
	unread           int  // how often it was refused unread (rule 1)
}

type result struct {
	resp   *http.Response
	err    error
	number int  // of the try, from 1
	reused bool // its connection was open before
	heard  bool // an answer has begun to come
}

func (t *tries) run(ctx context.Context) (*http.Response, error) {
	r := t.race
	another := Options{Proven: true, Background: true} // Background: the caller needs one connection, and this is another one
	fresh := another
	fresh.fresh = true
	t.start(ctx, Options{})
	for {
		select {
		case c := <-t.lines:
			t.took(c)
		case <-t.thawed:
			t.thawed = r.pulse.After(r.pulse.Freezes())
			t.sendAfter(r.raceAfter())
		case <-t.due:
			t.due = nil
			r.stats.races.Add(1)
			t.again(ctx, another)
		case <-t.lookDue:
			t.lookDue = nil
			t.look(ctx)
		case <-t.looked:
			t.looked = nil
			t.lookAfter(t.wait)
			t.wait = min(2*t.wait, mostLook)
			if t.mayHedge() {
				t.hedged = true
				r.stats.hedges.Add(1)
				t.start(ctx, another)
			}
		case <-t.dead:
			t.due, t.pause = nil, r.raceAfter()
			r.stats.replays.Add(1)
			t.again(ctx, fresh)
		case res := <-t.results:
			t.running--
			switch {
			case res.err == nil:
				return res.resp, nil
			case ctx.Err() != nil:
				return nil, context.Cause(ctx)
			case t.running > 0: // another try of this request is under way
				if res.number == t.started && t.due == nil && t.pause > 0 {
					t.sendAfter(min(2*t.pause, longestWait))
				}
			case t.unread < mostUnread && unread(res.err):
				t.unread++
				r.stats.replays.Add(1)
				t.start(ctx, another)
			case t.replayed, !res.reused, res.heard, r.policy.NoReplay, permanent(res.err):
				return nil, res.err
			default:
				t.replayed, t.due = true, nil
				r.stats.replays.Add(1)
				t.start(ctx, fresh)
			}
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}
}

// took notes the connection of a try, and sets the timers of rules 2 and 3 if the try is the newest.
func (t *tries) took(c taken) {
	r := t.race
	if t.thawed == nil {
		t.thawed = r.pulse.After(c.freezes)
	}
	if c.try != t.started {
		return
	}
	t.newest = c
	if c.line != nil && !r.policy.NoLook {
		t.dead = c.line.Dead()
	}
	if !c.proven {
		t.sendAfter(r.raceAfter())
	} else if t.dead != nil {
		t.lookAfter(lookAfter(t.usual))
	}
}

// sendAfter sets the time after which the request is sent once more.
func (t *tries) sendAfter(d time.Duration) {
	if !t.race.policy.NoRace {
		t.pause, t.due = d, time.After(d)
	}
}

// lookAfter sets the time after which the newest connection is looked at.
func (t *tries) lookAfter(d time.Duration) {
	t.wait, t.lookDue = d, time.After(d)
}

// again sends the request once more while an older try may still run (rule 8).
func (t *tries) again(ctx context.Context, o Options) {
	if t.options.Proven && t.newest.line != nil {
		t.newest.line.Abort()
	}
	t.start(ctx, o)
}

// start sends the request once more, with the options o. RoundTrip cancels ctx when it returns, and that ends the other tries.
func (t *tries) start(ctx context.Context, o Options) {
	t.started++
	t.running++
	t.newest, t.dead, t.lookDue, t.looked = taken{}, nil, nil, nil
	r := result{number: t.started}
	o.taken = func(c taken) {
		r.reused = c.reused
		c.try = r.number
		select {
		case t.lines <- c:
		case <-ctx.Done():
		}
	}
	o.heard = func() {
		r.heard = true
		if heard := t.options.heard; heard != nil {
			heard()
		}
	}
	t.race.tries.Go(func() {
		growstack.Grow()
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
