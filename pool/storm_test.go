package pool

import (
	"fmt"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"hearth/internal/testing/testnet"
)

// What happens to connections fails no safe call and no upsert, and no other write whose outcome is known.
func TestNoSafeCallFailsBecauseConnectionsEnd(t *testing.T) {
	const callers, calls, between = 8, 100, 250
	for name, happens := range map[string]func(p *testnet.Proxy) error{
		"GOAWAY":  func(*testnet.Proxy) error { return nil }, // the server does it all the time
		"FIN":     func(p *testnet.Proxy) error { p.Cut(testnet.FIN); return nil },
		"RST":     func(p *testnet.Proxy) error { p.Cut(testnet.RST); return nil },
		"forget":  func(p *testnet.Proxy) error { p.Forget(); return nil },
		"drop":    func(p *testnet.Proxy) error { return p.Drop() },
		"restart": func(p *testnet.Proxy) error { return p.Restart(time.Millisecond) },
	} {
		for _, kind := range poolKinds() {
			t.Run(name+"/"+kind.name, func(t *testing.T) {
				t.Parallel()
				var served, failed, unsent atomic.Int64
				d := newDropped(t, kind.http2, kind.grpc, func(w http.ResponseWriter, _ *http.Request) {
					if n := served.Add(1); name == "GOAWAY" && n%20 == 0 {
						w.Header().Set("Connection", "close")
					}
				}, func(c *Config) {
					c.Retries, c.Size, c.Timeout, c.Policy = 0, callers, 10*time.Second, Policy{NoBreaker: true, NoRetryBudget: true}
				})
				var done atomic.Int64
				next := make(chan struct{}, callers*calls)
				var all sync.WaitGroup
				for caller := range callers {
					all.Go(func() {
						for i := range calls {
							ctx, req := t.Context(), Request{Method: http.MethodGet, Path: fmt.Sprintf("/%d/%d", caller, i)}
							switch i % 4 {
							case 1:
								ctx, req.Method, req.Repeatable = With(ctx, Options{Proven: true}), http.MethodPut, true
							case 2:
								if name == "drop" { // its outcome is unknown, and it waits until its time is over
									break
								}
								req.Method, req.Body = http.MethodPost, []byte("x")
							}
							_, err := d.pool.Do(ctx, req)
							switch e, _ := err.(*Error); { //nolint:errorlint // Do promises this very type
							case err == nil:
							case req.Method != http.MethodPost:
								failed.Add(1)
								t.Errorf("%s: %v", req.Method, err)
							case !e.Sent:
								unsent.Add(1)
							}
							if done.Add(1)%between == 0 {
								next <- struct{}{}
							}
						}
					})
				}
				go func() { all.Wait(); close(next) }()
				for range next {
					if err := happens(d.proxy); err != nil {
						t.Fatal(err)
					}
				}
				if n := unsent.Load(); n > 0 {
					t.Errorf("%d writes failed that were not sent", n)
				}
				t.Logf("%+v", d.pool.Stats())
			})
		}
	}
}
