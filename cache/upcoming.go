package cache

import (
	"context"
	"slices"
	"sync"
	"sync/atomic"

	"golang.org/x/sync/errgroup"
)

// mostUpcoming is how many reads are remembered for [Cache.Refresh].
const mostUpcoming = 32

// refreshing is how many reads are fetched again at once: as many may go on after the budget, in the way of the next
// invocation's.
const refreshing = 2

// upcoming are the last reads of what is in the store, each with the load that fetches it again.
type upcoming struct {
	mu    sync.Mutex
	reads []upcomingRead // guarded by mu; the last one last
}

type upcomingRead struct {
	name   string // in the store, the generations of its scopes included
	policy Policy
	load   func(context.Context) (any, error)
}

func (u *upcoming) note(r upcomingRead) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.reads = slices.DeleteFunc(u.reads, func(o upcomingRead) bool { return o.name == r.name })
	if len(u.reads) == mostUpcoming {
		u.reads = slices.Delete(u.reads, 0, 1)
	}
	u.reads = append(u.reads, r)
}

func (u *upcoming) all() []upcomingRead {
	u.mu.Lock()
	defer u.mu.Unlock()
	return slices.Clone(u.reads)
}

// Refresh fetches again what was read lately and is in the last quarter of its freshness, or stale and still served.
// The last ones go first. It returns the number of reads that were fetched, once all are or ctx ends; loads under way
// then go on. It needs Config.Refresh. Only reads from Odoo are remembered: the rest runs out within seconds, or is not asked for again.
func (c *Cache) Refresh(ctx context.Context) int {
	var fetched atomic.Int64
	var g errgroup.Group
	g.SetLimit(refreshing)
	for _, r := range slices.Backward(c.upcoming.all()) {
		g.Go(func() error {
			held := c.store.get(r.name)
			if held == nil { // dropped or evicted
				return nil
			}
			if age := c.now().Since(held.at); age < r.policy.Fresh*3/4 || age >= r.policy.Fresh+r.policy.WhileRevalidate {
				return nil
			}
			if ctx.Err() != nil {
				return context.Cause(ctx)
			}
			fl, _ := c.flights.start(ctx, r.name, r.policy.Fresh, nil, r.load)
			_, err := fl.wait(ctx)
			if err == nil {
				fetched.Add(1)
			}
			return err
		})
	}
	_ = g.Wait() // what could not be fetched again is fetched by who asks for it
	return int(fetched.Load())
}
