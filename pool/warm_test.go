package pool

import (
	"context"
	"errors"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"

	"hearth/internal/testing/await"
	"hearth/internal/testing/testnet"
	"hearth/pool/conn"
)

func (t *tester) warm(n int) {
	t.Helper()
	if err := t.pool.conns.Warm(t.Context(), n); err != nil {
		t.Errorf("Warm(%d): %v", n, err)
	}
}

func connections(s Stats) Stats {
	return Stats{Dials: s.Dials, DialErrors: s.DialErrors, Open: s.Open, Idle: s.Idle, InUse: s.InUse}
}

func TestWarmingOpensAsManyConnectionsAsAskedFor(t *testing.T) {
	for _, tc := range []struct{ ask, open int }{{0, 0}, {1, 1}, {4, 4}, {6, 6}, {100, 6}} {
		// An answer at once frees its connection for the next request, if that comes later.
		p := start(t, testnet.Config{}, func(http.ResponseWriter, *http.Request) {}, func(c *Config) { c.Size = 6 })
		p.warm(tc.ask)
		p.wantStats(Stats{Dials: int64(tc.open), Open: tc.open, Idle: tc.open}, connections)
	}
}

func TestWarmingOpensThemAtTheSameTime(t *testing.T) {
	const n = 4
	p := start(t, testnet.Config{TLS: true}, func(http.ResponseWriter, *http.Request) {}, func(c *Config) { c.Size = n })
	here, all := atomic.Int64{}, make(chan struct{})
	p.onDial(func(ctx context.Context, dial conn.Dial) (*conn.Conn, error) {
		if here.Add(1) == n {
			close(all)
		}
		select {
		case <-all:
			return dial(ctx)
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	})
	p.warm(n)
	p.wantStats(Stats{Handshakes: n, Open: n, Idle: n}, func(s Stats) Stats {
		return Stats{Requests: s.Requests, Handshakes: s.Handshakes, Open: s.Open, Idle: s.Idle}
	})
}

func TestOverHTTP2OneConnectionIsWarmth(t *testing.T) {
	p := start(t, testnet.Config{TLS: true, HTTP2: true}, func(_ http.ResponseWriter, r *http.Request) {
		if r.ProtoMajor != 2 {
			t.Errorf("%s is spoken", r.Proto)
		}
	}, nil)
	p.warm(5)
	await.That(t, "one connection is left", func() bool { return p.pool.Stats().Open == 1 })
	dials := p.pool.Stats().Dials
	p.warm(5)
	p.get("/")
	if s := p.pool.Stats(); s.Open != 1 || s.Dials != dials {
		t.Errorf("after more of it %d are open, %d were dialled", s.Open, s.Dials-dials)
	}
}

func TestWarmingAddsToWhatIsOpen(t *testing.T) {
	p := start(t, testnet.Config{}, func(http.ResponseWriter, *http.Request) {}, nil)
	p.get("/")
	p.warm(3)
	p.wantStats(Stats{Dials: 3, Open: 3, Idle: 3}, connections)
	p.warm(3)
	p.warm(2)
	p.wantStats(Stats{Dials: 3, Open: 3, Idle: 3}, connections)
}

func TestConcurrentWarmingDoesNotStandInItsOwnWay(t *testing.T) {
	p := start(t, testnet.Config{}, func(http.ResponseWriter, *http.Request) {}, nil)
	var all sync.WaitGroup
	for range 4 {
		all.Go(func() { p.warm(5) })
	}
	all.Wait()
	p.wantStats(Stats{Dials: 5, Open: 5, Idle: 5}, connections)
}

func TestAConnectionThatCannotBeOpenedLeavesTheOthers(t *testing.T) {
	const n = 4
	p := start(t, testnet.Config{}, func(http.ResponseWriter, *http.Request) {}, func(c *Config) { c.Size = n })
	refused := errors.New("refused")
	dials := atomic.Int64{}
	p.onDial(func(ctx context.Context, dial conn.Dial) (*conn.Conn, error) {
		if dials.Add(1) == 1 {
			return nil, refused
		}
		return dial(ctx)
	})
	if err := p.pool.conns.Warm(t.Context(), n); !errors.Is(err, refused) {
		t.Errorf("got %v", err)
	}
	p.wantStats(Stats{Dials: n - 1, Open: n - 1, Idle: n - 1}, connections)
	p.warm(n)
	p.wantStats(Stats{Dials: n, Open: n, Idle: n}, connections)
}

func TestWarmingEndsWithItsContextAndItsDialsGoOn(t *testing.T) {
	const n = 3
	p := start(t, testnet.Config{}, func(http.ResponseWriter, *http.Request) {}, nil)
	begun, goOn := make(chan struct{}, n), make(chan struct{})
	p.onDial(func(ctx context.Context, dial conn.Dial) (*conn.Conn, error) {
		begun <- struct{}{}
		<-goOn
		return dial(ctx)
	})
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- p.pool.conns.Warm(ctx, n) }()
	for range n {
		<-begun
	}
	cancel()
	if err := <-ended; !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	close(goOn)
	await.That(t, "all are open", func() bool { return p.pool.Stats().Idle == n })
}

// One cancelled request must not cost more than its own connection.
func TestACancelledRequestLeavesTheOthersWarm(t *testing.T) {
	arrived, pair := make(chan struct{}), newBarrier(2)
	p := start(t, testnet.Config{}, func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/hang":
			close(arrived)
			<-r.Context().Done()
		case "/pair":
			pair.wait(w, r)
		}
	}, func(c *Config) { c.Size = 3 })
	p.warm(3)
	ctx, cancel := context.WithCancel(t.Context())
	go func() { <-arrived; cancel() }()
	if err := p.fails(ctx, Request{Method: http.MethodGet, Path: "/hang"}); !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
	await.That(t, "its connection is closed", func() bool { return p.pool.Stats().Open <= 2 })
	var both sync.WaitGroup
	for range 2 {
		both.Go(func() { p.get("/pair") })
	}
	both.Wait()
	p.wantStats(Stats{Dials: 3, Open: 2, Idle: 2}, connections)
}
