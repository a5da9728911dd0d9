package sidecar

import (
	"log/slog"
	"sync"
	"time"
)

// phase is what a connection is doing.
type phase uint64

const (
	waiting   phase = iota // for a request
	reading                // a part of a request has come
	answering              // from a whole request until its answer has left
	evicted                // it is closed, and another connection has its slot
)

// standing is a connection's phase, whether its caller is admitted, and a time. For an admitted caller that is when the connection began to
// wait, for any other when it was accepted. All is in one word, so that a connection which has changed meanwhile is not evicted
// (CompareAndSwap).
type standing uint64

const (
	phaseMask   standing = 3
	admittedBit standing = 4
	timeShift            = 3 // above it: microseconds
)

func standingAt(t time.Time) standing {
	return standing(t.UnixMicro()) << timeShift //nolint:gosec // it is after 1970
}

func (s standing) phase() phase          { return phase(s & phaseMask) }
func (s standing) admitted() bool        { return s&admittedBit != 0 }
func (s standing) in(p phase) standing   { return s&^phaseMask | standing(p) }
func (s standing) older(t standing) bool { return s>>timeShift < t>>timeShift }

// How long a connection whose caller is not admitted keeps its slot at least.
const (
	timeToAsk    = 20 * time.Millisecond // if it is silent, and most others are silent too
	timeToAnswer = time.Second           // otherwise
)

// slots bound the connections of one listener. A caller is admitted when it has shown the token or, if no token is asked for, when it
// makes a call besides /healthz.
//
//  1. Up to mostAdmitted callers are admitted. The slots beyond that number are the reserve, for new connections and /healthz.
//  2. A new connection always gets a slot. If all are taken, it gets the slot of the oldest connection whose caller is not admitted, if
//     that is older than timeToAnswer. If there is none, and at least half of these connections have been silent for timeToAsk, it gets
//     the slot of the oldest silent one. Otherwise it waits a moment and tries again: so a flood of connections is accepted no faster than
//     it is answered, and a proper caller among them has time to send its request.
//  3. If mostAdmitted callers are admitted, the next one gets the place of the admitted connection that has waited longest for a request. If
//     none waits, the caller is refused.
//
// So callers that are not admitted take no slot from those that are, and those that are admitted leave the reserve to /healthz.
type slots struct {
	most, mostAdmitted int
	equal              bool // no token is asked for: then an admitted connection with half a request may lose its place too
	log                *slog.Logger

	mu       sync.Mutex   // guards what follows, and place and admitted of each connection
	open     []*timedConn // in no order
	admitted int
	evicted  int // not logged yet
	logged   time.Time
}

func newSlots(admitted int, equal bool, log *slog.Logger) *slots {
	const least = 8
	return &slots{most: admitted + max(least, admitted/8), mostAdmitted: admitted, equal: equal, log: log}
}

// add gives a new connection a slot. If there is none now, add returns how long to wait before the next attempt.
func (s *slots) add(c *timedConn) (wait time.Duration) {
	s.mu.Lock()
	var victim *timedConn
	if len(s.open) >= s.most {
		if victim = s.evictForNewcomerLocked(time.Now()); victim == nil {
			wait = timeToAsk / 4
		}
	}
	if wait == 0 {
		c.place = len(s.open)
		s.open = append(s.open, c)
	}
	s.mu.Unlock()
	s.close(victim)
	return wait
}

// admit admits the caller of a connection that is answering. If it returns false, the request must be refused.
func (s *slots) admit(c *timedConn) bool {
	s.mu.Lock()
	var victim *timedConn
	if s.admitted >= s.mostAdmitted {
		victim = s.evictLocked(func(_ *timedConn, o standing) bool {
			return o.admitted() && (o.phase() == waiting || s.equal && o.phase() == reading)
		})
	}
	ok := s.admitted < s.mostAdmitted && c.change(func(now standing) standing { return now | admittedBit })
	if ok {
		c.admitted = true
		s.admitted++
	}
	s.mu.Unlock()
	s.close(victim)
	return ok
}

// free evicts a connection whose caller is not admitted, if there is one: file descriptors have run out.
func (s *slots) free() {
	s.mu.Lock()
	victim := s.evictLocked(func(_ *timedConn, o standing) bool { return !o.admitted() })
	s.mu.Unlock()
	s.close(victim)
}

// remove gives up a connection's slot, unless the connection was evicted.
func (s *slots) remove(c *timedConn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if c.place < len(s.open) && s.open[c.place] == c {
		s.removeLocked(c)
	}
}

func (s *slots) removeLocked(c *timedConn) {
	last := len(s.open) - 1
	s.open[c.place] = s.open[last]
	s.open[c.place].place = c.place
	s.open[last] = nil
	s.open = s.open[:last]
	if c.admitted {
		s.admitted--
	}
}

func (s *slots) evictForNewcomerLocked(now time.Time) *timedConn {
	asked, answered := standingAt(now.Add(-timeToAsk)), standingAt(now.Add(-timeToAnswer))
	victim := s.evictLocked(func(_ *timedConn, o standing) bool { return !o.admitted() && o.older(answered) })
	if victim != nil {
		return victim
	}
	silent := func(c *timedConn, o standing) bool {
		return !o.admitted() && o.phase() != answering && o.older(asked) && !c.hasUnread()
	}
	n := 0
	for _, c := range s.open {
		if silent(c, c.standing()) {
			n++
		}
		if 2*n >= len(s.open)-s.admitted {
			return s.evictLocked(silent)
		}
	}
	return nil
}

// evictLocked takes the slot of the oldest connection that may lose it, and returns the connection; nil: there is none.
func (s *slots) evictLocked(may func(*timedConn, standing) bool) *timedConn {
	for {
		var victim *timedConn
		var seen standing
		for _, c := range s.open {
			if now := c.standing(); (victim == nil || now.older(seen)) && may(c, now) {
				victim, seen = c, now
			}
		}
		if victim == nil {
			return nil
		}
		if victim.word.CompareAndSwap(uint64(seen), uint64(seen.in(evicted))) { // otherwise it has changed meanwhile
			s.removeLocked(victim)
			s.evicted++
			return victim
		}
	}
}

// close closes a connection that was evicted; nil: none was. It logs the first one at once, and then one line a minute at most.
func (s *slots) close(victim *timedConn) {
	if victim == nil {
		return
	}
	_ = victim.Conn.Close()
	s.mu.Lock()
	n, now := s.evicted, time.Now()
	tell := now.Sub(s.logged) >= time.Minute
	if tell {
		s.evicted, s.logged = 0, now
	}
	s.mu.Unlock()
	if tell {
		s.log.Warn("connections were closed to make room for others", "count", n)
	}
}
