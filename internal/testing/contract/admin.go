package contract

import (
	"encoding/json"
	"net/http"
	"reflect"
	"slices"
	"strings"
	"testing"

	"hearth/client"
	"hearth/client/wire"
	"hearth/internal/testing/await"
)

func (s *suite) administration(t *testing.T) {
	t.Run("DELETE /v1/cache drops a chat, a model, or everything", s.dropping)
	t.Run("/debug/cache adds up", s.numbers)
	t.Run("/debug/pools has the documented shape", s.pools)
	t.Run("/readyz says which upstreams are reached", s.readiness)
	t.Run("a call whose upstream is not configured says which variable is missing", s.unconfigured)
	t.Run("a configuration that is wrong is refused with every fault", func(t *testing.T) {
		out, err := s.tryCommand(t, []string{"HEARTH_ADDR=0.0.0.0:2774", "HEARTH_WORKERS=many", "HEARTH_TTL_MUTE=1", "HEARTH_ODOO_PROTOCOL=soap"})
		if err == nil {
			t.Fatal("it serves")
		}
		for _, variable := range []string{"HEARTH_ADDR", "HEARTH_WORKERS", "HEARTH_TTL_MUTE", "HEARTH_ODOO_PROTOCOL"} {
			if !strings.Contains(out, variable) {
				t.Errorf("%s is not named: %s", variable, out)
			}
		}
	})
}

// fill reads everything that can be cached of two chats and two models.
func (s *suite) fill(t testing.TB, h *hearth) {
	t.Helper()
	for _, chat := range []string{"drop one", "drop two"} {
		h.history(t, chat, 10)
		h.history(t, chat, 5)
		h.muted(t, chat)
		h.relevant(t, chat, map[string]any{"text": "x"})
		h.relevant(t, chat, map[string]any{"text": "y"})
	}
	for _, model := range []string{"res.partner", "res.users"} {
		want[client.Models](t, h.get(t, "/v1/odoo/models?names="+model), http.StatusOK)
		want[client.Result](t, h.call(t, model, "search_count", nil, map[string]any{"domain": []any{}}), http.StatusOK)
	}
}

func longLived() []string {
	return []string{"HEARTH_TTL_HISTORY=1h", "HEARTH_TTL_MUTE=1h", "HEARTH_TTL_RELEVANT=1h", "HEARTH_TTL_ODOO_READ=1h"}
}

func (s *suite) dropping(t *testing.T) {
	h := s.start(t, longLived()...)
	held := func() []string {
		var names []string
		for name, r := range map[string]reply{
			"history one": h.get(t, historyPath("drop one", 10, 5), "Cache-Control", "only-if-cached"),
			"history two": h.get(t, historyPath("drop two", 10, 5), "Cache-Control", "only-if-cached"),
			"mute one":    h.get(t, chatPath("drop one", "mute"), "Cache-Control", "only-if-cached"),
			"mute two":    h.get(t, chatPath("drop two", "mute"), "Cache-Control", "only-if-cached"),
			"found one":   h.post(t, chatPath("drop one", "relevant"), map[string]any{"text": "x"}, "Cache-Control", "only-if-cached"),
			"found two":   h.post(t, chatPath("drop two", "relevant"), map[string]any{"text": "x"}, "Cache-Control", "only-if-cached"),
			"partner":     h.get(t, "/v1/odoo/models?names=res.partner", "Cache-Control", "only-if-cached"),
			"user":        h.get(t, "/v1/odoo/models?names=res.users", "Cache-Control", "only-if-cached"),
			"partners":    h.call(t, "res.partner", "search_count", nil, map[string]any{"domain": []any{}}, "Cache-Control", "only-if-cached"),
			"users":       h.call(t, "res.users", "search_count", nil, map[string]any{"domain": []any{}}, "Cache-Control", "only-if-cached"),
		} {
			if r.status == http.StatusOK {
				names = append(names, name)
			}
		}
		slices.Sort(names)
		return names
	}
	all := []string{"found one", "found two", "history one", "history two", "mute one", "mute two", "partner", "partners", "user", "users"}
	for _, c := range []struct {
		query string
		n     int
		gone  func(string) bool
	}{
		{"?chat=drop%20one", 4, func(name string) bool { return strings.HasSuffix(name, " one") }},
		{"?model=res.users", 2, func(name string) bool { return strings.HasPrefix(name, "user") }},
		{"?chat=unknown", 0, func(string) bool { return false }},
		{"?model=no.such.model", 0, func(string) bool { return false }},
		{"", 12, func(string) bool { return true }},
	} {
		s.fill(t, h)
		if got := held(); !slices.Equal(got, all) {
			t.Fatalf("held are %v, want %v", got, all)
		}
		if got := want[client.Dropped](t, h.do(t, http.MethodDelete, "/v1/cache"+c.query, nil), http.StatusOK); got.Dropped != c.n {
			t.Errorf("DELETE %q dropped %d, want %d", c.query, got.Dropped, c.n)
		}
		wantContents(t, "after DELETE "+c.query, held(), slices.DeleteFunc(slices.Clone(all), c.gone))
	}
}

func (s *suite) numbers(t *testing.T) {
	h := s.start(t, append(longLived(), "HEARTH_CACHE_BYTES=8MiB")...)
	ask := func() wire.CacheStats { return want[wire.CacheStats](t, h.get(t, "/debug/cache"), http.StatusOK) }
	zero := ask()
	resources := []string{"history", "mute", "odoo_models", "odoo_read", "relevant"}
	wantKeys(t, "/debug/cache", h.get(t, "/debug/cache").body,
		"bytes", "entries", "errors", "evictions", "hit_ratio", "hits", "max_bytes", "misses", "rejected", "resources", "stale")
	each := wantKeys(t, "resources", fieldsOf(t, h.get(t, "/debug/cache").body)["resources"], resources...)
	for name, raw := range each {
		wantKeys(t, name, raw, "bytes", "entries", "errors", "hit_ratio", "hits", "misses", "stale")
	}
	if zero.Hits+zero.Misses+zero.Stale+zero.Errors+zero.Entries != 0 || zero.MaxBytes != 8<<20 {
		t.Errorf("at first it is %+v", zero)
	}
	s.fill(t, h) // one miss each, but the second history of a chat is cut from the first
	s.fill(t, h)
	h.relevant(t, "drop one", map[string]any{"text": "z", "mode": "bm25"})
	wantProblem(t, h.post(t, chatPath("drop one", "relevant"), map[string]any{"text": "z", "mode": "near_text"}), http.StatusBadGateway)
	wantProblem(t, h.get(t, historyPath("drop three", 1, 1), "Cache-Control", "only-if-cached"), http.StatusGatewayTimeout)

	got := ask()
	expected := map[string][4]int64{ // hits, misses, errors, entries
		"history": {6, 3, 0, 2}, "mute": {2, 2, 0, 2}, "relevant": {4, 6, 1, 5}, "odoo_models": {2, 2, 0, 2}, "odoo_read": {2, 2, 0, 2},
	}
	var sum wire.CacheStats
	for name, e := range expected {
		r := got.Resources[name]
		if have := [4]int64{r.Hits, r.Misses, r.Errors, r.Entries}; have != e {
			t.Errorf("%s: hits, misses, errors and entries are %v, want %v", name, have, e)
		}
		if ratio := float64(r.Hits+r.Stale) / float64(r.Hits+r.Stale+r.Misses); r.HitRatio < ratio-1e-9 || r.HitRatio > ratio+1e-9 {
			t.Errorf("%s: hit_ratio is %v, want %v", name, r.HitRatio, ratio)
		}
		sum.Hits += r.Hits
		sum.Misses += r.Misses
		sum.Stale += r.Stale
		sum.Errors += r.Errors
		sum.Entries += r.Entries
		sum.Bytes += r.Bytes
	}
	sum.HitRatio = float64(sum.Hits+sum.Stale) / float64(sum.Hits+sum.Stale+sum.Misses)
	sum.MaxBytes, sum.Resources = 8<<20, got.Resources
	if !reflect.DeepEqual(got, sum) {
		t.Errorf("the sum is %+v, want %+v", got, sum)
	}
	if got.Bytes <= 0 || got.Bytes > got.MaxBytes {
		t.Errorf("%d bytes are held of %d", got.Bytes, got.MaxBytes)
	}
	h.do(t, http.MethodDelete, "/v1/cache", nil)
	if after := ask(); after.Entries != 0 || after.Hits != got.Hits || after.Bytes >= got.Bytes {
		t.Errorf("after everything was dropped it is %+v", after)
	}
}

func (s *suite) pools(t *testing.T) {
	h := s.start(t, "HEARTH_WEAVIATE_CONNECTIONS=3")
	s.fill(t, h)
	h.say(t, "pools", "user", "x") // REST is for writes
	raw := wantKeys(t, "/debug/pools", h.get(t, "/debug/pools").body, "odoo", "weaviate")
	statistics := []string{
		"breaker", "dead", "dial_errors", "dials", "failures", "handshakes", "hedges", "idle", "in_use", "limit", "looks", "open", "queue", "races",
		"rejected", "replays", "requests", "resumed", "retries", "retries_refused", "reused", "round_trip_ms", "size", "wait_ms", "waits",
	}
	both := wantKeys(t, "weaviate", raw["weaviate"], slices.Sorted(slices.Values(append([]string{"grpc", "rest"}, statistics...)))...)
	raw["weaviate.grpc"], raw["weaviate.rest"] = both["grpc"], both["rest"]
	delete(both, "grpc")
	delete(both, "rest")
	var err error
	if raw["weaviate"], err = json.Marshal(both); err != nil {
		t.Fatal(err)
	}
	for name, size := range map[string]int{"weaviate": 3, "weaviate.grpc": 3, "weaviate.rest": 3, "odoo": 8} {
		fields := wantKeys(t, name, raw[name], statistics...)
		wantKeys(t, name+".breaker", fields["breaker"], "opened", "probes", "refused", "state")
		wantKeys(t, name+".round_trip_ms", fields["round_trip_ms"], "count", "max", "p50", "p90", "p99")
		var n wire.PoolStats
		if err := json.Unmarshal(raw[name], &n); err != nil {
			t.Fatal(err)
		}
		q := n.RoundTrip
		if n.Size != size || n.Limit < 2 || n.Limit > size || n.Breaker != (wire.BreakerStats{State: wire.BreakerClosed}) || n.Open < 1 || n.Open > size || n.Idle != n.Open || n.Requests < 2 || n.Reused < 1 && name != "weaviate.rest" || n.Dials < int64(n.Open) || n.Failures != 0 ||
			q.Count < 2 || q.P50 <= 0 || q.P50 > q.P90 || q.P90 > q.P99 || q.P99 > q.Max {
			t.Errorf("%s: %s", name, raw[name])
		}
	}
}

func (s *suite) readiness(t *testing.T) {
	type state = client.UpstreamState
	h := s.start(t)
	await.ThatWithin(t, patience, "both upstreams are reached", func() bool { return h.get(t, "/readyz").status == http.StatusOK })
	got := want[client.Readiness](t, h.get(t, "/readyz"), http.StatusOK)
	if !got.Ready || got.Upstreams["weaviate"] != (state{State: "reached"}) || got.Upstreams["odoo"] != (state{State: "reached"}) || len(got.Upstreams) != 2 {
		t.Errorf("/readyz is %+v", got)
	}
	got = want[client.Readiness](t, s.start(t, weaviateAt("http://"+freeAddress(t))...).get(t, "/readyz"), http.StatusServiceUnavailable)
	if got.Ready || got.Upstreams["weaviate"].State != "not reached" {
		t.Errorf("without Weaviate, /readyz is %+v", got)
	}
	alone := s.start(t, noOdoo()...)
	await.ThatWithin(t, patience, "Weaviate alone is enough where Odoo is not configured", func() bool { return alone.get(t, "/readyz").status == http.StatusOK })
	got = want[client.Readiness](t, alone.get(t, "/readyz"), http.StatusOK)
	if got.Upstreams["odoo"].State != "not configured" || !strings.Contains(got.Upstreams["odoo"].Detail, "HEARTH_ODOO_URL") {
		t.Errorf("without Odoo, /readyz is %+v", got)
	}
}

func noOdoo() []string {
	return []string{"HEARTH_ODOO_URL=", "HEARTH_ODOO_DB=", "HEARTH_ODOO_USER=", "HEARTH_ODOO_KEY=", "HEARTH_ODOO_UID="}
}

func (s *suite) unconfigured(t *testing.T) {
	h := s.start(t, append(append(noOdoo(), weaviateAt("")...), "HEARTH_WEAVIATE_API_KEY=")...)
	message := client.NewMessage{Role: "user", Content: "x"}
	for path, ask := range map[string]struct {
		method   string
		body     any
		variable string
	}{
		chatPath("c", "history"):  {"GET", nil, "HEARTH_WEAVIATE_URL"},
		chatPath("c", "relevant"): {"POST", map[string]any{"text": "x"}, "HEARTH_WEAVIATE_URL"},
		chatPath("c", "mute"):     {"PUT", map[string]any{"muted": true}, "HEARTH_WEAVIATE_URL"},
		chatPath("c", "messages"): {"POST", message, "HEARTH_WEAVIATE_URL"},
		"/v1/odoo/models":         {"GET", nil, "HEARTH_ODOO_URL"},
		"/v1/odoo/call":           {"POST", client.Call{Model: "res.partner", Method: "search"}, "HEARTH_ODOO_URL"},
	} {
		p := wantProblem(t, h.do(t, ask.method, path, ask.body), http.StatusServiceUnavailable)
		if !strings.Contains(p.Detail, ask.variable) || p.Upstream != map[bool]string{true: "odoo", false: "weaviate"}[ask.variable == "HEARTH_ODOO_URL"] || p.Retryable {
			t.Errorf("%s: %+v", path, p)
		}
	}
	wantProblem(t, h.get(t, chatPath("c", "mute")), http.StatusServiceUnavailable)
	if r := h.get(t, "/readyz"); r.status != http.StatusServiceUnavailable {
		t.Errorf("/readyz: %v", r)
	}
	p := wantProblem(t, h.post(t, "/v1/preprocess", map[string]any{"chat_id": "c", "text": "x", "route_name": "odoo_erp", "enable_odoo": true}), http.StatusBadGateway)
	for _, part := range []string{"mute_status", "relevant_messages", "odoo_models"} {
		if p.Errors[part] == nil || p.Errors[part].Status != http.StatusServiceUnavailable {
			t.Errorf("preprocess: %s: %+v", part, p.Errors[part])
		}
	}
}
