package cache

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"hearth/internal/clock"
	"hearth/internal/growstack"
)

// flights runs loads and lets requests share them. A load must not panic. Its context has the values of the request that
// started it, but does not end with that request: a caller that gives up does not end the load for the others. A load may take as long
// as timeout, or as its request waits if that is longer. close ends all loads.
//
// This is x/sync's singleflight with these differences:
//
//  1. A request says how long ago a flight may have begun for the request to join it. What a load brings is as old as its
//     beginning, so an answer from a slow one could be staler than the request allows.
//  2. A flight that a freeze has interrupted is not joined: it may hang on a connection that the freeze has broken.
//  3. No load begins in place of one that has just ended: start refuses if a load has ended since its caller looked at what
//     is held.
//  4. A request with maxAge 0, such as no-cache, joins no load under way. If the load under way belongs to such a request too, the requests that
//     come meanwhile share the next load. It begins when the first has ended, or when they have waited for mostQueued.
//  5. A load for which no request waits any more ends, unless its result is kept for later requests. The number of loads that go on in
//     this way is bounded, and refreshes count among them (unwaited.go).
//
// The mutex guards the map and the counts.
type flights struct {
	pulse   *clock.Pulse
	timeout time.Duration
	ctx     context.Context //nolint:containedctx // of all loads: close ends it
	cancel  context.CancelFunc

	mu       sync.Mutex
	latest   map[string]*flight // guarded by mu; by key, the flight under way that was started last
	next     map[string]*flight // guarded by mu; by key, the flight that waits for the end of another one
	ended    atomic.Uint64      // written under mu; how many loads have ended: their results are kept already
	closed   bool               // guarded by mu
	unwaited unwaited           // guarded by mu
	loads    sync.WaitGroup     // Add is guarded by mu
}

// mostQueued is how long a flight waits for the end of the one before.
const mostQueued = time.Second

type flight struct {
	flightTerms
	began   clock.Instant
	freezes uint64 // how many freezes there had been when it began
	cancel  context.CancelFunc
	done    chan struct{} // closed once v and err are set and the flight is not in latest any more
	v       any
	err     error

	waiters int // guarded by flights.mu; requests that wait for it

	after *flight // the flight whose end it waits for; nil: it began at once
	start func()  // begins it, if after is set; called once, under flights.mu
}

func newFlights(pulse *clock.Pulse, timeout time.Duration) *flights {
	f := &flights{pulse: pulse, timeout: timeout, latest: map[string]*flight{}, next: map[string]*flight{}, unwaited: newUnwaited()}
	f.ctx, f.cancel = context.WithCancel(context.Background())
	return f
}

// flightTerms say what load a request wants.
type flightTerms struct {
	key      string
	resource Resource
	keeps    bool          // what the load brings is kept for later requests
	maxAge   time.Duration // the load must have begun less than this ago
	need     int           // and must bring at least this much
	ended    uint64        // flights.ended before the caller looked at what is held
	refusal  error         // why no load may begin; nil: one may
}

// start joins the latest flight of the key if that meets the terms, or else starts one. It returns nil if a load has ended
// since the caller looked: the caller must look again. A caller that gets a flight must call wait.
func (f *flights) start(ctx context.Context, terms flightTerms, load func(context.Context) (any, error)) (_ *flight, joined bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	now := f.pulse.Now()
	if fl := f.meetingLocked(terms, now); fl != nil {
		f.unwaited.remove(fl)
		fl.waiters++
		return fl, true
	}
	if f.ended.Load() != terms.ended {
		return nil, false
	}
	fl, joined := f.nextLocked(ctx, terms, load)
	if fl == nil {
		fl = f.beginLocked(ctx, terms, now, load)
	}
	fl.waiters++
	return fl, joined
}

// canJoin says whether a request would join a load under way now.
func (f *flights) canJoin(terms flightTerms) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.meetingLocked(terms, f.pulse.Now()) != nil
}

// meetingLocked is the latest flight of the key if that meets the terms.
func (f *flights) meetingLocked(terms flightTerms, now clock.Instant) *flight {
	if fl := f.joinableLocked(terms.key); fl != nil && now.Since(fl.began) < terms.maxAge && fl.need >= terms.need {
		return fl
	}
	return nil
}

// nextLocked is the flight that begins after the one under way, for a request with maxAge 0 (rule 4); nil: the request may begin a load
// now.
func (f *flights) nextLocked(ctx context.Context, terms flightTerms, load func(context.Context) (any, error)) (fl *flight, joined bool) {
	under := f.joinableLocked(terms.key)
	if terms.maxAge > 0 || under == nil || under.maxAge > 0 || under.waiters == 0 {
		return nil, false
	}
	if fl = f.next[terms.key]; fl != nil {
		if fl.need < terms.need {
			return nil, false
		}
		return fl, true
	}
	fl = &flight{flightTerms: terms, after: under, done: make(chan struct{}), cancel: func() {}}
	fl.start = func() { f.runLocked(ctx, fl, f.pulse.Now(), load) }
	f.next[terms.key] = fl
	return fl, false
}

// startNextLocked begins fl, if it has not begun yet.
func (f *flights) startNextLocked(fl *flight) {
	if fl != nil && f.next[fl.key] == fl {
		delete(f.next, fl.key)
		fl.start()
	}
}

// joinableLocked is the latest flight of a key, unless a freeze has interrupted it.
func (f *flights) joinableLocked(key string) *flight {
	if fl := f.latest[key]; fl != nil && fl.freezes == f.pulse.Freezes() {
		return fl
	}
	return nil
}

func (f *flights) beginLocked(ctx context.Context, terms flightTerms, now clock.Instant, load func(context.Context) (any, error)) *flight {
	fl := &flight{flightTerms: terms, done: make(chan struct{})}
	if terms.refusal != nil {
		fl.end(terms.refusal)
	} else {
		f.runLocked(ctx, fl, now, load)
	}
	return fl
}

func (f *flights) runLocked(ctx context.Context, fl *flight, now clock.Instant, load func(context.Context) (any, error)) {
	fl.began, fl.freezes = now, f.pulse.Freezes()
	if f.closed {
		fl.end(ErrClosed)
		return
	}
	timeout := f.timeout
	if end, ok := ctx.Deadline(); ok {
		timeout = max(timeout, time.Until(end))
	}
	ctx, fl.cancel = f.pulse.WithTimeout(context.WithoutCancel(ctx), timeout)
	f.latest[fl.key] = fl
	f.loads.Go(func() {
		growstack.Grow()
		defer fl.cancel()
		defer context.AfterFunc(f.ctx, fl.cancel)() //nolint:contextcheck // the load ends with its owner too
		fl.v, fl.err = load(ctx)
		f.finish(fl, errors.Is(context.Cause(ctx), context.Canceled))
		close(fl.done)
	})
}

// end ends a flight whose load does not begin.
func (fl *flight) end(err error) {
	fl.err, fl.cancel = err, func() {}
	close(fl.done)
}

func (f *flights) finish(fl *flight, cancelled bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.ended.Add(1)
	f.forgetLocked(fl)
	f.unwaited.remove(fl)
	if fl.keeps && !cancelled {
		f.unwaited.ended(fl, f.pulse.Now())
	}
	if next := f.next[fl.key]; next != nil && next.after == fl {
		f.startNextLocked(next)
	}
}

// forgetLocked keeps later requests from joining fl.
func (f *flights) forgetLocked(fl *flight) {
	if f.latest[fl.key] == fl {
		delete(f.latest, fl.key)
	}
}

// wait returns when the load is done or ctx ends, and says whether the load is done.
func (f *flights) wait(ctx context.Context, fl *flight) (v any, done bool, err error) {
	defer f.leave(fl)
	var late <-chan time.Time
	if fl.after != nil {
		late = time.After(mostQueued)
	}
	for {
		select {
		case <-fl.done:
			return fl.v, true, fl.err
		case <-late:
			f.mu.Lock()
			f.startNextLocked(fl)
			f.mu.Unlock()
		case <-ctx.Done():
			return nil, false, context.Cause(ctx)
		}
	}
}

// leave says that a request no longer waits for fl. If it was the last one, the load ends, unless its result is kept and unwaited lets the
// load go on.
func (f *flights) leave(fl *flight) {
	f.mu.Lock()
	defer f.mu.Unlock()
	fl.waiters--
	select {
	case <-fl.done:
		return
	default:
	}
	if f.next[fl.key] == fl {
		if fl.waiters == 0 {
			delete(f.next, fl.key)
		}
		return
	}
	if fl.waiters > 0 || fl.keeps && f.unwaited.add(fl) {
		return
	}
	f.forgetLocked(fl)
	fl.cancel()
}

// refresh starts a load for which no request waits. It does not if a load of the key is under way, if another refresh of the group goes
// on, or if the last load of the key has failed a moment ago.
func (f *flights) refresh(ctx context.Context, terms flightTerms, load func(context.Context) (any, error)) {
	f.mu.Lock()
	defer f.mu.Unlock()
	now := f.pulse.Now()
	if f.closed || f.joinableLocked(terms.key) != nil || f.ended.Load() != terms.ended || !f.unwaited.mayBegin(terms, now) {
		return
	}
	f.unwaited.add(f.beginLocked(ctx, terms, now, load))
}

func (f *flights) close() {
	f.mu.Lock()
	f.closed = true
	f.mu.Unlock()
	f.cancel()
	f.loads.Wait()
}
