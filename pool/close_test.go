package pool

import (
	"context"
	"errors"
	"net/http"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"hearth/internal/testing/await"
	"hearth/internal/testing/testnet"
	"hearth/pool/conn"
)

func TestClosingCancelsWhatIsInFlight(t *testing.T) {
	for name, net := range map[string]testnet.Config{"HTTP/1.1": {TLS: true}, "HTTP/2": {TLS: true, HTTP2: true}} {
		t.Run(name, func(t *testing.T) {
			const n = 4
			arrived := make(chan struct{}, n)
			p := start(t, net, func(_ http.ResponseWriter, r *http.Request) {
				arrived <- struct{}{}
				<-r.Context().Done()
			}, func(c *Config) { c.Size, c.Timeout = n, time.Minute })
			ended := make(chan error, n+2)
			do := func() {
				_, err := p.pool.Do(t.Context(), Request{Method: http.MethodPost, Path: "/"})
				ended <- err
			}
			for range n {
				go do()
			}
			for range n {
				<-arrived
			}
			for range 2 {
				go do()
			}
			await.That(t, "two more wait", func() bool { return p.pool.Stats().Queue == 2 })
			p.pool.Close()
			sent := 0
			for range n + 2 {
				err := <-ended
				e, ok := errors.AsType[*Error](err)
				if !ok || !errors.Is(err, ErrClosed) || errors.Is(err, context.Canceled) {
					t.Errorf("a call ended with %v", err)
				} else if e.Sent {
					sent++
				}
			}
			if sent != n {
				t.Errorf("%d calls say that they were sent, want %d", sent, n)
			}
			if s := p.pool.Stats(); s.Open != 0 || s.InUse != 0 || s.Idle != 0 || s.Queue != 0 {
				t.Errorf("left behind: %+v", s)
			}
		})
	}
}

func TestClosingWhileCallsComeAndGo(t *testing.T) {
	for name, net := range map[string]testnet.Config{"HTTP/1.1": {}, "HTTP/2": {TLS: true, HTTP2: true}} {
		t.Run(name, func(t *testing.T) {
			for range 20 {
				p := start(t, net, func(http.ResponseWriter, *http.Request) {}, func(c *Config) { c.Size = 2 })
				var callers sync.WaitGroup
				begun := make(chan struct{}, 8)
				for range cap(begun) {
					callers.Go(func() {
						for i := 0; ; i++ {
							_, err := p.pool.Do(t.Context(), Request{Method: http.MethodGet, Path: "/"})
							if i == 0 {
								begun <- struct{}{}
							}
							if errors.Is(err, ErrClosed) {
								return
							}
							if err != nil {
								t.Errorf("a call ended with %v", err)
								return
							}
						}
					})
				}
				<-begun
				p.pool.Close()
				callers.Wait()
				if n := p.pool.Stats().Open; n != 0 {
					t.Errorf("%d connections are open", n)
				}
				_ = p.server.Close()
			}
		})
	}
}

func TestNoCallBeginsAfterClosing(t *testing.T) {
	p := newPool(t, Config{Name: "upstream", URL: "http://127.0.0.1:1"})
	p.Close()
	if p.enter() {
		p.calls.Done()
		t.Error("a call has begun: Close does not wait for it")
	}
}

func TestAConnectionThatComesAfterClosingIsClosed(t *testing.T) {
	p := start(t, testnet.Config{}, func(http.ResponseWriter, *http.Request) {}, nil)
	begun, closed := make(chan struct{}, 5), make(chan struct{})
	p.onDial(func(ctx context.Context, dial conn.Dial) (*conn.Conn, error) {
		begun <- struct{}{}
		<-ctx.Done() // it ends with the pool, but comes too late to be cancelled
		return dial(context.WithoutCancel(ctx))
	})
	go func() { <-begun; p.pool.Close(); close(closed) }()
	if err := p.pool.Warm(t.Context()); err != nil && !errors.Is(err, ErrClosed) {
		t.Error(err)
	}
	<-closed
	p.wantStats(Stats{Dials: 5}, connections)
}

// closing closes p while a call is where next has it, and returns how long both took.
func closing(t *testing.T, p *Pool, next roundTripperFunc) (call, pool time.Duration, err error) {
	t.Helper()
	p.chain = newRetry(next, p.cfg, &p.stats)
	begun := time.Now()
	ended := make(chan struct{})
	go func() {
		_, err = p.Do(t.Context(), Request{Method: http.MethodGet, Path: "/"})
		call = time.Since(begun)
		close(ended)
	}()
	synctest.Wait()
	p.Close()
	pool = time.Since(begun)
	<-ended
	return call, pool, err
}

func TestClosingEndsACallThatWaitsToTryAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPool(t, Config{Name: "upstream", URL: "http://127.0.0.1:1"})
		call, pool, err := closing(t, p, answerOf(answer(http.StatusServiceUnavailable, "3", "")))
		if call != 0 || pool != 0 || !errors.Is(err, ErrClosed) {
			t.Errorf("the call took %v, closing %v: %v", call, pool, err)
		}
	})
}

func answerOf(f func() (*http.Response, error)) roundTripperFunc {
	return func(*http.Request) (*http.Response, error) { return f() }
}

func TestClosingWaitsForCallsAndTries(t *testing.T) {
	const lingers = time.Second
	linger := func(req *http.Request) (*http.Response, error) {
		<-req.Context().Done()
		time.Sleep(lingers)
		return nil, context.Cause(req.Context())
	}
	synctest.Test(t, func(t *testing.T) {
		p := newPool(t, Config{Name: "upstream", URL: "http://127.0.0.1:1"})
		if call, pool, err := closing(t, p, linger); call != lingers || pool != lingers || !errors.Is(err, ErrClosed) {
			t.Errorf("the call took %v, closing %v: %v", call, pool, err)
		}
		p = newPool(t, Config{Name: "upstream", URL: "http://127.0.0.1:1"})
		p.race.next = roundTripperFunc(linger)
		if call, pool, err := closing(t, p, p.race.RoundTrip); call != 0 || pool != lingers || !errors.Is(err, ErrClosed) {
			t.Errorf("the call took %v, closing with a try under way %v: %v", call, pool, err)
		}
	})
}
