package contract

import (
	"fmt"
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"hearth/client"
)

// large reads a chat that is larger than one answer may be. A history is whole or an error, never shorter.
func (s *suite) large(t *testing.T) {
	const size = 900_000
	chat, messages, sizes := "large", 40, []string{"4MiB", "24MiB"}
	if raceDetector { // it is slow with much memory
		messages, sizes = 16, sizes[:1]
	}
	writer := s.start(t)
	var b book
	for i := range messages {
		content := fmt.Sprintf("ferry %d %s", i, strings.Repeat(string(rune('a'+i%26)), size))
		b.record(t, writer, chat, client.NewMessage{
			Role: side(i), Content: content, CreatedAt: instant(time.Duration(i/4) * time.Second), Vector: []float32{1, float32(i), 0},
		})
	}
	for _, bytes := range sizes {
		t.Run(bytes, func(t *testing.T) {
			h := s.start(t, "HEARTH_CACHE_BYTES="+bytes)
			b.check(t, "the newest", h, chat, 1, 5)
			b.check(t, "the newest, again", h, chat, 1, 5)
			history := func(n int) reply { return h.get(t, historyPath(chat, n, 5)) }
			if n := s.fits(t, "num_messages", history, messages/2); n > 0 {
				b.check(t, "as many as fit", h, chat, n, 5)
				b.check(t, "as many as fit, anew", h, chat, n, 5, "Cache-Control", "no-cache")
			}
			for mode, body := range map[string]map[string]any{
				"bm25": {"text": "ferry", "mode": "bm25"}, "near_vector": {"mode": "near_vector", "vector": []float32{1, 1, 0}},
			} {
				relevant := func(n int) reply {
					body["count"] = n
					return h.post(t, chatPath(chat, "relevant"), body)
				}
				if n := s.fits(t, "count", relevant, messages); n > 0 {
					if got := want[client.Relevant](t, relevant(n), http.StatusOK); len(got.RelevantMessages) != n {
						t.Errorf("%s finds %d messages, want %d", mode, len(got.RelevantMessages), n)
					}
				}
			}
			r := h.post(t, "/v1/preprocess", map[string]any{"chat_id": chat, "text": "ferry", "route_name": "x", "num_messages": 1, "relevant_count": 1})
			if got := want[client.Preprocess](t, r, http.StatusOK); got.Errors != nil {
				t.Errorf("preprocess: %v", got.Errors)
			}
		})
	}
}

// fits asks for n messages. If they do not fit, the problem names how many do, which must be the largest number: fits returns it,
// else 0.
func (s *suite) fits(t *testing.T, field string, ask func(n int) reply, n int) int {
	t.Helper()
	r := ask(n)
	if r.status == http.StatusOK {
		return 0
	}
	p := wantProblem(t, r, http.StatusBadGateway)
	m := regexp.MustCompile(field + ` may be at most (\d+) here`).FindStringSubmatch(p.Detail)
	if p.Type != "/docs/errors.md#answer-too-large" || p.Retryable || p.Upstream != "weaviate" || m == nil {
		t.Fatalf("the problem is %+v", p)
	}
	most, err := strconv.Atoi(m[1])
	if err != nil || most < 1 || most >= n {
		t.Fatalf("of %d messages %q fit", n, m[1])
	}
	if r := ask(most); r.status != http.StatusOK {
		t.Fatalf("the problem says that %d fit, but they are answered %v", most, r)
	}
	if r := ask(most + 1); r.status == http.StatusOK {
		t.Errorf("the problem says that %d fit, but %d do", most, most+1)
	}
	return most
}
