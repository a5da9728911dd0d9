package pool

import "time"

// pace keeps requests that wait from being sent in bursts. Many upstreams take the same time for each request. So requests that were sent
// together are answered together, each answer frees a slot, and the next requests are sent together again, for ever. Each burst of answers keeps
// the processors busy, and meanwhile all other callers wait. So waiting requests get slots a quarter faster than slots become free, but not
// faster.
type pace struct {
	gap   time.Duration // least time between two slots; 0: not known yet
	next  time.Duration // time awake from which on the next slot may be given
	timed bool          // a timer will serve the queue

	answers int           // since the gap was set
	fastest time.Duration // Limit.base of the fastest kind among those answers
}

// With few slots, or a longer gap, a burst of answers is short. Then there is no pace.
const (
	leastPaced = 16                   // slots
	mostGap    = 2 * time.Millisecond // between two slots
)

// learn is told of each good answer and of the base of its kind. After as many answers as there may be slots, it sets the gap to four fifths of
// the time between two answers if every slot had a request of the fastest kind. So slower kinds do not slow down faster ones.
func (p *pace) learn(base time.Duration, slots int) {
	if p.answers == 0 || base < p.fastest {
		p.fastest = base
	}
	if p.answers++; p.answers >= slots {
		p.gap = p.fastest * 4 / 5 / time.Duration(slots)
		p.answers = 0
	}
}

// inPaceLocked says whether a request that waits may have a slot now. If not, serveLocked is called again when one may. If that is late, because
// this process got no processor, as many slots may be given as would have been given meanwhile.
func (l *Limit) inPaceLocked() bool {
	p := &l.pace
	if l.size < max(l.cfg.Most, leastPaced) || p.gap > mostGap {
		return true
	}
	now := l.cfg.Pulse.TimeAwake()
	if wait := p.next - now; wait > 0 {
		if !p.timed {
			p.timed = true
			time.AfterFunc(wait, l.serveInPace)
		}
		return false
	}
	if !p.timed { // no slot has waited for its time
		p.next = now
	}
	p.next += p.gap
	return true
}

// serveInPace is called when the next slot may be given.
func (l *Limit) serveInPace() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.serveLocked() // all that are due
	l.pace.timed = false
	l.serveLocked() // sets the timer for the next one
}
