package pool

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"hearth/internal/clock"
)

// limit hands out a fixed number of slots; a bounded number of callers may wait for one.
type limit struct {
	slots   chan struct{} // holds one element per slot taken
	waiting atomic.Int64
	queue   int64
	pulse   *clock.Pulse
	closed  chan struct{}
	closing sync.Once
}

func newLimit(size, queue int, pulse *clock.Pulse) *limit {
	return &limit{slots: make(chan struct{}, size), queue: int64(queue), pulse: pulse, closed: make(chan struct{})}
}

func (l *limit) acquire(ctx context.Context, s *counters) error {
	if err := l.take(ctx, s); err != nil {
		return err
	}
	select {
	case <-l.closed: // while it was taken: close may not have seen it
		l.release()
		return ErrClosed
	default:
		return nil
	}
}

func (l *limit) take(ctx context.Context, s *counters) error {
	select {
	case <-l.closed:
		return ErrClosed
	default:
	}
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
	start, thaws := time.Now(), l.pulse.Thaws()
	defer func() {
		if l.pulse.Thaws() == thaws { // else it is the freeze's time
			s.waited.Add(int64(time.Since(start)))
		}
	}()
	select {
	case l.slots <- struct{}{}:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	case <-l.closed:
		return ErrClosed
	}
}

func (l *limit) release() { <-l.slots }

// close turns waiters away and returns when every slot is back.
func (l *limit) close() {
	l.closing.Do(func() {
		close(l.closed)
		for range cap(l.slots) {
			l.slots <- struct{}{}
		}
		for range cap(l.slots) {
			l.release()
		}
	})
}

func (l *limit) inUse() int { return len(l.slots) }
