package contract

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"hearth/client"
)

// clusters are texts that a reader takes for one character.
func clusters() map[string]string {
	return map[string]string{
		"a letter":             "a",
		"a precomposed letter": "é",
		"a combining mark":     "e\u0301",
		"many marks":           "z\u0351\u036b\u0343\u036a\u0302\u036b",
		"a family":             "👩‍👩‍👧‍👦",
		"a skin tone":          "👍🏽",
		"a flag":               "🇩🇪",
		"a rainbow flag":       "🏳️‍🌈",
		"a keycap":             "1️⃣",
		"a line's end":         "\r\n",
		"Hangul in parts":      "\u1100\u1161\u11a8",
		"Devanagari":           "नि",
	}
}

func (s *suite) preview(t *testing.T) {
	// older than the newest one, which alone is in full, so each is cut
	ask := func(h *hearth, chat string, full int) []client.PromptMessage {
		return want[client.History](t, h.get(t, historyPath(chat, 200, full)), http.StatusOK).MsgHistory
	}
	three := s.start(t, "HEARTH_HISTORY_PREVIEW=3")
	for name, cluster := range clusters() {
		t.Run("older messages are cut between characters such as "+name, func(t *testing.T) {
			chat := "preview " + name
			var messages []client.NewMessage
			for i, n := range []int{1, 3, 4, 199, 200, 201, 1000, 5} {
				messages = append(messages, client.NewMessage{Role: "user", Content: strings.Repeat(cluster, n), CreatedAt: instant(time.Duration(i) * time.Second)})
			}
			s.common.write(t, chat, messages...)
			for h, most := range map[*hearth]int{s.common: 200, three: 3} {
				for _, full := range []int{0, 1, 2, len(messages), 200} {
					for i, got := range ask(h, chat, full) {
						content := messages[i].Content
						if cut := strings.Repeat(cluster, most); i < len(messages)-full && len(content) > len(cut) {
							content = cut + "…"
						}
						if got.Content != content || got.Role != "user" {
							t.Errorf("preview %d, full %d, message %d: %d bytes %.60q, want %d bytes %.60q",
								most, full, i, len(got.Content), got.Content, len(content), content)
						}
					}
				}
			}
		})
	}
	t.Run("texts come back as they were written", func(t *testing.T) {
		texts := []string{
			"", " ", "\n", "tab\tand\r\nline", `"quotes" \ and \n`, "<b>&amp;</b>", "\u0001\u000b\u001f\u007f", "\u2028\u2029", "\ufeffbom",
			"👩‍👩‍👧‍👦 e\u0301", "\U0001F9FF\U000E0067", `{"json": true}`, `"}}}`, strings.Repeat("long ", 20_000), "nul \u0000 byte",
		}
		for i, text := range texts {
			s.common.write(t, "texts", client.NewMessage{Role: "user", Content: text, CreatedAt: instant(time.Duration(i) * time.Second)})
		}
		for name, h := range s.writerAndReader(t, s.common) {
			got := want[client.History](t, h.get(t, historyPath("texts", 200, 200)), http.StatusOK)
			wantContents(t, name, contents(got.AllMessages), texts)
			for i, m := range got.MsgHistory {
				if m.Content != texts[i] {
					t.Errorf("%s: in full, message %d is %s", name, i, fmt.Sprintf("%.100q", m.Content))
				}
			}
		}
	})
}
