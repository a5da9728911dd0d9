package pool

import "time"

// delays measures how late this process runs, because it or other processes keep the processors busy. Answers come late by as much, and that
// is not the upstream's fault.
type delays struct {
	sum      time.Duration // of all delays so far
	watching bool          // a timer is set
}

const betweenLooks = 5 * time.Millisecond

// watchLocked measures, by how late a timer fires, while so many requests are under way that slow answers would make the limit fall.
func (l *Limit) watchLocked(now time.Duration) {
	if l.delays.watching || l.quietLocked() {
		return
	}
	l.delays.watching = true
	due := now + betweenLooks
	time.AfterFunc(betweenLooks, func() {
		now := l.cfg.Pulse.TimeAwake()
		l.mu.Lock()
		defer l.mu.Unlock()
		l.delays.sum += max(0, now-due)
		l.delays.watching = false
		l.watchLocked(now)
	})
}

// quietLocked says that so few requests are under way that none slows down another.
func (l *Limit) quietLocked() bool { return l.inUse <= l.cfg.Start }
