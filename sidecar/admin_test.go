package sidecar

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/valyala/fasthttp"

	"hearth/client/wire"
	"hearth/pool"
	"hearth/sidecar/chat"
)

func TestCallsOfReadyzAtTheSameTimeShareOneQuestion(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var questions atomic.Int64
		answer := make(chan error)
		s := newServer(t, Config{Upstreams: []Upstream{{Name: "weaviate", Ask: func(context.Context) error {
			questions.Add(1)
			return <-answer
		}}}})
		ask := func(calls int, with error, status int, asked int64) {
			t.Helper()
			var g sync.WaitGroup
			for range calls {
				g.Go(func() {
					r := s.newRequest(t.Context(), &fasthttp.RequestCtx{}, false)
					defer s.release(r)
					if err := s.ready(r); err != nil || r.Response.StatusCode() != status {
						t.Errorf("%v: %d %s, want %d", err, r.Response.StatusCode(), r.Response.Body(), status)
					}
				})
			}
			synctest.Wait()
			if n := questions.Load(); n != asked {
				t.Errorf("%d questions, want %d", n, asked)
			}
			select {
			case answer <- with:
			default: // nobody asked
			}
			g.Wait()
		}
		ask(20, errors.New("down"), http.StatusServiceUnavailable, 1)
		ask(20, nil, http.StatusOK, 2)
		ask(20, nil, http.StatusOK, 2)
	})
}

func TestReadyzSaysOfEachUpstreamHowItStands(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var asked atomic.Int64
		fault := errors.New("down")
		s := newServer(t, Config{Fault: "the socket is taken", Upstreams: []Upstream{
			{Name: "weaviate", Missing: "no Weaviate"},
			{Name: "odoo", Missing: "no Odoo"},
			{Name: "one", Ask: func(context.Context) error { asked.Add(1); return nil }},
			{Name: "two", Ask: func(context.Context) error {
				if fault != nil {
					panic(fault)
				}
				return nil
			}},
		}})
		ready := func(s *Server, ctx context.Context) (int, wire.Readiness) {
			t.Helper()
			r := s.newRequest(ctx, &fasthttp.RequestCtx{}, false)
			defer s.release(r)
			if err := s.ready(r); err != nil {
				t.Fatal(err)
			}
			return r.Response.StatusCode(), decoded[wire.Readiness](t, string(r.Response.Body()))
		}
		status, got := ready(s, t.Context())
		if status != 503 || got.Ready || got.Fault != "the socket is taken" || got.Upstreams["weaviate"] != (wire.UpstreamState{State: "not configured", Detail: "no Weaviate"}) ||
			got.Upstreams["odoo"] != (wire.UpstreamState{State: "not configured", Detail: "no Odoo"}) || got.Upstreams["one"].State != "reached" || got.Upstreams["two"].State != "not reached" || got.Upstreams["two"].Detail == "" {
			t.Errorf("%d %+v", status, got)
		}
		fault = nil
		for range 2 {
			if status, got = ready(s, t.Context()); status != 200 || !got.Ready || got.Upstreams["two"] != (wire.UpstreamState{State: "reached"}) {
				t.Errorf("%d %+v", status, got)
			}
		}
		if n := asked.Load(); n != 1 {
			t.Errorf("what was reached was asked %d times", n)
		}
		if status, got = ready(newServer(t, Config{}), t.Context()); status != 503 || got.Ready || got.Fault != "" {
			t.Errorf("without upstreams: %d %+v", status, got)
		}
		begun := time.Now()
		silent := newServer(t, Config{Upstreams: []Upstream{{Name: "one", Ask: func(ctx context.Context) error { <-ctx.Done(); return context.Cause(ctx) }}}})
		if status, _ = ready(silent, t.Context()); status != 503 || time.Since(begun) > time.Minute {
			t.Errorf("of a silent one: %d after %v", status, time.Since(begun))
		}
	})
}

func TestStatisticsOfPoolsStandBesideTheirSums(t *testing.T) {
	var pools []*pool.Pool
	for range 3 {
		p, err := pool.New(pool.Config{Name: "weaviate", URL: "http://127.0.0.1:9"})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(p.Close)
		pools = append(pools, p)
	}
	ask := func(context.Context) error { return nil }
	a := newAPI(t, newUpstreams(), func(c *Config, _ *chat.Config) {
		c.Upstreams = []Upstream{
			{Name: "elsewhere", Missing: "not set"},
			{Name: "weaviate", Pools: map[string]*pool.Pool{"rest": pools[0], "grpc": pools[1]}, Ask: ask},
			{Name: "odoo", Pools: map[string]*pool.Pool{"": pools[2]}, Ask: ask},
		}
	})
	var got map[string]map[string]any
	if err := json.Unmarshal([]byte(a.want(http.StatusOK, http.MethodGet, "/debug/pools", "").body), &got); err != nil {
		t.Fatal(err)
	}
	w, o := got["weaviate"], got["odoo"]
	rest, _ := w["rest"].(map[string]any)
	if _, ok := w["grpc"].(map[string]any); !ok || len(got) != 2 || w["dials"] != 0.0 || rest["dials"] != 0.0 || o["dials"] != 0.0 || len(w) != len(o)+2 || len(rest) != len(o) {
		t.Errorf("%v", got)
	}
	if got := a.want(http.StatusOK, http.MethodGet, "/healthz", ""); got.body != `{"status":"ok"}` {
		t.Errorf("%s", got.body)
	}
}
