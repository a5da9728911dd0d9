package sidecar

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"hearth/client/wire"
	"hearth/internal/executor"
	"hearth/sidecar/chat"
)

// batch asks for a batch, and returns its responses.
func (a *api) batch(b wire.Batch) []wire.BatchResponse {
	a.Helper()
	body, err := json.Marshal(b)
	if err != nil {
		a.Fatal(err)
	}
	var reply wire.BatchReply
	if got := a.want(http.StatusOK, http.MethodPost, wire.PathBatch, string(body)); json.Unmarshal([]byte(got.body), &reply) != nil {
		a.Fatalf("%s is no reply of a batch", got.body)
	}
	return reply.Responses
}

func TestEveryCallIsAnsweredInABatchAsAlone(t *testing.T) {
	type call struct {
		method, path, body string
		headers            []string
	}
	message := `{"role":"user","content":"hello","id":"m1","created_at":"2026-01-02T03:04:05Z"}`
	calls := []call{
		{http.MethodPost, "/v1/chats/a%2Fb%2F..%2Fc/messages", message, nil},
		{http.MethodPost, "/v1/chats/c/messages", `[` + message + `]`, []string{"Idempotency-Key", "k"}},
		{http.MethodPost, "/v1/chats/c/messages", `{"role":"user","content":"hello"}`, []string{"Idempotency-Key", "k2", "Traceparent", "00-1-2-00"}},
		{http.MethodPost, "/v1/chats/c/messages", `{"role":"user","content":"other"}`, []string{"Idempotency-Key", "k2"}}, // 422
		{http.MethodPost, "/v1/chats/c/messages", `{"role":"user","contents":"other"}`, nil},
		{http.MethodGet, "/v1/chats/a%2Fb%2F..%2Fc/history?num_messages=3&full_text_len=1", "", nil}, // a miss
		{http.MethodGet, "/v1/chats/a%2Fb%2F..%2Fc/history?num_messages=3&full_text_len=1", "", nil}, // a hit
		{http.MethodGet, "/v1/chats/a%2Fb%2F..%2Fc/history?num_messages=3&full_text_len=1", "", []string{"Cache-Control", "no-cache"}},
		{http.MethodGet, "/v1/chats/a%2Fb%2F..%2Fc/history?num_messages=3&full_text_len=1", "", []string{"If-None-Match", "*"}}, // 304
		{http.MethodHead, "/v1/chats/a%2Fb%2F..%2Fc/history?num_messages=3", "", nil},
		{http.MethodGet, "/v1/chats/a%2Fb%2F..%2Fc/history?num=3", "", nil},
		{http.MethodGet, "/v1/chats/new/history", "", []string{"Cache-Control", "only-if-cached"}}, // 504
		{http.MethodPost, "/v1/chats/c/relevant", `{"text":"hello","mode":"bm25","unknown":"\ud800"}`, nil},
		{http.MethodPost, "/v1/chats/c/relevant", `{"text":"hello","mode":"bm26"}`, nil},
		{http.MethodPost, "/v1/chats/c/relevant", `{"text":"hello"}`, []string{"Content-Type", "text/plain"}}, // 415
		{http.MethodPost, "/v1/chats/c/relevant", ``, nil},
		{http.MethodGet, "/v1/chats/c/mute", "", nil},
		{http.MethodPut, "/v1/chats/c/mute", `{"muted":true}`, nil},
		{http.MethodPut, "/v1/chats/c/mute", `{"muted":1}`, nil},
		{http.MethodPost, "/v1/preprocess", `{"chat_id":"c","text":"hello","route_name":"odoo_erp","enable_odoo":true,"num_messages":3}`, nil},
		{http.MethodPost, "/v1/preprocess", `[]`, nil},
		{http.MethodGet, "/v1/odoo/models?names=res.partner%2Cno.such", "", nil},
		{http.MethodPost, "/v1/odoo/call", `{"model":"res.partner","method":"search_count","kwargs":{"domain":[]}}`, nil},
		{http.MethodPost, "/v1/odoo/call", `{"model":"res.partner","method":"no_such","kwargs":{}}`, nil},
		{http.MethodPost, "/v1/fetch", `{"url":"https://a.test/"}`, nil},
		{http.MethodGet, "/v1/jobs/none?wait_ms=1", "", nil},
		{http.MethodDelete, "/v1/cache?chat=c", "", nil},
		{http.MethodPost, "/v1/timings", `{"request_id":"r","timings":[{"operation":"a","duration_ms":1}]}`, nil},
		{http.MethodPost, "/v1/timings", `{"timings":[{"operation":"","duration_ms":1}]}`, nil},
		{http.MethodDelete, "/v1/cache?chat=c&model=x", "", nil},
		{http.MethodGet, "/v1/nothing", "", nil},
		{http.MethodGet, "/v1/../debug/cache", "", nil},
		{http.MethodPatch, "/v1/preprocess", "", nil},
	}
	alone := newAPI(t, newUpstreams().withClasses("text", "text"), nil)
	inBatch := newAPI(t, newUpstreams().withClasses("text", "text"), nil)
	covered := map[string]bool{wire.PathBatch: true}
	for i, c := range calls {
		req := wire.BatchRequest{ID: strconv.Itoa(i), Method: c.method, Path: c.path, Headers: map[string]string{}}
		if c.body != "" {
			req.Body = json.RawMessage(c.body)
		}
		for j := 0; j < len(c.headers); j += 2 {
			req.Headers[c.headers[j]] = c.headers[j+1]
		}
		want := alone.do(c.method, c.path, c.body, c.headers...)
		got := inBatch.batch(wire.Batch{Requests: []wire.BatchRequest{req}})[0]
		name := fmt.Sprintf("%s %s %s %v", c.method, c.path, c.body, c.headers)
		if got.ID != req.ID || got.Status != want.status {
			t.Errorf("%s\n in a batch: %s %d %s\n alone: %d %s", name, got.ID, got.Status, got.Body, want.status, want.body)
		}
		if body := string(got.Body); comparable(body) != comparable(want.body) && (body != "null" || want.body != "") {
			t.Errorf("%s\n in a batch: %s\n alone: %s", name, body, want.body)
		}
		headers := http.Header{}
		for n, v := range got.Headers {
			headers.Set(n, comparable(v))
		}
		for _, n := range []string{"Connection", "Content-Length", "Date", "Server"} {
			want.header.Del(n)
		}
		for n, v := range want.header {
			want.header.Set(n, comparable(v[0]))
		}
		if !maps.EqualFunc(headers, want.header, slices.Equal) {
			t.Errorf("%s\n in a batch: %v\n alone: %v", name, headers, want.header)
		}
		if calls, _ := alone.server.router.find(parseTarget([]byte(c.path)).path); len(calls) > 0 {
			covered[calls[0].path] = true
		}
	}
	for _, r := range routes() {
		if strings.HasPrefix(r.path, "/v1/") && !covered[r.path] {
			t.Errorf("no call of %s is tried", r.path)
		}
	}
}

// comparable replaces what differs from one answer to the next: times, and ids that were made for a message.
func comparable(text string) string {
	text = regexp.MustCompile(`("\w+":|dur=)\d+\.\d{3}`).ReplaceAllString(text, "${1}T")
	return regexp.MustCompile(`"\d{4}-\d\d-\d\dT[^"]*Z"`).ReplaceAllString(text, "TIME")
}

func TestABatchThatIsWrongIsRefusedAsAWhole(t *testing.T) {
	a := newAPI(t, newUpstreams().withClasses("text", "text"), func(c *Config, _ *chat.Config) { c.MaxBody = 4 << 20 })
	write := `{"id":"w","method":"PUT","path":"/v1/chats/c/mute","body":{"muted":true}}`
	with := func(second string) string { return `{"requests":[` + write + `,` + second + `]}` }
	get := func(path string) string {
		return with(`{"id":"a","method":"GET","path":` + string(chat.AppendString(nil, path)) + `}`)
	}
	header := func(name, value string) string {
		return with(`{"id":"a","method":"GET","path":"/v1/cache","headers":{"` + name + `":` + value + `}}`)
	}
	tooMany := strings.Repeat(`{"id":"a","method":"GET","path":"/v1/cache"},`, 100)
	for _, c := range []struct{ body, field string }{
		{``, "body"},
		{`[]`, "body"},
		{`{"requests"`, "body"},
		{`{}`, "requests"},
		{`{"requests":null}`, "requests"},
		{`{"requests":[]}`, "requests"},
		{`{"requests":{}}`, "requests"},
		{`{"requests":"a"}`, "requests"},
		{`{"requests":[` + strings.ReplaceAll(tooMany, `"a"`, `"a"`) + write + `]}`, "requests[1].id"},
		{`{"requests":[` + write + `],"extra":1}`, "extra"},
		{`{"requests":[` + write + `],"timeout_ms":0}`, "timeout_ms"},
		{`{"requests":[` + write + `],"timeout_ms":900001}`, "timeout_ms"},
		{`{"requests":[` + write + `],"timeout_ms":"1"}`, "timeout_ms"},
		{`{"requests":[` + write + `],"max_parallel":0}`, "max_parallel"},
		{`{"requests":[` + write + `],"max_parallel":101}`, "max_parallel"},
		{with(`1`), "requests[1]"},
		{with(`null`), "requests[1]"},
		{with(`[]`), "requests[1]"},
		{with(`{"method":"GET","path":"/v1/cache"}`), "requests[1].id"},
		{with(`{"id":"","method":"GET","path":"/v1/cache"}`), "requests[1].id"},
		{with(`{"id":7,"method":"GET","path":"/v1/cache"}`), "requests[1].id"},
		{with(`{"id":"w","method":"GET","path":"/v1/cache"}`), "requests[1].id"},
		{with(`{"id":"` + strings.Repeat("x", 129) + `","method":"GET","path":"/v1/cache"}`), "requests[1].id"},
		{with(`{"id":"a","path":"/v1/cache"}`), "requests[1].method"},
		{with(`{"id":"a","method":"G T","path":"/v1/cache"}`), "requests[1].method"},
		{with(`{"id":"a","method":"","path":"/v1/cache"}`), "requests[1].method"},
		{with(`{"id":"a","method":"GET"}`), "requests[1].path"},
		{with(`{"id":"a","method":"GET","path":"/v1/cache","timeout_ms":0}`), "requests[1].timeout_ms"},
		{with(`{"id":"a","method":"GET","path":"/v1/cache","url":"x"}`), "requests[1].url"},
		{get("/v1/batch"), "requests[1].path"},
		{get("/v1/batch?x=1"), "requests[1].path"},
		{get("/healthz"), "requests[1].path"},
		{get("/debug/cache"), "requests[1].path"},
		{get("/readyz"), "requests[1].path"},
		{get("/metrics"), "requests[1].path"},
		{get("v1/cache"), "requests[1].path"},
		{get("//v1/cache"), "requests[1].path"},
		{get("/v1"), "requests[1].path"},
		{get("*"), "requests[1].path"},
		{get("http://localhost/v1/cache"), "requests[1].path"},
		{get("/V1/cache"), "requests[1].path"},
		{get("/debug/../v1/cache"), "requests[1].path"},
		{get("/v1/chats/a b/mute"), "requests[1].path"},
		{get("/v1/cache HTTP/1.1\r\nHost: x"), "requests[1].path"},
		{get("/v1/\x00"), "requests[1].path"},
		{get("/v1/" + strings.Repeat("x", 20<<10)), "requests[1].path"},
		{header("Host", `"localhost"`), "requests[1].headers.Host"},
		{header("x-hearth-token", `"t"`), "requests[1].headers.x-hearth-token"},
		{header("Origin", `"http://localhost"`), "requests[1].headers.Origin"},
		{header("Forwarded", `"a"`), "requests[1].headers.Forwarded"},
		{header("X-Forwarded-For", `"a"`), "requests[1].headers.X-Forwarded-For"},
		{header("Sec-Fetch-Site", `"none"`), "requests[1].headers.Sec-Fetch-Site"},
		{header("Content-Length", `"3"`), "requests[1].headers.Content-Length"},
		{header("Transfer-Encoding", `"chunked"`), "requests[1].headers.Transfer-Encoding"},
		{header("Connection", `"close"`), "requests[1].headers.Connection"},
		{header("", `"close"`), "requests[1].headers."},
		{header("Cache-Control", `1`), "requests[1].headers.Cache-Control"},
		{header("traceparent", `null`), "requests[1].headers.traceparent"},
		{header("Cache-Control", `"a\r\nHost: b"`), "requests[1].headers.Cache-Control"},
		{header("Cache-Control", `"`+strings.Repeat("x", 20<<10)+`"`), "requests[1].headers"},
		{with(`{"id":"a","method":"GET","path":"/v1/cache","headers":[]}`), "requests[1].headers"},
	} {
		got := a.want(http.StatusBadRequest, http.MethodPost, wire.PathBatch, c.body)
		if p := got.problem(t); p.Field != c.field || p.Retryable {
			t.Errorf("%.200s: the field is %q (%s), want %q", c.body, p.Field, p.Detail, c.field)
		}
	}
	if p := a.do(http.MethodPost, wire.PathBatch, header("x-own", `"a"`)).problem(t); !strings.Contains(p.Detail, " traceparent, tracestate,") {
		t.Errorf("headers are not named as in the docs: %s", p.Detail)
	}
	many := make([]string, 101)
	for i := range many {
		many[i] = fmt.Sprintf(`{"id":"%d","method":"GET","path":"/v1/cache"}`, i)
	}
	got := a.want(http.StatusBadRequest, http.MethodPost, wire.PathBatch, `{"requests":[`+strings.Join(many, ",")+`]}`)
	if p := got.problem(t); p.Field != "requests" {
		t.Errorf("101 requests: the field is %q", p.Field)
	}
	if got := a.want(http.StatusOK, http.MethodGet, "/v1/chats/c/mute", ""); strings.Contains(got.body, "true") {
		t.Errorf("a batch that was refused has muted the chat: %s", got.body)
	}
}

// withCall adds a call of the API whose handler is given.
func (a *api) withCall(path string, handle func(*request) error) {
	a.server.router.plain[path] = []route{{method: http.MethodPost, path: path, handle: func(_ *Server, r *request) error { return handle(r) }}}
}

func TestOfAHundredCallsOnePanicsOneIsLateAndTheOthersAreRightAndInOrder(t *testing.T) {
	a := newAPI(t, newUpstreams().withClasses("text", "text"), nil)
	end := make(chan struct{})
	defer close(end)
	a.withCall("/v1/echo", func(r *request) error {
		switch body := r.body.String(); body {
		case `"17"`:
			panic("on purpose")
		case `"42"`:
			<-end // it does not listen to its context
			return nil
		default:
			return r.sendJSON(http.StatusCreated, json.RawMessage(body))
		}
	})
	b := wire.Batch{MaxParallel: 3}
	for i := range 100 {
		b.Requests = append(b.Requests, wire.BatchRequest{ID: "call " + strconv.Itoa(i), Method: http.MethodPost, Path: "/v1/echo", Body: strconv.Itoa(i)})
	}
	b.Requests[42].TimeoutMS = 50
	responses := a.batch(b)
	if len(responses) != 100 {
		t.Fatalf("there are %d responses", len(responses))
	}
	right := 0
	for i, got := range responses {
		if got.ID != "call "+strconv.Itoa(i) {
			t.Errorf("response %d is that of %s", i, got.ID)
		}
		var p wire.Problem
		_ = json.Unmarshal(got.Body, &p)
		switch i {
		case 17:
			if got.Status != 500 || p.Kind() != wire.KindInternal {
				t.Errorf("the one that panics: %d %s", got.Status, got.Body)
			}
		case 42:
			if got.Status != 504 || p.Kind() != wire.KindTimeout || p.Status != 504 || p.Retryable || got.Headers["Content-Type"] != "application/problem+json" {
				t.Errorf("the late one: %d %s %v", got.Status, got.Body, got.Headers)
			}
		default:
			if got.Status == 201 && string(got.Body) == strconv.Quote(strconv.Itoa(i)) {
				right++
			}
		}
	}
	if right != 98 {
		t.Errorf("%d are right, want 98", right)
	}
	t.Logf("responses=100 right=%d panicked=%d late=%d", right, responses[17].Status, responses[42].Status)
}

func TestABatchEndsInTimeAndSaysWhatWasNotStarted(t *testing.T) {
	a := newAPI(t, newUpstreams().withClasses("text", "text"), nil)
	a.withCall("/v1/wait", func(r *request) error {
		ctx := r.waitContext(time.Minute)
		<-ctx.Done()
		return context.Cause(ctx)
	})
	started := time.Now()
	responses := a.batch(wire.Batch{TimeoutMS: 100, MaxParallel: 1, Requests: []wire.BatchRequest{
		{ID: "a", Method: http.MethodPost, Path: "/v1/wait", TimeoutMS: 20},
		{ID: "b", Method: http.MethodPost, Path: "/v1/wait"},
		{ID: "c", Method: http.MethodPost, Path: "/v1/wait"},
	}})
	if took := time.Since(started); took > 10*time.Second {
		t.Errorf("it took %v", took)
	}
	for i, retryable := range []bool{true, true, true} {
		var p wire.Problem
		if err := json.Unmarshal(responses[i].Body, &p); err != nil || responses[i].Status != 504 || p.Retryable != retryable {
			t.Errorf("response %d: %d %s", i, responses[i].Status, responses[i].Body)
		}
	}
	if !strings.Contains(string(responses[2].Body), "before the call was started") {
		t.Errorf("the last: %s", responses[2].Body)
	}
}

func TestAnAbandonedCallMayBeRetriedOnlyIfThatDoesNoHarm(t *testing.T) {
	s := newServer(t, Config{})
	late := fmt.Errorf("%w: %w", executor.ErrAbandoned, context.DeadlineExceeded)
	for method, want := range map[string]bool{http.MethodGet: true, http.MethodPut: true, http.MethodDelete: true, http.MethodPost: false} {
		if p := s.callProblem(batchCall{method: method}, late); p.Status != 504 || p.Retryable != want {
			t.Errorf("%s: %+v", method, p)
		}
	}
}

func TestLargeAnswersOfABatchDoNotTakeTheRoomOfSmallOnes(t *testing.T) {
	a := newAPI(t, newUpstreams().withClasses("text", "text"), func(c *Config, _ *chat.Config) { c.MaxBatchReply = 100 << 10 })
	large := `"` + strings.Repeat("x", 60<<10) + `"`
	a.withCall("/v1/large", func(r *request) error { return r.sendJSON(http.StatusOK, json.RawMessage(large)) })
	a.withCall("/v1/small", func(r *request) error { return r.sendJSON(http.StatusCreated, "done") })
	var b wire.Batch
	b.MaxParallel = 1
	for i, path := range []string{"/v1/large", "/v1/large", "/v1/small", "/v1/large"} {
		b.Requests = append(b.Requests, wire.BatchRequest{ID: strconv.Itoa(i), Method: http.MethodPost, Path: path})
	}
	var statuses []int
	for _, got := range a.batch(b) {
		statuses = append(statuses, got.Status)
	}
	if want := []int{200, 502, 201, 502}; !slices.Equal(statuses, want) {
		t.Errorf("the statuses are %v, want %v", statuses, want)
	}
}

func TestCallsOfABatchRunSideBySideUnlessItAsksForOneAtATime(t *testing.T) {
	a := newAPI(t, newUpstreams().withClasses("text", "text"), func(c *Config, _ *chat.Config) { c.Workers = 2 })
	at := make(chan struct{})
	a.withCall("/v1/meet", func(r *request) error {
		select { // two calls meet here, or none
		case at <- struct{}{}:
		case <-at:
		case <-r.waitContext(200 * time.Millisecond).Done():
			return r.sendJSON(http.StatusOK, "alone")
		}
		return r.sendJSON(http.StatusOK, "together")
	})
	for parallel, want := range map[int]string{0: `"together"`, 1: `"alone"`} {
		b := wire.Batch{MaxParallel: parallel}
		for i := range 2 {
			b.Requests = append(b.Requests, wire.BatchRequest{ID: strconv.Itoa(i), Method: http.MethodPost, Path: "/v1/meet"})
		}
		for _, got := range a.batch(b) {
			if string(got.Body) != want {
				t.Errorf("max_parallel %d: %s", parallel, got.Body)
			}
		}
	}
}

func TestTheTimeOfABatchIsThatOfItsCalls(t *testing.T) {
	a := newAPI(t, newUpstreams().withClasses("text", "text"), nil)
	a.want(http.StatusOK, http.MethodGet, "/v1/chats/known/history", "")
	a.want(http.StatusOK, http.MethodGet, "/v1/chats/known/mute", "")
	a.odoo.SetHook(silence(t))
	calls := `{"requests":[
		{"id":"parts","method":"POST","path":"/v1/preprocess","body":{"chat_id":"a","text":"x","route_name":"odoo_erp","enable_odoo":true}%[1]s},
		{"id":"late","method":"GET","path":"/v1/odoo/models?names=res.company"%[1]s},
		{"id":"held","method":"GET","path":"/v1/chats/known/mute"%[1]s}]%[2]s}`
	for _, c := range []struct {
		each, all string
		headers   []string
	}{
		{`,"timeout_ms":300`, ``, nil},
		{``, `,"timeout_ms":300`, nil},
		{``, ``, []string{wire.HeaderTimeout, "450"}},
		{`,"headers":{"x-hearth-timeout-ms":"450"}`, ``, nil},
		{`,"headers":{"x-hearth-timeout-ms":"450"},"timeout_ms":60000`, `,"timeout_ms":60000`, []string{wire.HeaderTimeout, "60000"}},
	} {
		started := time.Now()
		got := a.want(http.StatusOK, http.MethodPost, wire.PathBatch, fmt.Sprintf(calls, c.each, c.all), c.headers...)
		if took := time.Since(started); took > 5*time.Second { // far less than the pools' timeouts and the settings'
			t.Errorf("%+v: it took %v", c, took)
		}
		var reply wire.BatchReply
		var parts wire.Preprocess
		if err := json.Unmarshal([]byte(got.body), &reply); err != nil || len(reply.Responses) != 3 {
			t.Fatalf("%s: %v", got.body, err)
		}
		if err := reply.Responses[0].Decode(&parts); err != nil || parts.MuteStatus == nil || parts.Errors[wire.PartOdoo] == nil {
			t.Errorf("%+v: the preprocess is %d %s", c, reply.Responses[0].Status, reply.Responses[0].Body)
		}
		if reply.Responses[1].Status != 504 || reply.Responses[2].Status != 200 {
			t.Errorf("%+v: the others are %d and %d", c, reply.Responses[1].Status, reply.Responses[2].Status)
		}
	}
}
