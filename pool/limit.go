package pool

import (
	"cmp"
	"context"
	"net/http"
	"sync/atomic"
	"time"

	"hearth/internal/clock"
)

// Limit has a fixed number of slots. Each request that is under way takes one. A bounded number of requests may wait for a slot;
// they get it in the order in which they came. The pools of one upstream share a Limit.
type Limit struct {
	slots   chan struct{} // holds one element per slot taken
	waiting atomic.Int64
	queue   int64
	pulse   *clock.Pulse
}

// NewLimit makes a limit of size slots, for which at most queue requests wait, 1024 by default. A nil pulse means that the
// process is never frozen.
func NewLimit(size, queue int, pulse *clock.Pulse) *Limit {
	queue = cmp.Or(queue, 1024)
	if pulse == nil {
		pulse = clock.Awake()
	}
	return &Limit{slots: make(chan struct{}, size), queue: int64(queue), pulse: pulse}
}

// limited is the link that takes a slot for each try of a request. While the request waits to be tried again, it holds no slot.
type limited struct {
	next  http.RoundTripper
	limit *Limit
	stats *counters
}

// RoundTrip waits for a slot, sends req to the next link and gives the slot back. An [ErrQueueFull] was not sent.
func (l *limited) RoundTrip(req *http.Request) (*http.Response, error) {
	if err := l.limit.acquire(req.Context(), l.stats); err != nil {
		return nil, err
	}
	defer l.limit.release()
	return l.next.RoundTrip(req)
}

func (l *Limit) acquire(ctx context.Context, s *counters) error {
	select {
	case l.slots <- struct{}{}:
		return nil
	default:
	}
	defer l.waiting.Add(-1)
	if l.waiting.Add(1) > l.queue {
		s.rejected.Add(1)
		return ErrQueueFull
	}
	s.waits.Add(1)
	start, freezes := time.Now(), l.pulse.Freezes()
	defer func() {
		if l.pulse.Freezes() == freezes { // otherwise the wait contains a freeze
			s.waited.Add(int64(time.Since(start)))
		}
	}()
	select {
	case l.slots <- struct{}{}:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (l *Limit) release() { <-l.slots }

func (l *Limit) inUse() int { return len(l.slots) }
