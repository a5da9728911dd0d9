package weaviate

import (
	"errors"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"

	"hearth/internal/testing/testnet"
	"hearth/pool"
)

// A breaker's probe asks for the schema too. What it waits for must hold up no call: the probe of an upstream that never answers takes
// seconds.
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
		w.WriteHeader(http.StatusInternalServerError)
	}), testnet.Config{HTTP2: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = server.Close() })
	breaker := pool.NewBreaker(pool.BreakerConfig{Name: "weaviate"})
	var pools []*pool.Pool
	for _, grpc := range []bool{false, true} {
		p, err := pool.New(pool.Config{Name: "weaviate", URL: server.URL, GRPC: grpc, Retries: -1, Breaker: breaker})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(p.Close)
		pools = append(pools, p)
	}
	c := newClient(pools[0], pools[1], testConfig())
	for range 20 {
		if _, err = c.MessageChat(t.Context(), "a"); errors.Is(err, pool.ErrOpen) {
			break
		}
	}
	if !errors.Is(err, pool.ErrOpen) {
		t.Fatalf("the breaker is closed: %v", err)
	}
	silent.Store(true)
	var probe sync.WaitGroup
	probe.Go(func() { _ = breaker.Ask(t.Context(), c.Ask) })
	<-asked
	if _, err := c.MessageChat(t.Context(), "a"); !errors.Is(err, pool.ErrOpen) {
		t.Errorf("a call beside the probe ended with %v", err)
	}
	close(answer)
	probe.Wait()
}
