package openapi

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
)

func chats(s *sidecar) {
	s.ask(201, "", "POST", chatPath+"messages", `{"role":"user","content":"Where is my order?","id":"1","created_at":"2026-03-01T10:00:00Z","vector":[1,0.5],"properties":null}`)
	s.ask(201, "", "POST", chatPath+"messages", `[{"role":"assistant","content":"On its way"},{"role":"system","content":"x"}]`, "Idempotency-Key", "k")
	s.ask(422, "key-reused", "POST", chatPath+"messages", `{"role":"assistant","content":"other"}`, "Idempotency-Key", "k")
	s.ask(400, "bad-field", "POST", chatPath+"messages", `{"role":"bot","content":"x"}`)
	s.ask(400, "bad-body", "POST", chatPath+"messages", `[]`)

	s.ask(200, "", "GET", chatPath+"history?num_messages=200&full_text_len=0", "", "X-Hearth-Timeout-Ms", "10000", "traceparent", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01")
	s.ask(200, "", "GET", "/v1/chats/nobody/history", "", "Cache-Control", "no-cache")
	s.ask(200, "", "HEAD", chatPath+"history", "")
	s.ask(304, "", "GET", chatPath+"history", "", "If-None-Match", "*")
	s.ask(400, "bad-field", "GET", chatPath+"history?num_messages=201", "")
	s.ask(504, "not-cached", "GET", "/v1/chats/new/history", "", "Cache-Control", "only-if-cached")

	s.ask(200, "", "POST", chatPath+"relevant", `{"text":"order","count":100,"mode":"bm25","roles":["user","assistant","system"]}`)
	s.ask(200, "", "POST", chatPath+"relevant", `{"mode":"near_vector","vector":[1,0.5],"unknown":1}`)
	s.ask(200, "", "POST", chatPath+"relevant", `{"vector":[1,0.5]}`)
	s.ask(400, "bad-field", "POST", chatPath+"relevant", `{"text":" "}`)
	s.ask(400, "bad-body", "POST", chatPath+"relevant", `[`)
	s.ask(504, "not-cached", "POST", chatPath+"relevant", `{"text":"new"}`, "Cache-Control", "only-if-cached")

	s.ask(200, "", "PUT", chatPath+"mute", `{"muted":true,"until":"2100-01-01T00:00:00Z"}`)
	s.ask(200, "", "GET", chatPath+"mute", "")
	s.ask(304, "", "GET", chatPath+"mute", "", "If-None-Match", "*")
	s.ask(200, "", "GET", "/v1/chats/nobody/mute", "")
	s.ask(400, "bad-field", "PUT", chatPath+"mute", `{"muted":false,"until":"2100-01-01T00:00:00Z"}`)
	s.ask(400, "bad-field", "GET", chatPath+"mute?x=1", "")
	s.ask(504, "not-cached", "GET", "/v1/chats/new/mute", "", "Cache-Control", "only-if-cached")

	const preprocess = `{"chat_id":"a/b %","text":"order","route_name":"odoo_erp","enable_odoo":true`
	s.ask(200, "", "POST", "/v1/preprocess", preprocess+`,"num_messages":5,"timeout_ms":20000}`)
	s.ask(200, "", "POST", "/v1/preprocess", preprocess+`}`)
	s.ask(200, "", "POST", "/v1/preprocess", `{"chat_id":"c","text":"","route_name":""}`)
	s.ask(400, "bad-field", "POST", "/v1/preprocess", `{"chat_id":"","text":"x","route_name":"r"}`)

	got := s.ask(200, "", "POST", "/v1/batch", `{"requests":[{"id":"a","method":"GET","path":"/v1/chats/c/history?num_messages=3"},`+
		`{"id":"b","method":"POST","path":"/v1/chats/c/relevant","body":{"text":"x"},"headers":{"Cache-Control":"no-cache"},"timeout_ms":9000},{"id":"c","method":"GET","path":"/v1/none"}],"max_parallel":1}`)
	inside(s, got)
	s.ask(400, "bad-field", "POST", "/v1/batch", `{"requests":[{"id":"a","method":"POST","path":"/v1/batch"}]}`)
}

// inside checks the answers of a batch as those of the calls alone.
func inside(s *sidecar, batch exchange) {
	s.Helper()
	var asked struct {
		Requests []struct {
			Method, Path string
			Headers      map[string]string
			Body         json.RawMessage
		}
	}
	var got struct {
		Responses []struct {
			Status  int
			Headers map[string]string
			Body    json.RawMessage
		}
	}
	if err := json.Unmarshal(batch.Body, &asked); err != nil {
		s.Fatal(err)
	}
	if err := json.Unmarshal(batch.Reply, &got); err != nil || len(got.Responses) != len(asked.Requests) {
		s.Fatalf("%v: %v", err, batch)
	}
	for i, r := range asked.Requests {
		e := exchange{Method: r.Method, Target: r.Path, Header: header(r.Headers), Body: r.Body, Status: got.Responses[i].Status, ReplyHeader: header(got.Responses[i].Headers), Reply: got.Responses[i].Body}
		if len(r.Body) > 0 {
			e.Header.Set("Content-Type", "application/json")
		}
		s.see(s, e)
	}
}

func header(fields map[string]string) http.Header {
	h := http.Header{}
	for name, value := range fields {
		h.Set(name, value)
	}
	return h
}

func odoo(s *sidecar) {
	s.ask(200, "", "GET", "/v1/odoo/models", "")
	s.ask(304, "", "GET", "/v1/odoo/models", "", "If-None-Match", "*")
	s.ask(200, "", "GET", "/v1/odoo/models?names=res.partner,no.such.model", "")
	s.ask(404, "odoo", "GET", "/v1/odoo/models?names=no.such.model", "")
	s.ask(404, "odoo", "GET", "/v1/odoo/models?names=no.such.model", "") // held
	s.ask(400, "bad-field", "GET", "/v1/odoo/models?names=a%20b", "")
	s.ask(504, "not-cached", "GET", "/v1/odoo/models?names=res.users", "", "Cache-Control", "only-if-cached")

	s.ask(200, "", "POST", "/v1/odoo/call", `{"model":"res.partner","method":"search_count","kwargs":{"domain":[]},"unknown":1}`)
	s.ask(200, "", "POST", "/v1/odoo/call", `{"model":"res.partner","method":"create","kwargs":{"vals_list":[{"name":"x"}]}}`)
	s.ask(404, "odoo", "POST", "/v1/odoo/call", `{"model":"no.such.model","method":"search_count","kwargs":{"domain":[]}}`)
	s.ask(400, "bad-field", "POST", "/v1/odoo/call", `{"model":"res.partner","method":"_private"}`)
	s.ask(400, "bad-body", "POST", "/v1/odoo/call", `1`)
	s.ask(504, "not-cached", "POST", "/v1/odoo/call", `{"model":"res.partner","method":"search_read","kwargs":{"domain":[]}}`, "Cache-Control", "only-if-cached")
}

func fetches(s *sidecar, host string) {
	s.ask(200, "", "POST", "/v1/fetch", fmt.Sprintf(`{"url":"%s/","headers":{"Accept":"*/*"}}`, host))
	s.ask(200, "", "POST", "/v1/fetch", fmt.Sprintf(`{"url":"%s/","method":"POST","body":"x","timeout_ms":10000}`, host))
	s.ask(400, "bad-field", "POST", "/v1/fetch", `{"url":"no url"}`)
	s.ask(400, "bad-field", "POST", "/v1/fetch", fmt.Sprintf(`{"url":"%s/","body":"x"}`, host))
	s.ask(403, "not-allowed", "POST", "/v1/fetch", `{"url":"http://169.254.169.254/"}`)
	s.ask(502, "unreachable", "POST", "/v1/fetch", fmt.Sprintf(`{"url":"%s/"}`, closed))
	s.ask(504, "timeout", "POST", "/v1/fetch", fmt.Sprintf(`{"url":"%s/slow","timeout_ms":50}`, host))

	job := func(url string, timeout int) string {
		started := s.ask(202, "", "POST", "/v1/fetch", fmt.Sprintf(`{"url":"%s","async":true,"timeout_ms":%d}`, url, timeout))
		var reply struct{ Job string }
		if err := json.Unmarshal(started.Reply, &reply); err != nil {
			s.Fatal(err)
		}
		return "/v1/jobs/" + reply.Job
	}
	const long = 60_000
	s.ask(202, "", "GET", job(host+"/slow", long), "")
	s.ask(504, "timeout", "GET", job(host+"/slow", 50)+"?wait_ms=30000", "")
	done := job(host+"/", long)
	s.ask(405, "", "HEAD", done, "")
	s.ask(200, "", "GET", done+"?wait_ms=30000", "")
	s.ask(404, "no-such-job", "GET", done, "")
	s.ask(400, "bad-field", "GET", done+"?wait_ms=30001", "")
	s.ask(502, "unreachable", "GET", job(closed+"/", long)+"?wait_ms=30000", "")
	untilRefused(s, "POST", "/v1/fetch", fmt.Sprintf(`{"url":"%s/"}`, closed))
	s.ask(503, "unavailable", "GET", job(closed+"/", long)+"?wait_ms=30000", "")
}

func invocations(s *sidecar) {
	trace := []string{"X-Amzn-Trace-Id", "Root=1-65e1a1a0-4f2a6c1d5b3e7f8091a2b3c4;Sampled=0"}
	s.ask(200, "", "GET", chatPath+"history", "", trace...)
	s.ask(200, "", "POST", "/v1/preprocess", `{"chat_id":"x","text":"x","route_name":"r"}`, trace...)
	const timings = `{"request_id":"1","function_ms":12.5,"timings":[{"operation":"lambda_handler_total","duration_ms":12},{"operation":"a","duration_ms":0,"error":"x"},{"operation":"b","duration_ms":1e3,"error":true}]}`
	s.ask(204, "", "POST", "/v1/timings", timings, trace...)
	s.ask(204, "", "POST", "/v1/timings", timings, trace...)
	s.ask(204, "", "POST", "/v1/timings", `{"timings":[],"request_id":null}`)
	s.ask(400, "bad-body", "POST", "/v1/timings", `1`)
	for _, body := range []string{
		`{}`, `{"timings":{}}`, `{"timings":[],"x":1}`, `{"timings":[],"request_id":""}`, `{"timings":[],"function_ms":-1}`, `{"timings":[1]}`, `{"timings":[{"operation":"a"}]}`,
		`{"timings":[{"operation":"","duration_ms":1}]}`, `{"timings":[{"operation":"a","duration_ms":-1}]}`, `{"timings":[{"operation":"a","duration_ms":1,"error":1}]}`,
		`{"timings":[` + strings.Repeat(`{"operation":"a","duration_ms":1},`, 100) + `{"operation":"a","duration_ms":1}]}`,
	} {
		s.ask(400, "bad-field", "POST", "/v1/timings", body)
	}
	var got struct{ Invocations []struct{ Timings []any } }
	seen := s.ask(200, "", "GET", "/debug/invocations", "")
	if err := json.Unmarshal(seen.Reply, &got); err != nil || len(got.Invocations) == 0 {
		s.Errorf("there are no invocations: %v", seen)
	}
}

func operations(s *sidecar) {
	s.ask(200, "", "GET", "/healthz", "")
	s.ask(400, "bad-field", "GET", "/healthz?x=1", "")
	s.ask(200, "", "GET", "/readyz", "")
	s.ask(400, "bad-field", "GET", "/readyz?x=1", "")
	for _, path := range []string{"/debug/cache", "/debug/pools", "/debug/invocations", "/debug/advice", "/debug/", "/metrics", "/openapi.json"} {
		s.ask(200, "", "GET", path, "")
		s.ask(400, "bad-field", "GET", path+"?x=1", "")
	}
	s.ask(308, "", "GET", "/debug", "")
	s.ask(400, "bad-field", "GET", "/debug?x=1", "")
	for _, query := range []string{"?chat=a%2Fb%20%25", "?model=res.partner", ""} {
		s.ask(200, "", "DELETE", "/v1/cache"+query, "")
	}
	s.ask(400, "bad-field", "DELETE", "/v1/cache?model=a%20b", "")
	if got := s.send("GET", "/openapi.json", ""); string(got.Reply) != read(s, root+"sidecar/openapi.json") {
		s.Errorf("it is not the document: %v", got)
	}
}

// door sends to each call what is refused before the call is looked at.
func door(s *sidecar) {
	s.ask(404, "no-such-call", "GET", "/v1/none", "")
	for path, item := range load(s).Paths.Map() {
		target := strings.NewReplacer("{chat_id}", "x", "{job}", "x").Replace(path)
		for method, op := range item.Operations() {
			s.ask(403, "forbidden", method, target, "", "X-Forwarded-For", "1.2.3.4")
			s.ask(413, "too-large", method, target, strings.Repeat("x", 65<<10))
			s.ask(415, "media-type", method, target, "{}", "Content-Type", "text/plain")
			s.ask(431, "headers", method, target, "", "X-Large", strings.Repeat("x", 17<<10))
			if op.Security == nil {
				s.ask(401, "token", method, target, "", "X-Hearth-Token", "")
			}
		}
		s.ask(405, "method", "PATCH", target, "")
	}
}

func notConfigured(s *sidecar) {
	for _, target := range []string{"/v1/chats/x/history", "/v1/chats/x/mute", "/v1/odoo/models"} {
		s.ask(503, "not-configured", "GET", target, "")
	}
	s.ask(503, "not-configured", "PUT", "/v1/chats/x/mute", `{"muted":true}`)
	s.ask(503, "not-configured", "POST", "/v1/chats/x/messages", `{"role":"user","content":"x"}`)
	s.ask(503, "not-configured", "POST", "/v1/chats/x/relevant", `{"text":"x"}`)
	s.ask(503, "not-configured", "POST", "/v1/odoo/call", `{"model":"res.partner","method":"create"}`)
	s.ask(503, "not-configured", "POST", "/v1/fetch", `{"url":"http://127.0.0.1:1/"}`)
	s.ask(502, "preprocess", "POST", "/v1/preprocess", `{"chat_id":"x","text":"x","route_name":"r"}`)
	s.ask(503, "", "GET", "/readyz", "")
}

// untilRefused makes a call of an upstream that is down until its breaker is open.
func untilRefused(s *sidecar, method, target, body string) {
	s.Helper()
	for range 20 {
		if s.send(method, target, body).kind() == "unavailable" {
			return
		}
	}
	s.Errorf("%s %s: the breaker does not open", method, target)
}

// down asks upstreams that are unreachable.
func down(s *sidecar) {
	s.ask(502, "unreachable", "PUT", "/v1/chats/x/mute", `{"muted":true}`)
	s.ask(502, "unreachable", "GET", "/v1/odoo/models", "")
	for _, call := range []string{"history", "mute"} {
		untilRefused(s, "GET", "/v1/chats/x/"+call, "")
	}
	untilRefused(s, "GET", "/v1/odoo/models", "")
	s.ask(502, "preprocess", "POST", "/v1/preprocess", `{"chat_id":"x","text":"x","route_name":"odoo_erp","enable_odoo":true,"num_messages":3}`)
	s.ask(503, "", "GET", "/readyz", "")
}

// failing asks upstreams that answer every request with a status and, if they are Odoo, an exception.
func failing(s *sidecar, answer func(status int, exception string)) {
	for want, exception := range map[int]string{403: "AccessError", 409: "LockError", 422: "UserError", 502: "Whatever"} {
		answer(500, "odoo.exceptions."+exception)
		s.ask(want, "odoo", "GET", "/v1/odoo/models", "")
		s.ask(want, "odoo", "POST", "/v1/odoo/call", `{"model":"res.partner","method":"create"}`)
	}
	for _, status := range []int{401, 403} {
		answer(status, "")
		for _, c := range []struct{ method, call, body string }{
			{"GET", "history", ""}, {"GET", "mute", ""}, {"POST", "relevant", `{"text":"x"}`}, {"PUT", "mute", `{"muted":true}`}, {"POST", "messages", `{"role":"user","content":"x"}`},
		} {
			s.ask(502, "weaviate", c.method, "/v1/chats/x/"+c.call, c.body)
		}
	}
	answer(429, "")
	s.ask(503, "weaviate", "GET", "/v1/chats/x/history", "")
}

// silent asks upstreams that do not answer.
func silent(s *sidecar) {
	for _, c := range []struct{ method, target, body string }{
		{"PUT", "/v1/chats/x/mute", `{"muted":true}`},
		{"POST", "/v1/chats/x/messages", `{"role":"user","content":"x"}`},
		{"GET", "/v1/chats/x/history", ""},
		{"GET", "/v1/odoo/models", ""},
		{"POST", "/v1/odoo/call", `{"model":"res.partner","method":"create"}`},
	} {
		s.ask(504, "timeout", c.method, c.target, c.body, "X-Hearth-Timeout-Ms", "200")
	}
}
