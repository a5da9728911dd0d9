package sidecar

import (
	"io"
	"net/http"
	"strings"
	"testing"

	"hearth/client/wire"
	"hearth/sidecar/chat"
)

const (
	spelled   = "6B0F6F3E2F0B5A1C9A550C9F3C1F7D27"
	canonical = "6b0f6f3e-2f0b-5a1c-9a55-0c9f3c1f7d27"
)

func TestEverySpellingOfAChatIsOneChat(t *testing.T) {
	a := newAPI(t, newUpstreams().withClasses("uuid", "uuid"), nil)
	a.want(http.StatusCreated, http.MethodPost, "/v1/chats/"+spelled+"/messages", `{"role":"user","content":"hello"}`)
	calls := map[string]func(chat string) answer{
		"history": func(chat string) answer { return a.want(200, http.MethodGet, "/v1/chats/"+chat+"/history", "") },
		"mute":    func(chat string) answer { return a.want(200, http.MethodGet, "/v1/chats/"+chat+"/mute", "") },
		"relevant": func(chat string) answer {
			return a.want(200, http.MethodPost, "/v1/chats/"+chat+"/relevant", `{"text":"hello"}`)
		},
	}
	for name, call := range calls {
		if first, second := call(spelled), call(canonical); !second.hit() || first.body != second.body || name == "history" && !strings.Contains(first.body, canonical) {
			t.Errorf("%s: %s and %s, %s", name, first.body, second.body, second.header.Get("Cache-Status"))
		}
	}
	p := decoded[wire.Preprocess](t, a.want(200, http.MethodPost, "/v1/preprocess", `{"chat_id":"`+spelled+`","text":"hello","route_name":"r","num_messages":10}`).body)
	if p.ChatID != canonical || len(p.RelevantMessages) != 1 || p.Cache["history"] != "hit" || p.Cache["mute_status"] != "hit" || p.Cache["relevant_messages"] != "hit" {
		t.Errorf("%+v", p)
	}
	if dropped := decoded[wire.Dropped](t, a.want(200, http.MethodDelete, "/v1/cache?chat="+spelled, "").body).Dropped; dropped == 0 {
		t.Error("nothing was dropped")
	}
	for name, call := range calls {
		if call(canonical).hit() {
			t.Errorf("%s is held still", name)
		}
	}
	for path, body := range map[string]string{
		"/v1/chats/no-uuid/relevant": `{"text":"x"}`, "/v1/chats/no-uuid/messages": `{"role":"user","content":"x"}`,
		"/v1/preprocess": `{"chat_id":"no-uuid","text":"x","route_name":"r"}`,
	} {
		a.refuses("chat_id", http.MethodPost, path, body)
	}
	a.refuses("chat_id", http.MethodGet, "/v1/chats/no-uuid/history", "")
	a.refuses("chat_id", http.MethodDelete, "/v1/cache?chat=no-uuid", "")
}

func TestAChatThatOnlyOneClassCanHoldIsDropped(t *testing.T) {
	a := newAPI(t, newUpstreams().withClasses("text", "uuid"), nil)
	a.want(http.StatusOK, http.MethodGet, "/v1/chats/no-uuid/history", "")
	if dropped := decoded[wire.Dropped](t, a.want(200, http.MethodDelete, "/v1/cache?chat=no-uuid", "").body).Dropped; dropped == 0 {
		t.Error("nothing was dropped")
	}
	a.refuses("chat_id", http.MethodPost, "/v1/preprocess", `{"chat_id":"no-uuid","text":"x","route_name":"r"}`)
}

func TestAQuestionOfRelevanceIsHeldAsAWhole(t *testing.T) {
	a := newAPI(t, newUpstreams().withClasses("text", "text"), nil)
	a.want(http.StatusCreated, http.MethodPost, chatMessages, `[{"role":"user","content":"hello one"},{"role":"assistant","content":"hello two"},{"role":"system","content":"hello three"}]`)
	for body, want := range map[string]int{
		`{"text":"hello"}`: 2, `{"text":"hello","count":1}`: 1, `{"text":"hello","roles":["user"]}`: 1, `{"text":"hello","roles":["system","user","assistant"]}`: 3,
		`{"text":"hello","mode":"bm25"}`: 2, `{"text":"three"}`: 0,
	} {
		for i := range 2 {
			got := a.want(http.StatusOK, http.MethodPost, "/v1/chats/a/relevant", body)
			if found := len(decoded[wire.Relevant](t, got.body).RelevantMessages); found != want || got.hit() != (i == 1) {
				t.Errorf("%s: %d, %s", body, found, got.header.Get("Cache-Status"))
			}
		}
	}
}

func TestWhatAPreprocessAsks(t *testing.T) {
	a := newAPI(t, newUpstreams().withClasses("text", "text"), nil)
	a.want(http.StatusCreated, http.MethodPost, chatMessages, `[{"role":"user","content":"hello","created_at":"2026-01-01T00:00:00Z"},{"role":"user","content":"`+strings.Repeat("x", 300)+`","created_at":"2026-01-01T00:00:01Z"}]`)
	a.want(http.StatusOK, http.MethodPut, "/v1/chats/a/mute", `{"muted":true,"until":"2100-01-01T00:00:00Z"}`)
	ask := func(more string, headers ...string) (wire.Preprocess, answer) {
		t.Helper()
		got := a.want(http.StatusOK, http.MethodPost, "/v1/preprocess", `{"chat_id":"a","text":"hello"`+more+`}`, headers...)
		return decoded[wire.Preprocess](t, got.body), got
	}
	for _, c := range []struct {
		more    string
		odoo    bool
		history int // messages in it; -1: none
		full    bool
	}{
		{`,"route_name":"r"`, false, -1, false},
		{`,"route_name":"odoo_erp"`, false, -1, false},
		{`,"route_name":"r","enable_odoo":true`, false, -1, false},
		{`,"route_name":"odoo_erp","enable_odoo":false`, false, -1, false},
		{`,"route_name":"odoo_erp","enable_odoo":true`, true, -1, false},
		{`,"route_name":"r","num_messages":1`, false, 1, true},
		{`,"route_name":"r","full_text_len":0`, false, 2, false},
		{`,"route_name":"r","num_messages":null,"full_text_len":null`, false, -1, false},
	} {
		p, got := ask(c.more)
		if _, ok := p.Cache["odoo_models"]; ok != c.odoo || (len(p.OdooModels) == 1) != c.odoo || !strings.Contains(got.body, `"odoo_models":{`) {
			t.Errorf("%s: %s", c.more, got.body)
		}
		if p.History == nil != (c.history < 0) || p.History != nil && (len(p.History.AllMessages) != c.history || (len(p.History.MsgHistory[c.history-1].Content) == 300) != c.full) {
			t.Errorf("%s: the history is %+v", c.more, p.History)
		}
		if !strings.Contains(got.body, `"mute_status":{"muted":true}`) || len(p.Errors) > 0 || p.ChatID != "a" || got.header.Get("Content-Type") != "application/json" {
			t.Errorf("%s: %s", c.more, got.body)
		}
		timing := got.header.Get("Server-Timing")
		for part := range p.Cache {
			if _, ok := p.Timings[part]; !ok || !strings.Contains(timing, part+";dur=") {
				t.Errorf("%s: of %s the times are %v, %s", c.more, part, p.Timings, timing)
			}
		}
		if !strings.Contains(timing, "total;dur=") {
			t.Errorf("%s: %s", c.more, timing)
		}
	}
	const all = `,"route_name":"odoo_erp","enable_odoo":true,"num_messages":10`
	for control, want := range map[string]string{"": "hit", "no-cache": "miss"} {
		ask(all)
		p, _ := ask(all, "Cache-Control", control)
		for part, served := range p.Cache {
			if served != want {
				t.Errorf("with %q %s is a %s", control, part, served)
			}
		}
		if len(p.Cache) != 4 {
			t.Errorf("%v", p.Cache)
		}
	}
}

func TestABlankTextHasNothingRelevant(t *testing.T) {
	a := newAPI(t, newUpstreams().withClasses("text", "text"), nil)
	const body = `{"chat_id":"a","text":" \n","route_name":"r"`
	got := a.want(http.StatusOK, http.MethodPost, "/v1/preprocess", body+`}`)
	if p := decoded[wire.Preprocess](t, got.body); !strings.Contains(got.body, `"relevant_messages":[]`) || p.Cache["relevant_messages"] != "hit" {
		t.Errorf("%s", got.body)
	}
	got = a.want(http.StatusOK, http.MethodPost, "/v1/preprocess", body+`,"vector":[1,2]}`)
	if p := decoded[wire.Preprocess](t, got.body); p.Cache["relevant_messages"] != "miss" {
		t.Errorf("with a vector: %s", got.body)
	}
}

func TestAPreprocessHasATimeOfItsOwn(t *testing.T) {
	a := newAPI(t, newUpstreams().withClasses("text", "text"), func(c *Config, _ *chat.Config) { c.Timeout = 1 }) // a nanosecond
	hang := make(chan struct{})
	defer close(hang)
	a.odoo.SetHook(func(_ http.ResponseWriter, r *http.Request) bool {
		_, _ = io.Copy(io.Discard, r.Body) // else the server does not see the client leave
		select {
		case <-hang:
		case <-r.Context().Done():
		}
		return true
	})
	p := decoded[wire.Preprocess](t, a.want(http.StatusOK, http.MethodPost, "/v1/preprocess", `{"chat_id":"a","text":"x","route_name":"odoo_erp","enable_odoo":true,"timeout_ms":1000}`).body)
	if e := p.Errors["odoo_models"]; e == nil || e.Kind() != wire.KindTimeout || p.MuteStatus == nil {
		t.Errorf("%+v", p)
	}
}

func TestCallsAreToldApart(t *testing.T) {
	u := newUpstreams()
	one := newAPI(t, u, nil)
	other := newAPI(t, u, func(_ *Config, c *chat.Config) { c.Cache = one.service.Cache }) // at another address, as after a change of language
	if one.service.Odoo.Identity() == other.service.Odoo.Identity() {
		t.Fatal("two servers' are the same")
	}
	calls := []string{
		`"method":"search_count","args":[[]]`, `"method":"search_count","args":[[["id","=",1]]]`, `"method":"search_count","args":[[]],"kwargs":{"context":{"lang":"en_US"}}`,
		`"method":"search","args":[[]]`,
	}
	for _, a := range []*api{one, other} {
		for _, call := range calls {
			for i, body := range []string{`{"model":"res.partner",` + call + `}`, `{ ` + call + `, "model": "res.partner"}`} {
				if got := a.want(200, http.MethodPost, "/v1/odoo/call", body); got.hit() != (i == 1) {
					t.Errorf("%s: %s", body, got.header.Get("Cache-Status"))
				}
			}
		}
		for i := range 2 {
			if got := a.want(200, http.MethodGet, "/v1/odoo/models", ""); got.hit() != (i == 1) {
				t.Errorf("the models: %s", got.header.Get("Cache-Status"))
			}
		}
	}
}

func TestAWriteThatFailsForgetsRecordsToo(t *testing.T) {
	a := newAPI(t, newUpstreams(), nil)
	const count, write = `{"model":"res.partner","method":"search_count","args":[[]]}`, `{"model":"res.partner","method":"write","args":[[1],{"name":"x"}]}`
	a.want(200, http.MethodPost, "/v1/odoo/call", count)
	a.odoo.SetHook(func(w http.ResponseWriter, r *http.Request) bool {
		if strings.HasSuffix(r.URL.Path, "/write") {
			panic(http.ErrAbortHandler) // it may have been done
		}
		return false
	})
	if p := a.want(http.StatusBadGateway, http.MethodPost, "/v1/odoo/call", write).problem(t); p.Kind() != wire.KindUnknownOutcome || p.Retryable || p.Upstream != "odoo" {
		t.Errorf("%+v", p)
	}
	if got := a.want(200, http.MethodPost, "/v1/odoo/call", count); got.hit() {
		t.Error("a record is held still")
	}
}

func TestReadsAndModelsAreHeldByTheirOwnPolicies(t *testing.T) {
	for resource, calls := range map[string][2]string{
		"odoo_read":   {http.MethodPost, "/v1/odoo/call"},
		"odoo_models": {http.MethodGet, "/v1/odoo/models"},
		"mute":        {http.MethodGet, "/v1/chats/a/mute"},
		"history":     {http.MethodGet, chatHistory},
		"relevant":    {http.MethodPost, "/v1/chats/a/relevant"},
	} {
		a := newAPI(t, newUpstreams().withClasses("text", "text"), func(_ *Config, c *chat.Config) {
			for r, p := range c.Policies {
				if string(r) != resource {
					p.Fresh = 0
					c.Policies[r] = p
				}
			}
		})
		body := map[string]string{"odoo_read": `{"model":"res.partner","method":"search_count","args":[[]]}`, "relevant": `{"text":"x"}`}[resource]
		a.want(200, calls[0], calls[1], body)
		if got := a.want(200, calls[0], calls[1], body); !got.hit() {
			t.Errorf("%s: %s", resource, got.header.Get("Cache-Status"))
		}
	}
}

func TestAMuteWithoutAPlaceForItsEndIsRefused(t *testing.T) {
	u := newUpstreams().withClasses("text", "text")
	u.noUntil = true
	a := newAPI(t, u, nil)
	a.refuses("until", http.MethodPut, "/v1/chats/a/mute", `{"muted":true,"until":"2100-01-01T00:00:00Z"}`)
	a.refuses("", http.MethodPut, "/v1/chats/a/mute", `{"muted":true}`)
}
