package pool

import (
	"context"
	"crypto/x509"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"

	"go.uber.org/goleak"

	"hearth/internal/testing/testnet"
	"hearth/pool/conn"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// tester is one pool before one server.
type tester struct {
	*testing.T
	pool   *Pool
	server *testnet.Server
	hook   *dialHook
}

// dialHook is what a test does to the dials of a pool.
type dialHook struct {
	dial conn.Dial // without the hook

	mu   sync.Mutex
	hook func(ctx context.Context, dial conn.Dial) (*conn.Conn, error) // guarded by mu; nil: nothing
}

func (h *dialHook) wrap(cfg conn.DialConfig) conn.Dial {
	h.dial = conn.NewDial(cfg)
	return func(ctx context.Context) (*conn.Conn, error) {
		h.mu.Lock()
		hook := h.hook
		h.mu.Unlock()
		if hook == nil {
			return h.dial(ctx)
		}
		return hook(ctx, h.dial)
	}
}

// onDial makes every dial from now on go through hook.
func (t *tester) onDial(hook func(ctx context.Context, dial conn.Dial) (*conn.Conn, error)) {
	t.hook.mu.Lock()
	defer t.hook.mu.Unlock()
	t.hook.hook = hook
}

// dialed keeps the connections that are dialed from now on, so that a test can close them, or say that they are lost.
func (t *tester) dialed() (closeAll, loseAll func()) {
	var mu sync.Mutex
	var all []*conn.Conn
	var lost atomic.Bool
	t.onDial(func(ctx context.Context, dial conn.Dial) (*conn.Conn, error) {
		c, err := dial(ctx)
		if err == nil {
			was := lost.Load()
			c.Socket = losable{c.Socket, func() bool { return !was && lost.Load() }}
			mu.Lock()
			defer mu.Unlock()
			all = append(all, c)
		}
		return c, err
	})
	return func() {
		mu.Lock()
		defer mu.Unlock()
		for _, c := range all {
			_ = c.Close()
		}
	}, func() { lost.Store(true) }
}

// losable is a socket that is lost when a test says so.
type losable struct {
	conn.Socket

	lost func() bool
}

func (l losable) Lost() bool { return l.lost() }

// start serves h until the test ends and makes a pool before it, of which change may say more.
func start(t *testing.T, net testnet.Config, h http.HandlerFunc, change func(*Config)) *tester {
	t.Helper()
	s, err := testnet.Serve(h, net)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	cfg := Config{Name: "upstream", URL: s.URL}
	if s.CA != nil {
		roots := x509.NewCertPool()
		if !roots.AppendCertsFromPEM(s.CA) {
			t.Fatal("the authority is no PEM")
		}
		cfg.RootCAs = func() *x509.CertPool { return roots }
	}
	if change != nil {
		change(&cfg)
	}
	hook := new(dialHook)
	p, err := build(cfg, hook.wrap)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Close)
	return &tester{T: t, pool: p, server: s, hook: hook}
}

func newPool(t testing.TB, cfg Config) *Pool {
	t.Helper()
	p, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Close)
	return p
}

// get wants a GET to be answered with 200, and returns the body.
func (t *tester) get(path string) string {
	t.Helper()
	return t.want(http.StatusOK, Request{Method: http.MethodGet, Path: path})
}

func (t *tester) want(status int, req Request) string {
	t.Helper()
	resp, err := t.pool.Do(t.Context(), req)
	if err != nil {
		t.Errorf("%s %s: %v", req.Method, req.Path, err)
		return ""
	}
	if resp.Status != status {
		t.Errorf("%s %s answered %d %q, want %d", req.Method, req.Path, resp.Status, resp.Body, status)
	}
	return string(resp.Body)
}

// fails wants a request to bring no answer, and returns the error.
func (t *tester) fails(ctx context.Context, req Request) *Error {
	t.Helper()
	resp, err := t.pool.Do(ctx, req)
	e, ok := err.(*Error) //nolint:errorlint // Do promises this very type
	if !ok {
		t.Fatalf("%s %s: %v and error %v, want an *Error", req.Method, req.Path, resp, err)
	}
	if e.Upstream != t.pool.Name() {
		t.Errorf("the error names %q", e.Upstream)
	}
	return e
}

// wantStats compares the statistics that check picks.
func (t *tester) wantStats(want Stats, pick func(Stats) Stats) {
	t.Helper()
	if got := pick(t.pool.Stats()); got != want {
		t.Errorf("statistics\n got %+v\nwant %+v", got, want)
	}
}

// barrier is a handler's wait for n requests to be there at once.
type barrier struct {
	n    int
	mu   sync.Mutex
	here int // guarded by mu
	all  chan struct{}
}

func newBarrier(n int) *barrier { return &barrier{n: n, all: make(chan struct{})} }

func (b *barrier) wait(w http.ResponseWriter, r *http.Request) {
	b.mu.Lock()
	if b.here++; b.here == b.n {
		close(b.all)
	}
	b.mu.Unlock()
	select {
	case <-b.all:
	case <-r.Context().Done():
		w.WriteHeader(http.StatusTeapot)
	}
}
