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

// longest is the longest delay that touched the time between.
func (n *noise) longest(from, to time.Time) (most time.Duration) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for i := len(n.delays) - 1; i >= 0 && n.delays[i].at.After(from); i-- {
		if d := n.delays[i]; d.at.Add(-d.long).Before(to) {
			most = max(most, d.long)
		}
	}
	return most
}
