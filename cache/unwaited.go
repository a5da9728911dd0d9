package cache

import (
	"maps"
	"time"

	"github.com/cespare/xxhash/v2"

	"hearth/internal/clock"
)

// unwaited are the loads for which no request waits: refreshes, and loads that all of their requests have left. They fill the cache, but
// take connections from requests. So one at a time goes on for each group of resources. It is not locked: flights is.
//
// It also remembers which loads have failed, so that not every request begins a refresh that fails.
type unwaited struct {
	running map[Resource]*flight // by group
	failed  map[uint64]backoff   // by the key's hash, because keys may be long; at most maxFailed
}

// backoff says when a refresh may begin again.
type backoff struct {
	until time.Duration // on the monotonic clock
	wait  time.Duration // doubles with every failure in a row
}

const (
	leastBackoff, mostBackoff = time.Second, 30 * time.Second
	maxFailed                 = 256 // keys
)

func newUnwaited() unwaited {
	return unwaited{running: map[Resource]*flight{}, failed: map[uint64]backoff{}}
}

// group is the resource for a load's group. Models and reads of Odoo are one group, because Odoo has the fewest connections.
func (fl *flightTerms) group() Resource {
	if fl.resource == OdooModels {
		return OdooRead
	}
	return fl.resource
}

// add adds a load. It returns false if another load of the group goes on.
func (u *unwaited) add(fl *flight) bool {
	if u.running[fl.group()] != nil {
		return false
	}
	u.running[fl.group()] = fl
	return true
}

// remove removes a load that has ended, or for which a request waits again.
func (u *unwaited) remove(fl *flight) {
	if u.running[fl.group()] == fl {
		delete(u.running, fl.group())
	}
}

// mayBegin says whether a refresh may begin now.
func (u *unwaited) mayBegin(terms flightTerms, now clock.Instant) bool {
	return u.running[terms.group()] == nil && now.Mono >= u.failed[xxhash.Sum64String(terms.key)].until
}

// ended notes whether a load has failed.
func (u *unwaited) ended(fl *flight, now clock.Instant) {
	key := xxhash.Sum64String(fl.key)
	if fl.err == nil {
		delete(u.failed, key)
		return
	}
	if len(u.failed) >= maxFailed {
		maps.DeleteFunc(u.failed, func(_ uint64, b backoff) bool { return now.Mono >= b.until })
	}
	if before, known := u.failed[key]; known || len(u.failed) < maxFailed {
		wait := min(max(2*before.wait, leastBackoff), mostBackoff)
		u.failed[key] = backoff{now.Mono + wait, wait}
	}
}
