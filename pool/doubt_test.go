package pool

import (
	"context"
	"errors"
	"io"
	"maps"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"hearth/internal/testing/await"
	"hearth/internal/testing/testnet"
	"hearth/pool/conn"
)

// lease takes n connections at once.
func (s *sandbox) lease(n int) (leases []*conn.Lease) {
	s.Helper()
	for range n {
		l, err := s.pool.conns.Take(s.Context(), conn.Need{})
		if err != nil {
			s.Fatal(err)
		}
		leases = append(leases, l)
	}
	return leases
}

// answer sends a request over each of the connections, which are free again then.
func (s *sandbox) answer(leases []*conn.Lease) {
	s.Helper()
	for _, l := range leases {
		req, err := http.NewRequestWithContext(s.Context(), http.MethodGet, s.server.URL, nil)
		if err != nil {
			s.Fatal(err)
		}
		if _, err := s.pool.race.next.(*sender).send(s.Context(), l, req); err != nil {
			s.Fatal(err)
		}
	}
}

func TestAReplayTakesANewConnection(t *testing.T) {
	s := newSandbox(t, testnet.Config{}, nil)
	s.answer(s.lease(3))
	s.breaks("cut")
	s.get("/")
	s.wantDefences(Stats{Replays: 1, Dials: 4, Open: 3})
}

func TestWhereASecondConnectionCannotBeHadAnotherIsTried(t *testing.T) {
	s := newSandbox(t, testnet.Config{}, nil)
	s.get("/")
	s.freeze(time.Second)
	s.breaks("hang")
	n := atomic.Int64{}
	s.onDial(func(ctx context.Context, dial conn.Dial) (*conn.Conn, error) {
		if n.Add(1) == 1 {
			return nil, errors.New("refused")
		}
		return dial(ctx)
	})
	s.get("/")
	s.wantDefences(Stats{Races: 2, Dials: 2, Open: 1})
}

func TestASecondFreezeIsSurvivedLikeTheFirst(t *testing.T) {
	s := newSandbox(t, testnet.Config{}, nil)
	s.get("/")
	s.freeze(time.Second)
	s.breaks("hang")
	s.hangAll.Store(true)
	go func() {
		<-s.hung // over the first connection
		<-s.hung // over the second
		s.hangAll.Store(false)
		s.freeze(time.Second)
	}()
	s.get("/")
	s.wantDefences(Stats{Races: 2, Dials: 3, Open: 1})
}

func TestAConnectionInUseOverAFreezeHasBeenIdleSinceBeforeIt(t *testing.T) {
	s := newSandbox(t, testnet.Config{}, func(c *Config) { c.MaxIdle = time.Minute })
	leases := s.lease(1)
	s.freeze(time.Hour)
	s.answer(leases)
	s.breaks("hang")
	s.get("/")
	s.wantDefences(Stats{Dials: 2, Open: 1})
}

func TestADialThatAFreezeHasBrokenIsNobodysFailure(t *testing.T) {
	s := newSandbox(t, testnet.Config{}, nil)
	n := atomic.Int64{}
	s.onDial(func(ctx context.Context, dial conn.Dial) (*conn.Conn, error) {
		if n.Add(1) == 1 {
			s.freeze(time.Minute)
			return nil, errors.New("no route to host")
		}
		return dial(ctx)
	})
	s.want(http.StatusOK, write())
	s.wantConns(1, 1)
}

func TestDialsFromBeforeAFreezeAreNoWarmth(t *testing.T) {
	s := newSandbox(t, testnet.Config{}, nil)
	n, begun := atomic.Int64{}, make(chan struct{}, 5)
	s.onDial(func(ctx context.Context, dial conn.Dial) (*conn.Conn, error) {
		if n.Add(1) <= 5 {
			begun <- struct{}{}
			<-ctx.Done()
			return nil, ctx.Err()
		}
		return dial(ctx)
	})
	go func() { _ = s.pool.Warm(t.Context()) }()
	for range 5 {
		<-begun
	}
	s.freeze(time.Minute)
	if err := s.pool.Warm(t.Context()); err != nil {
		t.Fatal(err)
	}
	s.wantDefences(Stats{Dials: 5, Open: 5})
}

func TestABackgroundRequestIsNoFirstUse(t *testing.T) {
	s := newSandbox(t, testnet.Config{}, func(c *Config) { c.MaxIdle = time.Minute })
	if _, err := s.pool.Do(With(t.Context(), Options{Background: true}), Request{Method: http.MethodGet, Path: "/"}); err != nil {
		t.Fatal(err)
	}
	s.freeze(time.Hour)
	if err := s.pool.Warm(t.Context()); err != nil {
		t.Fatal(err)
	}
	s.wantDefences(Stats{Dials: 6, Open: 5}) // as before the first request of a caller
}

func TestBackgroundRequestsDoNotTellHowManyConnectionsAreNeeded(t *testing.T) {
	s := newSandbox(t, testnet.Config{}, func(c *Config) { c.MaxIdle = time.Minute })
	if err := s.pool.Warm(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := s.pool.Do(With(t.Context(), Options{Background: true}), Request{Method: http.MethodGet, Path: "/"}); err != nil {
		t.Fatal(err)
	}
	s.freeze(time.Hour)
	if err := s.pool.Warm(t.Context()); err != nil {
		t.Fatal(err)
	}
	s.wantDefences(Stats{Dials: 10, Open: 5}) // as before the first request of a caller
	s.get("/")
	s.freeze(time.Hour)
	if err := s.pool.Warm(t.Context()); err != nil {
		t.Fatal(err)
	}
	s.wantDefences(Stats{Dials: 11, Open: 1}) // now a caller has used one at a time
}

func TestBeforeASnapshotNoConnectionIsKept(t *testing.T) {
	for name, net := range map[string]testnet.Config{"HTTP/1.1": {TLS: true}, "HTTP/2": {TLS: true, HTTP2: true}} {
		t.Run(name, func(t *testing.T) {
			s := newSandbox(t, net, func(c *Config) { c.KeepFrom = 1 })
			if err := s.pool.Warm(t.Context()); err != nil {
				t.Fatal(err)
			}
			s.wantDefences(Stats{})
			s.get("/")
			s.wantDefences(Stats{Dials: 1})
			s.get("/")
			if n := s.pool.Stats().Resumed; n != 0 {
				t.Errorf("%d TLS sessions are resumed that would be in the snapshot", n)
			}
			if err := s.pool.Warm(t.Context()); err != nil {
				t.Fatal(err)
			}
			if n := s.pool.Stats().Open; n != 0 {
				t.Fatalf("%d connections would be in the snapshot", n)
			}
			s.freeze(time.Second)
			s.get("/")
			if n := s.pool.Stats().Open; n != 1 {
				t.Errorf("after it %d connections are kept", n)
			}
			if err := s.pool.Warm(t.Context()); err != nil {
				t.Fatal(err)
			}
			if n, all := s.pool.Stats().Open, 5; n != all && !net.HTTP2 {
				t.Errorf("after the first warm-up %d connections are open", n)
			}
		})
	}
}

func TestAWriteTakesNoConnectionWhoseOtherEndIsGone(t *testing.T) {
	s := newSandbox(t, testnet.Config{}, nil)
	_, loseAll := s.dialed()
	s.get("/")
	loseAll()
	s.want(http.StatusOK, write())
	s.wantConns(2, 2)
}

// deadOnArrival makes the first so many dials bring a connection that is closed already.
func (t *tester) deadOnArrival(first int64) {
	n := atomic.Int64{}
	t.onDial(func(ctx context.Context, dial conn.Dial) (*conn.Conn, error) {
		d, err := dial(ctx)
		if err == nil && n.Add(1) <= first {
			_ = d.Close()
		}
		return d, err
	})
}

func TestAConnectionClosedAtOnceIsAFailureAtOnce(t *testing.T) {
	h := func(http.ResponseWriter, *http.Request) {}
	p := start(t, testnet.Config{}, h, func(c *Config) { c.Timeout = time.Minute })
	p.deadOnArrival(2)
	p.want(http.StatusOK, write()) // certainly not sent: tried again

	p = start(t, testnet.Config{}, h, func(c *Config) { c.Timeout, c.Retries = time.Minute, -1 })
	p.deadOnArrival(1)
	if err := p.fails(t.Context(), write()); err.Sent || !errors.Is(err, conn.ErrClosedAtOnce) {
		t.Errorf("sent: %v, %v", err.Sent, err)
	}
}

// sharing is a connection that says that it carries many requests.
type sharing struct{ conn.Link }

func (s sharing) Available() int { return 100 * s.Link.Available() }

func TestWhereConnectionsAreNoLongerSharedEveryoneGetsOne(t *testing.T) {
	const callers = 4
	together := newBarrier(callers)
	p := start(t, testnet.Config{}, together.wait, func(c *Config) { c.Timeout = time.Minute })
	var before *conn.Conn
	p.onDial(func(ctx context.Context, dial conn.Dial) (*conn.Conn, error) { // the upstream spoke HTTP/2 before
		c, err := dial(ctx)
		if err == nil {
			c.Link = sharing{c.Link}
			before = c
		}
		return c, err
	})
	p.warm(1)
	p.onDial(nil)
	_ = before.Close()
	if _, shared := p.pool.conns.WarmTarget(); !shared {
		t.Fatal("the first connection does not count as shared")
	}
	var all sync.WaitGroup
	for range callers {
		all.Go(func() { p.get("/") })
	}
	all.Wait()
}

func TestAConnectionInDoubtIsNotClosedUnderAnother(t *testing.T) {
	s := newSandbox(t, testnet.Config{TLS: true, HTTP2: true}, nil)
	leases := s.lease(2) // both on one
	s.freeze(time.Second)
	leases[0].Drop()
	s.answer(leases[1:])
	s.wantDefences(Stats{Dials: 1})
}

func TestACallThatHasEndedTakesNoConnection(t *testing.T) {
	s := newSandbox(t, testnet.Config{}, nil)
	s.get("/")
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if err := s.fails(ended, write()); err.Sent {
		t.Error("it counts as sent")
	}
	s.wantDefences(Stats{Dials: 1, Open: 1})
}

func TestAWarmUpCountsNoConnectionWhoseOtherEndIsGone(t *testing.T) {
	s := newSandbox(t, testnet.Config{}, nil)
	_, loseAll := s.dialed()
	if err := s.pool.Warm(t.Context()); err != nil {
		t.Fatal(err)
	}
	loseAll()
	if err := s.pool.Warm(t.Context()); err != nil {
		t.Fatal(err)
	}
	s.wantDefences(Stats{Dials: 10, Open: 5})
}

func TestWhoWaitsGetsNoConnectionThatWasIdleForTooLong(t *testing.T) {
	s := newSandbox(t, testnet.Config{}, func(c *Config) { c.MaxIdle = time.Minute })
	leases := s.lease(1)
	dialing, may := make(chan struct{}), make(chan struct{})
	s.onDial(func(ctx context.Context, dial conn.Dial) (*conn.Conn, error) {
		close(dialing)
		<-may
		return dial(ctx)
	})
	s.freeze(time.Hour)
	var waits sync.WaitGroup
	waits.Go(func() { s.get("/") })
	<-dialing
	s.answer(leases) // its answer was in the kernel: it says nothing of the connection
	s.breaks("hang")
	close(may)
	waits.Wait()
	s.wantDefences(Stats{Dials: 2, Open: 1})
}

// A copy that a dead connection has kept back could undo the write after it.
func TestAfterAFreezeARepeatableWriteIsSentOnce(t *testing.T) {
	s := newSandbox(t, testnet.Config{}, nil)
	s.get("/")
	s.freeze(time.Second)
	s.breaks("hang")
	req := write()
	req.Repeatable = true
	if _, err := s.pool.Do(With(t.Context(), Options{Proven: true}), req); err != nil {
		t.Fatal(err)
	}
	s.wantConns(2, 2)
	s.wantDefences(Stats{Dials: 2, Open: 2})
}

func TestARaceTellsNothingOfHowManyConnectionsAreNeeded(t *testing.T) {
	s := newSandbox(t, testnet.Config{}, nil)
	s.get("/")
	if err := s.pool.Warm(t.Context()); err != nil {
		t.Fatal(err)
	}
	s.freeze(time.Second)
	s.hangAll.Store(true)
	go func() {
		<-s.hung
		s.hangAll.Store(false)
	}()
	s.get("/")
	if n, _ := s.pool.conns.WarmTarget(); n != 1 {
		t.Errorf("one caller at a time needs %d connections", n)
	}
}

// Whether the connection or the end comes first is up to chance: over so many rounds both happen.
func TestACallerThatLeavesAsItsConnectionComesLeavesItIdle(t *testing.T) {
	p := start(t, testnet.Config{}, func(http.ResponseWriter, *http.Request) {}, func(c *Config) { c.Size = 1 })
	leave, opened := make(chan context.CancelFunc, 1), make(chan *conn.Conn, 1)
	p.onDial(func(ctx context.Context, dial conn.Dial) (*conn.Conn, error) {
		c, err := dial(ctx)
		opened <- c
		(<-leave)()
		return c, err
	})
	for range 200 {
		ctx, cancel := context.WithCancel(t.Context())
		leave <- cancel
		if l, err := p.pool.conns.Take(ctx, conn.Need{}); err == nil {
			l.Drop()
		}
		await.That(t, "the connection is idle", func() bool { s := p.pool.Stats(); return s.Open == 1 && s.Idle == 1 })
		_ = (<-opened).Close()
		await.That(t, "it is closed", func() bool { return p.pool.Stats().Open == 0 })
	}
}

func TestTheDialOfACallerThatLeftServesTheNext(t *testing.T) {
	p := start(t, testnet.Config{}, func(http.ResponseWriter, *http.Request) {}, nil)
	dialing, may := make(chan struct{}), make(chan struct{})
	p.onDial(func(ctx context.Context, dial conn.Dial) (*conn.Conn, error) {
		close(dialing)
		<-may
		return dial(ctx)
	})
	ctx, cancel := context.WithCancel(t.Context())
	left := make(chan error, 1)
	go func() { _, err := p.pool.Do(ctx, write()); left <- err }()
	<-dialing
	cancel()
	if err := <-left; !errors.Is(err, context.Canceled) {
		t.Errorf("the caller that left got %v", err)
	}
	next := make(chan struct{})
	go func() { p.get("/"); close(next) }()
	await.That(t, "the next call waits", func() bool { return p.pool.Stats().InUse == 1 })
	close(may)
	<-next
	p.wantStats(Stats{Dials: 1, Open: 1, Idle: 1}, connections)
}

// So those that are not needed become idle for too long.
func TestTheConnectionUsedLastIsUsedNext(t *testing.T) {
	s := newSandbox(t, testnet.Config{}, nil)
	s.answer(s.lease(3))
	for range 4 {
		s.get("/")
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if counts := slices.Sorted(maps.Values(s.seen)); !slices.Equal(counts, []int{1, 1, 5}) {
		t.Errorf("the connections have seen %v requests", counts)
	}
}

// The caller's end says nothing of the connection, and others may be on it.
func TestACallerThatLeavesKeepsASharedConnection(t *testing.T) {
	s := newSandbox(t, testnet.Config{TLS: true, HTTP2: true}, nil)
	s.get("/")
	s.breaks("hang")
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		<-s.hung
		cancel()
	}()
	if err := s.fails(ctx, write()); !errors.Is(err, context.Canceled) {
		t.Errorf("the call ended with %v", err)
	}
	s.wantDefences(Stats{Dials: 1, Open: 1})
}

func TestAnAnswerThatIsTooLargeProvesItsConnection(t *testing.T) {
	s := newSandbox(t, testnet.Config{TLS: true, HTTP2: true}, func(c *Config) { c.Answers = NewAnswers(2, 2) })
	s.get("/") // "ok"
	s.freeze(time.Second)
	s.pool.race.next.(*sender).answers = NewAnswers(1, 1)
	if err := s.fails(t.Context(), Request{Method: http.MethodGet, Path: "/"}); !errors.Is(err, ErrTooLarge) {
		t.Fatal(err)
	}
	s.pool.race.next.(*sender).answers = NewAnswers(2, 2)
	s.want(http.StatusOK, write())
	s.wantDefences(Stats{Dials: 1, Open: 1})
}

func TestABodyThatCannotBeReadAgainGivesItsConnectionBack(t *testing.T) {
	s := newSandbox(t, testnet.Config{}, nil)
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, s.server.URL, nil)
	if err != nil {
		t.Fatal(err)
	}
	req.GetBody = func() (io.ReadCloser, error) { return nil, errBroken }
	for range 2 {
		if resp, err := s.pool.race.next.RoundTrip(req); !errors.Is(err, errBroken) {
			t.Errorf("got %v, %v", resp, err)
		}
		s.wantStats(Stats{Dials: 1, Open: 1, Idle: 1}, connections)
	}
	s.get("/")
	s.wantStats(Stats{Dials: 1, Open: 1, Idle: 1}, connections)
}

func TestARequestWhoseCallerLeavesAsItsConnectionComesIsNotSent(t *testing.T) {
	s := newSandbox(t, testnet.Config{}, nil)
	s.get("/")
	before := s.pool.Stats().Requests
	sent := new(atomic.Int64)
	ctx, cancel := context.WithCancelCause(t.Context())
	ctx = With(ctx, Options{Sent: sent, taken: func(taken) { cancel(errBroken) }})
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, s.server.URL, http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := s.pool.race.next.RoundTrip(req)
	if _, unsent := errors.AsType[*conn.UnsentError](err); !unsent || !errors.Is(err, errBroken) || resp != nil || sent.Load() != 0 {
		t.Errorf("got %v, %v, sent %d times", resp, err, sent.Load())
	}
	if n := s.pool.Stats().Requests - before; n != 0 {
		t.Errorf("%d requests were counted", n)
	}
	s.wantStats(Stats{Dials: 1, Open: 1, Idle: 1}, connections)
}
