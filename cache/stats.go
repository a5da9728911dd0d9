package cache

import "sync/atomic"

// Stats is what a cache has done since it was made, and what it holds.
type Stats struct {
	Counts
	MaxBytes  int64               `json:"max_bytes"`
	Evictions int64               `json:"evictions"` // left for want of room
	Rejected  int64               `json:"rejected"`  // not let in, for want of room or use
	Resources map[Resource]Counts `json:"resources"`
}

// Counts are the numbers of one resource, or of all.
type Counts struct {
	Hits     int64   `json:"hits"`      // answered fresh from memory
	Misses   int64   `json:"misses"`    // had to be fetched, joined loads included
	Stale    int64   `json:"stale"`     // answered from memory although no longer fresh
	Errors   int64   `json:"errors"`    // loads that failed
	HitRatio float64 `json:"hit_ratio"` // share answered from memory: (hits + stale) / (hits + stale + misses)
	Entries  int64   `json:"entries"`   // held now
	Bytes    int64   `json:"bytes"`     // held now, overhead included
}

func (c *Counts) ratio() {
	if all := c.Hits + c.Stale + c.Misses; all > 0 {
		c.HitRatio = float64(c.Hits+c.Stale) / float64(all)
	}
}

type counters struct{ hits, misses, stale, errors atomic.Int64 }

func (c *counters) served(s Served) {
	if s == Stale {
		c.stale.Add(1)
	} else {
		c.hits.Add(1)
	}
}

// Stats returns the statistics up to now.
func (c *Cache) Stats() Stats {
	s := Stats{MaxBytes: c.cfg.Bytes, Resources: map[Resource]Counts{}}
	for _, r := range Resources() {
		n := c.count[r]
		h := c.store.held[r]
		s.Resources[r] = Counts{
			Hits: n.hits.Load(), Misses: n.misses.Load(), Stale: n.stale.Load(), Errors: n.errors.Load(),
			Entries: h.entries.Load(), Bytes: h.bytes.Load() + c.upcoming.size(r),
		}
	}
	c.chats.countInto(s.Resources)
	for r, n := range s.Resources {
		n.ratio()
		s.Resources[r] = n
		s.Hits += n.Hits
		s.Misses += n.Misses
		s.Stale += n.Stale
		s.Errors += n.Errors
		s.Entries += n.Entries
		s.Bytes += n.Bytes
	}
	s.ratio()
	s.Evictions = c.chats.evictions.Load() + c.store.evictions.Load()
	s.Rejected = c.store.rejected.Load()
	return s
}

// countInto adds what the chats hold. A chat's bytes all count as history: its mute is a few of them.
func (cs *chats) countInto(resources map[Resource]Counts) {
	cs.mu.Lock()
	defer cs.mu.Unlock()
	cs.expireLocked(cs.now())
	h, m := resources[History], resources[Mute]
	h.Entries, m.Entries = cs.held.timelines, cs.held.muteStates
	h.Bytes = cs.bytesLocked()
	resources[History], resources[Mute] = h, m
}
