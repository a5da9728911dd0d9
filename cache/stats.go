package cache

import (
	"sync/atomic"
	"time"

	"hearth/client/wire"
)

// counters count the reads of one resource, and its loads that failed.
type counters struct {
	hits, misses, stale, errors atomic.Int64
	lapsed                      [len(Lapsed{})]atomic.Int64
}

// Lapsed counts the reads that had to wait for a load although what they wanted was held, because that was not fresh any more: by its age, below 2, 4
// and 8 times its freshness, and older.
type Lapsed [4]int64

// lapse counts such a read.
func (c *counters) lapse(age, fresh time.Duration) {
	i := 0
	for limit := 2 * fresh; i < len(c.lapsed)-1 && age >= limit; limit *= 2 {
		i++
	}
	c.lapsed[i].Add(1)
}

// Lapsed returns the counts by resource. Those of entries with a policy of their own are not among them.
func (c *Cache) Lapsed() map[Resource]Lapsed {
	all := map[Resource]Lapsed{}
	for _, r := range Resources() {
		var l Lapsed
		for i := range l {
			l[i] = c.counters[r].lapsed[i].Load()
		}
		all[r] = l
	}
	return all
}

// shortReads count the histories that wanted more than Config.Window, and for which less was held.
type shortReads struct{ reads, most atomic.Int64 }

func (s *shortReads) count(wanted int) {
	s.reads.Add(1)
	for most := s.most.Load(); int64(wanted) > most && !s.most.CompareAndSwap(most, int64(wanted)); most = s.most.Load() {
	}
}

// ShortReads returns how many histories had to be loaded although their chat was held, because they wanted more messages of a role than were held and
// than Config.Window, and the most that one of them wanted.
func (c *Cache) ShortReads() (reads, most int64) { return c.short.reads.Load(), c.short.most.Load() }

// count counts a read, also for its request.
func (c *counters) count(s Served, d Directives) {
	switch s {
	case Hit:
		c.hits.Add(1)
	case Stale:
		c.stale.Add(1)
	case Miss:
		c.misses.Add(1)
	}
	d.Tally.count(s)
}

// Tally counts the reads of one request. It is safe for concurrent use. A nil one counts nothing.
type Tally struct{ hits, misses, stale atomic.Int64 }

func (t *Tally) count(s Served) {
	switch {
	case t == nil:
	case s == Hit:
		t.hits.Add(1)
	case s == Stale:
		t.stale.Add(1)
	case s == Miss:
		t.misses.Add(1)
	}
}

// Counts are the reads so far.
func (t *Tally) Counts() (hits, misses, stale int64) {
	return t.hits.Load(), t.misses.Load(), t.stale.Load()
}

// Reset forgets them, for another request.
func (t *Tally) Reset() {
	t.hits.Store(0)
	t.misses.Store(0)
	t.stale.Store(0)
}

func (c *counters) used() bool { return c.hits.Load()+c.misses.Load()+c.stale.Load() > 0 }

// Stats returns the statistics up to now.
func (c *Cache) Stats() wire.CacheStats {
	s := wire.CacheStats{
		MaxBytes:  c.cfg.Bytes,
		Evictions: c.chats.evictions.Load() + c.store.evictions.Load(),
		Rejected:  c.store.rejected.Load(),
		Resources: map[string]wire.CacheCounts{},
	}
	inChats, chatBytes := c.chats.held()
	for _, r := range allResources() {
		n := c.counters[r]
		if r == Fetched && !n.used() {
			continue // most functions fetch nothing
		}
		entries, bytes := c.store.held(r)
		one := wire.CacheCounts{
			Hits: n.hits.Load(), Misses: n.misses.Load(), Stale: n.stale.Load(), Errors: n.errors.Load(),
			Entries: entries, Bytes: bytes + c.recentReads.size(r),
		}
		switch r {
		case History: // all bytes of a chat count as history: its mute is a few of them
			one.Entries, one.Bytes = inChats.timelines, chatBytes
		case Mute:
			one.Entries = inChats.mutes
		}
		one.HitRatio = hitRatio(one)
		s.Resources[string(r)] = one
		s.Hits += one.Hits
		s.Misses += one.Misses
		s.Stale += one.Stale
		s.Errors += one.Errors
		s.Entries += one.Entries
		s.Bytes += one.Bytes
	}
	s.HitRatio = hitRatio(s.CacheCounts)
	return s
}

func hitRatio(c wire.CacheCounts) float64 {
	all := c.Hits + c.Stale + c.Misses
	if all == 0 {
		return 0
	}
	return float64(c.Hits+c.Stale) / float64(all)
}

// held is what the chats hold, and the bytes that they take in all.
func (cs *chats) held() (u usage, bytes int64) {
	cs.mu.Lock()
	defer cs.mu.Unlock()
	cs.expireLocked(cs.now())
	return cs.usage, cs.bytesLocked()
}
