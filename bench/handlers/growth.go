package handlers

import (
	"context"
	"fmt"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"

	"hearth/bench/result"
	"hearth/bench/rig"
	"hearth/client"
)

// The numbers of handlers. Each in Go has a client of its own, as in a process of its own; those in Python are processes, of which this
// machine bears fewer.
func goHandlers() []int     { return []int{1, 2, 4, 8, 16, 32, 64, 128, 256} }
func pythonHandlers() []int { return []int{1, 2, 4, 8, 16} }

// stepTime is how long each number of handlers makes held preprocesses.
func stepTime(r *rig.Rig) time.Duration {
	if r.Short {
		return 300 * time.Millisecond
	}
	return 2 * time.Second
}

// growGo lets handlers in Go make held preprocesses, one after another each. A call that fails or is not held is an error.
func growGo(ctx context.Context, r *rig.Rig, w *world) (lines []result.Line, err error) {
	var handlers []*client.Client
	defer func() {
		for _, c := range handlers {
			c.Close()
		}
	}()
	for _, n := range goHandlers() {
		for len(handlers) < n {
			// Half of them use TCP: a listener of Hearth takes 256 connections, and the other clients here have some.
			ask := client.Config{Socket: w.hearth.Socket, Token: rig.Token}
			if len(handlers)%2 == 1 {
				ask = client.Config{Addr: w.hearth.Address, Token: rig.Token}
			}
			c, err := client.New(ask)
			if err != nil {
				return nil, err
			}
			handlers = append(handlers, c)
			if err := w.heldPreprocess(ctx, c); err != nil { // which opens its connection
				return nil, fmt.Errorf("handler %d in Go: %w", len(handlers), err)
			}
		}
		samples, err := w.together(ctx, handlers, stepTime(r))
		if err != nil {
			return nil, fmt.Errorf("%d handlers in Go: %w", n, err)
		}
		lines = append(lines, step("go", n, stepTime(r), samples)...)
	}
	return lines, nil
}

// together lets the handlers make calls for a while, and returns what each call took.
func (w *world) together(ctx context.Context, handlers []*client.Client, d time.Duration) ([]float64, error) {
	g, ctx := errgroup.WithContext(ctx)
	samples := make([][]float64, len(handlers))
	begin := make(chan struct{})
	for i, c := range handlers {
		g.Go(func() error {
			<-begin
			for end := time.Now().Add(d); ; {
				began := time.Now()
				if !began.Before(end) {
					return nil
				}
				if err := w.heldPreprocess(ctx, c); err != nil {
					return err
				}
				samples[i] = append(samples[i], microseconds(time.Since(began)))
			}
		})
	}
	close(begin)
	err := g.Wait()
	return slices.Concat(samples...), err
}

// growPython does the same with processes of Python.
func growPython(ctx context.Context, r *rig.Rig, w *world, interpreter string) (lines []result.Line, err error) {
	var handlers []*python
	defer func() {
		for _, p := range handlers {
			p.process.Stop()
		}
	}()
	for _, n := range pythonHandlers() {
		for len(handlers) < n {
			p, err := w.startPython(ctx, r, interpreter)
			if err != nil {
				return nil, err
			}
			handlers = append(handlers, p)
			if _, err := p.way("preprocess")(ctx, 10); err != nil { // which opens its connection
				return nil, err
			}
		}
		for _, p := range handlers {
			if err := p.begin("preprocess", stepTime(r)); err != nil {
				return nil, p.process.Failed(err)
			}
		}
		var samples []float64
		for _, p := range handlers {
			of, err := p.end()
			if err != nil {
				return nil, fmt.Errorf("%d handlers in Python: %w", n, err)
			}
			samples = append(samples, of...)
		}
		lines = append(lines, step("python", n, stepTime(r), samples)...)
	}
	return lines, nil
}

// step makes the lines of one number of handlers.
func step(language string, n int, d time.Duration, samples []float64) []result.Line {
	name := func(what string) string { return fmt.Sprintf("handlers_%s_%s_%d", language, what, n) }
	return []result.Line{
		result.Single(name("rate"), float64(len(samples))/d.Seconds(), "1/s"),
		result.Single(name("p50_us"), result.Quantile(samples, 0.5), "µs"),
		result.Single(name("p99_us"), result.Quantile(samples, 0.99), "µs"),
	}
}
