package main

import (
	"context"
	"sync"
	"time"
)

// noise is the machine's own delays: how much later than it asked for a goroutine of this process, which does nothing
// else, was woken.
type noise struct {
	mu     sync.Mutex
	delays []delay // guarded by mu; those worth keeping
}

type delay struct {
	at   time.Time
	long time.Duration
}

func (n *noise) listen(ctx context.Context) {
	const every, least = 2 * time.Millisecond, time.Millisecond
	timer := time.NewTimer(every)
	defer timer.Stop()
	for {
		asked := time.Now()
		timer.Reset(every)
		select {
		case <-timer.C:
		case <-ctx.Done():
			return
		}
		now := time.Now()
		if long := now.Sub(asked) - every; long > least {
			n.mu.Lock()
			n.delays = append(n.delays, delay{now, long})
			n.mu.Unlock()
		}
	}
}

// within is how long the machine was late in all in the time between.
func (n *noise) within(from, to time.Time) (sum time.Duration) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for i := len(n.delays) - 1; i >= 0 && n.delays[i].at.After(from); i-- {
		d := n.delays[i]
		if began := d.at.Add(-d.long); began.Before(to) {
			sum += earlier(d.at, to).Sub(later(began, from))
		}
	}
	return sum
}

func earlier(a, b time.Time) time.Time {
	if a.Before(b) {
		return a
	}
	return b
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}
