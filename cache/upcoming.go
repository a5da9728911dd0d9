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

// upcoming are the last reads of what is in the store, each with the load that fetches it again. They take at most max bytes.
type upcoming struct {
	max int64

	mu    sync.Mutex
	reads []upcomingRead     // guarded by mu; the last one last
	bytes map[Resource]int64 // guarded by mu
}

type upcomingRead struct {
	key    Key
	name   string // in the store, the generations of its scopes included
	policy Policy
	load   func(context.Context) (any, error)
}

func (r *upcomingRead) bytes() int64 {
	const overhead = 256 // the struct and its functions
	return overhead + r.key.bytes() + int64(len(r.name)) + r.key.LoadBytes
}

// note remembers a read, unless it is too large, instead of the oldest ones that do not fit beside it.
func (u *upcoming) note(r upcomingRead) {
	u.mu.Lock()
	defer u.mu.Unlock()
	for i := range u.reads {
		if u.reads[i].name == r.name {
			u.forgetLocked(i)
			break
		}
	}
	if r.bytes() > u.max {
		return
	}
	for len(u.reads) == mostUpcoming || u.totalLocked()+r.bytes() > u.max {
		u.forgetLocked(0)
	}
	u.reads = append(u.reads, r)
	u.bytes[r.key.Resource] += r.bytes()
}

func (u *upcoming) forgetLocked(i int) {
	u.bytes[u.reads[i].key.Resource] -= u.reads[i].bytes()
	u.reads = slices.Delete(u.reads, i, i+1)
}

// drop forgets reads whose results were dropped: their names are of the past.
func (u *upcoming) drop(dropped func(Key) bool) {
	u.mu.Lock()
	defer u.mu.Unlock()
	for i := range slices.Backward(u.reads) { // what is forgotten moves only what was looked at
		if dropped(u.reads[i].key) {
			u.forgetLocked(i)
		}
	}
}

func (u *upcoming) totalLocked() (n int64) {
	for _, b := range u.bytes {
		n += b
	}
	return n
}

func (u *upcoming) size(r Resource) int64 {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.bytes[r]
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
			fl, _ := c.flights.start(ctx, flightTerms{key: r.name, join: r.policy.Fresh}, r.load)
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
