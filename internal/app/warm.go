package app

import (
	"context"
	"errors"
	"sync"

	"hearth/internal/guard"
	"hearth/pool"
)

// warm opens connections and asks the upstreams what the first requests would have to ask, unless that is known. It returns when all of that
// has ended. If something fails, the first request that needs it asks again.
func (a *app) warm(ctx context.Context) {
	ctx = pool.With(ctx, pool.Options{Background: true})
	var steps sync.WaitGroup
	step := func(what string, do func(context.Context) error) {
		steps.Go(func() {
			err := guard.Do(func() error { return do(ctx) })
			switch {
			case errors.Is(err, guard.ErrPanic):
				a.log.Error("warm-up failed", "what", what, "error", err)
			case errors.Is(err, pool.ErrOpen): // the log says so already
			case err != nil && ctx.Err() == nil:
				a.failures.Warn(what, "warm-up failed", "what", what, "error", err)
			}
		})
	}
	for _, upstream := range a.pools {
		step(upstream.Name()+" connections", upstream.Warm)
	}
	if a.weaviate != nil {
		step("weaviate schema", a.weaviate.LoadClasses)
	}
	if a.odoo != nil {
		step("odoo session", a.odoo.Connect)
	}
	steps.Wait()
}

// restartable returns two functions for one caller. restart cancels the call of do that still runs, waits for its end, and starts the next one in
// the background: after a freeze the old call may wait for connections that the freeze has broken. stop cancels the last call and
// waits for its end.
func restartable(ctx context.Context, do func(context.Context)) (restart, stop func()) {
	var running sync.WaitGroup
	cancel := func() {}
	stop = func() {
		cancel()
		running.Wait()
	}
	restart = func() {
		stop()
		var current context.Context
		current, cancel = context.WithCancel(ctx)
		running.Go(func() { do(current) })
	}
	return restart, stop
}
