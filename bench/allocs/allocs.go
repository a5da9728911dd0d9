// Package allocs counts the heap objects that Hearth makes for a request whose reply is held. The requests come from another process
// over a real connection.
package allocs

import (
	"context"
	"fmt"

	"hearth/bench/result"
	"hearth/bench/rig"
)

const (
	warmUp      = 20_000
	requests    = 100_000
	connections = 10
)

// Measure counts by the network tcp. Hearth runs with its own main but for the counter.
func Measure(ctx context.Context, r *rig.Rig) (lines []result.Line, err error) {
	program, err := r.Build(ctx, "cmd/counted")
	if err != nil {
		return nil, err
	}
	hearth, err := r.StartHearth(ctx, program)
	if err != nil {
		return nil, err
	}
	defer hearth.Stop()
	generator, process, err := r.Generator(ctx)
	if err != nil {
		return nil, err
	}
	defer process.Stop()
	for _, c := range []struct {
		name string
		call rig.Call
	}{{"hit_allocs", rig.History()}, {"held_preprocess_allocs", rig.Preprocess()}} {
		reply, err := hearth.Ask(ctx, c.call)
		if err != nil {
			return nil, hearth.Failed(err)
		}
		job := hearth.Job("tcp", c.call, reply)
		job.Connections = connections
		var counts [2]uint64 // after each job
		for i, requests := range []int{warmUp, requests} {
			job.Requests = requests
			report, err := generator.Run(job)
			if err != nil {
				return nil, err
			}
			fmt.Fprintf(r.Progress, "%s: %v\n", c.name, report)
			if _, err := hearth.In.Write([]byte{'\n'}); err != nil {
				return nil, hearth.Failed(err)
			}
			if _, err := fmt.Fscan(hearth.Out, &counts[i]); err != nil {
				return nil, hearth.Failed(err)
			}
		}
		lines = append(lines, result.Single(c.name, float64(counts[1]-counts[0])/requests, "objects/request"))
	}
	return lines, nil
}
