package contract

import (
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"

	"hearth/client"
)

// classes runs one conversation in classes that are not as Hearth would make them by default.
func (s *suite) classes(t *testing.T) {
	property := func(name, kind, tokenization string) map[string]any {
		p := map[string]any{"name": name, "dataType": []string{kind}}
		if tokenization != "" {
			p["tokenization"] = tokenization
		}
		return p
	}
	t.Run("names of one's own, and further properties", func(t *testing.T) {
		message, mute := s.messageClass+"_Own", s.muteClass+"_Own"
		s.weaviate.createClass(t, map[string]any{"class": message, "properties": []any{
			property("conversation", "text", "field"), property("speaker", "text", "field"), property("body", "text", ""), property("at", "date", ""),
			property("lang", "text", ""), property("tokens", "int", ""),
		}})
		s.weaviate.createClass(t, map[string]any{"class": mute, "properties": []any{
			property("conversation", "text", "field"), property("silent", "boolean", ""), property("silent_until", "date", ""),
		}})
		env := []string{
			"HEARTH_MESSAGE_CLASS=" + message, "HEARTH_MESSAGE_FIELDS=conversation,speaker,body,at",
			"HEARTH_MUTE_CLASS=" + mute, "HEARTH_MUTE_FIELDS=conversation,silent,silent_until",
		}
		s.command(t, env, "check")
		h := s.start(t, env...)
		s.converse(t, h, s.start(t, env...))
		id := h.write(t, "own", client.NewMessage{
			Role: "user", Content: "guten Tag", CreatedAt: instant(0), Properties: map[string]any{"lang": "de", "tokens": 2},
		})[0]
		expected := map[string]any{
			"conversation": "own", "speaker": "user", "body": "guten Tag", "at": "2024-02-29T12:00:00Z", "lang": "de", "tokens": 2.0,
		}
		if got := s.weaviate.properties(t, message, id); !maps.Equal(got, expected) {
			t.Errorf("the object is %v, want %v", got, expected)
		}
		p := wantProblem(t, h.post(t, chatPath("own", "messages"), map[string]any{
			"role": "user", "content": "x", "properties": map[string]any{"conversation": "another"},
		}), http.StatusBadRequest)
		if p.Field != "properties" {
			t.Errorf("the problem is %+v", p)
		}
	})
	t.Run("a named vector", func(t *testing.T) {
		message, mute := s.messageClass+"_Vector", s.muteClass+"_Vector"
		env := []string{"HEARTH_MESSAGE_CLASS=" + message, "HEARTH_MUTE_CLASS=" + mute, "HEARTH_WEAVIATE_VECTOR=meaning"}
		s.makeClasses(t, env...)
		t.Cleanup(func() { s.weaviate.dropClass(t, message); s.weaviate.dropClass(t, mute) })
		s.command(t, env, "check")
		s.converse(t, s.start(t, env...), s.start(t, env...))
	})
	t.Run("a tenant each", func(t *testing.T) {
		message, mute := s.messageClass+"_Tenants", s.muteClass+"_Tenants"
		both := []string{"HEARTH_MESSAGE_CLASS=" + message, "HEARTH_MUTE_CLASS=" + mute}
		one, two := append(slices.Clone(both), "HEARTH_WEAVIATE_TENANT=one"), append(slices.Clone(both), "HEARTH_WEAVIATE_TENANT=two")
		for _, c := range []struct {
			env []string
			out string
		}{
			{one, fmt.Sprintf("created %s\ncreated tenant one of %s\ncreated %s\ncreated tenant one of %s\n", message, message, mute, mute)},
			{one, "every class exists\n"},
			{two, fmt.Sprintf("created tenant two of %s\ncreated tenant two of %s\n", message, mute)},
		} {
			if out := s.makeClasses(t, c.env...); out != c.out {
				t.Errorf("hearth schema printed %q, want %q", out, c.out)
			}
		}
		t.Cleanup(func() { s.weaviate.dropClass(t, message); s.weaviate.dropClass(t, mute) })
		s.command(t, two, "check")
		for _, wrong := range [][]string{both, append(slices.Clone(both), "HEARTH_WEAVIATE_TENANT=three")} {
			if out, err := s.tryCommand(t, wrong, "check"); err == nil || !strings.Contains(out, "tenan") {
				t.Errorf("hearth check with %v is content: %s", wrong, out)
			}
		}
		s.converse(t, s.start(t, one...), s.start(t, one...))
		s.converse(t, s.start(t, two...), s.start(t, two...)) // the same chats, and nothing is there twice
	})
}

// converse writes and reads everything once, where nothing has been written yet.
func (s *suite) converse(t *testing.T, h, other *hearth) {
	t.Helper()
	const chat = "1-1"
	var b book
	b.check(t, "before anything", h, chat, 10, 5)
	if h.muted(t, chat).Muted {
		t.Error("muted before anything")
	}
	b.record(t, h, chat, client.NewMessage{Role: "user", Content: "the ferry leaves", CreatedAt: instant(0), Vector: []float32{1, 0}},
		client.NewMessage{Role: "assistant", Content: "the ferry has left", CreatedAt: instant(1), Vector: []float32{0, 1}})
	h.write(t, "1-12", client.NewMessage{Role: "user", Content: "another ferry", CreatedAt: instant(0), Vector: []float32{1, 0}})
	h.setMute(t, chat, map[string]any{"muted": true})
	for name, h := range map[string]*hearth{"the writer": h, "a cold reader": other} {
		b.check(t, name, h, chat, 10, 5)
		wantContents(t, name+": bm25", scoredContents(h.relevant(t, chat, map[string]any{"text": "leaves", "mode": "bm25"})), []string{"the ferry leaves"})
		for _, mode := range []string{"near_vector", "hybrid", "auto"} {
			got := h.relevant(t, chat, map[string]any{"text": "ferry", "mode": mode, "vector": []float32{0, 1}})
			wantContents(t, name+": "+mode, scoredContents(got), []string{"the ferry has left", "the ferry leaves"})
		}
		if !h.muted(t, chat).Muted {
			t.Errorf("%s: not muted", name)
		}
	}
	h.setMute(t, chat, map[string]any{"muted": false})
	if r := other.get(t, chatPath(chat, "mute"), "Cache-Control", "no-cache"); want[client.Mute](t, r, http.StatusOK).Muted {
		t.Error("muted after its end")
	}
}

// partly writes messages of which Weaviate refuses some.
func (s *suite) partlyWritten(t *testing.T) {
	const chat = "partly"
	message := func(id string, properties map[string]any) client.NewMessage {
		return client.NewMessage{Role: "user", Content: id, ID: id, CreatedAt: instant(0), Properties: properties}
	}
	bad := map[string]any{"no_such_property": 1}
	h := s.start(t, "HEARTH_TTL_HISTORY=1h")
	h.history(t, chat, 10)
	r := h.post(t, chatPath(chat, "messages"), []client.NewMessage{message("a", nil), message("b", bad), message("c", nil)})
	p := wantProblem(t, r, http.StatusBadGateway)
	if p.Type != "/docs/errors.md#partial" || p.Retryable || p.Upstream != "weaviate" || len(p.Items) != 3 {
		t.Fatalf("the problem is %+v", p)
	}
	for i, outcome := range []string{"stored", "failed", "stored"} {
		item := p.Items[i]
		if item.Outcome != outcome || item.ID == "" || strings.Contains(item.Detail, "no_such_property") != (outcome == "failed") {
			t.Errorf("message %d: %+v, want %s", i, item, outcome)
		}
	}
	for name, reader := range s.writerAndReader(t, h) {
		got := contents(reader.history(t, chat, 10).AllMessages)
		slices.Sort(got)
		wantContents(t, name, got, []string{"a", "c"})
	}
	again := h.write(t, chat, message("a", nil), message("b", nil), message("c", nil))
	for i, id := range again {
		if id != p.Items[i].ID {
			t.Errorf("sent again, message %d has the id %s, not %s", i, id, p.Items[i].ID)
		}
	}
	if got := h.history(t, chat, 10).AllMessages; len(got) != 3 {
		t.Errorf("sent again, there are %v", contents(got))
	}
}

// vectorsOfTwoLengths writes them in the first batch of a class, where the server finds out after it has stored them.
func (s *suite) vectorsOfTwoLengths(t *testing.T) {
	for name, vectors := range map[string]map[string]any{
		"Unnamed": {}, "Flat": {"vectorIndexType": "flat"}, "Named": namedVectors("meaning"),
	} {
		message, _, env := s.makeClassesOf(t, "L"+name, plainTypes(), vectors)
		h := s.start(t, env...)
		h.history(t, "a", 10)
		for range 2 { // in the second batch the server knows the length before
			p := wantProblem(t, h.post(t, chatPath("a", "messages"), []client.NewMessage{
				{Role: "user", Content: "3", Vector: []float32{1, 2, 3}}, {Role: "user", Content: "5", Vector: []float32{1, 2, 3, 4, 5}},
			}), http.StatusBadGateway)
			if len(p.Items) != 2 {
				t.Fatalf("the problem is %+v", p)
			}
			held := h.history(t, "a", 10).AllMessages
			for _, item := range p.Items {
				stored := s.weaviate.properties(t, message, item.ID) != nil
				if stored && item.Outcome == "failed" || !stored && item.Outcome == "stored" || item.Outcome != "stored" && item.Detail == "" {
					t.Errorf("%s: Weaviate has it: %t, and Hearth says %+v", name, stored, item)
				}
				if stored != slices.ContainsFunc(held, func(m client.Message) bool { return m.ID == item.ID }) {
					t.Errorf("%s: Weaviate has it: %t, unlike the history %v", name, stored, held)
				}
			}
		}
	}
}

// together asks many times at once for what is not held.
func (s *suite) together(t *testing.T) {
	h := s.start(t)
	h.say(t, "together", "user", "x")
	for name, ask := range map[string]func() (reply, error){
		"history": func() (reply, error) { return h.try(t.Context(), http.MethodGet, historyPath("together", 10, 5), nil) },
		"relevant": func() (reply, error) {
			return h.try(t.Context(), http.MethodPost, chatPath("together", "relevant"), map[string]any{"text": "x"})
		},
		"models": func() (reply, error) { return h.try(t.Context(), http.MethodGet, "/v1/odoo/models", nil) },
	} {
		replies := make([]reply, 16)
		var g sync.WaitGroup
		for i := range replies {
			g.Go(func() { replies[i], _ = ask() }) // a reply that did not come has no status
		}
		g.Wait()
		led := 0
		for _, r := range replies {
			if r.status != http.StatusOK || string(r.body) != string(replies[0].body) {
				t.Fatalf("%s: %v, another %v", name, r, replies[0])
			}
			if c := cached(t, r); !c.hit && !c.collapsed {
				led++
			}
		}
		if led != 1 {
			t.Errorf("%s: of 16 requests at once %d were sent on", name, led)
		}
	}
}
