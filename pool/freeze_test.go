package pool

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"hearth/internal/clock"
	"hearth/internal/testing/await"
	"hearth/internal/testing/testnet"
	"hearth/pool/conn"
)

// sandbox is a pool in a process that a test freezes, before an upstream whose connections a test breaks.
type sandbox struct {
	*tester
	pulse *clock.Pulse

	mu     sync.Mutex
	frozen time.Duration     // guarded by mu; what the wall clock is ahead
	seen   map[string]int    // guarded by mu; requests answered or swallowed, by connection
	broken map[string]string // guarded by mu; how a connection is broken: "hang", "cut", or "halfway" in an answer
	hung   chan struct{}     // an element for each request swallowed

	hangAll atomic.Bool // on every connection
}

func newSandbox(t *testing.T, net testnet.Config, change func(*Config)) *sandbox {
	s := &sandbox{seen: map[string]int{}, broken: map[string]string{}, hung: make(chan struct{}, 100)}
	system := clock.System()
	s.pulse = clock.NewPulse(func() clock.Instant {
		now := system()
		s.mu.Lock()
		defer s.mu.Unlock()
		now.Wall = now.Wall.Add(s.frozen)
		return now
	})
	var beating sync.WaitGroup
	beating.Go(func() { s.pulse.Run(t.Context(), func() {}) })
	t.Cleanup(beating.Wait)
	s.tester = start(t, net, func(w http.ResponseWriter, r *http.Request) {
		s.mu.Lock()
		s.seen[r.RemoteAddr]++
		how := s.broken[r.RemoteAddr]
		if s.hangAll.Load() {
			how = "hang"
		}
		s.mu.Unlock()
		_, _ = io.Copy(io.Discard, r.Body)
		switch how {
		case "hang":
			s.hung <- struct{}{}
			<-r.Context().Done()
		case "cut":
			panic(http.ErrAbortHandler)
		case "halfway":
			_, _ = io.WriteString(w, "o")
			_ = http.NewResponseController(w).Flush()
			panic(http.ErrAbortHandler)
		}
		_, _ = io.WriteString(w, "ok")
	}, func(c *Config) {
		c.Pulse, c.Retries, c.Timeout = s.pulse, -1, 10*time.Second
		if change != nil {
			change(c)
		}
	})
	return s
}

// freeze lets the sandbox stand still, as Lambda does: only the wall clock goes on.
func (s *sandbox) freeze(d time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.frozen += d
}

// breaks what is open now.
func (s *sandbox) breaks(how string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for addr := range s.seen {
		s.broken[addr] = how
	}
}

// wantConns compares how many requests each connection has seen, in any order.
func (s *sandbox) wantConns(conns, requests int) {
	s.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	n := 0
	for _, r := range s.seen {
		n += r
	}
	if len(s.seen) != conns || n != requests {
		s.Errorf("%d connections have seen %d requests, want %d and %d", len(s.seen), n, conns, requests)
	}
}

// wantDefences compares what the pool did about broken connections, once those that lost a race are closed.
func (s *sandbox) wantDefences(want Stats) {
	s.Helper()
	var got Stats
	await.That(s, fmt.Sprintf("the statistics are %+v", want), func() bool {
		now := s.pool.Stats()
		got = Stats{Races: now.Races, Replays: now.Replays, Dials: now.Dials, Open: now.Open}
		return got.Open <= want.Open
	})
	if got != want {
		s.Errorf("statistics\n got %+v\nwant %+v", got, want)
	}
}

func write() Request { return Request{Method: http.MethodPost, Path: "/", Body: []byte("x")} }

func TestAfterAFreezeASafeCallDoesNotWaitForADeadConnection(t *testing.T) {
	for _, tc := range []struct {
		name string
		net  testnet.Config
		grpc bool
	}{
		{"HTTP/1.1", testnet.Config{TLS: true}, false},
		{"HTTP/2", testnet.Config{TLS: true, HTTP2: true}, false},
		{"gRPC", testnet.Config{TLS: true, HTTP2: true}, true},
		{"gRPC without TLS", testnet.Config{HTTP2: true}, true},
	} {
		t.Run(tc.name, func(t *testing.T) {
			s := newSandbox(t, tc.net, func(c *Config) { c.GRPC = tc.grpc })
			s.get("/")
			s.freeze(time.Second)
			s.breaks("hang")
			begun := time.Now()
			s.get("/")
			if took := time.Since(begun); took > 5*time.Second {
				t.Errorf("it took %v", took)
			}
			s.wantDefences(Stats{Races: 1, Dials: 2, Open: 1})
			s.get("/") // over the one that is alive
			s.wantConns(2, 4)
			s.wantDefences(Stats{Races: 1, Dials: 2, Open: 1})
			if n := s.pool.Stats().Failures; n != 0 {
				t.Errorf("%d tries count as failed", n)
			}
		})
	}
}

func TestAConnectionThatSurvivesAFreezeProvesItself(t *testing.T) {
	s := newSandbox(t, testnet.Config{}, nil)
	s.get("/")
	s.freeze(time.Second)
	s.get("/")
	s.want(http.StatusOK, write())
	s.wantConns(1, 3)
	s.wantDefences(Stats{Dials: 1, Open: 1})
}

func TestAfterAFreezeAWriteTakesNoRisk(t *testing.T) {
	s := newSandbox(t, testnet.Config{}, nil)
	s.get("/")
	s.freeze(time.Second)
	s.breaks("hang")
	s.want(http.StatusOK, write())
	s.wantConns(2, 2)
	s.want(http.StatusOK, write())
	s.wantConns(2, 3)
}

func TestAConnectionIdleForTooLongIsNotUsed(t *testing.T) {
	s := newSandbox(t, testnet.Config{}, func(c *Config) { c.MaxIdle = 2 * time.Second })
	s.get("/")
	s.freeze(3 * time.Second)
	s.breaks("hang")
	s.get("/")
	s.wantConns(2, 2)
	s.wantDefences(Stats{Dials: 2, Open: 1})
}

func TestASafeCallIsReplayedOnceWhenAnOpenConnectionBreaks(t *testing.T) {
	s := newSandbox(t, testnet.Config{}, nil)
	s.get("/")
	s.breaks("cut")
	s.get("/")
	s.wantDefences(Stats{Replays: 1, Dials: 2, Open: 1})

	s.breaks("cut")
	if err := s.fails(t.Context(), write()); !err.Sent {
		t.Error("a write that may have arrived counts as unsent")
	}
	s.wantConns(2, 4)
}

// The connection was alive, so the answer would break off again: retries may send the request again, within their budget.
func TestASafeCallIsNotReplayedIfItsAnswerBreaksOff(t *testing.T) {
	for name, network := range map[string]testnet.Config{"HTTP/1.1": {}, "HTTP/2": {TLS: true, HTTP2: true}} {
		t.Run(name, func(t *testing.T) {
			s := newSandbox(t, network, nil)
			s.get("/")
			s.breaks("halfway")
			if err := s.fails(t.Context(), Request{Method: http.MethodGet, Path: "/"}); !err.Sent {
				t.Errorf("it counts as unsent: %v", err)
			}
			s.wantConns(1, 2)
		})
	}
}

func TestWithoutTheDefencesAFreezeIsSeen(t *testing.T) {
	t.Parallel() // it waits
	s := newSandbox(t, testnet.Config{}, func(c *Config) { c.Policy.NoRace, c.Timeout = true, time.Second })
	s.get("/")
	s.freeze(time.Second)
	s.breaks("hang")
	if err := s.fails(t.Context(), Request{Method: http.MethodGet, Path: "/"}); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("without the race: %v", err)
	}
	s = newSandbox(t, testnet.Config{}, func(c *Config) { c.Policy.NoReplay = true })
	s.get("/")
	s.breaks("cut")
	if err := s.fails(t.Context(), Request{Method: http.MethodGet, Path: "/"}); !err.Sent {
		t.Errorf("without the replay: %v", err)
	}
}

func TestARequestOnItsWaySurvivesAFreeze(t *testing.T) {
	s := newSandbox(t, testnet.Config{}, nil)
	s.get("/")
	s.breaks("hang")
	go func() {
		<-s.hung
		s.freeze(time.Hour)
	}()
	s.get("/")
	s.wantDefences(Stats{Races: 1, Dials: 2, Open: 1})
}

func TestAFreezeIsNoRoundTrip(t *testing.T) {
	s := newSandbox(t, testnet.Config{}, nil)
	s.get("/")
	leases := s.lease(1)
	s.freeze(time.Second)
	s.answer(leases)
	if n := s.pool.Stats().RoundTrip.Count; n != 1 {
		t.Errorf("%d round trips are counted, want the one before", n)
	}
}

func TestWhoWaitsForADialThatAFreezeHasBrokenGetsAnother(t *testing.T) {
	s := newSandbox(t, testnet.Config{}, nil)
	n := 0
	s.onDial(func(ctx context.Context, dial conn.Dial) (*conn.Conn, error) {
		if n++; n == 1 { // one dial at a time
			s.freeze(time.Minute)
			<-ctx.Done()
			return nil, ctx.Err()
		}
		return dial(ctx)
	})
	s.get("/")
	s.want(http.StatusOK, write())
	s.wantConns(1, 2)
}

func TestAfterAFreezeThePoolIsAsWarmAsBefore(t *testing.T) {
	s := newSandbox(t, testnet.Config{TLS: true}, func(c *Config) { c.MaxIdle = time.Minute })
	if err := s.pool.Warm(t.Context()); err != nil {
		t.Fatal(err)
	}
	s.wantDefences(Stats{Dials: 5, Open: 5})
	s.answer(s.lease(3))
	s.freeze(time.Hour)
	if err := s.pool.Warm(t.Context()); err != nil {
		t.Fatal(err)
	}
	s.wantDefences(Stats{Dials: 8, Open: 3}) // as many as were in use at once
}

func TestAfterAFreezeASharedConnectionIsPinged(t *testing.T) {
	s := newSandbox(t, testnet.Config{TLS: true, HTTP2: true}, nil)
	s.get("/")
	s.freeze(time.Second)
	s.breaks("hang")
	if err := s.pool.Warm(t.Context()); err != nil {
		t.Fatal(err)
	}
	s.want(http.StatusOK, write())
	s.wantDefences(Stats{Races: 1, Dials: 2, Open: 1})
}

// One death hits all the requests on a connection: each is sent again, and they share the new connection as they did
// the old one.
func TestRequestsThatShareADeadConnectionShareTheNext(t *testing.T) {
	const callers = 5
	s := newSandbox(t, testnet.Config{TLS: true, HTTP2: true}, func(c *Config) { c.GRPC = true })
	s.get("/")
	s.freeze(time.Second)
	s.breaks("hang")
	may := make(chan struct{})
	s.onDial(func(ctx context.Context, dial conn.Dial) (*conn.Conn, error) {
		<-may
		return dial(ctx)
	})
	var all sync.WaitGroup
	for range callers {
		all.Go(func() { s.get("/") })
	}
	await.That(t, "all have waited in vain", func() bool { return s.pool.Stats().Races == callers })
	close(may)
	all.Wait()
	s.wantConns(2, 1+2*callers)
	s.wantDefences(Stats{Races: callers, Dials: 2, Open: 1})
}

// A write is not looked after: it is its timeout that tells.
func TestASharedConnectionThatIsSilentFailsNoSecondRequest(t *testing.T) {
	t.Parallel() // it waits
	s := newSandbox(t, testnet.Config{TLS: true, HTTP2: true}, func(c *Config) { c.GRPC, c.Timeout = true, time.Second })
	s.get("/")
	s.breaks("hang")
	if err := s.fails(t.Context(), write()); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("the first one fails with %v", err)
	}
	await.That(t, "the connection is given up", func() bool { return s.pool.Stats().Open == 0 })
	s.get("/")
	s.wantDefences(Stats{Dials: 2, Open: 1})
}

// The answer was in the kernel before the freeze: it says nothing of the connection since.
func TestAnAnswerThatAFreezeHasPassedOverProvesNothing(t *testing.T) {
	s := newSandbox(t, testnet.Config{}, nil)
	leases := s.lease(1)
	s.freeze(time.Second)
	s.answer(leases)
	s.breaks("hang")
	s.want(http.StatusOK, write())
	s.wantDefences(Stats{Dials: 2, Open: 2})
}

// An upstream that takes minutes to answer must not make a dead connection cost minutes.
func TestTheWaitForADeadConnectionIsBoundedHoweverSlowTheUpstream(t *testing.T) {
	s := newSandbox(t, testnet.Config{}, nil)
	s.get("/")
	for range 10 {
		s.pool.stats.roundTrips.add(time.Minute)
	}
	s.freeze(time.Second)
	s.breaks("hang")
	begun := time.Now()
	s.get("/")
	if took := time.Since(begun); took < longestWait || took > 5*time.Second {
		t.Errorf("it took %v", took)
	}
	s.wantDefences(Stats{Races: 1, Dials: 2, Open: 1})
}
