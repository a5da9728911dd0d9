package pool

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"hearth/internal/clock"
)

// guarded is a pool in a bubble before an upstream without a wire. Its breaker asks probe.
type guarded struct {
	*testing.T
	pool   *Pool
	frozen *shift
	log    lines

	mu     sync.Mutex
	answer func(*http.Request) (*http.Response, error) // guarded by mu
	asked  int                                         // guarded by mu: requests that reached the upstream, without probes
	probed int                                         // guarded by mu
}

// lines are what was logged.
type lines struct {
	mu  sync.Mutex
	all []byte // guarded by mu
}

func (l *lines) Write(line []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.all = append(l.all, line...)
	return len(line), nil
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return string(l.all)
}

// shift is what the wall clock is ahead of the monotonic one, because the process was frozen.
type shift struct{ by atomic.Int64 }

func (s *shift) now() clock.Instant {
	now := time.Now()
	return clock.Instant{Wall: now.Add(time.Duration(s.by.Load())), Mono: time.Duration(now.UnixNano())}
}

func guardBubble(t *testing.T, change func(*Config), run func(*guarded)) {
	synctest.Test(t, func(t *testing.T) {
		g := &guarded{T: t, frozen: new(shift)}
		g.upstream(ok)
		pulse := clock.NewPulse(g.frozen.now)
		beating, stop := context.WithCancel(t.Context())
		var beats sync.WaitGroup
		beats.Go(func() { pulse.Run(beating, func() {}) })
		cfg := Config{Name: "upstream", URL: "http://127.0.0.1:1", Pulse: pulse, Retries: -1, Logger: slog.New(slog.NewTextHandler(&g.log, nil))}
		if change != nil {
			change(&cfg)
		}
		g.pool = newPool(t, cfg)
		g.pool.chain = newRetry(g.pool.guarded(g), g.pool.cfg, &g.pool.stats)
		run(g)
		g.pool.Close()
		stop()
		beats.Wait()
	})
}

// openBubble is a guardBubble whose breaker has opened, because the upstream is down.
func openBubble(t *testing.T, run func(*guarded)) {
	guardBubble(t, nil, func(g *guarded) {
		g.open()
		run(g)
	})
}

// open lets the upstream fail until the breaker opens.
func (g *guarded) open() {
	g.upstream(down)
	g.together(tooManyFailed, time.Second)
}

func (g *guarded) RoundTrip(req *http.Request) (*http.Response, error) {
	g.mu.Lock()
	if optionsOf(req.Context()).probe != nil {
		g.probed++
	} else {
		g.asked++
	}
	answer := g.answer
	g.mu.Unlock()
	return answer(req)
}

// upstream changes what the upstream makes of a request.
func (g *guarded) upstream(answer func(*http.Request) (*http.Response, error)) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.answer = answer
}

// seen is how many requests and probes have reached the upstream.
func (g *guarded) seen() (requests, probes int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.asked, g.probed
}

func ok(*http.Request) (*http.Response, error) { return answer(http.StatusOK, "", "")() }

func down(*http.Request) (*http.Response, error) {
	return answer(http.StatusServiceUnavailable, "", "")()
}

// never does not answer.
func never(req *http.Request) (*http.Response, error) {
	<-req.Context().Done()
	return nil, context.Cause(req.Context())
}

// freeze lets the wall clock go on alone, as a frozen sandbox sees it.
func (g *guarded) freeze(d time.Duration) {
	g.frozen.by.Add(int64(d))
	g.pool.cfg.Pulse.Freezes()
}

func (g *guarded) call(timeout time.Duration) error {
	ctx, cancel := context.WithTimeout(g.Context(), timeout)
	defer cancel()
	_, err := g.pool.Do(ctx, Request{Method: http.MethodGet, Path: "/"})
	return err
}

// write makes a call that must not be repeated.
func (g *guarded) write(timeout time.Duration) error {
	ctx, cancel := context.WithTimeout(g.Context(), timeout)
	defer cancel()
	_, err := g.pool.Do(ctx, Request{Method: http.MethodPost, Path: "/"})
	return err
}

// together makes n calls at the same time.
func (g *guarded) together(n int, timeout time.Duration) {
	var calls sync.WaitGroup
	for range n {
		calls.Go(func() { _ = g.call(timeout) })
	}
	calls.Wait()
}

func (g *guarded) wantState(want string) {
	g.Helper()
	synctest.Wait()
	if got := g.pool.Stats().Breaker.State; got != want {
		g.Errorf("the breaker is %s, want %s", got, want)
	}
}

func (g *guarded) wantRefused() {
	g.Helper()
	begun := time.Now()
	err := g.call(time.Minute)
	e, isOurs := errors.AsType[*Error](err)
	if !isOurs || !errors.Is(err, ErrOpen) || e.Sent || e.RetryAfter <= 0 || time.Since(begun) > 0 {
		g.Errorf("after %v: %+v, want an ErrOpen at once that was not sent", time.Since(begun), err)
	}
}

// invocations are as short as those of a handler that gives up when its call is refused, and between them the process is frozen. Each
// makes a call and then a write. It returns how long each call took, or -1 if both were answered.
func (g *guarded) invocations(n int) (took []time.Duration) {
	for range n {
		time.Sleep(5 * time.Millisecond)
		g.freeze(time.Minute)
		began := time.Now()
		err := g.call(3 * time.Second)
		spent := time.Since(began)
		switch wrote := g.write(3 * time.Second); {
		case err == nil && wrote == nil:
			took = append(took, -1)
		case errors.Is(err, ErrOpen) && errors.Is(wrote, ErrOpen):
			took = append(took, spent)
		default:
			g.Errorf("after %v: %v, %v", spent, err, wrote)
		}
	}
	return took
}
