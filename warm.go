package main

import (
	"context"
	"errors"
	"sync"

	"hearth/internal/guard"
	"hearth/pool"
)

// warm opens the pools' connections and asks what the first requests would have to ask, unless it is known. What
// fails is asked again by them.
func (p parts) warm(ctx context.Context) {
	ctx = pool.With(ctx, pool.Options{Background: true})
	var wg sync.WaitGroup
	step := func(what string, do func(context.Context) error) {
		wg.Go(func() {
			err := guard.Do(func() error { return do(ctx) })
			switch {
			case errors.Is(err, guard.ErrPanic):
				p.log.Error("not warm", "what", what, "error", err)
			case err != nil && ctx.Err() == nil:
				p.log.Warn("not warm", "what", what, "error", err)
			}
		})
	}
	for _, upstream := range p.pools {
		step(upstream.Name()+" connections", upstream.Warm)
	}
	if p.weaviate != nil {
		step("weaviate schema", p.weaviate.Learn)
	}
	if p.odoo != nil {
		step("odoo session", p.odoo.Connect)
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
