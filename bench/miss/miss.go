// Package miss measures what Hearth adds to a call whose reply is not held: a call that must be loaded, beside the same questions asked of
// the upstream over a connection that is open already.
//
// Start at [Measure]. record.go finds out which questions those are, weaviate.go and odoo.go ask them directly, and through.go asks Hearth.
package miss

import (
	"context"
	"time"

	"hearth/bench/result"
	"hearth/bench/rig"
)

// way is one way to get an answer.
type way func(context.Context) error

// Measure makes the calls one after another, each way in turn.
func Measure(ctx context.Context, r *rig.Rig) ([]result.Line, error) {
	hearth, err := r.StartHearth(ctx, r.Hearth)
	if err != nil {
		return nil, err
	}
	defer hearth.Stop()
	through, err := dialHearth(ctx, hearth)
	if err != nil {
		return nil, err
	}
	defer through.close()
	search, err := newDirectSearch(ctx, r)
	if err != nil {
		return nil, err
	}
	defer search.close()
	read, err := newDirectRead(ctx, r)
	if err != nil {
		return nil, err
	}
	defer read.close()

	calls := 5000
	if r.Short {
		calls = 1000
	}
	var lines []result.Line
	for _, c := range []struct {
		name              string
		through, straight way
	}{
		{"miss", through.load(rig.FreshHistory()), search.ask},
		{"miss_odoo", through.load(rig.FreshRead()), read.ask},
	} {
		ours, theirs, err := inTurn(ctx, calls, c.through, c.straight)
		if err != nil {
			return nil, hearth.Failed(err)
		}
		lines = append(lines, result.Difference(c.name+"_overhead_us", "µs", ours, theirs),
			result.Median(c.name+"_hearth_us", "µs", ours), result.Median(c.name+"_direct_us", "µs", theirs))
	}
	return lines, nil
}

// inTurn goes both ways in each of the calls, in an order that changes from call to call, and says how many microseconds each took. Before
// that, a fifth more calls warm up.
func inTurn(ctx context.Context, calls int, a, b way) (ofA, ofB []float64, err error) {
	warmUp := calls / 5
	for i := range warmUp + calls {
		var took [2]float64
		for j := range took {
			which := (i + j) % len(took)
			began := time.Now()
			if err := []way{a, b}[which](ctx); err != nil {
				return nil, nil, err
			}
			took[which] = float64(time.Since(began).Nanoseconds()) / 1000
		}
		if i >= warmUp {
			ofA, ofB = append(ofA, took[0]), append(ofB, took[1])
		}
	}
	return ofA, ofB, nil
}
