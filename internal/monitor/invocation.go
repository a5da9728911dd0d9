package monitor

import (
	"slices"
	"time"

	"hearth/client/wire"
)

// pause is how long an invocation without an id may make no call and still go on.
const pause = time.Minute

// invocation is what happened in one invocation of the function. It does not change after it is over.
type invocation struct {
	id        string // the Root of its trace; empty: its calls have none
	trace     string // of its first call; empty if id is
	began     time.Time
	lastReply time.Time     // zero: no operation yet
	end       time.Duration // of its last call, by clock.Instant.Mono
	freezes   uint64        // so far, when its last call came
	cold      bool
	late      bool
	frozen    time.Duration // before it

	operations  []operation
	dropped     int // operations beyond maxOperations
	counts      wire.InvocationCounts
	pools       Pools
	requestID   string
	functionMS  *float64
	timings     []wire.Timing
	timingBytes int
}

// operation is one call.
type operation struct {
	route       *Route
	start, took time.Duration // start: after the invocation began
	status      int
	verdicts    Verdicts
}

// findLocked returns the invocation that a call belongs to, and those that are over because the call begins another one. It counts there the freezes
// before the call, and what the pools have done since they were counted last.
//
// A call belongs to the open invocation of its id, or begins it. What its pools did counts for the invocation whose call ends next: if invocations
// overlap, that may be another one's dial.
func (m *Monitor) findLocked(c *Call) (inv *invocation, over []*invocation) {
	if inv = m.recent; inv == nil || inv.trace != string(c.Trace) {
		inv = m.open[string(rootOf(c.Trace))]
	}
	if inv == nil || m.isOver(inv, c, inv.id) {
		inv, over = m.beginLocked(c, string(rootOf(c.Trace)))
	}
	m.recent = inv
	inv.end = max(inv.end, c.Clock.Mono+c.took())
	inv.freezes = max(inv.freezes, c.Clock.Freezes)
	if c.Clock.Freezes > m.last.Freezes {
		inv.counts.Thaws += int64(c.Clock.Freezes - m.last.Freezes)
	}
	if c.Clock.Mono > m.last.Mono {
		m.last = c.Clock
	}
	if c.Pools != nil {
		inv.pools.add(m.pools.moveTo(*c.Pools))
	}
	return inv, over
}

// beginLocked begins an invocation with a call, and returns those too that are over now.
func (m *Monitor) beginLocked(c *Call, id string) (begun *invocation, over []*invocation) {
	for i, inv := range m.openList {
		if m.isOver(inv, c, id) || len(m.openList)-i >= maxOpen {
			over = append(over, inv)
		}
	}
	for _, inv := range over {
		m.closeLocked(inv, true)
	}
	inv := &invocation{id: id, began: c.Began, cold: m.begun == 0, frozen: max(0, c.Clock.Frozen-m.last.Frozen)}
	if id != "" {
		inv.trace = string(c.Trace)
	}
	m.begun++
	m.open[id], m.openList = inv, append(m.openList, inv)
	return inv, over
}

// isOver says whether an open invocation is over when a call of the invocation with that id comes. Its handler has not told so.
//
//  1. If the sandbox runs several invocations at once, only time says so: no invocation takes longer than Lambda allows.
//  2. Otherwise a call of another invocation that began later says so. A call that began earlier is one that its handler has left behind.
//  3. A freeze says so too, except to a call with the same id: a starved process looks like one that was frozen. But if it was frozen for long,
//     Lambda tries the same event once more.
//  4. An invocation without an id is over after a freeze or a pause.
func (m *Monitor) isOver(inv *invocation, c *Call, id string) bool {
	silent, thawed := c.Clock.Mono-inv.end, c.Clock.Freezes > inv.freezes
	switch {
	case inv.id == "":
		return thawed || silent >= pause
	case m.cfg.Concurrent:
		return silent >= wire.MaxTimeout
	case inv.id == id:
		return thawed && silent >= pause
	}
	return thawed || id != "" && inv.began.Before(c.Began)
}

// closeLocked ends an invocation, and forgets the oldest ones if there are too many.
func (m *Monitor) closeLocked(inv *invocation, late bool) {
	inv.late = late
	for _, t := range inv.timings {
		const each = 64 // bytes of the struct
		why, _ := t.Error.(string)
		inv.timingBytes += each + len(t.Operation) + len(why)
	}
	delete(m.open, inv.id)
	i := slices.Index(m.openList, inv)
	m.openList = slices.Delete(m.openList, i, i+1)
	if m.recent == inv {
		m.recent = nil
	}
	m.closed = append(m.closed, inv)
	m.handlers += inv.timingBytes
	forget := 0
	for len(m.closed)-forget > maxClosed || m.handlers > maxHandlers && forget < len(m.closed)-1 {
		m.handlers -= m.closed[forget].timingBytes
		forget++
	}
	m.closed = slices.Delete(m.closed, 0, forget)
}

// add adds an operation. It may have begun before those that were answered before it.
func (inv *invocation) add(c *Call) {
	if earlier := inv.began.Sub(c.Began); earlier > 0 {
		inv.began = c.Began
		for i := range inv.operations {
			inv.operations[i].start += earlier
		}
	}
	if len(inv.operations) < maxOperations {
		inv.operations = append(inv.operations, operation{
			route: c.Route, start: c.Began.Sub(inv.began), took: c.took(), status: c.Status, verdicts: c.Verdicts,
		})
	} else {
		inv.dropped++
	}
	inv.counts.Hits += c.Hits
	inv.counts.Misses += c.Misses
	inv.counts.Stale += c.Stale
	if c.Ended.After(inv.lastReply) {
		inv.lastReply = c.Ended
	}
}

// total are all counts.
func (inv *invocation) total() wire.InvocationCounts {
	n := inv.counts
	n.Dials, n.Reused, n.Retries, n.BreakerOpen = inv.pools.Dials, inv.pools.Reused, inv.pools.Retries, inv.pools.BreakerOpen
	n.QueueWaitMS = ms(inv.pools.QueueWait)
	return n
}

func (inv *invocation) duration() time.Duration { return max(0, inv.lastReply.Sub(inv.began)) }

// Verdicts say for each part of a reply where it came from. A reply that is no preprocess has one part.
type Verdicts [5]served

type served uint8

const (
	hit served = iota + 1
	miss
	stale
)

func (v served) String() string {
	return [...]string{"", wire.CacheHit, wire.CacheMiss, wire.CacheStale}[v]
}

func partNames() [len(Verdicts{})]string {
	return [...]string{"", wire.PartMute, wire.PartRelevant, wire.PartOdoo, wire.PartHistory}
}

// Set says how a part of a preprocess was served: [wire.CacheHit] or another. The part of another reply has no name.
func (v *Verdicts) Set(part, how string) {
	s := hit
	switch how {
	case wire.CacheMiss:
		s = miss
	case wire.CacheStale:
		s = stale
	}
	for i, name := range partNames() {
		if name == part {
			v[i] = s
		}
	}
}

// shown is the verdict as wire.Operation.Cache has it.
func (v Verdicts) shown() any {
	if v[0] != 0 {
		return v[0].String()
	}
	parts := map[string]string{}
	for i, name := range partNames() {
		if v[i] != 0 {
			parts[name] = v[i].String()
		}
	}
	if len(parts) == 0 {
		return nil
	}
	return parts
}

// ms is a duration in milliseconds, to a microsecond.
func ms(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }
