package contract

import (
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"hearth/client"
	"hearth/client/wire"
	"hearth/internal/testing/await"
)

// faults makes the stand-ins slow, break connections and refuse requests. The subtests share their knobs, so they run one
// after another.
func (s *suite) faults(t *testing.T) {
	s.standIn(t)
	t.Cleanup(func() { s.Weaviate.SetHook(nil); s.Odoo.SetHook(nil) })
	t.Run("a write that broke off is never sent again", s.brokenWrites)
	t.Run("a read that broke off is sent again", s.brokenReads)
	t.Run("a slow part is given up in time, the others are delivered", s.slowParts)
	t.Run("a write that overtakes a load is not hidden by it", s.overlap)
	t.Run("a write of messages whose outcome is unknown says so", s.unknownWrites)
	t.Run("what failed to load is not held", s.failedLoads)
	t.Run("trace headers go on to the servers, tokens do not", s.traceHeaders)
	t.Run("stale-if-error serves what is held while a server is down", s.staleIfError)
}

// cut ends the connection of every request that matches, and counts them.
func cut(match func(*http.Request) bool) (hook func(http.ResponseWriter, *http.Request) bool, count *atomic.Int64) {
	count = &atomic.Int64{}
	return func(_ http.ResponseWriter, r *http.Request) bool {
		if match(r) {
			count.Add(1)
			panic(http.ErrAbortHandler)
		}
		return false
	}, count
}

func pathHas(part string) func(*http.Request) bool {
	return func(r *http.Request) bool { return strings.Contains(r.URL.Path, part) }
}

func (s *suite) brokenWrites(t *testing.T) {
	for name, env := range s.logins() {
		h := s.start(t, append(env, "HEARTH_TTL_ODOO_READ=1h")...)
		count := func() reply {
			return h.call(t, "res.users", "search_count", nil, map[string]any{"domain": []any{}})
		}
		count()
		if !cached(t, count()).hit {
			t.Fatalf("%s: a read is not held", name)
		}
		hook, cuts := cut(func(r *http.Request) bool { return pathHas("/create")(r) || pathHas("/jsonrpc")(r) })
		s.Odoo.SetHook(hook)
		p := wantProblem(t, h.call(t, "res.partner", "create", nil, map[string]any{"vals_list": map[string]any{"name": "x"}}), http.StatusBadGateway)
		s.Odoo.SetHook(nil)
		if p.Retryable || p.Upstream != "odoo" || p.Type != "/docs/errors.md#unknown-outcome" || !strings.Contains(p.Detail, "unknown outcome") {
			t.Errorf("%s: %+v", name, p)
		}
		if n := cuts.Load(); n != 1 {
			t.Errorf("%s: the write was sent %d times", name, n)
		}
		if cached(t, count()).hit {
			t.Errorf("%s: after a write of unknown outcome, reads are still held", name)
		}
	}
}

func (s *suite) brokenReads(t *testing.T) {
	h := s.start(t)
	h.history(t, "broken reads", 1)
	var first atomic.Bool
	once := func(_ http.ResponseWriter, r *http.Request) bool {
		if !strings.Contains(r.URL.Path, ".well-known") && first.CompareAndSwap(false, true) {
			panic(http.ErrAbortHandler)
		}
		return false
	}
	s.Weaviate.SetHook(once)
	h.history(t, "broken reads", 1, "Cache-Control", "no-cache")
	if !first.Load() {
		t.Error("nothing was cut")
	}
	first.Store(false)
	h.say(t, "broken reads", "user", "an upsert is safe to send again")
	wantContents(t, "history", contents(h.history(t, "broken reads", 9, "Cache-Control", "no-cache").AllMessages), []string{"an upsert is safe to send again"})
	s.Weaviate.SetHook(nil)
	first.Store(false)
	s.Odoo.SetHook(once)
	want[client.Models](t, h.get(t, "/v1/odoo/models", "Cache-Control", "no-cache"), http.StatusOK)
	s.Odoo.SetHook(nil)
	if retries := fieldsOf(t, fieldsOf(t, h.get(t, "/debug/pools").body)["odoo"])["retries"]; string(retries) == "0" && !first.Load() {
		t.Errorf("Odoo's retries are %s", retries)
	}
}

// slow does not answer a request that matches until its caller leaves.
func slow(match func(*http.Request) bool) func(http.ResponseWriter, *http.Request) bool {
	return func(_ http.ResponseWriter, r *http.Request) bool {
		if match(r) {
			_, _ = io.Copy(io.Discard, r.Body) // only then does the context end when the caller leaves
			<-r.Context().Done()
			panic(http.ErrAbortHandler)
		}
		return false
	}
}

func (s *suite) slowParts(t *testing.T) {
	const chat, limit = "slow parts", 600 * time.Millisecond
	const late = 3 * time.Second // a slow machine's; the servers' own timeouts are longer
	s.common.say(t, chat, "user", "patience")
	ask := func(h *hearth) (reply, time.Duration) {
		begun := time.Now()
		r := h.post(t, "/v1/preprocess", map[string]any{
			"chat_id": chat, "text": "patience", "route_name": "odoo_erp", "enable_odoo": true, "num_messages": 5, "timeout_ms": limit.Milliseconds(),
		})
		return r, time.Since(begun)
	}
	h := s.start(t)
	s.Odoo.SetHook(slow(func(*http.Request) bool { return true }))
	r, took := ask(h)
	s.Odoo.SetHook(nil)
	got := want[client.Preprocess](t, r, http.StatusOK)
	if p := got.Errors["odoo_models"]; p == nil || p.Status != http.StatusGatewayTimeout || !p.Retryable || p.Type != "/docs/errors.md#timeout" || len(got.Errors) != 1 {
		t.Errorf("errors are %v", got.Errors)
	}
	if len(got.RelevantMessages) != 1 || got.MuteStatus == nil || len(got.History.AllMessages) != 1 {
		t.Errorf("the parts are incomplete: %v", r)
	}
	if took < limit || took > limit+late {
		t.Errorf("it took %v with a limit of %v", took, limit)
	}

	h = s.start(t)
	await.ThatWithin(t, patience, "the sidecar is warm", func() bool { return h.get(t, "/readyz").status == http.StatusOK })
	s.Weaviate.SetHook(slow(s.anyHistory()))
	r, took = ask(h)
	s.Weaviate.SetHook(nil)
	got = want[client.Preprocess](t, r, http.StatusOK)
	if p := got.Errors["history"]; p == nil || p.Status != http.StatusGatewayTimeout || len(got.Errors) != 1 || got.MuteStatus == nil || got.OdooModels == nil {
		t.Errorf("with a slow history, the reply is %v", r)
	}
	if took > limit+late {
		t.Errorf("it took %v with a limit of %v", took, limit)
	}

	h = s.start(t, "HEARTH_WEAVIATE_TIMEOUT=1s", "HEARTH_ODOO_TIMEOUT=1s")
	s.Weaviate.SetHook(slow(func(*http.Request) bool { return true }))
	s.Odoo.SetHook(slow(func(*http.Request) bool { return true }))
	r, took = ask(h)
	s.Weaviate.SetHook(nil)
	s.Odoo.SetHook(nil)
	p := wantProblem(t, r, http.StatusBadGateway)
	if len(p.Errors) != 4 || !p.Retryable || took > limit+late {
		t.Errorf("when all are slow, after %v: %v", took, r)
	}
	await.ThatWithin(t, 15*time.Second, "all is well again, once what hung has timed out", func() bool {
		r, _ := ask(h)
		return r.status == http.StatusOK && want[client.Preprocess](t, r, http.StatusOK).Errors == nil
	})
}

func (s *suite) unknownWrites(t *testing.T) {
	const chat = "unknown writes"
	h := s.start(t, "HEARTH_TTL_HISTORY=1h")
	h.say(t, chat, "user", "before")
	h.history(t, chat, 10)
	hook, cuts := cut(pathHas("/batch/objects"))
	s.Weaviate.SetHook(hook)
	unnamed := wantProblem(t, h.post(t, chatPath(chat, "messages"), client.NewMessage{Role: "user", Content: "x"}), http.StatusBadGateway)
	named := wantProblem(t, h.post(t, chatPath(chat, "messages"), client.NewMessage{Role: "user", Content: "x", ID: "x", CreatedAt: instant(0)}), http.StatusBadGateway)
	mute := h.do(t, http.MethodPut, chatPath(chat, "mute"), map[string]any{"muted": true})
	s.Weaviate.SetHook(nil)
	if cuts.Load() == 0 || unnamed.Type != "/docs/errors.md#unknown-outcome" || unnamed.Retryable || unnamed.Upstream != "weaviate" {
		t.Errorf("without an id: %+v", unnamed)
	}
	if named.Type != "/docs/errors.md#unknown-outcome" || !named.Retryable {
		t.Errorf("with an id: %+v", named)
	}
	if mute.status != http.StatusBadGateway {
		t.Errorf("a mute: %v", mute)
	}
	r := h.get(t, historyPath(chat, 10, 5))
	if c := cached(t, r); c.hit {
		t.Error("after a write of unknown outcome the window is still held")
	}
	wantContents(t, "history", contents(want[client.History](t, r, http.StatusOK).AllMessages), []string{"before"})
}

func (s *suite) failedLoads(t *testing.T) {
	const chat = "failed loads"
	h := s.start(t, "HEARTH_TTL_HISTORY=1h", "HEARTH_TTL_ODOO_READ=1h")
	hook, _ := cut(func(*http.Request) bool { return true })
	s.Weaviate.SetHook(hook)
	s.Odoo.SetHook(hook)
	for _, ask := range []func() reply{
		func() reply { return h.get(t, historyPath(chat, 10, 5)) }, func() reply { return h.get(t, chatPath(chat, "mute")) },
		func() reply { return h.post(t, chatPath(chat, "relevant"), map[string]any{"text": "x"}) }, func() reply { return h.get(t, "/v1/odoo/models") },
	} {
		if p := wantProblem(t, ask(), http.StatusBadGateway); !p.Retryable || p.Type != "/docs/errors.md#unreachable" {
			t.Errorf("%+v", p)
		}
	}
	s.Weaviate.SetHook(func(w http.ResponseWriter, _ *http.Request) bool {
		http.Error(w, `{"error":[{"message":"secret inside"}]}`, http.StatusTooManyRequests)
		return true
	})
	if p := wantProblem(t, s.start(t).get(t, chatPath(chat, "mute")), http.StatusServiceUnavailable); !p.Retryable || p.Upstream != "weaviate" || p.Kind() != wire.KindWeaviate {
		t.Errorf("429 becomes %+v", p)
	}
	s.Weaviate.SetHook(nil)
	s.Odoo.SetHook(nil)
	await.ThatWithin(t, patience, "Hearth asks the servers again", func() bool {
		pools := want[client.Pools](t, h.get(t, "/debug/pools"), http.StatusOK)
		return h.get(t, chatPath("another", "mute")).status == http.StatusOK && h.get(t, "/v1/odoo/models?names=res.lang").status == http.StatusOK &&
			pools["weaviate"].Breaker.State == wire.BreakerClosed && pools["odoo"].Breaker.State == wire.BreakerClosed
	})
	s.fill(t, h)
	h.history(t, chat, 10)
	h.muted(t, chat)
}

func (s *suite) traceHeaders(t *testing.T) {
	h := s.start(t, "HEARTH_TOKEN=top secret")
	trace := []string{"Traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", "X-Amzn-Trace-Id", "Root=1-5759e988-bd862e3fe1be46a994272793"}
	var seen, leaked atomic.Int64
	look := func(_ http.ResponseWriter, r *http.Request) bool {
		if r.Header.Get(trace[0]) == trace[1] && r.Header.Get(trace[2]) == trace[3] {
			seen.Add(1)
		}
		if r.Header.Get("X-Hearth-Token") != "" || r.Header.Get("Cookie") != "" {
			leaked.Add(1)
		}
		return false
	}
	headers := append(trace, "Cookie", "a=b", "Cache-Control", "no-cache")
	for name, ask := range map[string]func() reply{
		"history": func() reply { return h.get(t, historyPath("traced", 10, 5), headers...) },
		"mute": func() reply {
			return h.do(t, http.MethodPut, chatPath("traced", "mute"), map[string]any{"muted": true}, headers...)
		},
		"messages": func() reply {
			return h.post(t, chatPath("traced", "messages"), map[string]any{"role": "user", "content": "x"}, headers...)
		},
		"relevant": func() reply {
			return h.post(t, chatPath("traced", "relevant"), map[string]any{"text": "x"}, headers...)
		},
		"models": func() reply { return h.get(t, "/v1/odoo/models", headers...) },
		"call": func() reply {
			return h.call(t, "res.partner", "search_count", nil, map[string]any{"domain": []any{}}, headers...)
		},
	} {
		seen.Store(0)
		s.Weaviate.SetHook(look)
		s.Odoo.SetHook(look)
		if r := ask(); r.status >= 300 || seen.Load() == 0 || leaked.Load() != 0 {
			t.Errorf("%s: %d requests were traced, %d had a secret: %v", name, seen.Load(), leaked.Load(), r)
		}
	}
	s.Weaviate.SetHook(nil)
	s.Odoo.SetHook(nil)
}

func (s *suite) staleIfError(t *testing.T) {
	const chat = "stale if error"
	h := s.start(t, "HEARTH_TTL_HISTORY=1ms/0s/1h", "HEARTH_TTL_MUTE=1ms/0s/1h", "HEARTH_TTL_RELEVANT=1ms/0s/1h", "HEARTH_TTL_ODOO_MODELS=1ms/0s/1h")
	h.say(t, chat, "user", "still here")
	asks := map[string]func(headers ...string) reply{
		"history": func(headers ...string) reply { return h.get(t, historyPath(chat, 10, 5), headers...) },
		"mute":    func(headers ...string) reply { return h.get(t, chatPath(chat, "mute"), headers...) },
		"models":  func(headers ...string) reply { return h.get(t, "/v1/odoo/models", headers...) },
		"relevant": func(headers ...string) reply {
			return h.post(t, chatPath(chat, "relevant"), map[string]any{"text": "still"}, headers...)
		},
	}
	before := map[string]string{}
	for name, ask := range asks {
		before[name] = string(ask().body)
	}
	hook, _ := cut(func(*http.Request) bool { return true })
	s.Weaviate.SetHook(hook)
	s.Odoo.SetHook(hook)
	defer s.Weaviate.SetHook(nil)
	defer s.Odoo.SetHook(nil)
	isStale := func(name string, r reply, forwarded bool) bool { // RFC 9211: what was forwarded is no hit
		c := cached(t, r)
		return r.status == http.StatusOK && string(r.body) == before[name] && c.stale != forwarded && (c.fwd == "stale") == forwarded
	}
	opened := func(upstream string) bool {
		return want[client.Pools](t, h.get(t, "/debug/pools"), http.StatusOK)[upstream].Breaker.State != wire.BreakerClosed
	}
	for upstream, names := range map[string][]string{"weaviate": {"history", "mute", "relevant"}, "odoo": {"models"}} {
		first := names[0]
		await.ThatWithin(t, patience, "a stale reply is served after a forward", func() bool { return isStale(first, asks[first](), true) })
		if opened(upstream) {
			t.Errorf("one failed call opens the breaker of %s", upstream)
		}
		if p := wantProblem(t, asks[first]("Cache-Control", "no-cache"), http.StatusBadGateway); p.Kind() != wire.KindUnreachable {
			t.Errorf("%s with no-cache: %+v", first, p)
		}
		await.ThatWithin(t, patience, "the breaker opens", func() bool { asks[first]("Cache-Control", "no-cache"); return opened(upstream) })
		for _, name := range names {
			if r := asks[name](); !isStale(name, r, false) {
				t.Errorf("where nothing is asked, %s is %v %v", name, r.header, r)
			}
			r := asks[name]("Cache-Control", "no-cache")
			if p := wantProblem(t, r, http.StatusServiceUnavailable); p.Kind() != wire.KindUnavailable || !p.Retryable || r.header.Get("Retry-After") == "" {
				t.Errorf("%s with no-cache: %+v, %v", name, p, r.header)
			}
		}
	}
}
