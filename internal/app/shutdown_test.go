package app

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"hearth/client"
	"hearth/internal/testing/await"
	"hearth/internal/testing/lambdatest"
	"hearth/internal/testing/testnet"
)

// silencing is an upstream that falls silent when it is told to, and counts the requests that it then keeps.
type silencing struct {
	*testnet.Server
	silent atomic.Bool
	kept   atomic.Int64
}

func newSilencing(t *testing.T, before http.Handler) *silencing {
	t.Helper()
	s := &silencing{}
	var err error
	s.Server, err = testnet.Serve(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if s.silent.Load() {
			s.kept.Add(1)
			<-testnet.Left(r)
			return
		}
		before.ServeHTTP(w, r)
	}), testnet.Config{HTTP2: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

// Whatever waits for an upstream that does not answer, the sandbox ends long before Lambda would kill it.
func TestTheEndWaitsForNothingThatHangs(t *testing.T) {
	failing := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusBadGateway) })
	u := newUpstreams(t)
	for name, weaviateBefore := range map[string]http.Handler{"calls": u.weaviate, "a probe": failing} {
		t.Run(name, func(t *testing.T) {
			weaviate, odoo := newSilencing(t, weaviateBefore), newSilencing(t, u.odoo)
			other, secrets := newSilencing(t, http.NotFoundHandler()), newSilencing(t, http.NotFoundHandler())
			other.silent.Store(true)
			secrets.silent.Store(true)
			f := newFunction(t, lambdatest.Config{}, "HEARTH_WEAVIATE_URL="+weaviate.URL, "HEARTH_WEAVIATE_GRPC_URL="+weaviate.URL, "HEARTH_WEAVIATE_TIMEOUT=15m",
				"HEARTH_WEAVIATE_HEADERS=X-OpenAI-Api-Key="+openAIARN, "AWS_ENDPOINT_URL="+secrets.URL, "AWS_ACCESS_KEY_ID=a", "AWS_SECRET_ACCESS_KEY=b",
				"HEARTH_ODOO_URL="+odoo.URL, "HEARTH_ODOO_DB=demo", "HEARTH_ODOO_KEY="+odooSecret, "HEARTH_ODOO_TIMEOUT=15m",
				"HEARTH_TTL_ODOO_READ=0s/1h/1h", "HEARTH_FETCH_ALLOW="+other.URL)
			ctx := t.Context()
			read := client.Call{Model: "res.partner", Method: "search_count", Args: []any{[]any{}}}
			if _, err := f.client.OdooCall(ctx, read); err != nil {
				t.Fatal(err)
			}
			kept := []*silencing{odoo, other, secrets}
			if name == "a probe" {
				unavailable := func() bool {
					_, err := f.client.History(ctx, "a", 1, 1)
					p, ok := errors.AsType[*client.Problem](err)
					return ok && p.Status == http.StatusServiceUnavailable
				}
				await.That(t, "the breaker is open", unavailable)
			}
			weaviate.silent.Store(true)
			odoo.silent.Store(true)
			ctx, end := context.WithCancel(ctx)
			defer end()
			for _, call := range []func(){
				func() { _, _ = f.client.History(ctx, "a", 1, 1) },
				func() { _, _ = f.client.Relevant(ctx, "a", client.RelevantRequest{Text: "x"}) },
				func() { _ = f.client.SetMute(ctx, "a", client.Mute{Muted: true}) },
				func() { _, _ = f.client.Append(ctx, "b", []client.NewMessage{{Role: "user", Content: "x"}}) },
				func() { _, _ = f.handle(ctx, []byte("x")) },
				func() { _, _ = f.client.OdooCall(ctx, read) }, // stale, and a refresh
				func() {
					_, _ = f.client.OdooCall(ctx, client.Call{Model: "res.partner", Method: "create", Args: []any{map[string]any{"name": "x"}}})
				},
				func() { _, _ = f.client.Fetch(ctx, client.FetchRequest{URL: other.URL + "/a"}) },
				func() { _, _ = f.client.StartFetch(ctx, client.FetchRequest{URL: other.URL + "/b"}) },
				func() {
					_, _ = f.client.Batch(ctx, client.Batch{Requests: []client.BatchRequest{{Method: "GET", Path: "/v1/chats/c/mute"}, {Method: "GET", Path: "/v1/odoo/models"}}})
				},
			} {
				go call()
			}
			await.That(t, "everything waits", func() bool {
				for _, s := range append(kept, weaviate) {
					if s.kept.Load() == 0 {
						if name == "a probe" {
							_, _ = f.client.History(ctx, "a", 1, 1) // starts it once it is due
						}
						return false
					}
				}
				return other.kept.Load() >= 2 && odoo.kept.Load() >= 2
			})
			begun := time.Now()
			stop(t, f.Host, f.hearth)
			t.Logf("the end took %v", time.Since(begun))
			if log := f.hearth.Log(); strings.Contains(log, "shutdown takes too long") {
				t.Errorf("something does not end:\n%s", log)
			}
		})
	}
}
