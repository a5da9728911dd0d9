package conn

import (
	"context"
	"errors"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"hearth/internal/clock"
	"hearth/internal/testing/await"
)

// fakeLink is a connection without a wire.
type fakeLink struct {
	Link // panics: nothing is sent over it

	mu       sync.Mutex
	capacity int   // guarded by mu
	busy     int   // guarded by mu
	err      error // guarded by mu
	refuses  bool  // guarded by mu; it looks free, and cannot be reserved
}

func (l *fakeLink) Reserve() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.refuses || l.err != nil || l.busy >= l.capacity {
		return errors.New("unavailable")
	}
	l.busy++
	return nil
}

func (l *fakeLink) Release() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.busy--
}

func (l *fakeLink) Available() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.err != nil {
		return 0
	}
	return l.capacity - l.busy
}

func (l *fakeLink) InFlight() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.busy
}

func (l *fakeLink) Err() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.err
}

func (l *fakeLink) Close() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.err = errors.New("closed")
	return nil
}

// quiet is a socket of which the kernel knows nothing.
type quiet struct{}

func (quiet) Lost() bool              { return false }
func (quiet) Sign(time.Duration) Sign { return Unknown }
func (quiet) Abort()                  {}
func (quiet) DropUnsent(bool)         {}

// dialer brings fake links.
type dialer struct {
	capacity int
	before   func(ctx context.Context, number int64) error // before a link comes; nil: nothing
	after    func(number int64, l *fakeLink)
	dials    atomic.Int64
	closed   func() (n int)
}

func (d *dialer) conns(t *testing.T, cfg Config) *Conns {
	var mu sync.Mutex
	var all []*fakeLink
	d.closed = func() (n int) {
		mu.Lock()
		defer mu.Unlock()
		for _, l := range all {
			if l.Err() != nil {
				n++
			}
		}
		return n
	}
	cfg.Dial = func(ctx context.Context) (*Conn, error) {
		number := d.dials.Add(1)
		if d.before != nil {
			if err := d.before(ctx, number); err != nil {
				return nil, err
			}
		}
		l := &fakeLink{capacity: max(1, d.capacity)}
		if d.after != nil {
			d.after(number, l)
		}
		mu.Lock()
		defer mu.Unlock()
		all = append(all, l)
		return &Conn{Link: l, Socket: quiet{}}, nil
	}
	cfg.Size = max(1, cfg.Size)
	if cfg.MaxIdle == 0 {
		cfg.MaxIdle = time.Minute
	}
	c := New(t.Context(), cfg)
	t.Cleanup(c.Close)
	return c
}

func take(t *testing.T, c *Conns, need Need) *Lease {
	t.Helper()
	l, err := c.Take(t.Context(), need)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// answer ends a lease as after an answer.
func (l *Lease) answer() {
	if !l.conn.shared {
		l.conn.Release()
	}
	l.Return(true, false)
}

func wantCounts(t *testing.T, c *Conns, open, idle int) {
	t.Helper()
	if o, i := c.Counts(); o != open || i != idle {
		t.Errorf("%d connections are open, %d of them idle, want %d and %d", o, i, open, idle)
	}
}

func TestALeaseTellsWhereItsConnectionComesFrom(t *testing.T) {
	var d dialer
	c := d.conns(t, Config{})
	fresh := take(t, c, Need{})
	if fresh.Reused || !fresh.Proven || fresh.Freezes != 0 {
		t.Errorf("a connection that was dialed for the request: %+v", fresh)
	}
	wantCounts(t, c, 1, 0)
	fresh.answer()
	wantCounts(t, c, 1, 1)
	if again := take(t, c, Need{}); !again.Reused || again.conn != fresh.conn {
		t.Errorf("the next request: %+v", again)
	}
	if other := take(t, c, Need{After: c.Newest()}); other.Reused || other.conn == fresh.conn {
		t.Errorf("a request that wants a new one: %+v", other)
	}
}

func TestAnIdleConnectionIsClosedInTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var d dialer
		c := d.conns(t, Config{Size: 2, MaxIdle: time.Minute})
		defer c.Close()
		first, second := take(t, c, Need{}), take(t, c, Need{})
		first.answer()
		time.Sleep(2*time.Minute + time.Second) // a sweep comes every minute
		synctest.Wait()
		wantCounts(t, c, 1, 0)
		second.answer()
		time.Sleep(time.Minute)
		synctest.Wait()
		wantCounts(t, c, 1, 1)
		time.Sleep(time.Minute)
		synctest.Wait()
		wantCounts(t, c, 0, 0)
		if d.closed() != 2 || len(c.conns) != 0 {
			t.Errorf("%d connections are closed, %d are remembered", d.closed(), len(c.conns))
		}
		take(t, c, Need{}).answer() // sweeps begin again
		time.Sleep(2*time.Minute + time.Second)
		synctest.Wait()
		wantCounts(t, c, 0, 0)
	})
}

func TestACallerThatLeavesGivesBackWhatCameForIt(t *testing.T) {
	var leave context.CancelFunc
	d := dialer{after: func(int64, *fakeLink) { leave() }}
	c := d.conns(t, Config{})
	for range 300 { // which comes first is up to chance
		var ctx context.Context
		ctx, leave = context.WithCancel(t.Context())
		if l, err := c.Take(ctx, Need{}); err == nil {
			l.answer()
		}
		leave()
		await.That(t, "the connection is idle", func() bool { open, idle := c.Counts(); return open == 1 && idle == 1 })
		c.mu.Lock()
		for _, conn := range c.conns {
			_ = conn.Close()
		}
		waiting := len(c.waiting)
		c.mu.Unlock()
		if waiting != 0 {
			t.Fatal("somebody waits who has left")
		}
	}
}

func TestAConnectionThatCannotBeReservedIsNoDeadEnd(t *testing.T) {
	d := dialer{after: func(number int64, l *fakeLink) { l.refuses = number == 1 }}
	c := d.conns(t, Config{})
	if _, err := c.Take(t.Context(), Need{}); !errors.Is(err, ErrClosedAtOnce) {
		t.Errorf("over a new one: %v", err)
	}
	second := take(t, c, Need{After: 1})
	second.answer()
	second.conn.Link.(*fakeLink).refuses = true
	third := take(t, c, Need{After: 1})
	if third.conn == second.conn || d.dials.Load() != 3 {
		t.Errorf("after %d dials: %+v", d.dials.Load(), third)
	}
	third.answer()
}

func TestADialThatPanicsIsAnError(t *testing.T) {
	d := dialer{before: func(context.Context, int64) error { panic("on purpose") }}
	c := d.conns(t, Config{})
	_, err := c.Take(t.Context(), Need{})
	if _, ok := errors.AsType[*UnsentError](err); !ok {
		t.Errorf("got %v", err)
	}
}

func TestADialHasNothingOfItsCaller(t *testing.T) {
	type key struct{}
	d := dialer{before: func(ctx context.Context, _ int64) error {
		if _, ends := ctx.Deadline(); ends || ctx.Err() != nil {
			t.Error("it ends with its caller")
		}
		return nil
	}}
	c := d.conns(t, Config{})
	ctx, cancel := context.WithTimeout(context.WithValue(t.Context(), key{}, 1), time.Minute)
	defer cancel()
	l, err := c.Take(ctx, Need{})
	if err != nil {
		t.Fatal(err)
	}
	l.Drop()
}

func TestClosingCancelsDialsAndTurnsAwayWhoWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := dialer{before: func(ctx context.Context, number int64) error {
			if number > 1 {
				<-ctx.Done()
				time.Sleep(time.Second) // it does not end at once
				return ctx.Err()
			}
			return nil
		}}
		c := d.conns(t, Config{Size: 2})
		held := take(t, c, Need{})
		ended := make(chan error, 2)
		for range 2 {
			go func() { _, err := c.Take(t.Context(), Need{}); ended <- err }()
		}
		synctest.Wait()
		begun := time.Now()
		c.Close()
		if took := time.Since(begun); took != time.Second {
			t.Errorf("closing took %v, want as long as the dials", took)
		}
		for range 2 {
			if err := <-ended; !errors.Is(err, ErrClosed) {
				t.Errorf("who waits gets %v", err)
			}
		}
		if d.closed() != 1 {
			t.Error("a connection in use stays open")
		}
		held.answer() // too late, and harmless
		if _, err := c.Take(t.Context(), Need{}); !errors.Is(err, ErrClosed) {
			t.Errorf("after the end: %v", err)
		}
		if err := c.Warm(t.Context(), 2); err != nil || d.dials.Load() != 3 {
			t.Errorf("a warm-up after the end: %v, %d dials", err, d.dials.Load())
		}
		wantCounts(t, c, 0, 0)
	})
}

func TestAfterAFreezeWhoWaitsHasAnotherDial(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		may := make(chan struct{})
		d := dialer{before: func(ctx context.Context, number int64) error {
			if number == 1 {
				<-ctx.Done() // the freeze has broken it
				return ctx.Err()
			}
			<-may
			return nil
		}}
		pulse := clock.NewPulse(nil) // without Run every silence of a gap is a freeze
		c := d.conns(t, Config{Pulse: pulse})
		defer c.Close()
		got := make(chan *Lease)
		go func() { got <- take(t, c, Need{Proven: true}) }()
		synctest.Wait()
		time.Sleep(clock.Gap)
		pulse.Freezes()
		synctest.Wait() // it waits again, and does not spin
		close(may)
		if l := <-got; l.Freezes != 1 || !l.Proven {
			t.Errorf("it got %+v", l)
		} else {
			l.answer()
		}
		wantCounts(t, c, 1, 1)
	})
}

func TestOneConnectionIsEnoughForAllWhereItIsShared(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		may := make(chan struct{})
		d := dialer{capacity: 100, before: func(context.Context, int64) error { <-may; return nil }}
		c := d.conns(t, Config{Shared: true, Size: 5})
		defer c.Close()
		var all sync.WaitGroup
		for range 5 {
			all.Go(func() { take(t, c, Need{}).answer() })
		}
		synctest.Wait()
		close(may)
		all.Wait()
		if n := d.dials.Load(); n != 1 {
			t.Errorf("%d dials", n)
		}
		wantCounts(t, c, 1, 1)
	})
}

func TestRequestsGoToTheLinkAsTheyAre(t *testing.T) {
	want := &http.Request{Method: http.MethodGet}
	l := &Lease{conn: &Conn{Link: sentTo(func(req *http.Request) {
		if req != want {
			t.Errorf("sent %+v", req)
		}
	})}}
	if _, err := l.RoundTrip(want); err == nil {
		t.Error("the error is lost")
	}
}

// sentTo is a connection that shows what is sent and fails.
type sentTo func(*http.Request)

func (f sentTo) RoundTrip(req *http.Request) (*http.Response, error) {
	f(req)
	return nil, errors.New("nobody there")
}
func (sentTo) Reserve() error { return nil }
func (sentTo) Release()       {}
func (sentTo) Available() int { return 1 }
func (sentTo) InFlight() int  { return 0 }
func (sentTo) Err() error     { return nil }
func (sentTo) Close() error   { return nil }

func TestNothingIsTakenAfterTheEnd(t *testing.T) {
	var d dialer
	ctx, end := context.WithCancel(t.Context())
	c := New(ctx, Config{Size: 1, MaxIdle: time.Minute, Dial: func(context.Context) (*Conn, error) {
		d.dials.Add(1)
		return &Conn{Link: &fakeLink{capacity: 1}, Socket: quiet{}}, nil
	}})
	defer c.Close()
	take(t, c, Need{}).answer()
	left, leave := context.WithCancelCause(t.Context())
	why := errors.New("left")
	leave(why)
	for range 20 { // whether an idle connection or the end were seen first would be up to chance
		if l, err := c.Take(left, Need{}); !errors.Is(err, why) {
			t.Fatalf("a caller that has left gets %v, %v", l, err)
		}
	}
	end()
	if l, err := c.Take(t.Context(), Need{}); !errors.Is(err, ErrClosed) {
		t.Errorf("after the end of what it belongs to: %v, %v", l, err)
	}
	if n := d.dials.Load(); n != 1 {
		t.Errorf("%d dials", n)
	}
}

func TestALeaseThatIsDroppedLeavesItsPlace(t *testing.T) {
	var d dialer
	c := d.conns(t, Config{})
	first := take(t, c, Need{})
	first.Drop()
	if next := take(t, c, Need{}); next.conn != first.conn || !next.Reused {
		t.Errorf("the next request got %+v", next)
	}
	_ = first.conn.Close()
	wantCounts(t, c, 0, 0) // it is known to be closed before the book hears of it
}

func TestAWarmUpEndsWithItsContext(t *testing.T) {
	ctx, leave := context.WithCancel(t.Context())
	d := dialer{before: func(ctx context.Context, _ int64) error {
		leave()
		<-ctx.Done()
		return ctx.Err()
	}}
	c := d.conns(t, Config{Size: 2})
	if err := c.Warm(ctx, 2); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}

func TestWhatIsTooManyAfterAFailedReservationIsClosed(t *testing.T) {
	d := dialer{after: func(number int64, l *fakeLink) { l.refuses = number == 2 }}
	c := d.conns(t, Config{Size: 1})
	take(t, c, Need{}).answer()
	if _, err := c.Take(t.Context(), Need{After: 1}); !errors.Is(err, ErrClosedAtOnce) {
		t.Errorf("got %v", err)
	}
	await.That(t, "the older one is closed", func() bool { return d.closed() == 1 })
}

func TestWhereAReservationFailsAnotherConnectionIsTaken(t *testing.T) {
	var d dialer
	c := d.conns(t, Config{Size: 2})
	first, second := take(t, c, Need{}), take(t, c, Need{})
	first.answer()
	second.answer()
	second.conn.Link.(*fakeLink).refuses = true
	if l := take(t, c, Need{}); l.conn != first.conn || d.dials.Load() != 2 {
		t.Errorf("it got %+v after %d dials", l, d.dials.Load())
	}
}
