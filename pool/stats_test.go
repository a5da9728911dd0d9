package pool

import (
	"math/rand/v2"
	"net/http"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"hearth/client/wire"
	"hearth/internal/testing/await"
	"hearth/internal/testing/testnet"
)

func TestTheStatisticsAddUp(t *testing.T) {
	p := start(t, testnet.Config{TLS: true}, func(http.ResponseWriter, *http.Request) {}, nil)
	closeAll, _ := p.dialed()
	counts := func(s Stats) Stats {
		s.RoundTrip, s.WaitMS, s.Breaker = wire.Quantiles{Count: s.RoundTrip.Count}, 0, wire.BreakerStats{}
		return s
	}
	for range 4 {
		p.get("/")
	}
	p.wantStats(Stats{Size: 5, Limit: 5, Open: 1, Idle: 1, Requests: 4, Dials: 1, Reused: 3, Handshakes: 1, RoundTrip: wire.Quantiles{Count: 4}}, counts)

	closeAll()
	await.That(t, "none is open", func() bool { return p.pool.Stats().Open == 0 })
	p.get("/")
	p.get("/")
	p.wantStats(Stats{Size: 5, Limit: 5, Open: 1, Idle: 1, Requests: 6, Dials: 2, Reused: 4, Handshakes: 2, Resumed: 1, RoundTrip: wire.Quantiles{Count: 6}}, counts)

	p.pool.Close()
	p.wantStats(Stats{Size: 5, Limit: 5, Requests: 6, Dials: 2, Reused: 4, Handshakes: 2, Resumed: 1, RoundTrip: wire.Quantiles{Count: 6}}, counts)
}

func TestWaitingIsCountedInTimeToo(t *testing.T) {
	release := make(chan struct{})
	p := start(t, testnet.Config{}, func(_ http.ResponseWriter, r *http.Request) {
		select {
		case <-release:
		case <-r.Context().Done():
		}
	}, func(c *Config) { c.Size = 1 })
	done := make(chan struct{})
	for range 3 {
		go func() { p.get("/"); done <- struct{}{} }()
	}
	await.That(t, "two calls wait for the one on its way", func() bool { s := p.pool.Stats(); return s.Queue == 2 && s.Requests == 1 })
	p.wantStats(Stats{Size: 1, Open: 1, InUse: 1, Queue: 2}, func(s Stats) Stats {
		return Stats{Size: s.Size, Open: s.Open, Idle: s.Idle, InUse: s.InUse, Queue: s.Queue}
	})
	close(release)
	for range 3 {
		<-done
	}
	if s := p.pool.Stats(); s.Waits != 2 || s.WaitMS <= 0 || s.Reused != 2 || s.Dials != 1 || s.RoundTrip.Max <= 0 {
		t.Errorf("statistics %+v", s)
	}
}

func TestQuantilesAreOfTheLastObservations(t *testing.T) {
	for _, n := range []int{0, 1, 2, 3, 10, 101, 511, 512, 513, 2000} {
		var w ring
		var all []time.Duration
		for range n {
			d := rand.N(10 * time.Second)
			w.add(d)
			all = append(all, d)
		}
		kept := slices.Sorted(slices.Values(all[max(0, n-512):]))
		got := quantiles(w.sorted())
		want := wire.Quantiles{Count: int64(n)}
		if len(kept) > 0 {
			want.P50, want.P90, want.P99, want.Max = nearest(kept, 50), nearest(kept, 90), nearest(kept, 99), nearest(kept, 100)
		}
		if got != want {
			t.Errorf("of %d observations: %+v, want %+v", n, got, want)
		}
	}
}

// nearest is the first observation that so many percent of all do not exceed.
func nearest(sorted []time.Duration, percent int) float64 {
	rank := 1
	for rank*100 < percent*len(sorted) {
		rank++
	}
	return ms(sorted[rank-1])
}

// The sums of an upstream must not leave out what one of its pools has done.
func TestTheStatisticsOfPoolsTogether(t *testing.T) {
	limit := NewLimit(LimitConfig{Most: 7, Queue: 3})
	breaker := NewBreaker(BreakerConfig{})
	breaker.opened, breaker.refused, breaker.probes = 1, 2, 3
	pools := make([]*Pool, 2)
	observed := []time.Duration{time.Second, 3 * time.Second, 2 * time.Second, 4 * time.Second}
	for i := range pools {
		s := start(t, testnet.Config{}, func(http.ResponseWriter, *http.Request) {}, func(c *Config) { c.Size, c.Limit, c.Breaker = 7, limit, breaker })
		s.warm(i + 1)
		pools[i] = s.pool
		c := &s.pool.stats
		for n, counter := range []*atomic.Int64{
			&c.requests, &c.failures, &c.retries, &c.reused, &c.races, &c.replays, &c.dials.Errors, &c.dials.Handshakes, &c.dials.Resumed, &c.waits, &c.rejected, &c.looks, &c.hedges, &c.retriesRefused,
		} {
			counter.Add(int64(n+1) * []int64{1, 100}[i])
		}
		c.waited.Add(int64(time.Duration(i+1) * time.Millisecond))
		for _, d := range observed[2*i:][:2] {
			c.roundTrips.add(d)
		}
	}
	limit.inUse, limit.queue = 1, make([]*waiter, 2)
	want := Stats{
		Size: 7, Limit: 7, InUse: 1, Queue: 2, Open: 3, Idle: 3, Dials: 3,
		Requests: 101, Failures: 202, Retries: 303, Reused: 404, Races: 505, Replays: 606, DialErrors: 707, Handshakes: 808, Resumed: 909,
		Waits: 1010, Rejected: 1111, Looks: 1212, Hedges: 1313, RetriesRefused: 1414, WaitMS: 3,
		Breaker:   wire.BreakerStats{State: wire.BreakerClosed, Opened: 1, Refused: 2, Probes: 3},
		RoundTrip: wire.Quantiles{Count: 4, P50: 2000, P90: 4000, P99: 4000, Max: 4000},
	}
	if got := Together(pools...); got != want {
		t.Errorf("together\n got %+v\nwant %+v", got, want)
	}
}

func TestTheMedianIsInTheMiddle(t *testing.T) {
	var r ring
	if r.median() != 0 {
		t.Error("nothing has a median")
	}
	for _, d := range []time.Duration{9, 1, 5} {
		r.add(d)
	}
	if got := r.median(); got != 5 {
		t.Errorf("of 9, 1 and 5 it is %d", got)
	}
}
