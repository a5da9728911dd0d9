package weaviate

import (
	"errors"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"

	"hearth/client/wire"
	"hearth/internal/testing/testnet"
	"hearth/internal/testing/weaviatetest"
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

// REST and gRPC share a breaker: it stays open while one of them fails, so that not every few calls have to find that out.
func TestAProbeAsksBothProtocols(t *testing.T) {
	for _, broken := range []string{"rest", "grpc"} {
		t.Run(broken, func(t *testing.T) {
			var failing atomic.Bool
			weaviate := weaviatetest.New()
			server, err := testnet.Serve(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if failing.Load() && (r.URL.Path == searchProcedure) == (broken == "grpc") {
					w.WriteHeader(http.StatusBadGateway)
					return
				}
				weaviate.ServeHTTP(w, r)
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
			if _, err := c.CreateClasses(t.Context()); err != nil {
				t.Fatal(err)
			}
			if err := c.Ask(t.Context()); err != nil {
				t.Fatal(err)
			}
			failing.Store(true)
			for pools[0].Stats().Breaker.State == wire.BreakerClosed {
				_, _ = pools[0].Do(t.Context(), pool.Request{Method: http.MethodGet, Path: "/v1/meta"})
				_, _ = c.Mute(t.Context(), "a")
			}
			if err := breaker.Ask(t.Context(), c.Ask); err == nil {
				t.Error("the probe says that all is well")
			}
			if s := pools[0].Stats().Breaker.State; s == wire.BreakerClosed {
				t.Error("the breaker is closed")
			}
			failing.Store(false)
			if err := breaker.Ask(t.Context(), c.Ask); err != nil {
				t.Error(err)
			}
			if s := pools[0].Stats().Breaker.State; s != wire.BreakerClosed {
				t.Errorf("the breaker is %s", s)
			}
		})
	}
}
