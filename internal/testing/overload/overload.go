package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"runtime"
	"sync"
	"time"

	"hearth/internal/testing/lab"
)

// The limits of the run.
const (
	serviceTime = 50 * time.Millisecond
	leastGood   = 0.9         // share of what the upstream can do
	mostSlower  = 3           // times the p99 without load
	meanPause   = time.Second // of a caller that was refused: the refusal says Retry-After: 1
	leastUnit   = 1.0         // ms: a shorter time counts as this in comparisons
)

// kind is how a call ended: answered by the upstream, refused, or answered from the cache (held).
type kind int

const (
	accepted kind = iota
	refused
	held
	kinds
)

// overload are the measurements of one load: how long calls took, in milliseconds, without the machine's own delays.
type overload struct {
	from, to time.Time // calls that end between them count
	lateness lab.Lateness

	mu    sync.Mutex
	took  [kinds]lab.Samples
	other error // of a call that was neither answered nor refused

	cpu cpu
}

// runOverload runs ten callers for each worker of the upstream. They make calls without a pause, except after a refusal.
func runOverload(ctx context.Context, dir, binary string, sizes []int, short bool) (err error) {
	t := lab.NewTable(os.Stdout, "workers\tcallers\tgoodput/s\tof ideal\taccepted p99 ms\tx idle\trefused p99 ms\tx held idle\theld p99 ms\tx idle\trefused\tlimit\tsidecar's CPU ms per call\tCPU of sidecar\tharness\tothers\tmachine late\t")
	runFor := 6 * time.Second
	if short {
		runFor = 3 * time.Second
	}
	var failed error
	for _, workers := range sizes {
		idle, loaded, limit, e := overloadOf(ctx, dir, binary, workers, runFor)
		if e != nil {
			return errors.Join(failed, e)
		}
		ideal := float64(workers) / serviceTime.Seconds()
		goodput := float64(len(loaded.took[accepted])) / runFor.Seconds()
		times := func(k, unloaded kind) float64 {
			return max(loaded.took[k].Percentile(0.99), leastUnit) / max(idle.took[unloaded].Percentile(0.99), leastUnit)
		}
		percent := func(d, of time.Duration) float64 { return 100 * d.Seconds() / of.Seconds() }
		processors := runFor * time.Duration(runtime.NumCPU())
		t.Row("%d\t%d\t%.0f\t%.2f\t%.1f\t%.1f\t%.2f\t%.1f\t%.2f\t%.1f\t%d\t%d\t%.2f\t%.0f %%\t%.0f %%\t%.0f %%\t%.0f %%\t", workers, 10*workers, goodput, goodput/ideal,
			loaded.took[accepted].Percentile(0.99), times(accepted, accepted), loaded.took[refused].Percentile(0.99), times(refused, held),
			loaded.took[held].Percentile(0.99), times(held, held), len(loaded.took[refused]), limit, lab.MS(loaded.cpu.sidecar)/float64(loaded.calls()),
			percent(loaded.cpu.sidecar, processors), percent(loaded.cpu.harness, processors), percent(loaded.cpu.others, processors),
			percent(loaded.lateness.Within(loaded.from, loaded.to), runFor))
		failed = errors.Join(failed, loaded.other, idle.other,
			check(goodput >= leastGood*ideal, "%d workers: goodput is %.0f of %.0f per second", workers, goodput, ideal),
			check(times(held, held) <= mostSlower, "%d workers: held replies take %.1f times as long as without load", workers, times(held, held)),
			check(times(refused, held) <= mostSlower, "%d workers: refusals take %.1f times as long as a held reply without load", workers, times(refused, held)))
	}
	return errors.Join(failed, t.Flush())
}

// overloadOf measures one size: first without load, then with it.
func overloadOf(ctx context.Context, dir, binary string, workers int, runFor time.Duration) (idle, loaded *overload, limit int, err error) {
	g, err := newRig(ctx, dir, binary, fmt.Sprint("o", workers), fmt.Sprint("HEARTH_WEAVIATE_CONNECTIONS=", workers),
		fmt.Sprint("HEARTH_TEST_QUEUE=", 2*workers), "HEARTH_TTL_HISTORY=1h")
	if err != nil {
		return nil, nil, 0, err
	}
	defer func() { err = errors.Join(err, g.close(ctx)) }()
	if _, err := g.sandbox.Hearth.History(ctx, "held", 10, 5); err != nil {
		return nil, nil, 0, err
	}
	g.upstreams.Weaviate.SetHook(serveSearches(workers))
	if idle, err = g.load(ctx, 1, 0, runFor/3, "idle"); err != nil {
		return nil, nil, 0, err
	}
	const settle = 2 * time.Second // the callers connect and the limit grows
	if loaded, err = g.load(ctx, 10*workers, settle, runFor, "load"); err != nil {
		return nil, nil, 0, err
	}
	pools, err := g.sandbox.Hearth.PoolStats(ctx)
	return idle, loaded, pools["weaviate"].Limit, err
}

// load runs the callers, and measures from settle on for runFor. The callers come one after another. A caller that is refused waits for a
// random time before its next call: if all waited for the same time, they would come back together, and each would wait for the processor
// behind all the others. Beside them one caller asks for a history that the cache holds.
func (g *rig) load(ctx context.Context, callers int, settle, runFor time.Duration, name string) (*overload, error) {
	m := &overload{from: time.Now().Add(settle)}
	m.to = m.from.Add(runFor)
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	var all sync.WaitGroup
	all.Go(func() { m.lateness.Record(ctx) })
	for n := range callers {
		all.Go(func() {
			c := newCaller(g.socket)
			defer c.close()
			sleep(ctx, time.Duration(n)*settle/2/time.Duration(callers))
			for i := 0; ctx.Err() == nil; i++ {
				if m.time(ctx, accepted, func() error { return c.search(fmt.Sprint(name, n, " ", i)) }) == refused {
					sleep(ctx, meanPause/2+rand.N(meanPause)) //nolint:gosec // nothing secret
				}
			}
		})
	}
	all.Go(func() {
		c := newCaller(g.socket)
		defer c.close()
		for ctx.Err() == nil {
			m.time(ctx, held, c.history)
			sleep(ctx, 2*time.Millisecond)
		}
	})
	sleep(ctx, settle)
	before, err := g.cpu()
	sleep(ctx, time.Until(m.to))
	after, failed := g.cpu()
	m.cpu = after.minus(before)
	stop()
	all.Wait()
	return m, errors.Join(err, failed)
}

// calls is how many calls were measured.
func (m *overload) calls() (n int) {
	for _, took := range m.took {
		n += len(took)
	}
	return n
}

func sleep(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}

// time makes a call and counts how long it took.
func (m *overload) time(ctx context.Context, k kind, call func() error) kind {
	begun := time.Now()
	err := call()
	ended := time.Now()
	if err != nil && ctx.Err() != nil {
		return k
	}
	if errors.Is(err, errRefused) {
		k = refused
	}
	took := lab.MS(ended.Sub(begun) - m.lateness.Within(begun, ended))
	m.mu.Lock()
	defer m.mu.Unlock()
	if err != nil && k != refused {
		m.other = err
		return k
	}
	if !ended.Before(m.from) && ended.Before(m.to) {
		m.took[k] = append(m.took[k], took)
	}
	return k
}
