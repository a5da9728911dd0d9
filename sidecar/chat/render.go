package chat

import (
	"encoding/json"
	"errors"
	"unicode/utf8"

	"github.com/rivo/uniseg"

	"hearth/cache"
	"hearth/client/wire"
)

// renderHistory makes a reply from the newest messages of each role, oldest first.
func (s *Service) renderHistory(chat string, user, assistant []wire.Message, full int) wire.History {
	all := merge(user, assistant)
	prompt := make([]wire.PromptMessage, len(all))
	for i, m := range all {
		prompt[i] = wire.PromptMessage{Role: m.Role, Content: m.Content}
		if i < len(all)-full {
			prompt[i].Content = preview(m.Content, s.cfg.Preview)
		}
	}
	return wire.History{
		ChatID: chat, MsgHistory: prompt,
		AllMessages: all, UserMessages: listOf(user), AssistantMessages: listOf(assistant),
	}
}

// merge joins two lists that are in order.
func merge(a, b []wire.Message) []wire.Message {
	all := make([]wire.Message, 0, len(a)+len(b))
	for len(a) > 0 && len(b) > 0 {
		if cache.CompareMessages(a[0], b[0]) <= 0 {
			all, a = append(all, a[0]), a[1:]
		} else {
			all, b = append(all, b[0]), b[1:]
		}
	}
	return append(append(all, a...), b...)
}

// listOf is messages as a reply has them: an empty list is not null.
func listOf(messages []wire.Message) []wire.Message {
	if messages == nil {
		return []wire.Message{}
	}
	return messages
}

// encodeHistory is Encode for what renderHistory returns. Each message stands in three lists, and is encoded once: the others get
// copies of the bytes. The memory is allocated once, because encoding a large history as a whole takes several times its size.
func encodeHistory(h wire.History) ([]byte, error) {
	w := &historyWriter{json: make([]byte, 0, historyBytes(h))}
	w.escaping = json.NewEncoder(w)
	w.escaping.SetEscapeHTML(false)
	w.raw(`{"chat_id":`)
	w.text(h.ChatID)
	contents, objects := make([]span, len(h.AllMessages)), make([]span, len(h.AllMessages))
	w.list("msg_history", func() {
		for i, m := range h.MsgHistory {
			w.comma(i)
			w.raw(`{"role":`)
			w.text(m.Role)
			w.raw(`,"content":`)
			written := w.text(m.Content)
			if m.Content == h.AllMessages[i].Content {
				contents[i] = written
			}
			w.raw("}")
		}
	})
	w.list("all_messages", func() {
		for i, m := range h.AllMessages {
			w.comma(i)
			objects[i] = w.message(m, contents[i])
		}
	})
	ofRole := func(name string, role wire.Role) {
		w.list(name, func() {
			n := 0
			for i, m := range h.AllMessages {
				if m.Role == role {
					w.comma(n)
					w.again(objects[i])
					n++
				}
			}
		})
	}
	ofRole("user_messages", wire.RoleUser)
	ofRole("assistant_messages", wire.RoleAssistant)
	w.raw("}")
	return w.json, w.err
}

// historyBytes is how many bytes a history has in JSON, or a little more.
func historyBytes(h wire.History) int {
	const ofPrompt, ofMessage = 36, 128 // bytes, besides the content
	size := 128
	for _, m := range h.MsgHistory {
		size += ofPrompt + encodedBytes(m.Content)
	}
	for _, m := range h.AllMessages {
		size += 2 * (ofMessage + encodedBytes(m.Content)) // each stands in all_messages, and in the list of its role
	}
	return size
}

// encodedBytes is the length of a text in JSON, apart from rare escapes.
func encodedBytes(text string) int {
	n := len(text)
	for i := range len(text) {
		if c := text[i]; c < ' ' || c == '"' || c == '\\' {
			n++
		}
	}
	return n
}

// historyWriter writes JSON, and keeps the first error.
type historyWriter struct {
	json     []byte
	escaping *json.Encoder // writes to the historyWriter
	err      error
}

// span is a part of what was written. The zero span is none.
type span struct{ from, to int }

// Write is for the encoder. It leaves out the line's end.
func (w *historyWriter) Write(b []byte) (int, error) {
	w.json = append(w.json, b[:len(b)-1]...)
	return len(b), nil
}

func (w *historyWriter) raw(s string) { w.json = append(w.json, s...) }

func (w *historyWriter) again(s span) { w.json = append(w.json, w.json[s.from:s.to]...) }

// comma separates the elements of a list.
func (w *historyWriter) comma(i int) {
	if i > 0 {
		w.raw(",")
	}
}

func (w *historyWriter) list(name string, elements func()) {
	w.raw(`,"`)
	w.raw(name)
	w.raw(`":[`)
	elements()
	w.raw("]")
}

func (w *historyWriter) text(s string) span {
	from := len(w.json)
	if plain(s) {
		w.raw(`"`)
		w.raw(s)
		w.raw(`"`)
	} else {
		w.err = errors.Join(w.err, w.escaping.Encode(s))
	}
	return span{from, len(w.json)}
}

// plain says that a text stands in JSON as it is. The separators of lines and paragraphs, U+2028 and U+2029, do not.
func plain(s string) bool {
	for i := range len(s) {
		if c := s[i]; c < ' ' || c == '"' || c == '\\' || c >= utf8.RuneSelf {
			return plainBeyondASCII(s[i:])
		}
	}
	return true
}

func plainBeyondASCII(s string) bool {
	for i, r := range s {
		switch {
		case r < ' ', r == '"', r == '\\', r == '\u2028', r == '\u2029':
			return false
		case r == utf8.RuneError:
			if _, size := utf8.DecodeRuneInString(s[i:]); size == 1 {
				return false
			}
		}
	}
	return true
}

// message writes a message. Its content is copied from where it was written before; the zero span: nowhere.
func (w *historyWriter) message(m wire.Message, content span) span {
	from := len(w.json)
	w.raw(`{"id":`)
	w.text(m.ID)
	w.raw(`,"role":`)
	w.text(m.Role)
	w.raw(`,"content":`)
	if content == (span{}) {
		w.text(m.Content)
	} else {
		w.again(content)
	}
	w.raw(`,"created_at":"`)
	at, err := m.CreatedAt.AppendText(w.json)
	if err != nil {
		w.err = errors.Join(w.err, err)
	} else {
		w.json = at
	}
	w.raw(`"}`)
	return span{from, len(w.json)}
}

// preview cuts a text after n grapheme clusters, which are what a reader takes for characters.
func preview(text string, n int) string {
	if len(text) <= n {
		return text
	}
	rest, state := text, -1
	for range n {
		if len(rest) > 1 && rest[0] != '\r' && rest[0] < utf8.RuneSelf && rest[1] < utf8.RuneSelf { // two such characters are never one cluster
			rest, state = rest[1:], -1
		} else if _, rest, _, state = uniseg.FirstGraphemeClusterInString(rest, state); rest == "" {
			return text
		}
	}
	return text[:len(text)-len(rest)] + "…"
}
