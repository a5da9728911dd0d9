package app

import (
	"context"
	"errors"
	"sync"

	"hearth/internal/guard"
	"hearth/pool"
)

// warm opens the pools' connections and asks what the first requests would have to ask, unless it is known. What
// fails is asked again by them.
func (a *app) warm(ctx context.Context) {
	ctx = pool.With(ctx, pool.Options{Background: true})
	var wg sync.WaitGroup
	step := func(what string, do func(context.Context) error) {
		wg.Go(func() {
			err := guard.Do(func() error { return do(ctx) })
			switch {
			case errors.Is(err, guard.ErrPanic):
				a.log.Error("not warm", "what", what, "error", err)
			case err != nil && ctx.Err() == nil:
				a.log.Warn("not warm", "what", what, "error", err)
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
	wg.Wait()
}

// oneAtATime lets do run beside the caller of again, who calls it again after each freeze: what is still under way then
// may wait for what the freeze has broken, so it ends first. stop ends the last one.
func oneAtATime(ctx context.Context, do func(context.Context)) (again, stop func()) {
	var running sync.WaitGroup
	cancel := func() {}
	stop = func() {
		cancel()
		running.Wait()
	}
	again = func() {
		stop()
		var doing context.Context
		doing, cancel = context.WithCancel(ctx)
		running.Go(func() { do(doing) })
	}
	return again, stop
}
