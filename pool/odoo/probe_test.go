package odoo

import (
	"errors"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"

	"hearth/internal/testing/testnet"
	"hearth/pool"
)

// A breaker's probe connects too. What it waits for must hold up no call: the probe of an upstream that never answers takes seconds.
func TestNoCallWaitsForAProbe(t *testing.T) {
	var silent atomic.Bool
	asked, answer := make(chan struct{}, 10), make(chan struct{})
	server, err := testnet.Serve(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if silent.Load() {
			asked <- struct{}{}
			select {
			case <-answer:
			case <-r.Context().Done():
			}
		}
		w.WriteHeader(http.StatusBadGateway)
	}), testnet.Config{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = server.Close() })
	breaker := pool.NewBreaker(pool.BreakerConfig{Name: "odoo"})
	p, err := pool.New(pool.Config{Name: "odoo", URL: server.URL, Retries: -1, Breaker: breaker})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Close)
	c := newClient(p, Config{DB: "demo", Key: key, Protocol: JSON2})
	for range 20 {
		if err = c.Ping(t.Context()); errors.Is(err, pool.ErrOpen) {
			break
		}
	}
	if !errors.Is(err, pool.ErrOpen) {
		t.Fatalf("the breaker is closed: %v", err)
	}
	silent.Store(true)
	var probe sync.WaitGroup
	probe.Go(func() { _ = breaker.Ask(t.Context(), c.Ping) })
	<-asked
	if err := c.Ping(t.Context()); !errors.Is(err, pool.ErrOpen) {
		t.Errorf("a call beside the probe ended with %v", err)
	}
	close(answer)
	probe.Wait()
}
