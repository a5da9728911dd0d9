// Package pooltest has a test that each client of an upstream has to pass: those of pool/odoo and pool/weaviate. Start at
// [NoCallWaitsForAProbe].
package pooltest

import (
	"context"
	"errors"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"

	"hearth/internal/testing/testnet"
	"hearth/pool"
)

// Client is a client as these tests see it.
type Client struct {
	Call  func(context.Context) error // one call
	Probe func(context.Context) error // what a breaker's probe asks
}

// NoCallWaitsForAProbe tests that a call beside a probe is refused at once: the probe of an upstream that never answers takes seconds.
// server says how the upstream is served, and status is what it answers before it falls silent.
func NoCallWaitsForAProbe(t *testing.T, server testnet.Config, status int, newClient func(*pool.Breaker, string) Client) {
	t.Helper()
	var silent atomic.Bool
	asked, answer := make(chan struct{}, 10), make(chan struct{})
	upstream, err := testnet.Serve(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if silent.Load() {
			asked <- struct{}{}
			select {
			case <-answer:
			case <-r.Context().Done():
			}
		}
		w.WriteHeader(status)
	}), server)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = upstream.Close() })
	breaker := pool.NewBreaker(pool.BreakerConfig{Name: "upstream"})
	c := newClient(breaker, upstream.URL)
	for range 20 {
		if err = c.Call(t.Context()); errors.Is(err, pool.ErrOpen) {
			break
		}
	}
	if !errors.Is(err, pool.ErrOpen) {
		t.Fatalf("the breaker is closed: %v", err)
	}
	silent.Store(true)
	var probe sync.WaitGroup
	probe.Go(func() { _ = breaker.Ask(t.Context(), c.Probe) })
	<-asked
	if err := c.Call(t.Context()); !errors.Is(err, pool.ErrOpen) {
		t.Errorf("a call beside the probe ended with %v", err)
	}
	close(answer)
	probe.Wait()
}

// NewPool makes a pool that retries nothing, and is closed when the test ends.
func NewPool(t *testing.T, breaker *pool.Breaker, url string, grpc bool) *pool.Pool {
	t.Helper()
	p, err := pool.New(pool.Config{Name: "upstream", URL: url, GRPC: grpc, Retries: -1, Breaker: breaker})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Close)
	return p
}
