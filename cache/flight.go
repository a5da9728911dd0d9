package cache

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"hearth/internal/clock"
)

// flights runs loads and lets requests share them. A load must not panic. Its context has the values of the request that
// started it, but does not end with that request: a caller that gives up does not end the load for the others. close ends
// all loads.
//
// This is x/sync's singleflight with three differences:
//
//  1. A request says how long ago a flight may have begun for the request to join it. What a load brings is as old as its
//     beginning, so an answer from a slow one could be staler than the request allows.
//  2. A flight that a freeze has interrupted is not joined: it may hang on a connection that the freeze has broken.
//  3. No load begins in place of one that has just ended: start refuses if a load has ended since its caller looked at what
//     is held.
//
// The mutex guards the map and the counts.
type flights struct {
	pulse   *clock.Pulse
	timeout time.Duration
	ctx     context.Context //nolint:containedctx // of all loads: close ends it
	cancel  context.CancelFunc

	mu     sync.Mutex
	latest map[string]*flight // guarded by mu; by key, the flight under way that was started last
	ended  atomic.Uint64      // written under mu; how many loads have ended: their results are kept already
	closed bool               // guarded by mu
	loads  sync.WaitGroup     // Add is guarded by mu
}

type flight struct {
	began   clock.Instant
	need    int           // how much it brings at least
	freezes uint64        // how many freezes there had been when it began
	done    chan struct{} // closed once v and err are set and the flight is not in latest any more
	v       any
	err     error
}

func newFlights(pulse *clock.Pulse, timeout time.Duration) *flights {
	f := &flights{pulse: pulse, timeout: timeout, latest: map[string]*flight{}}
	f.ctx, f.cancel = context.WithCancel(context.Background())
	return f
}

// flightTerms say what load a request wants.
type flightTerms struct {
	key    string
	maxAge time.Duration // the load must have begun less than this ago
	need   int           // and must bring at least this much
	ended  uint64        // flights.ended before the caller looked at what is held
}

// start joins the latest flight of the key if that meets the terms, or else starts one. It returns nil if a load has ended
// since the caller looked: the caller must look again.
func (f *flights) start(ctx context.Context, terms flightTerms, load func(context.Context) (any, error)) (_ *flight, joined bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	freezes, now := f.pulse.Freezes(), f.pulse.Now()
	if fl := f.latest[terms.key]; fl != nil && fl.freezes == freezes && now.Since(fl.began) < terms.maxAge && fl.need >= terms.need {
		return fl, true
	}
	if f.ended.Load() != terms.ended {
		return nil, false
	}
	fl := &flight{began: now, need: terms.need, freezes: freezes, done: make(chan struct{})}
	if f.closed {
		fl.err = ErrClosed
		close(fl.done)
		return fl, false
	}
	f.latest[terms.key] = fl
	f.loads.Go(func() {
		fl.v, fl.err = f.run(ctx, load)
		f.finish(terms.key, fl)
		close(fl.done)
	})
	return fl, false
}

func (f *flights) finish(key string, fl *flight) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.ended.Add(1)
	if f.latest[key] == fl {
		delete(f.latest, key)
	}
}

// wait returns when the load is done or ctx ends.
func (fl *flight) wait(ctx context.Context) (any, error) {
	select {
	case <-fl.done:
		return fl.v, fl.err
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}

func (f *flights) run(ctx context.Context, load func(context.Context) (any, error)) (any, error) {
	ctx, cancel := f.pulse.WithTimeout(context.WithoutCancel(ctx), f.timeout)
	defer cancel()
	defer context.AfterFunc(f.ctx, cancel)() //nolint:contextcheck // the load ends with its owner too
	return load(ctx)
}

// closing says whether close was called.
func (f *flights) closing() bool { return f.ctx.Err() != nil }

func (f *flights) close() {
	f.mu.Lock()
	f.closed = true
	f.mu.Unlock()
	f.cancel()
	f.loads.Wait()
}
