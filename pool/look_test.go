package pool

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"hearth/internal/testing/await"
	"hearth/internal/testing/testnet"
)

// dropped is a pool before a server far enough away that its flows can be dropped.
type dropped struct {
	*tester
	proxy    *testnet.Proxy
	requests atomic.Int64 // that the server has seen
}

type poolKind struct {
	name        string
	http2, grpc bool
}

func poolKinds() []poolKind {
	return []poolKind{{"HTTP1", false, false}, {"HTTP2", true, false}, {"gRPC", true, true}}
}

func newDropped(t *testing.T, http2, grpc bool, handle http.HandlerFunc, change func(*Config)) *dropped {
	t.Helper()
	d := new(dropped)
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		d.requests.Add(1)
		_, _ = io.Copy(io.Discard, r.Body)
		if handle != nil {
			handle(w, r)
		}
	}))
	server.EnableHTTP2 = http2
	server.StartTLS()
	t.Cleanup(server.Close)
	roots := x509.NewCertPool()
	roots.AddCert(server.Certificate())
	var err error
	if d.proxy, err = testnet.NewProxy(server.Listener.Addr().String(), time.Millisecond); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(d.proxy.Close)
	cfg := Config{
		Name: "upstream", URL: "https://" + strings.Replace(d.proxy.Addr(), "localhost", "127.0.0.1", 1), GRPC: grpc,
		RootCAs: func() *x509.CertPool { return roots }, Retries: -1, Timeout: 10 * time.Second,
	}
	if change != nil {
		change(&cfg)
	}
	d.tester = &tester{T: t, pool: newPool(t, cfg)}
	return d
}

// use opens so many connections with a request on each.
func (d *dropped) use(n int) {
	d.Helper()
	s := sandbox{tester: d.tester}
	s.server = &testnet.Server{URL: d.pool.base}
	s.answer(s.lease(n))
}

func TestADroppedFlowCostsASafeCallAQuarterOfASecondOnce(t *testing.T) {
	for _, kind := range poolKinds() {
		t.Run(kind.name, func(t *testing.T) {
			d := newDropped(t, kind.http2, kind.grpc, nil, nil)
			d.use(4)
			for range 20 {
				d.get("/")
			}
			usual := d.pool.stats.usual("")
			before := d.pool.Stats().Dials
			if err := d.proxy.Drop(); err != nil {
				t.Fatal(err)
			}
			var worst time.Duration
			for i := range 8 {
				begun := time.Now()
				d.get("/")
				took := time.Since(begun)
				worst = max(worst, took)
				if i > 0 && took >= leastLook {
					t.Errorf("call %d took %v", i, took)
				}
			}
			s := d.pool.Stats()
			t.Logf("flow dropped: usual_ms=%.1f worst_extra_ms=%.0f looks=%d dead=%d dials=%d", ms(usual), ms(worst-usual), s.Looks, s.Dead, s.Dials-before)
			if s.Dead != 1 || s.Failures != 0 || worst > 5*time.Second {
				t.Errorf("worst %v: %+v", worst, s)
			}
		})
	}
}

// The other end of the wire acknowledges what it swallows: only a ping tells.
func TestAConnectionThatIsSwallowedIsFoundByAPing(t *testing.T) {
	for _, kind := range poolKinds()[1:] {
		t.Run(kind.name, func(t *testing.T) {
			d := newDropped(t, kind.http2, kind.grpc, nil, nil)
			d.use(1)
			d.proxy.BlackHole()
			begun := time.Now()
			d.get("/")
			s := d.pool.Stats()
			t.Logf("swallowed: took_ms=%.0f", ms(time.Since(begun)))
			if took := time.Since(begun); took > 5*time.Second || s.Dead != 1 || s.Failures != 0 {
				t.Errorf("it took %v: %+v", took, s)
			}
		})
	}
}

// A busy Odoo answers no ping: it must not get the same call twice.
func TestAnUpstreamThatIsSilentWhileItIsBusyIsNotPinged(t *testing.T) {
	release := make(chan struct{})
	d := newDropped(t, true, false, hang(release, false), func(c *Config) {
		c.BusyIsSilent, c.Ping = true, Request{Method: http.MethodGet, Path: "/ping"}
	})
	d.use(1)
	before := d.requests.Load()
	go func() {
		await.That(t, "the connection was looked at twice", func() bool { return d.pool.Stats().Looks >= 2 })
		close(release)
	}()
	d.get("/slow")
	if s, n := d.pool.Stats(), d.requests.Load()-before; n != 1 || s.Dead != 0 {
		t.Errorf("the server has seen %d requests: %+v", n, s)
	}
}

// All calls on the connection learn of it at once, and each is sent again once.
func TestADeadConnectionCausesOneRound(t *testing.T) {
	const calls = 20
	d := newDropped(t, true, true, nil, func(c *Config) { c.Size = calls })
	d.use(1)
	if err := d.proxy.Drop(); err != nil {
		t.Fatal(err)
	}
	before := d.requests.Load()
	var all sync.WaitGroup
	for range calls {
		all.Go(func() { d.get("/") })
	}
	all.Wait()
	s := d.pool.Stats()
	if got := d.requests.Load() - before; got != calls || s.Dead != 1 || s.Dials != 2 || s.Replays != calls {
		t.Errorf("the server has seen %d requests of %d calls: %+v", got, calls, s)
	}
}

// hang answers requests once release is closed, and pings if they are to be answered.
func hang(release <-chan struct{}, pings bool) http.HandlerFunc {
	return func(_ http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/slow" || r.URL.Path == "/ping" && !pings {
			select {
			case <-release:
			case <-r.Context().Done():
			}
		}
	}
}

// A call to an upstream that is silent as a whole must not be sent again and again.
func TestASilentUpstreamIsAskedOnceMore(t *testing.T) {
	t.Parallel()
	for _, kind := range poolKinds() {
		t.Run(kind.name, func(t *testing.T) {
			t.Parallel() // it waits
			d := newDropped(t, kind.http2, kind.grpc, hang(nil, false), func(c *Config) {
				c.Timeout, c.Ping = 4*leastLook, Request{Method: http.MethodGet, Path: "/ping"}
			})
			d.use(1)
			var all sync.WaitGroup
			const calls = 3
			before := d.requests.Load()
			for range calls {
				all.Go(func() { _ = d.fails(t.Context(), Request{Method: http.MethodGet, Path: "/slow"}) })
			}
			all.Wait()
			_ = d.fails(t.Context(), Request{Method: http.MethodGet, Path: "/slow"})
			most := int64(calls + 1)
			if kind.http2 {
				most += calls + 1 // once more, and a ping
			}
			if got := d.requests.Load() - before; got > most {
				t.Errorf("%d requests for %d calls, want at most %d: %+v", got, calls+1, most, d.pool.Stats())
			}
		})
	}
}

func TestASlowCallIsHedgedWithinItsBudget(t *testing.T) {
	t.Parallel()
	for _, kind := range poolKinds() {
		t.Run(kind.name, func(t *testing.T) {
			t.Parallel() // it waits
			release := make(chan struct{})
			var slow atomic.Int64
			d := newDropped(t, kind.http2, kind.grpc, func(w http.ResponseWriter, r *http.Request) {
				if r.URL.Path == "/slow" && slow.Add(1)%2 == 1 { // the second copy is answered
					hang(release, true)(w, r)
				}
			}, func(c *Config) { c.Hedges, c.BusyIsSilent = NewBudget(nil), true }) // no ping, which a slow machine would answer too late
			defer close(release)
			d.use(1)
			for range 2 {
				d.get("/slow")
			}
			if s := d.pool.Stats(); s.Hedges != 2 || s.Dead != 0 || s.Failures != 0 {
				t.Errorf("%+v", s)
			}
			for d.pool.race.hedges.take() { // others use it up
			}
			ctx, cancel := context.WithTimeout(t.Context(), 2*leastLook)
			defer cancel()
			_ = d.fails(ctx, Request{Method: http.MethodGet, Path: "/slow"})
			if s := d.pool.Stats(); s.Hedges != 2 {
				t.Errorf("%d hedges", s.Hedges)
			}
		})
	}
}

func TestWhatIsNotHedged(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		hedge   bool
		request Request
		options Options
	}{
		"a call to an upstream that wants none": {false, Request{Method: http.MethodGet, Path: "/slow"}, Options{}},
		"a write":                               {true, Request{Method: http.MethodPost, Path: "/slow"}, Options{}},
		"a write that may be repeated":          {true, Request{Method: http.MethodPost, Path: "/slow", Repeatable: true}, Options{Proven: true}},
		"a call of a new kind":                  {true, Request{Method: http.MethodGet, Path: "/slow"}, Options{Kind: "new"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel() // it waits
			d := newDropped(t, true, true, hang(nil, true), func(cfg *Config) {
				cfg.BusyIsSilent = true // so that no ping is sent, which a slow machine would answer too late
				if cfg.Timeout = 3 * leastLook; c.hedge {
					cfg.Hedges = NewBudget(nil)
				}
			})
			d.use(1)
			before := d.requests.Load()
			if _, err := d.pool.Do(With(t.Context(), c.options), c.request); err == nil {
				t.Error("it is answered")
			}
			if s, n := d.pool.Stats(), d.requests.Load()-before; s.Looks == 0 && c.hedge || s.Hedges != 0 || s.Replays != 0 || n > 1 {
				t.Errorf("the server has seen %d requests: %+v", n, s)
			}
		})
	}
}

// No copy of a write that is sent again can arrive later.
func TestAWriteOnADeadConnectionIsSentAgainAfterTheConnectionIsAborted(t *testing.T) {
	for _, kind := range poolKinds() {
		t.Run(kind.name, func(t *testing.T) {
			var mu sync.Mutex
			var seen []string
			d := newDropped(t, kind.http2, kind.grpc, func(_ http.ResponseWriter, r *http.Request) {
				mu.Lock()
				defer mu.Unlock()
				seen = append(seen, r.URL.Path)
			}, nil)
			d.use(1)
			if err := d.proxy.Drop(); err != nil {
				t.Fatal(err)
			}
			ctx := With(t.Context(), Options{Proven: true})
			for i := range 3 {
				if _, err := d.pool.Do(ctx, Request{Method: http.MethodPut, Path: fmt.Sprint("/", i), Body: []byte("x"), Repeatable: true}); err != nil {
					t.Error(err)
				}
			}
			mu.Lock()
			defer mu.Unlock()
			if got := strings.Join(seen, " "); got != "/ /0 /1 /2" || d.pool.Stats().Dead != 1 {
				t.Errorf("the server has seen %s: %+v", got, d.pool.Stats())
			}
		})
	}
}

// A write to Odoo is never sent again: it waits on its dead connection until its time is over. Others must not wait for its slot.
func TestAWriteOnADeadConnectionKeepsNobodyWaiting(t *testing.T) {
	d := newDropped(t, false, false, nil, func(c *Config) { c.Size, c.Limit = 2, NewLimit(LimitConfig{Most: 2}) })
	d.use(2)
	if err := d.proxy.Drop(); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	var writes sync.WaitGroup
	for range 2 {
		writes.Go(func() {
			if _, err := d.pool.Do(ctx, Request{Method: http.MethodPost, Path: "/write", Body: []byte("x")}); !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("the write has ended: %v", err)
			}
		})
	}
	await.That(t, "both writes are under way", func() bool { return d.pool.Stats().InUse == 2 })
	d.get("/")
	if ctx.Err() != nil {
		t.Error("a read has waited for the writes")
	}
	writes.Wait()
	d.get("/") // a dead connection says nothing of the upstream
	if size, inUse, _ := d.pool.cfg.Limit.now(); size != 2 || inUse != 0 || d.pool.cfg.Limit.stuck != 0 {
		t.Errorf("%d of %d slots are taken, %d lent", inUse, size, d.pool.cfg.Limit.stuck)
	}
}
