package cache

import (
	"context"
	"sync"
	"time"

	"hearth/internal/clock"
)

// flights runs loads, which must not panic, and lets requests share them. A load runs under the cache's own life with the
// values of the request that started it: whoever waits may give up without ending it for the others.
//
// This is x/sync's singleflight with one difference: a request says how old a flight it may join. What a load
// brings is as old as its beginning, so joining a slow one could give a reply staler than its freshness allows.
// Nor is a flight joined that a freeze has passed over: it may hang on a connection that the freeze has broken.
type flights struct {
	pulse   *clock.Pulse
	timeout time.Duration
	ctx     context.Context //nolint:containedctx // the owner's life: close ends it
	cancel  context.CancelFunc

	mu     sync.Mutex
	latest map[string]*flight // guarded by mu; under way, the last one started of each key
	closed bool               // guarded by mu
	loads  sync.WaitGroup     // Add is guarded by mu
}

type flight struct {
	began clock.Instant
	need  int           // how much it brings at least
	thaws uint64        // freezes when it began
	done  chan struct{} // closed once v and err are set and nobody can join any more
	v     any
	err   error
}

func newFlights(pulse *clock.Pulse, timeout time.Duration) *flights {
	f := &flights{pulse: pulse, timeout: timeout, latest: map[string]*flight{}}
	f.ctx, f.cancel = context.WithCancel(context.Background())
	return f
}

// flightTerms say what load a request wants.
type flightTerms struct {
	key  string
	join time.Duration // a load that began less than so long ago will do
	need int           // and brings at least so much
	// held looks again at what is held: a load may have ended since the caller found nothing. It is nil if the caller holds
	// the lock under which loads keep what they bring.
	held func() any
}

// start joins the latest flight of the key if it will do, else starts one.
func (f *flights) start(ctx context.Context, terms flightTerms, load func(context.Context) (any, error)) (_ *flight, joined bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	key := terms.key
	thaws, now := f.pulse.Thaws(), f.pulse.Now()
	if fl := f.latest[key]; fl != nil && fl.thaws == thaws && now.Since(fl.began) < terms.join && fl.need >= terms.need {
		return fl, true
	}
	fl := &flight{began: now, need: terms.need, thaws: thaws, done: make(chan struct{})}
	if f.closed {
		fl.err = ErrClosed
		close(fl.done)
		return fl, false
	}
	if terms.held != nil {
		if fl.v = terms.held(); fl.v != nil {
			close(fl.done)
			return fl, true
		}
	}
	f.latest[key] = fl
	f.loads.Go(func() {
		fl.v, fl.err = f.run(ctx, load)
		f.mu.Lock()
		if f.latest[key] == fl {
			delete(f.latest, key)
		}
		f.mu.Unlock()
		close(fl.done)
	})
	return fl, false
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

func (f *flights) close() {
	f.mu.Lock()
	f.closed = true
	f.mu.Unlock()
	f.cancel()
	f.loads.Wait()
}
