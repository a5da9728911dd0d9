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

// Measure counts by TCP.
func Measure(ctx context.Context, r *rig.Rig) (lines []result.Line, err error) {
	hearth, err := r.StartObserved(ctx)
	if err != nil {
		return nil, err
	}
	defer hearth.Stop()
	generator, process, err := r.Generator(ctx)
	if err != nil {
		return nil, err
	}
	defer process.Stop()
	for _, c := range rig.Calls() {
		reply, err := hearth.Ask(ctx, c.Call)
		if err != nil {
			return nil, hearth.Failed(err)
		}
		job := hearth.Job("tcp", c.Call, reply)
		job.Connections = connections
		var counts [2]uint64 // after each job
		for i, requests := range []int{warmUp, requests} {
			job.Requests = requests
			report, err := generator.Run(job)
			if err != nil {
				return nil, err
			}
			fmt.Fprintf(r.Progress, "%s: %v\n", c.Name, report)
			if counts[i], err = hearth.Allocs(); err != nil {
				return nil, err
			}
		}
		lines = append(lines, result.Single(c.Name+"_allocs", float64(counts[1]-counts[0])/requests, "objects/request"))
	}
	return lines, nil
}
