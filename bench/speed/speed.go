// Package speed measures replies that are held: Hearth's beside those of servers that do the same work with as little as possible.
//
// Start at [Measure]. servers.go starts the servers, bare.go is what the bare one is told, and contest.go lets them answer in turn.
package speed

import (
	"context"
	"fmt"
	"strings"
	"time"

	"hearth/bench/result"
	"hearth/bench/rig"
)

// Measure lets Hearth and its peers answer in turn.
func Measure(ctx context.Context, r *rig.Rig) (lines []result.Line, err error) {
	s, err := start(ctx, r)
	defer s.stop()
	if err != nil {
		return nil, err
	}
	generator, process, err := r.Generator(ctx)
	if err != nil {
		return nil, err
	}
	defer process.Stop()
	for _, c := range s.contests() {
		for _, n := range []int{1, 10, 64} {
			measured, err := r.Again(func() ([]result.Line, error) { return c.run(generator, n, r.Rounds(), length(r)) })
			if err != nil {
				return nil, err
			}
			for _, l := range measured {
				fmt.Fprintf(r.Progress, "  %v\n", l)
			}
			lines = append(lines, measured...)
		}
	}
	for _, peer := range s.known {
		lines = append(lines, least(lines, "hit_vs_"+peer.name))
	}
	return lines, nil
}

// length of a round.
func length(r *rig.Rig) time.Duration {
	if r.Short {
		return 70 * time.Millisecond
	}
	return 300 * time.Millisecond
}

// least is the line with the least value of those whose names begin with name, under that name.
func least(lines []result.Line, name string) (line result.Line) {
	for _, l := range lines {
		if strings.HasPrefix(l.Name, name) && (line.Name == "" || l.Value < line.Value) {
			line = l
			line.Name = name
		}
	}
	return line
}
