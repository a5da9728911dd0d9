package sidecar

import (
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"hearth/client/wire"
	"hearth/sidecar/chat"
)

func TestEveryFieldHasItsBounds(t *testing.T) {
	a := newAPI(t, newUpstreams().withClasses("text", "text"), func(c *Config, _ *chat.Config) { c.MaxBody = 160 << 10 })
	const get, put, post, del = http.MethodGet, http.MethodPut, http.MethodPost, http.MethodDelete
	chat := func(id, call string) string { return "/v1/chats/" + id + "/" + call }
	x := strings.Repeat
	message := `{"role":"user","content":"x"}`
	models := func(n int) string {
		names := make([]string, n)
		for i := range names {
			names[i] = "res.partner" // once each
			if i > 0 {
				names[i] = "no.such.model" + strconv.Itoa(i)
			}
		}
		return "/v1/odoo/models?names=" + strings.Join(names, ",")
	}
	fields := func(n int) string {
		list := make([]string, n)
		for i := range list {
			list[i] = `"f` + strconv.Itoa(i) + `":1`
		}
		return strings.Join(list, ",")
	}
	preprocess := func(more string) string { return `{"chat_id":"a","text":"x","route_name":"r"` + more + `}` }
	for _, c := range []struct{ field, method, path, body string }{
		{"num_messages", get, chat("a", "history?num_messages=0"), ""},
		{"", get, chat("a", "history?num_messages=1"), ""},
		{"", get, chat("a", "history?num_messages=200"), ""},
		{"num_messages", get, chat("a", "history?num_messages=201"), ""},
		{"num_messages", get, chat("a", "history?num_messages=ten"), ""},
		{"full_text_len", get, chat("a", "history?full_text_len=-1"), ""},
		{"", get, chat("a", "history?full_text_len=0"), ""},
		{"", get, chat("a", "history?full_text_len=200"), ""},
		{"full_text_len", get, chat("a", "history?full_text_len=201"), ""},

		{"", get, chat(x("x", 512), "mute"), ""},
		{"chat_id", get, chat(x("x", 513), "mute"), ""},
		{"", get, chat(x("%78", 512), "mute"), ""},
		{"chat_id", get, chat("%ff", "mute"), ""},
		{"chat_id", post, "/v1/preprocess", `{"chat_id":"` + x("x", 513) + `","text":"x","route_name":"r"}`},
		{"chat_id", post, "/v1/preprocess", `{"chat_id":"","text":"x","route_name":"r"}`},

		{"count", post, chat("a", "relevant"), `{"text":"x","count":0}`},
		{"", post, chat("a", "relevant"), `{"text":"x","count":100}`},
		{"count", post, chat("a", "relevant"), `{"text":"x","count":101}`},
		{"text", post, chat("a", "relevant"), `{}`},
		{"text", post, chat("a", "relevant"), `{"text":" \n\t"}`},
		{"text", post, chat("a", "relevant"), `{"text":" ","vector":[1],"mode":"bm25"}`},
		{"text", post, chat("a", "relevant"), `{"text":" ","vector":[1],"mode":"hybrid"}`},
		{"vector", post, chat("a", "relevant"), `{"text":"x","mode":"near_vector"}`},
		{"", post, chat("a", "relevant"), `{"text":" ","vector":[1]}`},
		{"", post, chat("a", "relevant"), `{"vector":[1],"mode":"near_vector"}`},
		{"mode", post, chat("a", "relevant"), `{"text":"x","mode":"best"}`},

		{"", post, chat("a", "relevant"), `{"text":"x","roles":["user","assistant","system"]}`},
		{"roles", post, chat("a", "relevant"), `{"text":"x","roles":[` + x(`"user",`, 3) + `"user"]}`},
		{"roles", post, chat("a", "relevant"), `{"text":"x","roles":[]}`},
		{"vector", post, chat("a", "relevant"), `{"text":"x","vector":[` + x("1,", 65535) + `1]}`},
		{"args", post, "/v1/odoo/call", `{"model":"res.partner","method":"search_count","args":[` + x("1,", 100) + `1]}`},
		{"kwargs", post, "/v1/odoo/call", `{"model":"res.partner","method":"search_count","kwargs":{` + fields(101) + `}}`},
		{"properties", post, chat("a", "messages"), `{"role":"user","content":"x","properties":{` + fields(101) + `}}`},

		{"", post, chat("a", "messages"), "[" + x(message+",", 99) + message + "]"},
		{"body", post, chat("a", "messages"), "[" + x(message+",", 100) + message + "]"},
		{"", post, chat("a", "messages"), `{"role":"user","content":"x","id":"` + x("x", 128) + `"}`},
		{"id", post, chat("a", "messages"), `{"role":"user","content":"x","id":"` + x("x", 129) + `"}`},
		{"", post, chat("a", "messages"), `{"role":"user","content":"x","created_at":"1700-01-01T00:00:00Z"}`},
		{"created_at", post, chat("a", "messages"), `{"role":"user","content":"x","created_at":"1699-12-31T23:59:59Z"}`},
		{"", post, chat("a", "messages"), `{"role":"user","content":"x","created_at":"2250-12-31T23:59:59Z"}`},
		{"created_at", post, chat("a", "messages"), `{"role":"user","content":"x","created_at":"2251-01-01T00:00:00Z"}`},

		{"muted", put, chat("a", "mute"), `{}`},
		{"muted", put, chat("a", "mute"), `{"until":"2100-01-01T00:00:00Z"}`},
		{"until", put, chat("a", "mute"), `{"muted":false,"until":"2100-01-01T00:00:00Z"}`},
		{"until_when", put, chat("a", "mute"), `{"muted":true,"until_when":"2100-01-01T00:00:00Z"}`},
		{"", put, chat("a", "mute"), `{"muted":true,"until":"2100-01-01T00:00:00Z"}`},

		{"timeout_ms", post, "/v1/preprocess", preprocess(`,"timeout_ms":0`)},
		{"", post, "/v1/preprocess", preprocess(`,"timeout_ms":900000`)},
		{"timeout_ms", post, "/v1/preprocess", preprocess(`,"timeout_ms":900001`)},
		{"relevant_count", post, "/v1/preprocess", preprocess(`,"relevant_count":101`)},
		{"num_messages", post, "/v1/preprocess", preprocess(`,"num_messages":201`)},
		{"full_text_len", post, "/v1/preprocess", preprocess(`,"full_text_len":201`)},
		{"", post, "/v1/preprocess", preprocess(`,"from_a_later_version":1`)},

		{"", get, models(50), ""},
		{"names", get, models(51), ""},
		{"names", get, "/v1/odoo/models?names=,", ""},
		{"names", get, "/v1/odoo/models?names=res.partner,no%20model", ""},
		{"", get, "/v1/odoo/models?names=" + x("res.partner,", 51), ""}, // once each
		{"colour", post, "/v1/odoo/call", `{"model":"res.partner","method":"write","args":[[1],{}],"colour":"red"}`},
		{"", post, "/v1/odoo/call", `{"model":"res.partner","method":"search_count","args":[[]],"colour":"red"}`},

		{"chats", del, "/v1/cache?chats=a", ""},
		{"model", del, "/v1/cache?chat=a&model=res.partner", ""},
		{"chat", del, "/v1/cache?chat=", ""},
		{"chat", del, "/v1/cache?chat=" + x("x", 513), ""},
		{"model", del, "/v1/cache?model=no%20model", ""},
		{"", del, "/v1/cache?model=res.partner", ""},
	} {
		a.refuses(c.field, c.method, c.path, c.body)
	}
	a.refuses("", post, chat("key", "messages"), message, "Idempotency-Key", x("k", 255))
	a.refuses("Idempotency-Key", post, chat("key", "messages"), message, "Idempotency-Key", x("k", 256))
	a.refuses("Idempotency-Key", post, chat("key", "messages"), message, "Idempotency-Key", "a", "Idempotency-Key", "b")

	padded := func(size int) string { return message + x(" ", size-len(message)) }
	a.want(http.StatusCreated, post, chat("body", "messages"), padded(160<<10))
	a.want(http.StatusRequestEntityTooLarge, post, chat("body", "messages"), padded(160<<10+1))
	for kind, status := range map[string]int{
		"application/json": 201, "application/json; charset=utf-8": 201, "Application/JSON;charset=UTF-8": 201,
		"application/json; charset=latin1": 415, "text/plain": 415, "": 415, "application/json; charset": 415,
	} {
		if got := a.do(post, chat("kind", "messages"), message, "Content-Type", kind); got.status != status {
			t.Errorf("a body of %q is a %d, want %d", kind, got.status, status)
		}
	}
}

func TestDefaultsAreThoseOfTheDocs(t *testing.T) {
	for _, wrong := range []int{0, -1} {
		c := Config{Timeout: time.Duration(wrong), MaxBody: wrong, Connections: wrong, IdleTimeout: time.Duration(wrong)}.withDefaults()
		if c.Timeout != 30*time.Second || c.MaxBody != 1<<20 || c.Connections != 256 || c.IdleTimeout != 24*time.Hour {
			t.Errorf("%+v", c)
		}
	}
	for n, want := range map[int]int{12: 10, 3: 3} { // n messages of each role
		a := newAPI(t, newUpstreams().withClasses("text", "text"), nil)
		pair := `{"role":"user","content":"` + strings.Repeat("x", 300) + `"},{"role":"assistant","content":"` + strings.Repeat("y", 300) + `"},`
		a.want(http.StatusCreated, http.MethodPost, "/v1/chats/a/messages", "["+strings.TrimSuffix(strings.Repeat(pair, n), ",")+"]")
		for range 2 { // loaded, and from the window
			h := decoded[wire.History](t, a.want(http.StatusOK, http.MethodGet, "/v1/chats/a/history", "").body)
			full := 0
			for _, m := range h.MsgHistory {
				if len(m.Content) == 300 {
					full++
				}
			}
			if len(h.UserMessages) != want || len(h.AssistantMessages) != want || len(h.MsgHistory) != 2*want || full != 5 || h.ChatID != "a" {
				t.Errorf("of %d: %d of the user, %d of the assistant, %d in the prompt, %d in full", n, len(h.UserMessages), len(h.AssistantMessages), len(h.MsgHistory), full)
			}
			for _, m := range h.UserMessages {
				if m.Role != "user" || m.Content[0] != 'x' {
					t.Errorf("among the user's is %v", m)
				}
			}
			for i, m := range h.AllMessages {
				if want := []string{"user", "assistant"}[i%2]; m.Role != want {
					t.Errorf("in place %d is one of the %s", i, m.Role)
				}
			}
		}
		var r wire.Relevant
		for _, body := range []string{`{"text":"` + strings.Repeat("x", 300) + `"}`, `{"text":"` + strings.Repeat("y", 300) + `","count":2}`} {
			r = decoded[wire.Relevant](t, a.want(http.StatusOK, http.MethodPost, "/v1/chats/a/relevant", body).body)
			if found := len(r.RelevantMessages); found != map[bool]int{true: min(n, 5), false: 2}[!strings.Contains(body, "count")] || r.Mode != "bm25" {
				t.Errorf("%d are relevant, by %s", found, r.Mode)
			}
		}
	}
}
