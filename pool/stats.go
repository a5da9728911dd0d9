package pool

import (
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"hearth/client/wire"
	"hearth/internal/figures"
	"hearth/pool/conn"
)

// Stats are the statistics of a pool, as the API shows them.
type Stats = wire.PoolStats

// Stats returns the statistics up to now.
func (p *Pool) Stats() Stats {
	c := &p.stats
	open, idle := p.conns.Counts()
	limit, inUse, waiting := p.cfg.Limit.now()
	return Stats{
		Size: p.cfg.Size, Limit: limit, Open: open, Idle: idle, InUse: inUse, Queue: waiting,
		Requests: c.requests.Load(), Failures: c.failures.Load(), Retries: c.retries.Load(), RetriesRefused: c.retriesRefused.Load(),
		Dials: c.dials.Dials.Load(), DialErrors: c.dials.Errors.Load(), Reused: c.reused.Load(), Races: c.races.Load(), Replays: c.replays.Load(),
		Looks: c.looks.Load(), Dead: p.conns.FoundDead(), Hedges: c.hedges.Load(),
		Handshakes: c.dials.Handshakes.Load(), Resumed: c.dials.Resumed.Load(),
		Waits: c.waits.Load(), Rejected: c.rejected.Load(), WaitMS: ms(time.Duration(c.waited.Load())),
		Breaker: p.cfg.Breaker.stats(), RoundTrip: quantiles(c.roundTrips.sorted()),
	}
}

// Crowd is the same for all pools that share a [Limit].
func (p *Pool) Crowd() Crowd { return p.cfg.Limit.crowded() }

// Together returns the statistics of the pools of one upstream, which share a [Limit] and a [Breaker], as if they were one.
func Together(pools ...*Pool) Stats {
	var all Stats
	var seen []time.Duration
	for _, p := range pools {
		s := p.Stats()
		all.Size, all.Limit, all.InUse, all.Queue, all.Breaker = s.Size, s.Limit, s.InUse, s.Queue, s.Breaker // they share these
		all.Open += s.Open
		all.Idle += s.Idle
		all.Requests += s.Requests
		all.Failures += s.Failures
		all.Retries += s.Retries
		all.RetriesRefused += s.RetriesRefused
		all.Dials += s.Dials
		all.DialErrors += s.DialErrors
		all.Reused += s.Reused
		all.Races += s.Races
		all.Replays += s.Replays
		all.Looks += s.Looks
		all.Dead += s.Dead
		all.Hedges += s.Hedges
		all.Handshakes += s.Handshakes
		all.Resumed += s.Resumed
		all.Waits += s.Waits
		all.Rejected += s.Rejected
		all.WaitMS += s.WaitMS
		last, count := p.stats.roundTrips.sorted()
		seen = append(seen, last...)
		all.RoundTrip.Count += count
	}
	slices.Sort(seen)
	all.RoundTrip = quantiles(seen, all.RoundTrip.Count)
	return all
}

// Counts are those of the statistics that cost little to read.
type Counts struct {
	Dials, Reused, Retries int64
	Refused                int64 // by the breaker
	Waited                 time.Duration
}

// Add adds the counts of the pools of one upstream, which share a [Breaker].
func (c *Counts) Add(pools map[string]*Pool) {
	refused := int64(0)
	for _, p := range pools {
		c.Dials += p.stats.dials.Dials.Load()
		c.Reused += p.stats.reused.Load()
		c.Retries += p.stats.retries.Load()
		c.Waited += time.Duration(p.stats.waited.Load())
		refused = p.cfg.Breaker.stats().Refused
	}
	c.Refused += refused
}

type counters struct {
	dials                               conn.DialCounts
	requests, failures, retries, reused atomic.Int64
	races, replays, looks, hedges       atomic.Int64
	waits, rejected, waited             atomic.Int64
	retriesRefused                      atomic.Int64
	roundTrips                          ring
	usuals                              usuals
}

// ring keeps the last observations. It is safe for concurrent use.
type ring struct {
	mu    sync.Mutex
	last  [512]time.Duration // guarded by mu
	count int64              // guarded by mu
}

func (r *ring) add(d time.Duration) {
	r.mu.Lock()
	r.last[r.count%int64(len(r.last))] = d
	r.count++
	r.mu.Unlock()
}

// sorted returns the last observations, the least first, and how many there were in all.
func (r *ring) sorted() ([]time.Duration, int64) {
	r.mu.Lock()
	seen, count := slices.Clone(r.last[:min(r.count, int64(len(r.last)))]), r.count
	r.mu.Unlock()
	slices.Sort(seen)
	return seen, count
}

// median of the last observations; 0 if there are none.
func (r *ring) median() time.Duration {
	seen, _ := r.sorted()
	if len(seen) == 0 {
		return 0
	}
	return seen[len(seen)/2]
}

// quantiles of the last observations, the least first, of so many in all.
func quantiles(last []time.Duration, count int64) wire.Quantiles {
	q := wire.Quantiles{Count: count}
	if len(last) == 0 {
		return q
	}
	at := func(p float64) float64 { return ms(figures.NearestRank(last, p)) }
	q.P50, q.P90, q.P99, q.Max = at(0.5), at(0.9), at(0.99), at(1)
	return q
}

func ms(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }
