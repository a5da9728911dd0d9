package contract

import (
	"net/http"
	"testing"
	"time"

	"github.com/google/uuid"

	"hearth/client"
)

func (s *suite) freshness(t *testing.T) {
	t.Run("every write is in the very next read", s.readYourWrite)
	t.Run("what others write appears within the freshness", s.othersAppear)
	t.Run("what is held is served until then, and no-cache sees past it", s.heldIsServed)
	t.Run("a backdated message goes to its place", s.backdated)
}

func (s *suite) readYourWrite(t *testing.T) {
	h := s.start(t, "HEARTH_TTL_HISTORY=1h", "HEARTH_TTL_RELEVANT=1h", "HEARTH_TTL_MUTE=1h")
	chat := "read your write"
	var b book
	for i := range 30 {
		m := client.NewMessage{Role: side(i), Content: "lighthouse", CreatedAt: instant(time.Duration(i) * time.Second)}
		b.record(t, h, chat, m)
		r := b.check(t, "the writer", h, chat, 10, 5)
		if c := cached(t, r); c.hit != (i > 0) {
			t.Errorf("after write %d: %s", i, r.header.Get("Cache-Status"))
		}
		if got := h.relevant(t, chat, map[string]any{"text": "lighthouse", "count": 100}); len(got) != len(b) {
			t.Errorf("after write %d, %d messages are relevant", i, len(got))
		}
		if m := i%3 == 0; h.setMute(t, chat, map[string]any{"muted": m}).Muted != m || h.muted(t, chat).Muted != m {
			t.Errorf("after muting %t, muted is %t", m, !m)
		}
	}
}

func (s *suite) othersAppear(t *testing.T) {
	const ttl = 400 * time.Millisecond
	h := s.start(t, "HEARTH_TTL_HISTORY=400ms", "HEARTH_TTL_MUTE=400ms", "HEARTH_TTL_RELEVANT=400ms")
	chat := "others appear"
	kept := h.say(t, chat, "user", "harbour kept")
	h.history(t, chat, 10)
	h.muted(t, chat)
	h.relevant(t, chat, map[string]any{"text": "harbour"})
	id, mute := uuid.NewString(), uuid.NewString()

	// soon reads until the freshness has passed, and fails if the last read, begun after that, is not right.
	soon := func(what string, right func() bool) {
		t.Helper()
		since := time.Now()
		for late := false; ; {
			ok := right()
			if ok || late {
				if !ok {
					t.Errorf("%v after %s, it is not seen", time.Since(since), what)
				}
				return
			}
			late = time.Since(since) > ttl
		}
	}
	has := func(n int) func() bool {
		return func() bool {
			all := h.history(t, chat, 10).AllMessages
			return len(all) == n && all[0].ID == kept && len(h.relevant(t, chat, map[string]any{"text": "harbour"})) == n
		}
	}
	muted := func(m bool) func() bool { return func() bool { return h.muted(t, chat).Muted == m } }

	s.weaviate.insert(t, messageObject(s.messageClass, id, chat, "assistant", "harbour new", time.Now().Add(time.Second)))
	soon("another's message", has(2))
	s.weaviate.remove(t, s.messageClass, id)
	soon("another's deletion", has(1))
	s.weaviate.insert(t, object{Class: s.muteClass, ID: mute, Properties: map[string]any{"chat_id": chat, "muted": true}})
	soon("another's mute", muted(true))
	s.weaviate.remove(t, s.muteClass, mute)
	soon("another's end of a mute", muted(false))

	other := s.start(t)
	other.say(t, chat, "user", "harbour through another sidecar")
	soon("another sidecar's message", has(2))
	other.setMute(t, chat, map[string]any{"muted": true})
	soon("another sidecar's mute", muted(true))
}

func (s *suite) heldIsServed(t *testing.T) {
	h := s.start(t, "HEARTH_TTL_HISTORY=1h", "HEARTH_TTL_MUTE=1h", "HEARTH_TTL_RELEVANT=1h")
	chat := "held is served"
	h.say(t, chat, "user", "quay one")
	bodies := map[string]func(headers ...string) reply{
		"history": func(headers ...string) reply { return h.get(t, historyPath(chat, 10, 5), headers...) },
		"mute":    func(headers ...string) reply { return h.get(t, chatPath(chat, "mute"), headers...) },
		"relevance": func(headers ...string) reply {
			return h.post(t, chatPath(chat, "relevant"), map[string]any{"text": "quay"}, headers...)
		},
	}
	before := map[string]string{}
	for name, ask := range bodies {
		before[name] = string(ask().body)
	}
	s.weaviate.insert(t, messageObject(s.messageClass, uuid.NewString(), chat, "user", "quay two", time.Now().Add(time.Second)),
		object{Class: s.muteClass, ID: uuid.NewString(), Properties: map[string]any{"chat_id": chat, "muted": true}})
	for name, ask := range bodies {
		if r := ask(); !cached(t, r).hit || string(r.body) != before[name] {
			t.Errorf("%s: what is held is not served: %s %v", name, r.header.Get("Cache-Status"), r)
		}
		r := ask("Cache-Control", "no-cache")
		if c := cached(t, r); c.fwd != "request" || r.status != http.StatusOK || string(r.body) == before[name] {
			t.Errorf("%s: no-cache does not see the change: %s %v", name, r.header.Get("Cache-Status"), r)
		}
		if again := ask(); !cached(t, again).hit || string(again.body) != string(r.body) {
			t.Errorf("%s: what no-cache brought is not held: %s %v", name, again.header.Get("Cache-Status"), again)
		}
	}
}

func (s *suite) backdated(t *testing.T) {
	h := s.start(t, "HEARTH_TTL_HISTORY=1h", "HEARTH_TIMELINE_WINDOW=5")
	chat := "backdated"
	var b book
	for i := range 60 {
		b.record(t, h, chat, client.NewMessage{Role: "user", Content: "x", CreatedAt: instant(time.Duration(10*i) * time.Second)})
	}
	small := s.start(t, "HEARTH_TTL_HISTORY=1h", "HEARTH_TIMELINE_WINDOW=10")
	for i, at := range []int{-5, 5, 295, 540, 545, 541, 589, 591} {
		small.do(t, http.MethodDelete, "/v1/cache?chat="+chat, nil)
		b.check(t, "the reader", small, chat, 5, 5) // an incomplete window, of 10 and some more
		role := []string{"user", "user", "assistant"}[i%3]
		b.record(t, small, chat, client.NewMessage{Role: role, Content: "late", CreatedAt: instant(time.Duration(at) * time.Second)})
		for n := range 35 {
			b.check(t, "the reader", small, chat, n+1, 5)
		}
		b.check(t, "the reader", small, chat, 70, 5)
		b.check(t, "the reader, loaded anew", small, chat, 5, 5, "Cache-Control", "no-cache")
	}
}
