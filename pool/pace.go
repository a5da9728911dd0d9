package pool

import "time"

// pace keeps requests that wait from being sent in bursts. Many upstreams take the same time for each request. So requests that were sent
// together are answered together, each answer frees a slot, and the next requests are sent together again, for ever. Each burst of answers keeps
// the processors busy, and meanwhile all other callers wait. So slots go to waiting requests a quarter faster than they become free, but not
// faster.
type pace struct {
	gap   time.Duration // least time between two slots; 0: not known yet
	next  time.Duration // time awake from which on the next slot may be given
	timed bool          // a timer will serve the queue

	answers int           // since the gap was set
	fastest time.Duration // of the kinds of those answers, what one takes while few requests are under way
}

const (
	// mostGap is the longest gap. With a longer one there are so few answers that a burst of them is short.
	mostGap = 2 * time.Millisecond
	// mostBehind is by how much the slots may be behind their pace and still catch up: timers are late by that much.
	mostBehind = time.Millisecond
)

// learn is told of each answer, and what one of its kind takes while few requests are under way. After as many answers as there may be slots, it
// sets the gap to four fifths of the time between two answers if all slots had requests of the fastest kind. So no mix of kinds is slowed down.
func (p *pace) learn(took time.Duration, slots int) {
	if p.answers == 0 || took < p.fastest {
		p.fastest = took
	}
	if p.answers++; p.answers >= slots {
		p.gap = p.fastest * 4 / 5 / time.Duration(slots)
		p.answers = 0
	}
}

// inPaceLocked says whether a request that waits may have a slot now. If not, serveLocked is called again when one may.
func (l *Limit) inPaceLocked() bool {
	p := &l.pace
	if l.size < l.cfg.Most || p.gap > mostGap {
		return true
	}
	now := l.cfg.Pulse.TimeAwake()
	if wait := p.next - now; wait > 0 {
		if !p.timed {
			p.timed = true
			time.AfterFunc(wait, func() {
				l.mu.Lock()
				defer l.mu.Unlock()
				l.pace.timed = false
				l.serveLocked()
			})
		}
		return false
	}
	p.next = max(p.next, now-mostBehind) + p.gap
	return true
}
