package contract

import (
	"fmt"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"hearth/client"
)

func (s *suite) relevance(t *testing.T) {
	h, chat := s.common, "relevance"
	at := func(i int) time.Time { return instant(time.Duration(i) * time.Minute) }
	h.write(t, chat,
		client.NewMessage{Role: "user", Content: "the invoice of march is wrong", CreatedAt: at(1), Vector: []float32{1, 0, 0}},
		client.NewMessage{Role: "assistant", Content: "which invoice? march or april?", CreatedAt: at(2), Vector: []float32{0.9, 0.1, 0}},
		client.NewMessage{Role: "user", Content: "invoice invoice invoice march", CreatedAt: at(3), Vector: []float32{0.5, 0.5, 0}},
		client.NewMessage{Role: "system", Content: "be polite about every invoice of march", CreatedAt: at(4), Vector: []float32{0.7, 0.3, 0}},
		client.NewMessage{Role: "user", Content: "thank you and goodbye", CreatedAt: at(5), Vector: []float32{0, 0, 1}},
		client.NewMessage{Role: "assistant", Content: "you are welcome", CreatedAt: at(6), Vector: []float32{0, 1, 0}},
	)
	ask := func(t *testing.T, body map[string]any) []client.ScoredMessage {
		t.Helper()
		got := h.relevant(t, chat, body)
		for i, m := range got {
			if i > 0 && m.Score > got[i-1].Score {
				t.Errorf("not best first: %v", got)
			}
			if m.ID == "" || m.CreatedAt.Before(at(1)) || m.CreatedAt.Location() != time.UTC {
				t.Errorf("not whole: %+v", m)
			}
		}
		return got
	}
	roles := func(got []client.ScoredMessage) (out []string) {
		for _, m := range got {
			out = append(out, m.Role)
		}
		slices.Sort(out)
		return slices.Compact(out)
	}
	vector := []float32{1, 0.05, 0}

	t.Run("bm25 finds words, of the roles asked for", func(t *testing.T) {
		got := ask(t, map[string]any{"text": "march invoice", "mode": "bm25"})
		if len(got) != 3 || !slices.Equal(roles(got), []string{"assistant", "user"}) || got[len(got)-1].Score <= 0 {
			t.Errorf("got %v", got)
		}
		for _, some := range [][]string{{"user"}, {"assistant"}, {"system"}, {"assistant", "system"}, {"assistant", "system", "user"}} {
			if got := roles(ask(t, map[string]any{"text": "invoice", "mode": "bm25", "roles": some})); !slices.Equal(got, some) {
				t.Errorf("asked for %v, got %v", some, got)
			}
		}
		if got := ask(t, map[string]any{"text": "zeppelin", "mode": "bm25"}); len(got) != 0 {
			t.Errorf("a word that nobody said finds %v", got)
		}
		if r := h.post(t, chatPath(chat, "relevant"), map[string]any{"text": "zeppelin"}); string(r.body) != `{"mode":"bm25","relevant_messages":[]}` {
			t.Errorf("nothing found is %v", r)
		}
	})
	t.Run("count is over all roles", func(t *testing.T) {
		all := ask(t, map[string]any{"text": "invoice", "count": 100})
		for n := 1; n <= 3; n++ {
			if got := ask(t, map[string]any{"text": "invoice", "count": n}); !slices.Equal(got, all[:n]) {
				t.Errorf("count %d brings %v, of %v", n, got, all)
			}
		}
	})
	t.Run("near_vector finds what is near, the nearest first", func(t *testing.T) {
		got := ask(t, map[string]any{"vector": vector, "mode": "near_vector", "count": 3})
		wantContents(t, "near_vector", scoredContents(got),
			[]string{"the invoice of march is wrong", "which invoice? march or april?", "invoice invoice invoice march"})
		if got[0].Score > 1.001 || got[0].Score < 0.99 {
			t.Errorf("the score of the nearest is %v, want almost 1", got[0].Score)
		}
		got = ask(t, map[string]any{"vector": vector, "mode": "near_vector", "roles": []string{"system"}, "text": "ignored"})
		wantContents(t, "near_vector of a role", scoredContents(got), []string{"be polite about every invoice of march"})
	})
	t.Run("auto is hybrid with a vector and bm25 without", func(t *testing.T) {
		for _, body := range []map[string]any{{"text": "goodbye", "vector": vector}, {"text": "welcome march"}} {
			mode := "bm25"
			if body["vector"] != nil {
				mode = "hybrid"
			}
			auto := ask(t, body)
			body["mode"] = "auto"
			named := ask(t, body)
			body["mode"] = mode
			explicit := ask(t, body)
			if len(auto) == 0 || !slices.Equal(auto, explicit) || !slices.Equal(auto, named) {
				t.Errorf("auto brings %v, %s %v", auto, mode, explicit)
			}
		}
		for mode, wins := range map[string]bool{"near_vector": false, "hybrid": true} { // over what is a little nearer
			got := scoredContents(ask(t, map[string]any{"text": "goodbye", "vector": vector, "mode": mode, "count": 100}))
			word, near := slices.Index(got, "thank you and goodbye"), slices.Index(got, "you are welcome")
			if len(got) != 5 || word < 0 || near < 0 || (word < near) != wins {
				t.Errorf("%s brings %q, want the one with the word first: %t", mode, got, wins)
			}
		}
	})
	t.Run("near_text in a class without vectorizer is a clear error", func(t *testing.T) {
		r := h.post(t, chatPath(chat, "relevant"), map[string]any{"text": "x", "mode": "near_text"})
		wantFinal(t, r, http.StatusBadGateway, "weaviate", "near_text")
	})
	t.Run("a vector of another length is a clear error", func(t *testing.T) {
		r := h.post(t, chatPath(chat, "relevant"), map[string]any{"vector": []float32{1, 2}, "mode": "near_vector"})
		wantFinal(t, r, http.StatusBadGateway, "weaviate", "length")
	})
	t.Run("any text may be asked for", func(t *testing.T) {
		random := rand.New(rand.NewPCG(1, 1)) //nolint:gosec // words of any kind
		var words strings.Builder
		for words.Len() < 100_000 {
			fmt.Fprintf(&words, "%x ", random.Uint32()%100_000)
		}
		for name, text := range map[string]string{
			"quotes": `say "march"`, "backslashes": `march \ \\ \" \n`, "lines": "march\n\r\n\tmarch", "controls": "march \u0001\u000b\u001f\u007f\u0000",
			"emoji": "march 👩‍👩‍👧‍👦 \U0001F9FF", "separators": "march\u2028\u2029\ufeff", "syntax": `march"}) { _additional { id } }`,
			"braces": "march {}[]()$!@#", "long": "march " + words.String(), "one long word": "march " + strings.Repeat("x", 100_000),
			"repeated": strings.Repeat("march ", 16_000),
		} {
			if got := ask(t, map[string]any{"text": text}); len(got) != 3 {
				t.Errorf("%s: got %v", name, got)
			}
			if got := ask(t, map[string]any{"text": text, "vector": vector}); len(got) != 5 {
				t.Errorf("%s with a vector: got %v", name, got)
			}
		}
		for name, text := range map[string]string{"only stop words": "the of and", "only signs": "?! … —", "only an emoji": "🧿", "one letter": "q"} {
			for _, mode := range []string{"bm25", "auto", "hybrid"} {
				body := map[string]any{"text": text, "mode": mode}
				if mode == "hybrid" {
					body["vector"] = vector
				}
				ask(t, body)
			}
			got := h.preprocess(t, map[string]any{"chat_id": chat, "text": text, "route_name": "x"})
			if got.Errors != nil {
				t.Errorf("%s: preprocess fails: %v", name, got.Errors)
			}
		}
	})
	t.Run("a blank text is refused here and finds nothing in preprocess", func(t *testing.T) {
		for _, text := range []string{"", " ", "\n\t"} {
			if p := wantProblem(t, h.post(t, chatPath(chat, "relevant"), map[string]any{"text": text}), 400); p.Field != "text" {
				t.Errorf("the problem is %+v", p)
			}
			r := h.post(t, "/v1/preprocess", map[string]any{"chat_id": chat, "text": text, "route_name": "x"})
			if got := want[client.Preprocess](t, r, http.StatusOK); got.Errors != nil || !strings.Contains(string(r.body), `"relevant_messages":[]`) {
				t.Errorf("preprocess answers %v", r)
			}
		}
	})
	t.Run("equal questions share a reply, different ones do not", func(t *testing.T) {
		ask := func(body map[string]any) reply {
			return h.post(t, chatPath("relevance of questions", "relevant"), body)
		}
		h.write(t, "relevance of questions", client.NewMessage{Role: "user", Content: "march", Vector: vector})
		ask(map[string]any{"text": "march"})
		if !cached(t, ask(map[string]any{"count": 5, "text": "march", "roles": []string{"user", "assistant"}})).hit {
			t.Error("the same question with its defaults written out was not a hit")
		}
		for i, body := range []map[string]any{
			{"text": "march "},
			{"text": "March"},
			{"text": "march", "count": 6},
			{"text": "march", "roles": []string{"user"}},
			{"text": "march", "vector": vector},
			{"text": "march", "vector": []float32{1, 0.05, 0.1}},
			{"text": "march", "mode": "hybrid", "vector": vector},
			{"text": "march", "mode": "bm25"},
		} {
			if i < 6 && cached(t, ask(body)).hit {
				t.Errorf("%v was answered with another question's reply", body)
			}
		}
	})
}
