package weaviate

import (
	"context"
	"net/http"
	"sync/atomic"
	"testing"

	"hearth/client/wire"
	"hearth/internal/testing/pooltest"
	"hearth/internal/testing/testnet"
	"hearth/internal/testing/weaviatetest"
	"hearth/pool"
)

// A probe asks for the schema too, and calls wait for that.
func TestNoCallWaitsForAProbe(t *testing.T) {
	pooltest.NoCallWaitsForAProbe(t, testnet.Config{HTTP2: true}, http.StatusInternalServerError, func(b *pool.Breaker, url string) pooltest.Client {
		c := newClient(pooltest.NewPool(t, b, url, false), pooltest.NewPool(t, b, url, true), testConfig())
		call := func(ctx context.Context) error {
			_, err := c.MessageChat(ctx, "a")
			return err
		}
		return pooltest.Client{Call: call, Probe: c.Ask}
	})
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
			breaker := pool.NewBreaker(pool.BreakerConfig{Name: "upstream"})
			rest := pooltest.NewPool(t, breaker, server.URL, false)
			c := newClient(rest, pooltest.NewPool(t, breaker, server.URL, true), testConfig())
			if _, err := c.CreateClasses(t.Context()); err != nil {
				t.Fatal(err)
			}
			if err := c.Ask(t.Context()); err != nil {
				t.Fatal(err)
			}
			failing.Store(true)
			for rest.Stats().Breaker.State == wire.BreakerClosed {
				_, _ = rest.Do(t.Context(), pool.Request{Method: http.MethodGet, Path: "/v1/meta"})
				_, _ = c.Mute(t.Context(), "a")
			}
			if err := breaker.Ask(t.Context(), c.Ask); err == nil {
				t.Error("the probe says that all is well")
			}
			if s := rest.Stats().Breaker.State; s == wire.BreakerClosed {
				t.Error("the breaker is closed")
			}
			failing.Store(false)
			if err := breaker.Ask(t.Context(), c.Ask); err != nil {
				t.Error(err)
			}
			if s := rest.Stats().Breaker.State; s != wire.BreakerClosed {
				t.Errorf("the breaker is %s", s)
			}
		})
	}
}
