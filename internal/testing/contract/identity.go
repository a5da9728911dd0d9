package contract

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"hearth/client"
)

func (s *suite) identity(t *testing.T) {
	h := s.common
	at := instant(0)
	messages := func(chat string) string { return chatPath(chat, "messages") }

	t.Run("two equal texts at one instant are two messages", func(t *testing.T) {
		chat := "twins"
		m := client.NewMessage{Role: "user", Content: "yes", CreatedAt: at}
		ids := append(h.write(t, chat, m, m), h.write(t, chat, m)...)
		if slices.Sort(ids); len(slices.Compact(ids)) != 3 {
			t.Errorf("ids are %v", ids)
		}
		for name, reader := range s.writerAndReader(t, h) {
			wantContents(t, name, contents(reader.history(t, chat, 10).AllMessages), []string{"yes", "yes", "yes"})
		}
	})
	t.Run("a retried post with id and created_at is one message", func(t *testing.T) {
		chat := "retried"
		m := client.NewMessage{Role: "user", Content: "once", CreatedAt: at, ID: "turn/7?"}
		first := h.write(t, chat, m)
		second := s.start(t).write(t, chat, m) // another sandbox sends it again
		third := h.write(t, chat, m)
		if first[0] != second[0] || first[0] != third[0] {
			t.Errorf("ids are %v, %v, %v", first, second, third)
		}
		for name, reader := range s.writerAndReader(t, h) {
			wantContents(t, name, contents(reader.history(t, chat, 10).AllMessages), []string{"once"})
		}
		if stored := s.weaviate.ids(t, s.messageClass, chat); !slices.Equal(stored, first) {
			t.Errorf("Weaviate has %v, the ids were %v", stored, first)
		}
	})
	t.Run("a message written again with its id is changed in its place", func(t *testing.T) {
		chat := "edited"
		h.write(t, chat, client.NewMessage{Role: "user", Content: "first", CreatedAt: at, ID: "a"},
			client.NewMessage{Role: "user", Content: "second", CreatedAt: at.Add(time.Second), ID: "b"})
		h.history(t, chat, 10)
		h.write(t, chat, client.NewMessage{Role: "assistant", Content: "was first", CreatedAt: at.Add(time.Minute), ID: "a"})
		for name, reader := range s.writerAndReader(t, h) {
			got := reader.history(t, chat, 10)
			wantContents(t, name, contents(got.AllMessages), []string{"second", "was first"})
			wantContents(t, name+": assistant", contents(got.AssistantMessages), []string{"was first"})
		}
	})
	t.Run("an Idempotency-Key makes a retried post one", func(t *testing.T) {
		chat := "keyed"
		body := []client.NewMessage{{Role: "user", Content: "hello"}, {Role: "assistant", Content: "hello"}}
		post := func(h *hearth, chat string) []string {
			return want[client.Appended](t, h.post(t, messages(chat), body, "Idempotency-Key", "key 1"), http.StatusCreated).IDs
		}
		first := post(h, chat)
		before := h.history(t, chat, 10)
		if second := post(h, chat); !slices.Equal(first, second) {
			t.Errorf("ids are %v, then %v", first, second)
		}
		after := h.history(t, chat, 10)
		if len(before.AllMessages) != 2 || !slices.Equal(before.AllMessages, after.AllMessages) {
			t.Errorf("the history was %v and is %v", before.AllMessages, after.AllMessages)
		}
		if elsewhere := post(s.start(t), chat); !slices.Equal(first, elsewhere) {
			t.Errorf("another sandbox gives the ids %v, not %v", elsewhere, first)
		}
		if stored := s.weaviate.ids(t, s.messageClass, chat); len(stored) != 2 {
			t.Errorf("Weaviate has %v", stored)
		}
		if other := post(h, "keyed too"); slices.Contains(other, first[0]) || slices.Contains(other, first[1]) {
			t.Errorf("the same key in another chat gives the same ids: %v and %v", first, other)
		}
	})
	t.Run("an Idempotency-Key with another body is 422 and writes nothing", func(t *testing.T) {
		chat := "reused"
		h.post(t, messages(chat), client.NewMessage{Role: "user", Content: "one"}, "Idempotency-Key", "k")
		p := wantProblem(t, h.post(t, messages(chat), client.NewMessage{Role: "user", Content: "two"}, "Idempotency-Key", "k"), 422)
		if p.Field != "Idempotency-Key" || p.Retryable {
			t.Errorf("the problem is %+v", p)
		}
		wantContents(t, "history", contents(h.history(t, chat, 10, "Cache-Control", "no-cache").AllMessages), []string{"one"})
	})
	t.Run("an Idempotency-Key is free again after a refusal", func(t *testing.T) {
		chat := "refused"
		wrong := map[string]any{"role": "user", "content": "wrong", "properties": map[string]any{"no such property": 1}}
		if r := h.post(t, messages(chat), wrong, "Idempotency-Key", "k"); r.status != http.StatusBadGateway {
			t.Fatalf("Weaviate takes what it should refuse: %v", r)
		}
		right := client.NewMessage{Role: "user", Content: "right"}
		want[client.Appended](t, h.post(t, messages(chat), right, "Idempotency-Key", "k"), http.StatusCreated)
		wantProblem(t, h.post(t, messages(chat), wrong, "Idempotency-Key", "k"), 422)
		wantContents(t, "history", contents(h.history(t, chat, 10, "Cache-Control", "no-cache").AllMessages), []string{"right"})
	})
	t.Run("an Idempotency-Key given twice is refused", func(t *testing.T) {
		p := wantProblem(t, h.post(t, messages("twice"), client.NewMessage{Role: "user", Content: "x"}, "Idempotency-Key", "a", "Idempotency-Key", "b"), 400)
		if p.Field != "Idempotency-Key" {
			t.Errorf("the problem is %+v", p)
		}
	})
	t.Run("an id taken from another chat overwrites nothing", func(t *testing.T) {
		ids := h.write(t, "owner", client.NewMessage{Role: "user", Content: "mine", CreatedAt: at, ID: "name"},
			client.NewMessage{Role: "assistant", Content: "mine too", CreatedAt: at})
		before := s.weaviate.properties(t, s.messageClass, ids[0])
		thief := h.write(t, "thief",
			client.NewMessage{Role: "user", Content: "stolen by name", CreatedAt: at, ID: "name"},
			client.NewMessage{Role: "user", Content: "stolen by uuid", CreatedAt: at, ID: ids[0]},
			client.NewMessage{Role: "user", Content: "stolen by uuid too", CreatedAt: at, ID: ids[1]})
		for _, id := range thief {
			if slices.Contains(ids, id) {
				t.Errorf("the thief was given the owner's id %s", id)
			}
		}
		h.post(t, messages("thief"), client.NewMessage{Role: "user", Content: "stolen by key"}, "Idempotency-Key", ids[0])
		if after := s.weaviate.properties(t, s.messageClass, ids[0]); before == nil || fmt.Sprint(after) != fmt.Sprint(before) {
			t.Errorf("the object was %v and is %v", before, after)
		}
		for name, reader := range s.writerAndReader(t, h) {
			wantContents(t, name+": owner", contents(reader.history(t, "owner", 10).AllMessages), []string{"mine", "mine too"})
			if got := reader.history(t, "thief", 10).AllMessages; len(got) != 4 {
				t.Errorf("%s: the thief has %v", name, contents(got))
			}
		}
	})
	t.Run("ids that run together are apart", func(t *testing.T) {
		pairs := [][2]string{{"ab", "c"}, {"a", "bc"}, {"abc", ""}}
		for _, between := range []string{":", "\x00", "/", "\n", "|", ",", " ", "-", "1:", "\x1f", "2:b"} {
			pairs = append(pairs, [2]string{"a" + between + "b", "c"}, [2]string{"a", "b" + between + "c"})
		}
		seen := map[string]string{}
		for _, p := range pairs {
			m := client.NewMessage{Role: "user", Content: "x", CreatedAt: at, ID: p[1]}
			id := h.write(t, p[0], m)[0]
			if was, twice := seen[id]; twice {
				t.Errorf("%q and %s have one object", p, was)
			}
			seen[id] = fmt.Sprintf("%q", p)
		}
	})
	t.Run("a write of a hundred messages keeps their order", func(t *testing.T) {
		batch := make([]client.NewMessage, 100)
		var expected []string
		for i := range batch {
			batch[i] = client.NewMessage{Role: side(i), Content: strings.Repeat("x", i+1)}
			expected = append(expected, batch[i].Content)
		}
		ids := h.write(t, "hundred", batch...)
		for name, reader := range s.writerAndReader(t, h) {
			got := reader.history(t, "hundred", 200).AllMessages
			wantContents(t, name, contents(got), expected)
			for i, m := range got {
				if m.ID != ids[i] {
					t.Errorf("%s: message %d has the id %s, not %s", name, i, m.ID, ids[i])
				}
			}
		}
	})
}
