package speed

import (
	"fmt"
	"time"

	"hearth/bench/load"
	"hearth/bench/result"
)

// contest is servers that answer the same question by the same network.
type contest struct {
	name       string      // hit or held_preprocess
	network    string      // tcp or unix
	contenders []contender // Hearth is the first, bare the second
}

// contender is a server in a contest.
type contender struct {
	name string // hearth, bare, nginx or redis
	job  load.Job
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
	for i := 2; i < len(c.contenders); i++ { // the most that a server on fasthttp reaches
		lines = append(lines, result.Ratio("bare_"+c.name+"_vs_"+c.contenders[i].name+suffix,
			each(1, load.Report.PerSecond), each(i, load.Report.PerSecond)))
	}
	for i, server := range c.contenders {
		name := server.name + "_" + c.name
		lines = append(lines, result.Median(name+"_rate"+suffix, "requests/s", each(i, load.Report.PerSecond)),
			result.Median(name+"_p50"+suffix, "µs", each(i, p50)), result.Median(name+"_p99"+suffix, "µs", each(i, p99)),
			result.Median(name+"_p999"+suffix, "µs", each(i, p999)))
	}
	return lines
}
