package pool

import (
	"context"
	"errors"
	"net/http"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"hearth/internal/clock"
	"hearth/internal/testnet"
)

// lease takes n connections at once.
func (s *sandbox) lease(n int) (leases []lease) {
	s.Helper()
	for range n {
		l, err := s.pool.conns.get(s.Context(), want{})
		if err != nil {
			s.Fatal(err)
		}
		leases = append(leases, l)
	}
	return leases
}

// answer sends a request over each of the connections, which are free again then.
func (s *sandbox) answer(leases []lease) {
	s.Helper()
	for _, l := range leases {
		req, err := http.NewRequestWithContext(s.Context(), http.MethodGet, s.server.URL, nil)
		if err != nil {
			s.Fatal(err)
		}
		if _, err := s.pool.send(s.Context(), l, req); err != nil {
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
	dial, n := s.pool.conns.dial, atomic.Int64{}
	s.pool.conns.dial = func(ctx context.Context) (*dialed, error) {
		if n.Add(1) == 1 {
			return nil, errors.New("refused")
		}
		return dial(ctx)
	}
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
	dial, n := s.pool.conns.dial, atomic.Int64{}
	s.pool.conns.dial = func(ctx context.Context) (*dialed, error) {
		if n.Add(1) == 1 {
			s.freeze(time.Minute)
			return nil, errors.New("no route to host")
		}
		return dial(ctx)
	}
	s.want(http.StatusOK, write())
	s.wantConns(1, 1)
}

func TestDialsFromBeforeAFreezeAreNoWarmth(t *testing.T) {
	s := newSandbox(t, testnet.Config{}, nil)
	dial, n, begun := s.pool.conns.dial, atomic.Int64{}, make(chan struct{}, 5)
	s.pool.conns.dial = func(ctx context.Context) (*dialed, error) {
		if n.Add(1) <= 5 {
			begun <- struct{}{}
			<-ctx.Done()
			return nil, ctx.Err()
		}
		return dial(ctx)
	}
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

func TestOwnRequestsDoNotTellHowManyConnectionsAreNeeded(t *testing.T) {
	s := newSandbox(t, testnet.Config{}, func(c *Config) { c.MaxIdle = time.Minute })
	if _, err := s.pool.Do(Own(t.Context()), Request{Method: http.MethodGet, Path: "/"}); err != nil {
		t.Fatal(err)
	}
	s.freeze(time.Hour)
	if err := s.pool.Warm(t.Context()); err != nil {
		t.Fatal(err)
	}
	s.wantDefences(Stats{Dials: 6, Open: 5}) // as before the first request of a caller
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

func TestTheTimeOfACallBeginsAgainAFewTimesOnly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const most = 3 * time.Second
		begun := time.Now()
		ctx, cancel := patience(t.Context(), most, clock.NewPulse(nil)) // without Run every silence is a freeze
		defer cancel()
		<-ctx.Done()
		if took := time.Since(begun); took != 3*most || !errors.Is(context.Cause(ctx), context.DeadlineExceeded) {
			t.Errorf("it ended after %v: %v", took, context.Cause(ctx))
		}
	})
}

func TestAWriteTakesNoConnectionWhoseOtherEndIsGone(t *testing.T) {
	s := newSandbox(t, testnet.Config{}, nil)
	s.get("/")
	s.pool.conns.open[0].lost = func() bool { return true }
	s.want(http.StatusOK, write())
	s.wantConns(2, 2)
}
