package pool

import (
	"context"
	"slices"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"hearth/internal/clock"
)

// limitMachine does random things to a limit, and knows what must hold whatever is done.
type limitMachine struct {
	*rapid.T
	limit   *Limit
	taken   []uint64 // the callers of the slots that are taken
	waiting []*waiter
	leave   map[*waiter]context.CancelFunc
}

func (m *limitMachine) enter(t *rapid.T) {
	caller := rapid.Uint64Range(0, 3).Draw(t, "caller")
	ctx, cancel := context.WithCancel(context.Background())
	w := &waiter{ctx: ctx, caller: caller, got: make(chan struct{})}
	size, inUse, _ := m.limit.now()
	free := inUse < size || size > 1 && inUse < m.limit.cfg.Most
	second := caller != 0 && !slices.ContainsFunc(m.taken, func(c uint64) bool { return c == 0 || c == caller || c != m.taken[0] })
	got, full := m.limit.enter(w)
	if free && second && !got {
		t.Fatalf("caller %d gets no slot at once, although %d of %d are taken by one other", caller, inUse, size)
	}
	switch {
	case got:
		m.taken = append(m.taken, caller)
		cancel()
	case full:
		cancel()
		if len(m.waiting) < m.limit.cfg.Queue {
			t.Fatalf("refused with %d in the queue", len(m.waiting))
		}
	default:
		m.waiting = append(m.waiting, w)
		m.leave[w] = cancel
	}
	m.served(t)
}

func (m *limitMachine) sleep(t *rapid.T) {
	m.limit.pace.gap = time.Duration(rapid.Int64Range(0, int64(2*mostGap)).Draw(t, "gap"))
	m.pass(t, time.Duration(rapid.Int64Range(0, int64(2*mostGap)).Draw(t, "time")))
}

func (m *limitMachine) pass(t *rapid.T, d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
	m.served(t)
}

func (m *limitMachine) release(t *rapid.T) {
	if len(m.taken) == 0 {
		t.Skip("none is taken")
	}
	i := rapid.IntRange(0, len(m.taken)-1).Draw(t, "which")
	m.limit.release(m.taken[i])
	m.taken = slices.Delete(m.taken, i, i+1)
	m.served(t)
}

func (m *limitMachine) giveUp(t *rapid.T) {
	if len(m.waiting) == 0 {
		t.Skip("none waits")
	}
	i := rapid.IntRange(0, len(m.waiting)-1).Draw(t, "which")
	w := m.waiting[i]
	m.leave[w]()
	if rapid.Bool().Draw(t, "it leaves at once") {
		if !m.limit.leave(w) {
			t.Fatal("one that waits was not in the queue")
		}
		m.waiting = slices.Delete(m.waiting, i, i+1)
	}
}

func (m *limitMachine) learn(t *rapid.T) {
	o := rapid.SampledFrom([]outcome{noSign, well, broken, overloaded, silent}).Draw(t, "outcome")
	began := origin{m.limit.cfg.Pulse.TimeAwake() - time.Duration(rapid.IntRange(0, 1000).Draw(t, "ago"))*time.Millisecond, rapid.Bool().Draw(t, "quiet"), 0}
	before, _, waiting := m.limit.now()
	m.limit.learn(o, "", began)
	after, _, _ := m.limit.now()
	if after > before && (o != well || waiting == 0 || after != before+1) {
		t.Fatalf("%v with %d waiting makes %d of %d", o, waiting, after, before)
	}
	m.served(t)
}

// served finds those that have got a slot, and checks that they are the first ones of their callers.
func (m *limitMachine) served(t *rapid.T) {
	waits := map[uint64]bool{}
	m.waiting = slices.DeleteFunc(m.waiting, func(w *waiter) bool {
		select {
		case <-w.got:
			if waits[w.caller] {
				t.Fatal("a later one was served before an earlier one of the same caller")
			}
			if w.ctx.Err() != nil {
				t.Fatal("one that had given up was served")
			}
			m.taken = append(m.taken, w.caller)
			m.leave[w]()
			return true
		default:
			waits[w.caller] = waits[w.caller] || w.ctx.Err() == nil
			return false
		}
	})
}

func (m *limitMachine) check(t *rapid.T) {
	synctest.Wait()
	inTime := rapid.Bool().Draw(t, "there is time for the pace")
	if inTime {
		m.pass(t, time.Duration(len(m.waiting)+1)*2*mostGap)
	}
	size, inUse, waiting := m.limit.now()
	most := m.limit.cfg.Most
	if size < 1 || size > most || inUse > most || inUse != len(m.taken) || waiting != len(m.waiting) || waiting > m.limit.cfg.Queue+most {
		t.Fatalf("%d slots of %d, %d taken (%d), %d waiting (%d)", size, most, inUse, len(m.taken), waiting, len(m.waiting))
	}
	held := map[uint64]int{}
	for _, c := range m.taken {
		if c != 0 {
			held[c]++
		}
	}
	for caller, n := range held {
		if n != m.limit.held[caller] || most > 1 && n >= most {
			t.Fatalf("caller %d holds %d of %d (%d)", caller, n, most, m.limit.held[caller])
		}
	}
	for _, w := range m.waiting {
		if w.ctx.Err() != nil {
			continue
		}
		if inUse < min(size, most) && (w.caller == 0 || held[w.caller] == 0) && (inTime || !m.limit.pace.timed) {
			t.Fatalf("one waits although a slot is free: %d of %d", inUse, size)
		}
	}
}

func TestALimitKeepsItsRules(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		rapid.Check(struct{ testing.TB }{t}, keepsItsRules) // within a bubble a test has no deadline, and says so with a panic
	})
}

func keepsItsRules(t *rapid.T) {
	most := rapid.SampledFrom([]int{1, 2, 5, 8, leastPaced, leastPaced + 4}).Draw(t, "most")
	m := &limitMachine{T: t, leave: map[*waiter]context.CancelFunc{}, limit: NewLimit(LimitConfig{
		Start: rapid.SampledFrom([]int{1, (most + 1) / 2, most}).Draw(t, "start"), Most: most, Queue: rapid.IntRange(1, 6).Draw(t, "queue"), Pulse: clock.Awake(),
	})}
	t.Repeat(map[string]func(*rapid.T){"enter": m.enter, "release": m.release, "give up": m.giveUp, "learn": m.learn, "sleep": m.sleep, "": m.check})
	for _, cancel := range m.leave {
		cancel()
	}
}

// server is an upstream of so many workers, each of which serves one request at a time.
type server struct {
	workers chan struct{}
	each    time.Duration
}

func (s *server) serve() {
	s.workers <- struct{}{}
	time.Sleep(s.each)
	<-s.workers
}

// load makes so many calls at the same time, through the limit, each by a caller of its own, and returns how long all took.
func load(l *Limit, s *server, calls int) time.Duration {
	begun := time.Now()
	done := make(chan struct{})
	for caller := range calls {
		go func() {
			defer func() { done <- struct{}{} }()
			if l.acquire(context.Background(), uint64(caller+1), nil, new(counters)) != nil {
				return
			}
			defer l.release(uint64(caller + 1))
			began := l.begin()
			s.serve()
			l.learn(well, "", began)
		}()
	}
	for range calls {
		<-done
	}
	return time.Since(begun)
}

func TestTheLimitGrowsWithTheDemand(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const roundTrip = 60 * time.Millisecond
		l := NewLimit(LimitConfig{Start: 16, Most: 256})
		s := &server{workers: make(chan struct{}, 1000), each: roundTrip}
		if took := load(l, s, 256); took != 5*roundTrip { // 16, 32, 64, 128, 16
			t.Errorf("at first 256 calls take %v", took)
		}
		if size, _, _ := l.now(); size < 128 { // more than half of the calls need not wait the second time
			t.Errorf("%d slots", size)
		}
		for range 8 {
			load(l, s, 256)
		}
		if took := load(l, s, 256); took != roundTrip {
			t.Errorf("256 calls take %v", took)
		}
		if size, inUse, _ := l.now(); size != 256 || inUse != 0 {
			t.Errorf("%d slots, %d in use", size, inUse)
		}
	})
}

func TestTheLimitDoesNotGrowBeyondWhatTheUpstreamServes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := NewLimit(LimitConfig{Start: 2, Most: 32})
		s := &server{workers: make(chan struct{}, 4), each: 300 * time.Millisecond}
		load(l, s, 4)
		for range 5 {
			load(l, s, 40)
		}
		if size, _, _ := l.now(); size < 3 || size > 8 {
			t.Errorf("%d calls go to 4 workers at once", size)
		}
	})
}

func TestTheLimitFallsIfTheUpstreamIsLateAndNotIfThisProcessIs(t *testing.T) {
	for _, tc := range []struct {
		name           string
		process, reply time.Duration // how late each is
		falls          bool
	}{{"nobody", 0, 0, false}, {"the process", 100 * time.Millisecond, 0, false}, {"the upstream", 0, 150 * time.Millisecond, true}} {
		synctest.Test(t, func(t *testing.T) {
			var late atomic.Int64
			began := time.Now()
			l := NewLimit(LimitConfig{Start: 2, Most: 32, Pulse: clock.NewPulse(func() clock.Instant {
				return clock.Instant{Wall: time.Now(), Mono: time.Since(began) + time.Duration(late.Load())}
			})})
			s := &server{workers: make(chan struct{}, 1000), each: 50 * time.Millisecond}
			for range 8 {
				load(l, s, 32)
			}
			if size, _, _ := l.now(); size != 32 {
				t.Fatalf("%d slots before anything is late", size)
			}
			s.each += tc.reply
			go func() {
				time.Sleep(time.Millisecond)
				late.Add(int64(tc.process))
			}()
			load(l, s, 32)
			if size, _, _ := l.now(); (size < 32) != tc.falls {
				t.Errorf("%s is late: %d slots of 32", tc.name, size)
			}
		})
	}
}

func TestTheLimitFallsOnceInARoundTrip(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := NewLimit(LimitConfig{Most: 64})
		want := func(size int) {
			t.Helper()
			if got, _, _ := l.now(); got != size {
				t.Errorf("%d slots, want %d", got, size)
			}
		}
		round := func(o outcome) {
			began := l.begin()
			time.Sleep(50 * time.Millisecond)
			for range 64 {
				l.learn(o, "", began)
			}
			time.Sleep(time.Millisecond)
		}
		for _, size := range []int{32, 16, 8, 4, 2, 1, 1, 1} {
			round(overloaded)
			want(size)
		}
		l.queue = make([]*waiter, 0, 1)
		gone, leave := context.WithCancel(t.Context())
		leave()
		l.queue = append(l.queue, &waiter{ctx: gone}) // somebody waits
		for _, size := range []int{2, 3, 4} {
			round(well)
			want(size)
		}
		time.Sleep(slowGrowth)
		round(well)
		want(64)
	})
}

func TestOneCallerLeavesASlotToOthers(t *testing.T) {
	for _, tc := range []struct{ start, most, gets int }{{5, 5, 4}, {2, 2, 1}, {1, 1, 1}, {2, 8, 2}, {5, 64, 5}} {
		synctest.Test(t, func(t *testing.T) {
			l := &limitTester{T: t, Limit: NewLimit(LimitConfig{Start: tc.start, Most: tc.most})}
			ctx, leave := context.WithCancel(t.Context())
			for range 100 {
				l.callers.Go(func() { _ = l.acquire(ctx, 1, nil, &l.stats) })
			}
			synctest.Wait()
			if _, inUse, _ := l.now(); inUse != tc.gets {
				t.Errorf("of %d to %d slots one caller gets %d, want %d", tc.start, tc.most, inUse, tc.gets)
			}
			var got bool
			l.callers.Go(func() { got = l.acquire(ctx, 2, nil, &l.stats) == nil })
			synctest.Wait()
			if got != (tc.most > 1) {
				t.Errorf("of %d to %d slots another caller gets one: %v", tc.start, tc.most, got)
			}
			leave()
			l.callers.Wait()
		})
	}
}
