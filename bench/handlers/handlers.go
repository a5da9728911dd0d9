// Package handlers measures what a handler sees, in Go and in Python: a call that Hearth answers from memory, beside the same calls
// straight to the upstreams; and how this grows with the number of handlers.
//
// Start at [Measure]. world.go starts what the calls go to, ways.go has the calls, python.go runs those of Python in processes of their
// own (measure.py), growth.go has the growth, and importtime.go what the import of the client in Python takes.
package handlers

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"hearth/bench/result"
	"hearth/bench/rig"
)

// far is how far away the upstreams are for the lines whose names end in _60ms. For the others they are on this machine.
const far = 60 * time.Millisecond

// Measure makes all lines. In the short form nothing is far away.
func Measure(ctx context.Context, r *rig.Rig) (lines []result.Line, err error) {
	interpreter := findPython(ctx)
	if interpreter == "" {
		fmt.Fprintln(r.Progress, "handlers: there is no python3, so handlers in Python are not measured")
	}
	near, err := startWorld(ctx, r, 0, interpreter)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, near.close()) }()
	if near.python != nil && !near.python.hasGRPC {
		fmt.Fprintln(r.Progress, "handlers: python3 has no grpcio, so its calls straight to the upstreams are not measured")
	}
	ways := near.ways()
	if !r.Short {
		away, err := startWorld(ctx, r, far, interpreter)
		if err != nil {
			return nil, err
		}
		defer func() { err = errors.Join(err, away.close()) }()
		ways = append(ways, away.directWays(fmt.Sprintf("_%dms", far.Milliseconds()))...)
	}
	if lines, err = perCall(ctx, r, ways); err != nil {
		return nil, err
	}

	near.client.Close() // Hearth has room for as many handlers as growGo has, and for no other connection beside them
	if near.python != nil {
		near.python.process.Stop()
		started, err := importTimes(ctx, r, interpreter)
		if err != nil {
			return nil, err
		}
		grown, err := growPython(ctx, r, near, interpreter)
		if err != nil {
			return nil, err
		}
		lines = slices.Concat(lines, started, grown)
	}
	grown, err := growGo(ctx, r, near)
	return append(lines, grown...), err
}

func rounds(r *rig.Rig) int {
	if r.Short {
		return 3
	}
	return r.Rounds()
}

// perCall measures each way in each round. A line is the median of its rounds' medians.
func perCall(ctx context.Context, r *rig.Rig, ways []way) (lines []result.Line, err error) {
	medians := make([][]float64, len(ways))
	for round := -1; round < rounds(r); round++ { // the first one opens connections and does not count
		for i := range ways {
			at := (i + max(round, 0)) % len(ways) // so that none is always first
			w := ways[at]
			samples, err := w.call(ctx, w.calls)
			if err != nil {
				return nil, fmt.Errorf("%s: %w", w.name, err)
			}
			if round >= 0 {
				medians[at] = append(medians[at], result.Quantile(samples, 0.5))
			}
		}
	}
	for i, w := range ways {
		lines = append(lines, result.Median(w.name, "µs", medians[i]))
	}
	return lines, nil
}
