package chat

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"slices"

	"github.com/rivo/uniseg"

	"hearth/cache"
	"hearth/client/wire"
)

// HeldHistory is History for a reply that is held, of a chat under its name. It waits for nothing.
func (s *Service) HeldHistory(chat []byte, v cache.View, d cache.Directives) (cache.Reply, bool) {
	if s.cfg.Weaviate == nil || !s.cfg.Weaviate.IsMessageChat(chat) {
		return cache.Reply{}, false
	}
	return s.cfg.Cache.HeldHistory(chat, v, s.cfg.Policies[cache.History], d)
}

// History reads a chat's newest messages. The reply's body is a [wire.History].
func (s *Service) History(ctx context.Context, spelled string, v cache.View, d cache.Directives) (cache.Reply, error) {
	chat, err := s.messageChat(ctx, spelled)
	if err != nil {
		return cache.Reply{}, err
	}
	return s.cfg.Cache.History(ctx, cache.HistoryRequest{
		Chat: chat, View: v, Policy: s.cfg.Policies[cache.History], Directives: d,
		Load: func(ctx context.Context, need, want int) (cache.Loaded, error) {
			return s.loadHistory(ctx, chat, need, want)
		},
		Render: func(user, assistant []wire.Message) ([]byte, error) {
			return encodeHistory(s.renderHistory(chat, user, assistant, v.Full))
		},
	})
}

func (s *Service) loadHistory(ctx context.Context, chat string, need, want int) (cache.Loaded, error) {
	pages, err := s.cfg.Weaviate.Recent(ctx, chat, []wire.Role{wire.RoleUser, wire.RoleAssistant}, need, want)
	if err != nil {
		return cache.Loaded{}, err
	}
	return cache.Loaded{User: cache.Page(pages[0]), Assistant: cache.Page(pages[1]), MayLag: s.cfg.Weaviate.MayLag()}, nil
}

func (s *Service) renderHistory(chat string, user, assistant []wire.Message, full int) wire.History {
	all := slices.Concat(user, assistant)
	slices.SortFunc(all, cache.CompareMessages)
	prompt := make([]wire.PromptMessage, len(all))
	for i, m := range all {
		prompt[i] = wire.PromptMessage{Role: m.Role, Content: m.Content}
		if i < len(all)-full {
			prompt[i].Content = preview(m.Content, s.cfg.Preview)
		}
	}
	return wire.History{
		ChatID: chat, MsgHistory: prompt,
		AllMessages: listOf(all), UserMessages: listOf(user), AssistantMessages: listOf(assistant),
	}
}

// encodeHistory is Encode for a history. It encodes message by message into memory that is allocated once: encoding a large
// history as a whole takes several times its size.
func encodeHistory(h wire.History) ([]byte, error) {
	const ofPrompt, ofMessage = 36, 128 // bytes, besides the content
	size := 128
	for _, m := range h.MsgHistory {
		size += ofPrompt + encodedBytes(m.Content)
	}
	for _, m := range h.AllMessages {
		size += 2 * (ofMessage + encodedBytes(m.Content)) // each stands in all_messages, and in the list of its role
	}
	var b bytes.Buffer
	b.Grow(size)
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	err := encodeAfter(&b, e, `{"chat_id":`, h.ChatID)
	err = errors.Join(err, encodeList(&b, e, "msg_history", h.MsgHistory), encodeList(&b, e, "all_messages", h.AllMessages),
		encodeList(&b, e, "user_messages", h.UserMessages), encodeList(&b, e, "assistant_messages", h.AssistantMessages))
	b.WriteByte('}')
	return b.Bytes(), err
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

func encodeList[T any](b *bytes.Buffer, e *json.Encoder, name string, list []T) error {
	b.WriteString(`,"` + name + `":[`)
	for i := range list {
		before := ","
		if i == 0 {
			before = ""
		}
		if err := encodeAfter(b, e, before, &list[i]); err != nil {
			return err
		}
	}
	b.WriteByte(']')
	return nil
}

func encodeAfter(b *bytes.Buffer, e *json.Encoder, before string, v any) error {
	b.WriteString(before)
	err := e.Encode(v)
	b.Truncate(b.Len() - 1) // the line's end
	return err
}

// listOf is messages as a reply has them: an empty list is not null.
func listOf(messages []wire.Message) []wire.Message {
	if messages == nil {
		return []wire.Message{}
	}
	return messages
}

// preview cuts a text after n grapheme clusters, which are what a reader takes for characters.
func preview(text string, n int) string {
	if len(text) <= n {
		return text
	}
	rest, state := text, -1
	for range n {
		if _, rest, _, state = uniseg.FirstGraphemeClusterInString(rest, state); rest == "" {
			return text
		}
	}
	return text[:len(text)-len(rest)] + "…"
}
