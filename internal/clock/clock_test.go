package clock

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"
	"pgregory.net/rapid"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestTheClockThatSaysMoreCounts(t *testing.T) {
	at := Instant{Wall: time.Unix(1000, 0), Mono: 10 * time.Second}
	for name, tc := range map[string]struct {
		now  Instant
		want time.Duration
	}{
		"both":                                {Instant{time.Unix(1003, 0), 13 * time.Second}, 3 * time.Second},
		"the monotonic one stood still":       {Instant{time.Unix(4600, 0), 11 * time.Second}, time.Hour},
		"the wall clock was set back":         {Instant{time.Unix(500, 0), 17 * time.Second}, 7 * time.Second},
		"both say that no time has passed":    {at, 0},
		"the system's clocks before they ran": {Instant{time.Unix(999, 0), 9 * time.Second}, -time.Second},
	} {
		if got := tc.now.Since(at); got != tc.want {
			t.Errorf("%s: %v, want %v", name, got, tc.want)
		}
	}
}

func TestTheMachinesClocksAreTwo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		now := System()
		then := now()
		if !then.Wall.Equal(time.Now()) || then.Wall != then.Wall.Round(0) { // else it would be compared by the monotonic one
			t.Errorf("the wall clock says %v at %v", then.Wall, time.Now())
		}
		time.Sleep(time.Minute)
		if got := now(); got.Mono-then.Mono != time.Minute || got.Wall.Sub(then.Wall) != time.Minute {
			t.Errorf("a minute is %v and %v", got.Mono-then.Mono, got.Wall.Sub(then.Wall))
		}
		for name, p := range map[string]*Pulse{"NewPulse": NewPulse(nil), "Awake": Awake()} {
			then := p.Now()
			time.Sleep(time.Minute)
			if got := p.Now(); got.Mono-then.Mono != time.Minute || got.Wall.Sub(then.Wall) != time.Minute {
				t.Errorf("%s: a minute is %v and %v", name, got.Mono-then.Mono, got.Wall.Sub(then.Wall))
			}
		}
	})
}

func TestAnAwakeProcessIsNeverFrozen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := Awake()
		freeze := p.After(0)
		time.Sleep(1000 * time.Hour)
		if n := p.Freezes(); n != 0 {
			t.Errorf("%d freezes", n)
		}
		select {
		case <-freeze:
			t.Error("a freeze is told")
		default:
		}
	})
}

func TestAFreezeIsToldToWhoeverWaitsForIt(t *testing.T) {
	h := &hands{Instant{Wall: time.Unix(1000, 0)}}
	p := NewPulse(func() Instant { return h.Instant })
	told := func(freeze <-chan struct{}) bool {
		select {
		case <-freeze:
			return true
		default:
			return false
		}
	}
	first := p.After(0)
	if told(first) {
		t.Error("a freeze is told before there was one")
	}
	h.pass(Gap, 0)
	p.Now()
	if second := p.After(1); !told(first) || !told(p.After(0)) || told(second) {
		t.Errorf("told of the first: %v, after it: %v, of the second: %v", told(first), told(p.After(0)), told(second))
	}
}

// hands are clocks that a test sets.
type hands struct{ Instant }

func (h *hands) pass(wall, mono time.Duration) {
	h.Wall, h.Mono = h.Wall.Add(wall), h.Mono+mono
}

func TestAGapOnEitherClockIsAFreeze(t *testing.T) {
	h := &hands{Instant{Wall: time.Unix(1000, 0)}}
	p := NewPulse(func() Instant { return h.Instant })
	for _, step := range []struct {
		what       string
		wall, mono time.Duration
		want       uint64
	}{
		{"a beat", Beat, Beat, 0},
		{"almost a gap", Gap - 1, Gap - 1, 0},
		{"a gap", Gap, Gap, 1},
		{"no time", 0, 0, 1},
		{"a frozen machine, whose monotonic clock stands still", time.Hour, time.Millisecond, 2},
		{"a wall clock set back", -time.Hour, Beat, 2},
		{"a stopped process whose wall clock is set back", -time.Minute, Gap, 3},
		{"a wall clock set forward", Gap, Beat, 4},
	} {
		h.pass(step.wall, step.mono)
		if got := p.Freezes(); got != step.want {
			t.Fatalf("%s: %d, want %d", step.what, got, step.want)
		}
	}
}

func TestNothingGetsYoungerThanItIs(t *testing.T) {
	h := &hands{Instant{Wall: time.Unix(1e9, 0)}}
	p := NewPulse(func() Instant { return h.Instant })
	then := p.Now()
	var passed time.Duration
	for _, step := range []struct {
		what             string
		wall, mono, true time.Duration
	}{
		{"awake", time.Second, time.Second, time.Second},
		{"the wall clock is set back", time.Second - time.Hour, time.Second, time.Second},
		{"frozen, and the monotonic clock stands still", time.Minute, 0, time.Minute},
		{"the wall clock is set forward", time.Second + time.Hour, time.Second, time.Second},
		{"frozen again", time.Minute, 0, time.Minute},
		{"both clocks are set back", -time.Hour, -time.Hour, 0},
	} {
		h.pass(step.wall, step.mono)
		passed += step.true
		now := p.Now()
		if !now.Wall.Equal(h.Wall) {
			t.Errorf("%s: the wall clock says %v, not %v", step.what, now.Wall, h.Wall)
		}
		if got := now.Since(then); got < passed {
			t.Errorf("%s: %v old after %v", step.what, got, passed)
		}
	}
}

func TestReadingsSoonAfterEachOtherAddUp(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		h := &hands{Instant{Wall: time.Unix(1e9, 0)}}
		p := NewPulse(func() Instant { return h.Instant })
		step := rapid.OneOf(rapid.Int64Range(0, int64(2*soon)), rapid.Int64Range(0, int64(2*Gap)))
		var passed time.Duration
		var least, most uint64 // freezes
		last, awake := p.Read(), p.TimeAwake()
		for n := range rapid.IntRange(1, 50).Draw(t, "steps") {
			d := time.Duration(step.Draw(t, "passed"))
			wall, mono := d, d
			switch rapid.IntRange(0, 3).Draw(t, "clock") {
			case 0:
				mono = 0 // stands still
			case 1:
				wall = -time.Duration(step.Draw(t, "back"))
			}
			h.pass(wall, mono)
			passed += d
			if d >= Gap+slightly {
				least++
			}
			if d >= Gap-soon-slightly {
				most++
			}
			now, nowAwake := p.Read(), p.TimeAwake()
			if now.Mono < last.Mono || now.Frozen < last.Frozen || nowAwake < awake {
				t.Fatalf("%+v and %v after %+v and %v", now, nowAwake, last, awake)
			}
			if now.Mono < passed-time.Duration(n+1)*slightly {
				t.Fatalf("%v is told of %v", now.Mono, passed)
			}
			if now.Freezes < least || now.Freezes > most {
				t.Fatalf("%d freezes, want %d to %d", now.Freezes, least, most)
			}
			last, awake = now, nowAwake
		}
	})
}

func TestReadingsOfManyGoroutinesHaveAnOrder(t *testing.T) {
	var frozen atomic.Int64 // by how much the wall clock is ahead
	system := System()
	p := NewPulse(func() Instant {
		now := system()
		now.Wall = now.Wall.Add(time.Duration(frozen.Load()))
		return now
	})
	p.gap = time.Hour // longer than any test stands still
	const freezes = 50
	ctx, stop := context.WithCancel(t.Context())
	var mu sync.Mutex
	last := p.Read()
	var all sync.WaitGroup
	for range 4 {
		all.Go(func() {
			for ctx.Err() == nil {
				before := p.Read()
				mu.Lock()
				now := p.Read()
				for _, then := range []Reading{before, last} {
					if now.Mono < then.Mono || now.Freezes < then.Freezes || now.Frozen < then.Frozen {
						t.Errorf("%+v after %+v", now, then)
					}
				}
				last = now
				mu.Unlock()
			}
		})
	}
	for range freezes {
		time.Sleep(time.Millisecond)
		frozen.Add(int64(2 * time.Hour))
		p.Freezes() // often another goroutine has noticed it already
	}
	stop()
	all.Wait()
	if n := p.Freezes(); n != freezes {
		t.Errorf("%d freezes, want %d", n, freezes)
	}
}

func TestABeatingPulseTellsOfFreezesAndNotOfIdleness(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var lag atomic.Int64 // of the wall clock
		system := System()
		p := NewPulse(func() Instant {
			now := system()
			now.Wall = now.Wall.Add(time.Duration(lag.Load()))
			return now
		})
		ctx, cancel := context.WithCancel(t.Context())
		told, done := 0, make(chan struct{})
		go func() { defer close(done); p.Run(ctx, func() { told++ }) }()

		time.Sleep(time.Hour)
		if n := p.Freezes(); n != 0 || told != 0 {
			t.Errorf("an idle hour counts as %d freezes, told %d", n, told)
		}
		for range 3 {
			lag.Add(int64(time.Minute))
			p.Freezes() // a request's; Run must hear of it
			time.Sleep(time.Nanosecond)
			synctest.Wait()
		}
		lag.Add(int64(time.Minute))
		time.Sleep(Beat) // nobody's request
		synctest.Wait()
		if n := p.Freezes(); n != 4 || told != 4 {
			t.Errorf("%d freezes, told %d, want 4", n, told)
		}
		cancel()
		<-done
	})
}

func TestFreezesDuringACallAreToldOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var lag atomic.Int64 // of the wall clock
		system := System()
		p := NewPulse(func() Instant {
			now := system()
			now.Wall = now.Wall.Add(time.Duration(lag.Load()))
			return now
		})
		ctx, cancel := context.WithCancel(t.Context())
		told, goOn, done := 0, make(chan struct{}), make(chan struct{})
		go func() { defer close(done); p.Run(ctx, func() { told++; <-goOn }) }()
		for range 5 { // the first is being told
			lag.Add(int64(time.Minute))
			p.Freezes()
			synctest.Wait()
		}
		for range 3 {
			select {
			case goOn <- struct{}{}:
			case <-time.After(time.Minute):
			}
			synctest.Wait()
		}
		cancel()
		<-done
		if told != 2 {
			t.Errorf("told %d times of 5 freezes, 4 of them during the first call", told)
		}
	})
}

func TestATimeoutThatIsCancelledEndsAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		parent, leave := context.WithCancel(t.Context())
		ctx, cancel := Awake().WithTimeout(parent, time.Minute)
		cancel()
		if !errors.Is(context.Cause(ctx), context.Canceled) {
			t.Errorf("cancelled: %v", context.Cause(ctx))
		}
		ctx, cancel = Awake().WithTimeout(parent, time.Minute)
		defer cancel()
		leave()
		if !errors.Is(context.Cause(ctx), context.Canceled) {
			t.Errorf("the parent is cancelled: %v", context.Cause(ctx))
		}
	})
}

func TestATimeoutBeginsAgainAfterAFreeze(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const most = 3 * time.Second
		pulse := NewPulse(nil)
		pulsing, stop := context.WithCancel(t.Context())
		defer stop()
		go pulse.Run(pulsing, func() {})
		begun := time.Now()
		ctx, cancel := pulse.WithTimeout(t.Context(), most)
		defer cancel()
		<-ctx.Done()
		if took := time.Since(begun); took != most || !errors.Is(context.Cause(ctx), context.DeadlineExceeded) {
			t.Errorf("awake it ended after %v: %v", took, context.Cause(ctx))
		}
	})
	synctest.Test(t, func(t *testing.T) {
		const most = 3 * time.Second
		pulse := NewPulse(nil) // without Run every silence is a freeze
		begun := time.Now()
		ctx, cancel := pulse.WithTimeout(t.Context(), most)
		defer cancel()
		time.Sleep(most + time.Second/2)
		if ctx.Err() != nil {
			t.Fatal("the freeze counts")
		}
		pulse.Freezes()
		for range 20 { // awake
			time.Sleep(most / 20)
			pulse.Freezes()
		}
		if took := time.Since(begun); ctx.Err() == nil {
			t.Errorf("awake again it goes on after %v", took)
		}
	})
}

func TestATimeoutBeginsAgainAFewTimesOnly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const most = 3 * time.Second
		begun := time.Now()
		ctx, cancel := NewPulse(nil).WithTimeout(t.Context(), most) // without Run every silence is a freeze
		defer cancel()
		<-ctx.Done()
		if took := time.Since(begun); took != 3*most || !errors.Is(context.Cause(ctx), context.DeadlineExceeded) {
			t.Errorf("it ended after %v: %v", took, context.Cause(ctx))
		}
	})
}

func TestATimeoutWithinAnInvocationBeginsAgainOnlyAfterItsEnd(t *testing.T) {
	const most = 2 * time.Second
	for left, want := range map[time.Duration]time.Duration{
		3 * time.Second: most,     // the invocation may still wait: what looked like a freeze may be a starved process
		2 * time.Second: 3 * most, // it is over
		0:               3 * most,
	} {
		synctest.Test(t, func(t *testing.T) {
			begun := time.Now()
			ctx, cancel := NewPulse(nil).WithTimeoutIn(t.Context(), most, left) // without Run every silence is a freeze
			defer cancel()
			<-ctx.Done()
			if took := time.Since(begun); took != want || !errors.Is(context.Cause(ctx), context.DeadlineExceeded) {
				t.Errorf("with %v left it ended after %v: %v", left, took, context.Cause(ctx))
			}
		})
	}
}

func TestATimeoutThatIsOverEndsAtOnce(t *testing.T) {
	ctx, cancel := Awake().WithTimeout(t.Context(), 0)
	defer cancel()
	if !errors.Is(context.Cause(ctx), context.DeadlineExceeded) {
		t.Errorf("it ends with %v", context.Cause(ctx))
	}
}
