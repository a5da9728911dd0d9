package pool

import "time"

// delays are how much later this process runs than it should: others keep the processors busy, or its own work does. Answers are late by
// that much too, and the upstream is not to blame.
type delays struct {
	sum      time.Duration // so far
	watching bool          // a look is due
}

const betweenLooks = 5 * time.Millisecond

// watchLocked looks how late this process is as long as so many requests are under way that slow answers would make the limit fall.
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
