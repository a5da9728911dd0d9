package sidecar

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"

	"hearth/client/wire"
	"hearth/internal/monitor"
	"hearth/internal/testing/emf"
	"hearth/sidecar/chat"
)

// documents is an output that keeps what was flushed.
type documents struct {
	testing.TB
	mu            sync.Mutex
	pending, list []emf.Document // guarded by mu
}

func (d *documents) Write(line []byte) (int, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	doc, err := emf.Parse(string(line))
	if err != nil {
		d.Errorf("%s: %v", line, err)
	}
	d.pending = append(d.pending, doc)
	return len(line), nil
}

func (d *documents) Flush() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.list, d.pending = append(d.list, d.pending...), nil
}

func (d *documents) all() []emf.Document {
	d.mu.Lock()
	defer d.mu.Unlock()
	return slices.Clone(d.list)
}

func TestAnInvocationHasEachOfItsCalls(t *testing.T) {
	out := &documents{TB: t}
	a := newAPI(t, newUpstreams().withClasses("text", "text"), func(c *Config, _ *chat.Config) {
		c.Monitor = monitor.New(monitor.Config{FunctionName: "f", Out: out})
	})
	trace := []string{"X-Amzn-Trace-Id", "Root=1-5759e988-bd862e3fe1be46a994272793;Sampled=1"}
	preprocess := `{"chat_id":"c","text":"x","route_name":"odoo_erp","enable_odoo":true,"num_messages":3}`
	a.want(http.StatusCreated, http.MethodPost, "/v1/chats/c/messages", `{"role":"user","content":"hello"}`, trace...)
	a.want(http.StatusOK, http.MethodGet, "/v1/chats/c/history?num_messages=3", "", trace...)
	a.want(http.StatusOK, http.MethodGet, "/v1/chats/c/history?num_messages=3", "", trace...)
	a.want(http.StatusOK, http.MethodPost, "/v1/preprocess", preprocess, trace...)
	a.want(http.StatusOK, http.MethodPost, "/v1/preprocess", preprocess, trace...)
	a.want(http.StatusBadRequest, http.MethodGet, "/v1/chats/c/history?num_messages=x", "", trace...)
	a.want(http.StatusOK, http.MethodPost, "/v1/batch", `{"max_parallel":1,"requests":[{"id":"a","method":"GET","path":"/v1/chats/c/mute"},{"id":"b","method":"DELETE","path":"/v1/cache"}]}`, trace...)
	a.want(http.StatusOK, http.MethodGet, "/healthz", "", trace...)
	a.want(http.StatusOK, http.MethodGet, "/debug/cache", "", trace...)

	var got []string
	all := decoded[wire.Invocations](t, a.want(http.StatusOK, http.MethodGet, "/debug/invocations", "").body).Invocations
	if len(all) != 1 {
		t.Fatalf("%+v", all)
	}
	for _, op := range all[0].Operations {
		got = append(got, fmt.Sprint(op.Operation, " ", op.Route, " ", op.Status, " ", op.Cache))
	}
	want := []string{
		"hearth.append POST /v1/chats/{chat_id}/messages 201 <nil>",
		"hearth.history GET /v1/chats/{chat_id}/history 200 miss",
		"hearth.history GET /v1/chats/{chat_id}/history 200 hit",
		"hearth.preprocess POST /v1/preprocess 200 map[history:hit mute_status:miss odoo_models:miss relevant_messages:miss]",
		"hearth.preprocess POST /v1/preprocess 200 map[history:hit mute_status:hit odoo_models:hit relevant_messages:hit]",
		"hearth.history GET /v1/chats/{chat_id}/history 400 <nil>",
		"hearth.mute GET /v1/chats/{chat_id}/mute 200 hit",
		"hearth.drop_cache DELETE /v1/cache 200 <nil>",
		"hearth.batch POST /v1/batch 200 <nil>",
	}
	if !slices.Equal(got, want) {
		t.Errorf("%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	stats := a.server.cfg.Cache.Stats()
	if inv := all[0]; inv.Hits != stats.Hits || inv.Misses != stats.Misses || inv.Stale != stats.Stale || inv.Hits != 7 || inv.Misses != 4 || inv.ID != "1-5759e988-bd862e3fe1be46a994272793" {
		t.Errorf("%+v\nthe cache counts %+v", inv, stats)
	}
	if n := len(out.all()); n != 0 {
		t.Errorf("%d documents before the end", n)
	}
	const sent = `{"request_id":"r","function_ms":812.5,"timings":[{"operation":"lambda_handler_total","duration_ms":800,"error":true},{"operation":"mine","duration_ms":0.25,"error":"no"}]}`
	for range 2 {
		if got := a.want(http.StatusNoContent, http.MethodPost, "/v1/timings", sent, trace...); got.body != "" {
			t.Errorf("the body is %s", got.body)
		}
		if n := len(out.all()); n != 1 {
			t.Errorf("%d documents", n)
		}
	}
	shown := decoded[wire.Invocations](t, a.want(http.StatusOK, http.MethodGet, "/debug/invocations", "").body)
	inv := shown.Invocations[0]
	if len(shown.Invocations) != 1 || inv.RequestID != "r" || *inv.FunctionMS != 812.5 || fmt.Sprint(inv.Timings) != "[{lambda_handler_total 800 true} {mine 0.25 no}]" || inv.Late {
		t.Errorf("%+v", shown)
	}
	if s := shown.Operations; s["hearth.history"].Count != 3 || s["lambda_handler_total"].MaxMS != 800 {
		t.Errorf("%+v", s)
	}
	d := out.all()[0]
	if len(d.Metrics["hearth.preprocess_duration"].Values) != 2 || d.Metrics["misses"].Values[0] != 4 || d.Metrics["lambda_handler_total_duration"].Values[0] != 800 {
		t.Errorf("%+v", d)
	}
}

func TestTimingsInABatchEndTheInvocationThatHasTheBatch(t *testing.T) {
	out := &documents{TB: t}
	a := newAPI(t, newUpstreams().withClasses("text", "text"), func(c *Config, _ *chat.Config) {
		c.Monitor = monitor.New(monitor.Config{FunctionName: "f", Out: out})
	})
	const batch = `{"requests":[{"id":"a","method":"POST","path":"/v1/timings","body":{"request_id":"r","timings":[{"operation":"mine","duration_ms":1}]}},` +
		`{"id":"b","method":"GET","path":"/v1/chats/c/mute"},{"id":"c","method":"POST","path":"/v1/timings","body":{"timings":[{"operation":"","duration_ms":1}]}}]}`
	got := a.want(http.StatusOK, http.MethodPost, "/v1/batch", batch, "X-Amzn-Trace-Id", "Root=1-a")
	if !strings.Contains(got.body, `"status":204`) || !strings.Contains(got.body, `timings[0].operation`) {
		t.Error(got.body)
	}
	all := a.server.cfg.Monitor.Invocations().Invocations
	if len(all) != 1 || len(all[0].Operations) != 2 || all[0].RequestID != "r" || all[0].Late {
		t.Errorf("%+v", all)
	}
	if docs := out.all(); len(docs) != 1 || len(docs[0].Metrics["hearth.batch_duration"].Values) != 1 || len(docs[0].Metrics["mine_duration"].Values) != 1 {
		t.Errorf("%+v", docs)
	}
}

func TestTimingsThatAreWrongNameTheirField(t *testing.T) {
	a := newAPI(t, newUpstreams(), nil)
	item := `{"operation":"a","duration_ms":1}`
	list := func(second string) string { return `{"timings":[` + item + `,` + second + `]}` }
	for _, c := range []struct{ body, field string }{
		{list(item), ""},
		{`{"timings":[]}`, ""},
		{`{"request_id":null,"function_ms":0,"timings":[{"operation":"` + strings.Repeat("ö", 128) + `","duration_ms":1e6,"error":null}]}`, ""},
		{list(`{"operation":"a","duration_ms":1,"error":false}`), ""},
		{list(`{"operation":"a","duration_ms":1,"error":"` + strings.Repeat("long ", 1000) + `"}`), ""},
		{`{"timings":[` + strings.Repeat(item+",", 99) + item + `]}`, ""},
		{`{"timings":[` + strings.Repeat(item+",", 100) + item + `]}`, "timings"},
		{``, "body"},
		{`[]`, "body"},
		{`{}`, "timings"},
		{`{"timings":{}}`, "timings"},
		{`{"timings":"a"}`, "timings"},
		{`{"timings":[],"more":1}`, "more"},
		{`{"timings":[],"request_id":1}`, "request_id"},
		{`{"timings":[],"request_id":""}`, "request_id"},
		{`{"timings":[],"request_id":"` + strings.Repeat("r", 129) + `"}`, "request_id"},
		{`{"timings":[],"function_ms":"1"}`, "function_ms"},
		{`{"timings":[],"function_ms":-1}`, "function_ms"},
		{list(`1`), "timings[1]"},
		{list(`null`), "timings[1]"},
		{list(`{}`), "timings[1].operation"},
		{list(`{"operation":"","duration_ms":1}`), "timings[1].operation"},
		{list(`{"operation":7,"duration_ms":1}`), "timings[1].operation"},
		{list(`{"operation":"` + strings.Repeat("ö", 129) + `","duration_ms":1}`), "timings[1].operation"},
		{list(`{"operation":"a"}`), "timings[1].duration_ms"},
		{list(`{"operation":"a","duration_ms":-0.1}`), "timings[1].duration_ms"},
		{list(`{"operation":"a","duration_ms":1e999}`), "timings[1].duration_ms"},
		{list(`{"operation":"a","duration_ms":"1"}`), "timings[1].duration_ms"},
		{list(`{"operation":"a","duration_ms":1,"error":1}`), "timings[1].error"},
		{list(`{"operation":"a","duration_ms":1,"errors":"x"}`), "timings[1].errors"},
	} {
		a.refuses(c.field, http.MethodPost, "/v1/timings", c.body)
	}
}

func TestMetricsAreThoseOfTheStatistics(t *testing.T) {
	const token = "0123456789"
	a := newAPI(t, newUpstreams().withClasses("text", "text"), func(c *Config, _ *chat.Config) { c.Token = token })
	asks := []string{"X-Hearth-Token", token}
	for range 3 {
		a.want(http.StatusOK, http.MethodGet, "/v1/chats/secret-chat/history", "", asks...)
	}
	a.want(http.StatusNotFound, http.MethodGet, "/v1/secret-path", "", asks...)
	for _, path := range []string{"/metrics", "/debug/invocations", "/v1/chats/a/history"} {
		a.want(http.StatusUnauthorized, http.MethodGet, path, "")
	}
	a.want(http.StatusUnauthorized, http.MethodPost, "/v1/timings", `{"timings":[]}`)
	got := a.want(http.StatusOK, http.MethodGet, "/metrics", "", asks...)
	if got.header.Get("Content-Type") != "text/plain; version=0.0.4; charset=utf-8" {
		t.Errorf("%v", got.header)
	}
	for _, line := range []string{
		"# TYPE hearth_requests_total counter",
		`hearth_requests_total{route="GET /v1/chats/{chat_id}/history",status="200"} 3`,
		`hearth_requests_total{route="unknown",status="401"} 4`,
		`hearth_requests_total{route="unknown",status="404"} 1`,
		"# TYPE hearth_request_duration_seconds histogram",
		`hearth_request_duration_seconds_bucket{route="GET /v1/chats/{chat_id}/history",le="+Inf"} 3`,
		`hearth_request_duration_seconds_count{route="GET /v1/chats/{chat_id}/history"} 3`,
		`hearth_cache_requests_total{resource="history",outcome="hit"} 2`,
		`hearth_cache_requests_total{resource="history",outcome="miss"} 1`,
		`hearth_cache_requests_total{resource="history",outcome="stale"} 0`,
	} {
		if !strings.Contains(got.body, line+"\n") {
			t.Errorf("the metrics have no line %s", line)
		}
	}
	if !strings.Contains(got.body, fmt.Sprintf("\nhearth_cache_bytes %d\n", a.server.cfg.Cache.Stats().Bytes)) || strings.Contains(got.body, "secret") {
		t.Errorf("%s", got.body)
	}
	if all := a.server.cfg.Monitor.Invocations().Invocations; len(all) != 1 || len(all[0].Operations) != 3 {
		t.Errorf("refused requests are operations: %+v", all)
	}
}
