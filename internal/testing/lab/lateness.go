package lab

import (
	"context"
	"sync"
	"time"
)

// Lateness records the machine's own delays: how much later a goroutine that does nothing else is woken than it asked for. The
// zero value is ready.
type Lateness struct {
	mu     sync.Mutex
	delays []delay // guarded by mu; those worth keeping, oldest first
}

type delay struct{ from, to time.Time }

// Record records until ctx ends.
func (l *Lateness) Record(ctx context.Context) {
	const every, least = 2 * time.Millisecond, time.Millisecond
	timer := time.NewTimer(every)
	defer timer.Stop()
	for {
		due := time.Now().Add(every)
		timer.Reset(every)
		select {
		case <-timer.C:
		case <-ctx.Done():
			return
		}
		if now := time.Now(); now.Sub(due) > least {
			l.add(delay{due, now})
		}
	}
}

func (l *Lateness) add(d delay) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.delays = append(l.delays, d)
}

// Within is the sum of all delays between two times.
func (l *Lateness) Within(from, to time.Time) (sum time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for i := len(l.delays) - 1; i >= 0 && l.delays[i].to.After(from); i-- {
		begin, end := l.delays[i].from, l.delays[i].to
		if begin.Before(from) {
			begin = from
		}
		if end.After(to) {
			end = to
		}
		sum += max(0, end.Sub(begin))
	}
	return sum
}
