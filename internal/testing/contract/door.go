package contract

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"os"
	"slices"
	"strings"
	"testing"

	"hearth/client"
)

// fault is one thing wrong with a request, and the status that it alone would get.
type fault struct {
	status int
	name   string
	spoil  func(*spoiled)
}

// spoiled is a request that the faults are put into.
type spoiled struct {
	method, path string
	body         any
	headers      []string
}

func (s *suite) door(t *testing.T) {
	const token = "correct horse"
	tcp := s.start(t, "HEARTH_TOKEN="+token)
	tcp.say(t, "door", "user", "in")
	header := func(name, value string) func(*spoiled) {
		return func(r *spoiled) { r.headers = append(r.headers, name, value) }
	}
	huge := strings.Repeat(" ", 1<<20) + `{"role":"user","content":"x"}`
	faults := []fault{ // in the order in which the door looks
		{403, "X-Forwarded-For", header("X-Forwarded-For", "127.0.0.1")},
		{403, "Forwarded", header("Forwarded", "for=127.0.0.1")},
		{403, "foreign Host", header("Host", "evil.example")},
		{403, "Host that resolves to here", header("Host", "localhost.evil.example:2774")},
		{403, "cross-site Origin", header("Origin", "https://evil.example")},
		{403, "opaque Origin", header("Origin", "null")},
		{403, "Sec-Fetch-Site", header("Sec-Fetch-Site", "cross-site")},
		{401, "no token", header("X-Hearth-Token", "")},
		{401, "wrong token", header("X-Hearth-Token", "correct horsE")},
		{401, "half a token", header("X-Hearth-Token", "correct")},
		{404, "unknown path", func(r *spoiled) { r.path = "/v1/chats/door/nothing" }},
		{405, "wrong method", func(r *spoiled) { r.method = http.MethodPatch }},
		{413, "huge body", func(r *spoiled) { r.body = huge }},
		{415, "text/plain", header("Content-Type", "text/plain")},
		{400, "no field", func(r *spoiled) {
			if r.body != huge {
				r.body = `{"role":"user"}`
			}
		}},
	}
	for name, h := range map[string]*hearth{"TCP": tcp, "the socket": tcp.overSocket()} {
		t.Run("over "+name+" the first fault in the door's order is answered", func(t *testing.T) {
			for i, first := range faults {
				for _, second := range faults[i:] {
					r := spoiled{method: http.MethodPost, path: chatPath("door", "messages"), body: client.NewMessage{Role: "user", Content: "y"}}
					second.spoil(&r)
					first.spoil(&r)
					got := h.do(t, r.method, r.path, r.body, r.headers...)
					if got.status != first.status {
						t.Errorf("%s and %s: %v, want %d", first.name, second.name, got, first.status)
						continue
					}
					wantProblem(t, got, first.status)
					if allow := got.header.Get("Allow"); (allow == "POST") != (first.status == 405) {
						t.Errorf("%s: Allow is %q", first.name, allow)
					}
				}
			}
			wantContents(t, "what came in", contents(h.history(t, "door", 10, "Cache-Control", "no-cache").AllMessages), []string{"in"})
		})
		t.Run("over "+name+" this machine's own names are let in", func(t *testing.T) {
			hosts := map[string]bool{
				"localhost": true, "LOCALHOST:1": true, "127.0.0.1": true, "127.0.0.1:2774": true, "127.9.9.9": true, "[::1]": true, "[::1]:2774": true,
				"hearth": h != tcp, "Hearth:1": h != tcp, "192.168.0.1": false, "example.com": false, "127.0.0.1.example.com": false, "[::2]": false,
				"0.0.0.0": false,
			}
			for host, in := range hosts {
				if r := h.get(t, chatPath("door", "mute"), "Host", host); (r.status == http.StatusOK) != in {
					t.Errorf("Host %q: %v, want in: %t", host, r, in)
				}
			}
			for target, expected := range map[string]int{ // in absolute form
				"http://localhost:2774/v1/chats/door/mute": 200, "HTTP://127.0.0.1/v1/chats/door/mute": 200, "http://localhost/v1/chats/no%2Fdoor/mute": 200,
				"http://evil.example/v1/chats/door/mute": 403, "http://localhost@evil.example/healthz": 403, "https://localhost/healthz": 403,
				"http://localhost/v1/chats/door": 404, "http://localhost/v1/chats/door/mute?unknown=1": 400,
			} {
				if r := h.get(t, target); r.status != expected {
					t.Errorf("%s: %v, want %d", target, r, expected)
				}
			}
			for _, origin := range []string{"http://localhost:3000", "http://127.0.0.1"} {
				if r := h.get(t, chatPath("door", "mute"), "Origin", origin, "Sec-Fetch-Site", "same-origin"); r.status != http.StatusOK {
					t.Errorf("Origin %s: %v", origin, r)
				}
			}
		})
		t.Run("over "+name+" every call but /healthz asks for the token", func(t *testing.T) {
			for path, method := range everyCall() {
				r := h.do(t, method, path, nil, "X-Hearth-Token", "")
				if expected := 401; path != "/healthz" && r.status != expected || path == "/healthz" && r.status != 200 {
					t.Errorf("%s %s without a token: %v", method, path, r)
				}
			}
			if r := h.get(t, "/healthz", "X-Hearth-Token", "wrong"); string(r.body) != `{"status":"ok"}` {
				t.Errorf("/healthz with a wrong token: %v", r)
			}
			if r := h.get(t, "/healthz", "Host", "evil.example"); r.status != 403 {
				t.Errorf("/healthz from elsewhere: %v", r)
			}
		})
		t.Run("over "+name+" 405 says what is allowed", func(t *testing.T) {
			for path, method := range everyCall() {
				r := h.do(t, http.MethodTrace, path, nil)
				wantProblem(t, r, http.StatusMethodNotAllowed)
				if allow := strings.Split(r.header.Get("Allow"), ", "); !slices.Contains(allow, method) {
					t.Errorf("%s: Allow is %q, want %s in it", path, allow, method)
				}
			}
			if allow := h.do(t, http.MethodPost, chatPath("door", "mute"), nil).header.Get("Allow"); allow != "GET, HEAD, PUT" {
				t.Errorf("Allow of mute is %q", allow)
			}
		})
	}
	t.Run("a body of exactly the limit is read", func(t *testing.T) {
		h := s.start(t, "HEARTH_MAX_BODY=2KiB")
		body := func(size int) string {
			const around = `{"role":"user","content":""}`
			return `{"role":"user","content":"` + strings.Repeat("x", size-len(around)) + `"}`
		}
		want[client.Appended](t, h.post(t, chatPath("limit", "messages"), body(2048)), http.StatusCreated)
		wantProblem(t, h.post(t, chatPath("limit", "messages"), body(2049)), http.StatusRequestEntityTooLarge)
		wantProblem(t, h.post(t, chatPath("limit", "messages"), body(5<<20)), http.StatusRequestEntityTooLarge)
		h.history(t, "limit", 1) // and serves on
	})
	t.Run("the socket is for its own user alone", func(t *testing.T) {
		info, err := os.Stat(tcp.socket)
		if err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("the socket is %v, %v", info, err)
		}
	})
	t.Run("paths that are no call are 404", func(t *testing.T) {
		for _, path := range []string{
			"/", "//", "/v1", "/v1/chats", "/v1/chats/a/b/history", "/v1/chats//history/", "/v1/chats/a/history/", "//v1/chats/a/history", "/v1/./chats/a/history",
			"/v1/chats/a/../b/history", "/v1/chats/a%2Fhistory", "/v1%2Fchats/a/history", "/v1/CHATS/a/history", "/debug/pprof/", "/metrics/", "/healthz/",
		} {
			wantProblem(t, tcp.get(t, path), http.StatusNotFound)
		}
	})
}

// everyCall is every path of the API with one of its methods.
func everyCall() map[string]string {
	return map[string]string{
		chatPath("door", "history"): "GET", chatPath("door", "relevant"): "POST", chatPath("door", "mute"): "PUT", chatPath("door", "messages"): "POST",
		"/v1/preprocess": "POST", "/v1/odoo/models": "GET", "/v1/odoo/call": "POST", "/v1/cache": "DELETE",
		"/healthz": "GET", "/readyz": "GET", "/debug/cache": "GET", "/debug/pools": "GET", "/v1/timings": "POST", "/debug/invocations": "GET", "/metrics": "GET", "/openapi.json": "GET",
	}
}

// mistake is a request with one bad field.
type mistake struct {
	method, path string
	body         any
	field        string // that the problem must name
}

func (s *suite) badInput(t *testing.T) {
	var mistakes []mistake
	// Each field of a call with each of its bad values, in a body that is right otherwise.
	spoil := func(method, path string, good map[string]any, bad map[string][]any) {
		for field, values := range bad {
			for _, v := range values {
				body := maps.Clone(good)
				if body[field] = v; v == nil {
					delete(body, field)
				}
				mistakes = append(mistakes, mistake{method, path, body, field})
			}
		}
	}
	long := strings.Repeat("x", 600)
	post := chatPath("bad", "messages")
	message := map[string][]any{
		"role": {nil, "", "bot", "User", 1, true, []string{"user"}}, "content": {nil, 1, map[string]any{}, []string{"x"}},
		"id": {"", long, 7}, "created_at": {"yesterday", 1700000000, "2024-02-30T00:00:00Z", "2024-01-01", "1600-01-01T00:00:00Z", "2300-01-01T00:00:00Z"},
		"vector": {[]any{}, "x", []any{"x"}, 1}, "properties": {1, "x", map[string]any{"content": "y"}, map[string]any{"chat_id": "other"}},
		"extra": {1}, "Role": {"user"},
	}
	good := map[string]any{"role": "user", "content": "x"}
	spoil("POST", post, good, message)
	for field, values := range message {
		for _, v := range values[:1] {
			second := maps.Clone(good)
			if second[field] = v; v == nil {
				delete(second, field)
			}
			mistakes = append(mistakes, mistake{"POST", post, []any{good, second}, "[1]." + field})
		}
	}
	spoil("POST", chatPath("bad", "relevant"), map[string]any{"text": "x"}, map[string][]any{
		"text": {nil, "", 1}, "count": {0, 101, -1, 1.5, "5"}, "mode": {"best", "", 1}, "vector": {[]any{}, "x"}, "roles": {[]any{}, "user", []any{"bot"}, []any{1}},
	})
	spoil("POST", chatPath("bad", "relevant"), map[string]any{"text": "x", "mode": "near_vector"}, map[string][]any{"vector": {nil}})
	spoil("PUT", chatPath("bad", "mute"), map[string]any{"muted": true}, map[string][]any{
		"muted": {nil, "true", 1}, "until": {"tomorrow", 5, true}, "extra": {1},
	})
	mistakes = append(mistakes, mistake{"PUT", chatPath("bad", "mute"), map[string]any{"muted": false, "until": "2100-01-01T00:00:00Z"}, "until"})
	spoil("POST", "/v1/preprocess", map[string]any{"chat_id": "bad", "text": "x", "route_name": "r"}, map[string][]any{
		"chat_id": {nil, "", long, 1}, "text": {nil, 1}, "route_name": {nil, 1}, "relevant_count": {0, 101, "5"}, "enable_odoo": {"yes", 1},
		"num_messages": {0, 201, 1.5, "10"}, "full_text_len": {-1, 201}, "timeout_ms": {0, -1, 1_000_000_000}, "vector": {[]any{}, "x"},
	})
	spoil("POST", "/v1/odoo/call", map[string]any{"model": "res.partner", "method": "create"}, map[string][]any{
		"model": {nil, "", 1, "res partner", "res/partner", "../x", long}, "method": {nil, "", 1, "_private", "a-b", "__init__"},
		"args": {1, "x", map[string]any{}}, "kwargs": {1, []any{}}, "extra": {1},
	})
	for _, query := range []string{"num_messages=0", "num_messages=201", "num_messages=-1", "num_messages=x", "num_messages=", "num_messages=1.5", "full_text_len=-1", "full_text_len=201", "full_text_len=five"} {
		field, _, _ := strings.Cut(query, "=")
		mistakes = append(mistakes, mistake{"GET", chatPath("bad", "history?"+query), nil, field})
	}
	for path, field := range map[string]string{
		"/v1/chats//history": "chat_id", "/v1/chats/%zz/history": "chat_id", "/v1/chats/%/history": "chat_id", "/v1/chats/%ff%fe/history": "chat_id", "/v1/chats/%C3/mute": "chat_id",
		"/v1/chats/" + strings.Repeat("a", 513) + "/history": "chat_id", "/v1/chats/" + strings.Repeat("%41", 513) + "/mute": "chat_id",
		"/v1/odoo/models?names=": "names", "/v1/odoo/models?names=,": "names", "/v1/odoo/models?names=res.partner,a%20b": "names", "/v1/odoo/models?names=../x": "names",
	} {
		mistakes = append(mistakes, mistake{"GET", path, nil, field})
	}
	for path, method := range everyCall() { // a slip in a name must not pass for a default
		mistakes = append(mistakes, mistake{method, path + "?unknown=1", nil, "unknown"})
	}
	for path, field := range map[string]string{
		chatPath("bad", "history") + "?num_messages=1&num_messages=1": "num_messages", chatPath("bad", "history") + "?full_text_len=1&num_message=1": "num_message",
		"/v1/odoo/models?names=res.partner&names=res.users": "names", "/v1/odoo/models?model=res.partner": "model",
	} {
		mistakes = append(mistakes, mistake{"GET", path, nil, field})
	}
	for path, field := range map[string]string{
		"/v1/cache?chat=": "chat", "/v1/cache?chat=" + strings.Repeat("a", 513): "chat", "/v1/cache?model=": "model", "/v1/cache?model=a%20b": "model", "/v1/cache?chat=a&model=res.partner": "model",
		"/v1/cache?chat=a&chat=b": "chat", "/v1/cache?chats=a": "chats",
	} {
		mistakes = append(mistakes, mistake{"DELETE", path, nil, field})
	}
	for _, body := range []string{"", "{", "nonsense", `{"role":"user","content":"x"} trailing`, `"text"`, "1", "null", "[", "[]", `[{"role":"user","content":"x"}`, "\xff"} {
		mistakes = append(mistakes, mistake{"POST", post, body, "body"})
	}
	mistakes = append(mistakes,
		mistake{"POST", post, []any{good, 1}, "[1]"}, mistake{"POST", post, slices.Repeat([]any{good}, 101), "body"},
		mistake{"POST", post, []any{map[string]any{"role": "user", "content": "x", "id": "a"}, map[string]any{"role": "user", "content": "y", "id": "a"}}, "[1].id"},
		mistake{"POST", post, "{\"role\":\"user\",\"content\":\"\xff\"}", "content"}, mistake{"POST", post, `{"role":"user","content":"\ud83d"}`, "content"},
		mistake{"POST", post, `{"role":"user","content":"\udc00\ud83d"}`, "content"},
	)
	for name, h := range map[string]*hearth{"TCP": s.common, "the socket": s.common.overSocket()} {
		t.Run("over "+name+" a 400 names the field at fault", func(t *testing.T) {
			for _, m := range mistakes {
				shown, _ := json.Marshal(m.body)
				what := fmt.Sprintf("%s %.60s %.120s", m.method, m.path, shown)
				r := h.do(t, m.method, m.path, m.body)
				p, err := parse[client.Problem](r, http.StatusBadRequest)
				if err != nil {
					t.Errorf("%s: %v", what, err)
					continue
				}
				if p.Field != m.field || p.Retryable || !strings.HasPrefix(p.Detail, m.field) && m.field != "body" {
					t.Errorf("%s: the problem is of %q, want %q: %s", what, p.Field, m.field, r.body)
				}
			}
			if got := h.history(t, "bad", 200).AllMessages; len(got) != 0 {
				t.Errorf("something was written all the same: %v", got)
			}
		})
	}
	t.Run("an Idempotency-Key that is too long is refused", func(t *testing.T) {
		p := wantProblem(t, s.common.post(t, post, good, "Idempotency-Key", strings.Repeat("k", 256)), http.StatusBadRequest)
		if p.Field != "Idempotency-Key" {
			t.Errorf("the problem is %+v", p)
		}
	})
	t.Run("unknown fields are ignored on reads", func(t *testing.T) {
		s.common.relevant(t, "bad", map[string]any{"text": "x", "future": true})
		want[client.Result](t, s.common.post(t, "/v1/odoo/call", map[string]any{
			"model": "res.partner", "method": "search_count", "kwargs": map[string]any{"domain": []any{}}, "future": 1,
		}), http.StatusOK)
	})
	t.Run("null stands for absent", func(t *testing.T) {
		s.common.relevant(t, "bad", map[string]any{"text": "x", "count": nil, "mode": nil, "vector": nil, "roles": nil})
		want[client.Appended](t, s.common.post(t, chatPath("nulls", "messages"), map[string]any{
			"role": "user", "content": "x", "id": nil, "created_at": nil, "vector": nil, "properties": nil,
		}), http.StatusCreated)
	})
}
