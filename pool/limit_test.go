package pool

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"hearth/internal/clock"
)

// limitTester is a limit and those who want its slots, in a bubble.
type limitTester struct {
	*testing.T
	*Limit
	stats   counters
	callers sync.WaitGroup
}

func bubble(t *testing.T, size, queue int, run func(*limitTester)) {
	synctest.Test(t, func(t *testing.T) {
		l := &limitTester{T: t, Limit: NewLimit(LimitConfig{Most: size, Queue: queue})}
		run(l)
		l.callers.Wait()
	})
}

// ask begins to wait for a slot; what comes of it arrives in the channel.
func (l *limitTester) ask(ctx context.Context) <-chan error {
	got := make(chan error, 1)
	l.callers.Go(func() { got <- l.acquire(ctx, 0, nil, &l.stats) })
	synctest.Wait()
	return got
}

func (l *limitTester) wantGot(what string, got <-chan error, want error) {
	l.Helper()
	synctest.Wait()
	select {
	case err := <-got:
		if !errors.Is(err, want) {
			l.Errorf("%s got %v, want %v", what, err, want)
		}
	default:
		l.Errorf("%s still waits, want %v", what, want)
	}
}

func (l *limitTester) wantWaiting(what string, got <-chan error) {
	l.Helper()
	synctest.Wait()
	select {
	case err := <-got:
		l.Errorf("%s got %v, want it to wait", what, err)
	default:
	}
}

func (l *limitTester) wantState(inUse, waiting int, waits, rejected int64) {
	l.Helper()
	_, taken, queued := l.now()
	got := []int64{int64(taken), int64(queued), l.stats.waits.Load(), l.stats.rejected.Load()}
	if want := []int64{int64(inUse), int64(waiting), waits, rejected}; !slices.Equal(got, want) {
		l.Errorf("in use, waiting, waits, rejected are %v, want %v", got, want)
	}
}

func TestACallerBeyondTheSizeWaitsForASlot(t *testing.T) {
	bubble(t, 2, 2, func(l *limitTester) {
		l.wantGot("the first", l.ask(l.Context()), nil)
		l.wantGot("the second", l.ask(l.Context()), nil)
		third := l.ask(l.Context())
		l.wantWaiting("the third", third)
		l.wantState(2, 1, 1, 0)
		time.Sleep(time.Second)
		l.release(0)
		l.wantGot("the third", third, nil)
		l.wantState(2, 0, 1, 0)
		if waited := time.Duration(l.stats.waited.Load()); waited != time.Second {
			t.Errorf("waited %v, want 1s", waited)
		}
		if got, want := l.crowded(), (Crowd{Waits: 1, Waited: time.Second, Most: 3}); got != want {
			t.Errorf("at the ceiling: %+v, want %+v", got, want)
		}
		l.release(0)
		l.release(0)
		l.wantState(0, 0, 1, 0)
	})
}

func TestAFullQueueRefusesAtOnce(t *testing.T) {
	bubble(t, 1, 2, func(l *limitTester) {
		l.wantGot("the first", l.ask(l.Context()), nil)
		second, third := l.ask(l.Context()), l.ask(l.Context())
		for range 3 {
			l.wantGot("one too many", l.ask(l.Context()), ErrQueueFull)
		}
		l.wantState(1, 2, 2, 3)
		l.release(0)
		synctest.Wait()
		fourth := l.ask(l.Context())
		l.wantWaiting("one in the place that became free", fourth)
		l.release(0)
		l.release(0)
		for _, got := range []<-chan error{second, third, fourth} {
			l.wantGot("one in the queue", got, nil)
		}
	})
}

func TestAWaiterThatGivesUpLeavesItsPlace(t *testing.T) {
	bubble(t, 1, 1, func(l *limitTester) {
		l.wantGot("the first", l.ask(l.Context()), nil)
		ctx, cancel := context.WithCancel(l.Context())
		second := l.ask(ctx)
		cancel()
		l.wantGot("the second", second, context.Canceled)
		l.wantState(1, 0, 1, 0)

		ctx, cancel = context.WithTimeout(l.Context(), time.Second)
		defer cancel()
		third := l.ask(ctx)
		l.wantWaiting("the third", third)
		time.Sleep(time.Second)
		l.wantGot("the third", third, context.DeadlineExceeded)

		fourth := l.ask(l.Context())
		l.release(0)
		l.wantGot("the fourth", fourth, nil)
		l.wantState(1, 0, 3, 0)
	})
}

func TestOnlyTimeAwakeCountsAsWaited(t *testing.T) {
	for passes, want := range map[time.Duration]time.Duration{clock.Gap / 2: clock.Gap / 2, clock.Gap: 0} {
		synctest.Test(t, func(t *testing.T) {
			var stats counters
			l := NewLimit(LimitConfig{Most: 1, Queue: 1, Pulse: clock.NewPulse(nil)}) // without Run every silence of a gap is a freeze
			if err := l.acquire(t.Context(), 0, nil, &stats); err != nil {
				t.Fatal(err)
			}
			got := make(chan error)
			go func() { got <- l.acquire(t.Context(), 0, nil, &stats) }()
			time.Sleep(passes)
			l.release(0)
			if err := <-got; err != nil || time.Duration(stats.waited.Load()) != want {
				t.Errorf("after %v %v are counted, %v", passes, time.Duration(stats.waited.Load()), err)
			}
		})
	}
}

func TestAWaitBelowTheCeilingIsNoneForMoreSlots(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := &limitTester{T: t, Limit: NewLimit(LimitConfig{Start: 1, Most: 2})}
		l.wantGot("the first", l.ask(l.Context()), nil)
		second := l.ask(l.Context())
		time.Sleep(time.Second)
		l.release(0)
		l.wantGot("the second", second, nil)
		l.release(0)
		l.callers.Wait()
		if got := l.crowded(); got != (Crowd{}) || l.stats.waits.Load() != 1 {
			t.Errorf("at the ceiling: %+v", got)
		}
	})
}
