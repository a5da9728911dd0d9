package cache

import (
	"context"
	"fmt"
	"runtime/debug"
	"sync"
	"time"

	"golang.org/x/sync/singleflight"
)

// flights runs loads, one at a time per key. A load runs under the cache's own life with the values of the
// request that started it: whoever waits may give up without ending it for the others.
type flights struct {
	group   singleflight.Group
	timeout time.Duration
	ctx     context.Context //nolint:containedctx // the owner's life: close ends it
	cancel  context.CancelFunc

	mu     sync.Mutex
	closed bool           // guarded by mu
	loads  sync.WaitGroup // Add is guarded by mu
}

func newFlights(timeout time.Duration) *flights {
	f := &flights{timeout: timeout}
	f.ctx, f.cancel = context.WithCancel(context.Background())
	return f
}

// do joins the flight of key or starts it; alone starts a new one in any case. It returns when the load is
// done or ctx ends.
func (f *flights) do(ctx context.Context, key string, alone bool, load func(context.Context) (any, error)) (v any, collapsed bool, err error) {
	if alone {
		f.group.Forget(key)
	}
	led := false // written by our own load only, before its result is sent
	result := f.group.DoChan(key, func() (any, error) {
		led = true
		return f.run(ctx, load)
	})
	select {
	case r := <-result:
		return r.Val, !led, r.Err
	case <-ctx.Done():
		return nil, false, context.Cause(ctx)
	}
}

// start begins the flight of key, if there is none, and waits for nothing.
func (f *flights) start(ctx context.Context, key string, load func(context.Context) (any, error)) {
	f.group.DoChan(key, func() (any, error) { return f.run(ctx, load) })
}

func (f *flights) run(ctx context.Context, load func(context.Context) (any, error)) (v any, err error) {
	f.mu.Lock()
	if f.closed {
		f.mu.Unlock()
		return nil, ErrClosed
	}
	f.loads.Add(1)
	f.mu.Unlock()
	defer f.loads.Done()
	defer func() {
		if p := recover(); p != nil { // a sidecar that exits is a crashed sandbox
			err = fmt.Errorf("cache: a load panicked: %v\n%s", p, debug.Stack())
		}
	}()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), f.timeout)
	defer cancel()
	defer context.AfterFunc(f.ctx, cancel)()
	return load(ctx)
}

func (f *flights) close() {
	f.mu.Lock()
	f.closed = true
	f.mu.Unlock()
	f.cancel()
	f.loads.Wait()
}
