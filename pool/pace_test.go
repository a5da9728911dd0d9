package pool

import (
	"context"
	"math/rand/v2"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"hearth/internal/clock"
)

// saturate keeps more callers than the limit has slots for a time. It returns when the requests were sent, from the beginning.
func saturate(l *Limit, callers int, serviceTime, lasts time.Duration) (sent []time.Duration) {
	ctx, stop := context.WithTimeout(context.Background(), lasts)
	defer stop()
	begun := time.Now()
	at := make(chan time.Duration)
	for caller := range callers {
		go func() {
			for ctx.Err() == nil && l.acquire(ctx, uint64(caller+1), nil, new(counters)) == nil {
				at <- time.Since(begun)
				began := l.begin()
				time.Sleep(serviceTime)
				l.learn(well, "", began)
				l.release(uint64(caller + 1))
			}
			at <- -1
		}()
	}
	for callers > 0 {
		if t := <-at; t < 0 {
			callers--
		} else {
			sent = append(sent, t)
		}
	}
	return sent
}

func TestRequestsThatWaitAreNotSentInBursts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const slots, serviceTime, lasts = 100, 50 * time.Millisecond, 5 * time.Second
		sent := saturate(NewLimit(LimitConfig{Most: slots}), 3*slots, serviceTime, lasts)
		if ideal := slots * int(lasts/serviceTime); len(sent) < ideal*98/100 {
			t.Errorf("%d requests were sent, not %d", len(sent), ideal)
		}
		late := sent[slices.IndexFunc(sent, func(at time.Duration) bool { return at > time.Second }):]
		for i := range late[:len(late)-10] {
			if within := late[i+10] - late[i]; within < 3*time.Millisecond { // they have 5 ms
				t.Fatalf("10 requests were sent within %v, from %v on", within, late[i])
			}
		}
	})
}

// A process that gets a processor only now and then sees timers and answers late.
func TestSlotsCatchUpIfTimersAreLate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const faster, slots, serviceTime, lasts = 20, 100, 50 * time.Millisecond, 5 * time.Second
		began := time.Now()
		pulse := clock.NewPulse(func() clock.Instant { // a timer of 0.4 ms is late by 7.6 ms
			passed := time.Since(began) * faster
			return clock.Instant{Wall: began.Add(passed), Mono: passed}
		})
		sent := saturate(NewLimit(LimitConfig{Most: slots, Pulse: pulse}), 3*slots, serviceTime/faster, lasts/faster)
		if ideal := slots * int(lasts/serviceTime); len(sent) < ideal*85/100 {
			t.Errorf("%d requests were sent, not %d", len(sent), ideal)
		}
	})
}

func TestThePaceIsThatOfTheFastestKindOfTheLastAnswers(t *testing.T) {
	const slots, fast, slow = 64, 5 * time.Millisecond, 150 * time.Millisecond
	var p pace
	answers := func(n int, took time.Duration) {
		for range n {
			p.learn(took, slots)
		}
	}
	answers(1, fast)
	answers(slots-1, slow)
	if want := fast * 4 / 5 / slots; p.gap != want {
		t.Errorf("with one fast answer the gap is %v, want %v", p.gap, want)
	}
	answers(slots, slow)
	if want := slow * 4 / 5 / slots; p.gap != want {
		t.Errorf("with slow answers only it is %v, want %v", p.gap, want)
	}
}

// Caller 1 has been answered in a burst, so that its next requests wait for their turn.
func TestACallerWithoutASlotDoesNotWaitForTheTurnsOfAnother(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const most, queue = 64, 10
		l := NewLimit(LimitConfig{Most: most, Queue: queue})
		l.pace.gap = mostGap
		ctx, cancel := context.WithCancel(t.Context())
		flood := func(requests int) {
			for range requests {
				go func() { _ = l.acquire(ctx, 1, nil, new(counters)) }()
			}
			synctest.Wait()
		}
		flood(most - 1 + queue)
		for range most - 1 {
			l.release(1)
		}
		flood(5)
		if _, inUse, waiting := l.now(); inUse > 2 || waiting <= queue {
			t.Errorf("%d have a slot and %d wait: a full queue takes those that wait for their turn only", inUse, waiting)
		}
		flood(most)
		if l.full(2) {
			t.Error("caller 2 would be refused")
		}
		begun := time.Now()
		if err := l.acquire(t.Context(), 2, nil, new(counters)); err != nil || time.Since(begun) > 0 {
			t.Errorf("after %v: %v", time.Since(begun), err)
		}
		cancel()
		time.Sleep(time.Second)
	})
}

func TestOneThatWaitsWithoutASlotDoesNotWaitForTheTurnsOfAnother(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const most = 64
		l := NewLimit(LimitConfig{Most: most})
		ctx, cancel := context.WithCancel(t.Context())
		ask := func(caller uint64, requests int) <-chan error {
			got := make(chan error, requests)
			for range requests {
				go func() { got <- l.acquire(ctx, caller, nil, new(counters)) }()
			}
			synctest.Wait()
			return got
		}
		ask(1, most-1+200)
		ask(3, 1)
		second := ask(2, 1)
		l.pace.gap = mostGap
		for range most - 1 {
			l.release(1)
		}
		l.release(3)
		synctest.Wait()
		if len(second) == 0 {
			_, inUse, _ := l.now()
			t.Errorf("it waits although %d of %d slots are taken", inUse, most)
		}
		cancel()
		time.Sleep(time.Second)
	})
}

func TestAPaceOfFewAnswersIsNone(t *testing.T) {
	for _, c := range []struct {
		slots int
		gap   time.Duration
		paced bool
	}{{leastPaced, mostGap, true}, {leastPaced - 1, mostGap, false}, {leastPaced, mostGap + 1, false}} {
		synctest.Test(t, func(t *testing.T) {
			l := NewLimit(LimitConfig{Most: c.slots})
			l.pace.gap = c.gap
			got := make(chan error, 2*c.slots)
			for range 2 * c.slots {
				go func() { got <- l.acquire(t.Context(), 0, nil, new(counters)) }()
			}
			synctest.Wait()
			for range c.slots {
				l.release(0)
			}
			synctest.Wait()
			if all := len(got) == 2*c.slots; all == c.paced {
				t.Errorf("%d slots and a gap of %v: %d of %d have one", c.slots, c.gap, len(got), 2*c.slots)
			}
			time.Sleep(time.Second)
		})
	}
}

func TestARequestThatFindsNoneWaitingWaitsForNoPace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := NewLimit(LimitConfig{Most: 100})
		saturate(l, 300, 50*time.Millisecond, time.Second)
		for range 5 {
			var stats counters
			for caller := range 100 {
				if err := l.acquire(t.Context(), uint64(caller+1), nil, &stats); err != nil {
					t.Fatal(err)
				}
			}
			for _, caller := range rand.Perm(100) {
				l.release(uint64(caller + 1))
			}
			if n := stats.waits.Load(); n != 0 {
				t.Fatalf("%d of 100 waited", n)
			}
		}
	})
}
