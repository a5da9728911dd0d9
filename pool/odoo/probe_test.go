package odoo

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

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

// An attempt that outlived its callers would never count as failed, and the breaker would stay closed. Callers that have more time than
// the one who began the attempt do not suffer from it.
func TestAnAttemptToConnectHasTheTimeOfTheCallerThatBeganIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		var ends []time.Duration
		c := newClient(doerFunc(func(ctx context.Context, _ pool.Request) (*pool.Response, error) {
			<-ctx.Done()
			ends = append(ends, time.Since(began))
			return nil, &pool.Error{Upstream: "odoo", Err: ctx.Err()}
		}), Config{DB: "demo", Key: key, Protocol: JSON2})
		var callers sync.WaitGroup
		for _, wait := range []time.Duration{time.Second, 3 * time.Second} {
			callers.Go(func() {
				ctx, cancel := context.WithTimeout(t.Context(), wait)
				defer cancel()
				if err := c.Ping(ctx); !errors.Is(err, context.DeadlineExceeded) || time.Since(began) != wait {
					t.Errorf("with %v it ended after %v: %v", wait, time.Since(began), err)
				}
			})
			synctest.Wait()
		}
		callers.Wait()
		synctest.Wait()
		if want := []time.Duration{time.Second, 3 * time.Second}; !slices.Equal(ends, want) {
			t.Errorf("attempts ended after %v, want %v", ends, want)
		}
	})
}
