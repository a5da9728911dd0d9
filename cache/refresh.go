package cache

import (
	"context"
	"slices"
	"sync"
	"sync/atomic"

	"golang.org/x/sync/errgroup"
)

// maxRecentReads is how many reads are remembered for [Cache.Refresh].
const maxRecentReads = 32

// refreshParallel is how many reads are fetched again at once. It is small, because these loads may go on after the budget has ended and
// compete with the next invocation's.
const refreshParallel = 2

// recentReads are the last reads of what is in the store, each with its load function. They take at most max bytes.
type recentReads struct {
	max int64

	mu    sync.Mutex
	reads []recentRead       // guarded by mu; the last one last
	bytes map[Resource]int64 // guarded by mu
}

func newRecentReads(bytes int64) *recentReads {
	return &recentReads{max: bytes, bytes: map[Resource]int64{}}
}

type recentRead struct {
	key    Key
	name   string // in the store, with the tokens of its scopes
	policy Policy
	load   func(context.Context) (any, error)
}

func (r *recentRead) bytes() int64 {
	const overhead = 256 // the struct and its functions
	return overhead + r.key.bytes() + int64(len(r.name)) + r.key.LoadBytes
}

// add remembers a read, and forgets the oldest ones if there is no room for all. A read that is too large is not remembered.
func (u *recentReads) add(r recentRead) {
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
	for len(u.reads) == maxRecentReads || u.totalLocked()+r.bytes() > u.max {
		u.forgetLocked(0)
	}
	u.reads = append(u.reads, r)
	u.bytes[r.key.Resource] += r.bytes()
}

func (u *recentReads) forgetLocked(i int) {
	u.bytes[u.reads[i].key.Resource] -= u.reads[i].bytes()
	u.reads = slices.Delete(u.reads, i, i+1)
}

// drop forgets the reads whose results were dropped from the store.
func (u *recentReads) drop(dropped func(Key) bool) {
	u.mu.Lock()
	defer u.mu.Unlock()
	for i := range slices.Backward(u.reads) { // backward, because forgetLocked moves the reads behind i
		if dropped(u.reads[i].key) {
			u.forgetLocked(i)
		}
	}
}

func (u *recentReads) totalLocked() (n int64) {
	for _, b := range u.bytes {
		n += b
	}
	return n
}

func (u *recentReads) size(r Resource) int64 {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.bytes[r]
}

func (u *recentReads) all() []recentRead {
	u.mu.Lock()
	defer u.mu.Unlock()
	return slices.Clone(u.reads)
}

// Refresh fetches again what was read lately and is in the last quarter of its freshness, or stale and still served. The
// last reads go first. It returns the number of reads fetched, once all are or ctx has ended; loads under way go on then. It
// needs Config.Refresh. Only reads from Odoo are remembered: everything else is stale within seconds, or not asked for again.
func (c *Cache) Refresh(ctx context.Context) int {
	var fetched atomic.Int64
	var g errgroup.Group
	g.SetLimit(refreshParallel)
	for _, r := range slices.Backward(c.recentReads.all()) {
		g.Go(func() error {
			did, err := c.refetch(ctx, r)
			if did {
				fetched.Add(1)
			}
			return err
		})
	}
	_ = g.Wait() // a read that failed is fetched when a request asks for it
	return int(fetched.Load())
}

// refetch fetches one read again, if it is due.
func (c *Cache) refetch(ctx context.Context, r recentRead) (fetched bool, err error) {
	var fl *flight
	for fl == nil { // again if a load has ended between get and start
		ended := c.flights.ended.Load()
		e := c.store.get([]byte(r.name))
		if e == nil || e.gone() { // dropped or evicted, or there is no such thing any more
			return false, nil
		}
		if age := c.now().Since(e.at); age < r.policy.Fresh*3/4 || age >= r.policy.Fresh+r.policy.WhileRevalidate {
			return false, nil
		}
		if ctx.Err() != nil {
			return false, context.Cause(ctx)
		}
		terms := flightTerms{key: r.name, resource: r.key.Resource, keeps: true, maxAge: r.policy.Fresh, ended: ended}
		fl, _ = c.flights.start(ctx, terms, r.load)
	}
	_, _, err = c.flights.wait(ctx, fl)
	return err == nil, err
}
