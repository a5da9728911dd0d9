// Package speed measures replies that are held: Hearth's beside those of servers that do the same work with as little as possible.
//
// Start at [Measure]. bare.go is what the bare server is told.
package speed

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"hearth/bench/load"
	"hearth/bench/peers"
	"hearth/bench/result"
	"hearth/bench/rig"
)

// connections at once.
func connections() []int { return []int{1, 10, 64} }

// contender is a server in a contest.
type contender struct {
	name string // hearth, bare, nginx or redis
	job  load.Job
}

// contest is servers that answer the same question by the same network.
type contest struct {
	name       string      // hit or held_preprocess
	network    string      // tcp or unix
	contenders []contender // Hearth is the first
}

// Measure lets Hearth and its peers answer in turn.
func Measure(ctx context.Context, r *rig.Rig) (lines []result.Line, err error) {
	hearth, err := r.StartHearth(ctx, r.Hearth)
	if err != nil {
		return nil, err
	}
	defer hearth.Stop()
	history, err := hearth.Ask(ctx, rig.History())
	if err != nil {
		return nil, hearth.Failed(err)
	}
	preprocess, err := hearth.Ask(ctx, rig.Preprocess())
	if err != nil {
		return nil, hearth.Failed(err)
	}
	fmt.Fprintf(r.Progress, "a history is %d bytes with a body of %d, a preprocess %d with %d\n",
		history.Size, len(history.Body), preprocess.Size, len(preprocess.Body))
	bare, stop, err := startBare(ctx, r, history, preprocess)
	if err != nil {
		return nil, err
	}
	defer stop()
	known, stopKnown, err := startKnown(ctx, r, bare.Address, history)
	if err != nil {
		return nil, err
	}
	defer stopKnown()
	generator, process, err := r.Generator(ctx)
	if err != nil {
		return nil, err
	}
	defer process.Stop()
	for _, network := range []string{"tcp", "unix"} {
		both := func(call rig.Call, reply rig.Reply) []contender {
			return []contender{
				{"hearth", hearth.Job(network, call, reply)},
				{"bare", rig.Job(network, bare.Address, bare.Socket, call, reply)},
			}
		}
		hit := contest{"hit", network, both(rig.History(), history)}
		if network == "tcp" {
			hit.contenders = append(hit.contenders, known...)
		}
		for _, c := range []contest{hit, {"held_preprocess", network, both(rig.Preprocess(), preprocess)}} {
			for _, n := range connections() {
				measured, err := r.Twice(func() ([]result.Line, error) { return c.run(generator, n, r.Rounds(), length(r)) })
				if err != nil {
					return nil, err
				}
				for _, l := range measured {
					fmt.Fprintf(r.Progress, "  %v\n", l)
				}
				lines = append(lines, measured...)
			}
		}
	}
	for _, peer := range known {
		lines = append(lines, least(lines, "hit_vs_"+peer.name))
	}
	return lines, nil
}

// startKnown starts the peers that people know, and says which are absent. They hold the history. The short form has none of them.
func startKnown(ctx context.Context, r *rig.Rig, bare string, history rig.Reply) (known []contender, stop func(), err error) {
	var stops []func()
	stop = func() {
		for _, each := range stops {
			each()
		}
	}
	if r.Short {
		return nil, stop, nil
	}
	add := func(name string, job load.Job, start func() (peers.Server, error)) error {
		server, err := start()
		switch {
		case errors.Is(err, peers.ErrAbsent):
			fmt.Fprintln(r.Progress, err)
			return nil
		case err != nil:
			return err
		}
		stops = append(stops, server.Stop)
		job.Address = server.Address
		known = append(known, contender{name, job})
		return nil
	}
	err = errors.Join(
		add("nginx", rig.Job("tcp", "", "", rig.History(), history), func() (peers.Server, error) {
			return peers.StartNginx(ctx, r, bare)
		}),
		add("redis", load.Job{Network: "tcp", Protocol: load.RESP, Request: peers.Get(), Body: history.Body}, func() (peers.Server, error) {
			return peers.StartRedis(ctx, r, history.Body)
		}),
	)
	if err != nil {
		stop()
		return nil, nil, err
	}
	return known, stop, nil
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

// length of a round.
func length(r *rig.Rig) time.Duration {
	if r.Short {
		return 100 * time.Millisecond
	}
	return 300 * time.Millisecond
}

// runner does jobs.
type runner interface {
	Run(job load.Job) (load.Report, error)
}

// run lets all contenders answer in each round, in an order that moves on by one from round to round.
func (c contest) run(g runner, n, rounds int, length time.Duration) (lines []result.Line, err error) {
	reports := make([][]load.Report, len(c.contenders))
	for round := range rounds + 1 {
		for i := range c.contenders {
			at := (i + round) % len(c.contenders)
			job := c.contenders[at].job
			job.Connections, job.Duration = n, length
			report, err := g.Run(job)
			if err != nil {
				return nil, fmt.Errorf("%s %s %s: %w", c.contenders[at].name, c.name, c.network, err)
			}
			if round > 0 { // the first one warms up
				reports[at] = append(reports[at], report)
			}
		}
	}
	return c.lines(n, reports), nil
}

func (c contest) lines(n int, reports [][]load.Report) (lines []result.Line) {
	suffix := fmt.Sprintf("_%s_%d", c.network, n)
	each := func(i int, of func(load.Report) float64) (samples []float64) {
		for _, report := range reports[i] {
			samples = append(samples, of(report))
		}
		return samples
	}
	p50 := func(r load.Report) float64 { return r.P50 }
	p99 := func(r load.Report) float64 { return r.P99 }
	p999 := func(r load.Report) float64 { return r.P999 }
	for i, peer := range c.contenders[1:] {
		lines = append(lines, result.Ratio(c.name+"_vs_"+peer.name+suffix, each(0, load.Report.PerSecond), each(i+1, load.Report.PerSecond)),
			result.Ratio(c.name+"_p99_vs_"+peer.name+suffix, each(0, p99), each(i+1, p99)))
	}
	for i, server := range c.contenders {
		name := server.name + "_" + c.name
		lines = append(lines, result.Median(name+"_rate"+suffix, "requests/s", each(i, load.Report.PerSecond)),
			result.Median(name+"_p50"+suffix, "µs", each(i, p50)), result.Median(name+"_p99"+suffix, "µs", each(i, p99)),
			result.Median(name+"_p999"+suffix, "µs", each(i, p999)))
	}
	return slices.Clip(lines)
}
