package pool

import (
	"slices"
	"sync"
	"time"
)

// usuals knows how long calls of each kind usually take ([Options.Kind]): the median of the last answers of the kind. The time is
// that from the connection in hand to the whole answer. Failures do not count, nor does what a freeze has interrupted. It is safe
// for concurrent use.
type usuals struct {
	mu    sync.Mutex
	kinds map[string]*durations // guarded by mu
}

// mostKinds is how many kinds of calls a pool tells apart. Any further kinds count together, as the kind "".
const mostKinds = 16

// durations are those of the last answers of one kind. There are few, so that the median soon follows an upstream that becomes slower.
type durations struct {
	last   [31]time.Duration
	count  int
	median time.Duration
}

func (u *usuals) add(kind string, d time.Duration) {
	u.mu.Lock()
	defer u.mu.Unlock()
	k := u.kinds[kind]
	if k == nil && len(u.kinds) >= mostKinds-1 { // the last one is for ""
		kind = ""
		k = u.kinds[kind]
	}
	if k == nil {
		if u.kinds == nil {
			u.kinds = map[string]*durations{}
		}
		k = new(durations)
		u.kinds[kind] = k
	}
	k.last[k.count%len(k.last)] = d
	k.count++
	sorted := k.last
	seen := sorted[:min(k.count, len(sorted))]
	slices.Sort(seen)
	k.median = seen[len(seen)/2]
}

// of is how long a call of this kind usually takes; 0: no such call was answered yet.
func (u *usuals) of(kind string) time.Duration {
	u.mu.Lock()
	defer u.mu.Unlock()
	k := u.kinds[kind]
	if k == nil && len(u.kinds) >= mostKinds-1 {
		k = u.kinds[""]
	}
	if k == nil {
		return 0
	}
	return k.median
}

// usual is how long a call of this kind usually takes; 0: not known yet.
func (c *counters) usual(kind string) time.Duration { return c.usuals.of(kind) }
