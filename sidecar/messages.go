package sidecar

import (
	"bytes"
	"crypto/fips140"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/cespare/xxhash/v2"
	"github.com/google/uuid"

	"hearth/cache"
	"hearth/client/wire"
	"hearth/pool/weaviate"
)

const (
	maxItems   = 100 // messages of one write
	maxID      = 128 // bytes of a message's own id
	maxKey     = 255 // bytes of an idempotency key
	outcomeOK  = "stored"
	outcomeNo  = "failed"
	outcomeAny = "unknown"
)

// namespace of the UUIDs that messages and mutes are stored under. It must never change.
func namespace() uuid.UUID { return uuid.MustParse("6b0f6f3e-2f0b-5a1c-9a55-0c9f3c1f7d27") }

// objectID derives an object's UUID from what identifies it. Each part is preceded by its length, so that no
// two lists of parts are alike: no id of one chat can reach an object of another.
func objectID(parts ...string) string {
	var b []byte
	for _, p := range parts {
		b = strconv.AppendInt(b, int64(len(p)), 10)
		b = append(append(b, ':'), p...)
	}
	var id uuid.UUID
	fips140.WithoutEnforcement(func() { id = uuid.NewSHA1(namespace(), b) }) // a name, not a secret
	return id.String()
}

// appendMessages writes messages of a chat: 201 once Weaviate has them all.
func (s *Server) appendMessages(r *request) error {
	messages, err := s.decodeMessages(r.body)
	if err != nil {
		return err
	}
	keys := r.Request.Header.PeekAll(wire.HeaderIdempotencyKey)
	if len(keys) > 1 {
		return wire.BadField(wire.HeaderIdempotencyKey, "is given more than once")
	}
	key := string(bytes.Join(keys, nil))
	if len(key) > maxKey {
		return wire.BadField(wire.HeaderIdempotencyKey, fmt.Sprintf("must have at most %d bytes", maxKey))
	}
	chat, err := s.messageChat(r.ctx, r.chat)
	if err != nil {
		return err
	}
	w := s.cfg.Cache.BeginWrite(chat)
	defer w.End()
	// A caller that names its messages, or the request, may send it again: the same objects are written.
	repeatable := key != "" || !slices.ContainsFunc(messages, func(m weaviate.NewMessage) bool { return m.ID == "" })
	if err := identify(w, chat, key, r.body, messages); err != nil {
		return err
	}
	written, err := s.cfg.Weaviate.Append(r.ctx, chat, messages)
	if err != nil {
		if weaviate.Unknown(err) {
			w.Unknown()
		} else {
			w.Refused()
		}
		if e, ok := errors.AsType[*weaviate.TimeError](err); ok {
			return wire.BadField(placeOf(r.body)(e.Index)+"created_at", e.Detail)
		}
		p := s.problemOf(err)
		if weaviate.Unknown(err) {
			p.Retryable = repeatable
		}
		return p
	}
	var stored []cache.Message
	verdicts := make([]error, len(messages))
	for i, m := range messages {
		m.CreatedAt = written[i].CreatedAt
		if verdicts[i] = written[i].Err; verdicts[i] == nil {
			stored = append(stored, cache.Message(m.Message))
		}
	}
	unknown := slices.ContainsFunc(verdicts, weaviate.Unknown)
	if len(stored) == 0 && !unknown {
		w.Refused()
	}
	w.Acknowledge(stored)
	r.timings(timing{"messages", time.Since(r.started)})
	if len(stored) < len(messages) {
		if unknown {
			w.Unknown()
		}
		return outcomes(messages, verdicts, repeatable)
	}
	ids := make([]string, len(messages))
	for i, m := range messages {
		ids[i] = m.ID
	}
	return r.send(http.StatusCreated, wire.Appended{IDs: ids})
}

// identify gives each message its object's UUID, and a time where it has none.
func identify(w *cache.Write, chat, key string, body []byte, messages []weaviate.NewMessage) error {
	identities := make([]cache.Message, len(messages))
	for i := range messages {
		m := &messages[i]
		switch {
		case m.ID != "":
			m.ID = objectID("id", chat, m.ID)
		case key != "":
			// The body is part of it: where the key is no longer remembered, another body overwrites nothing.
			m.ID = objectID("key", chat, key, strconv.Itoa(i), string(body))
		default:
			id, err := uuid.NewV7()
			if err != nil {
				return fmt.Errorf("sidecar: %w", err)
			}
			m.ID = id.String()
		}
		if m.CreatedAt.IsZero() {
			m.CreatedAt = w.Reserve(time.Now())
		}
		identities[i] = cache.Message{ID: m.ID, Role: m.Role, CreatedAt: m.CreatedAt}
	}
	if key == "" {
		return nil
	}
	first, err := w.Claim(key, xxhash.Sum64(body), identities)
	if err != nil {
		return err
	}
	for i := range messages {
		messages[i].CreatedAt = first[i].CreatedAt
	}
	return nil
}

func outcomes(messages []weaviate.NewMessage, verdicts []error, repeatable bool) *wire.Problem {
	p := problem(http.StatusBadGateway, "partial", "not every message was stored: see items")
	p.Upstream = "weaviate"
	p.Retryable = repeatable && slices.ContainsFunc(verdicts, weaviate.Unknown)
	for i, m := range messages {
		item := wire.ItemOutcome{ID: m.ID, Outcome: outcomeOK}
		if err := verdicts[i]; err != nil {
			item.Outcome = outcomeNo
			if weaviate.Unknown(err) {
				item.Outcome = outcomeAny
			}
			if e, ok := errors.AsType[*weaviate.Error](err); ok {
				item.Detail = e.Message
			}
		}
		p.Items = append(p.Items, item)
	}
	return p
}

func isArray(body []byte) bool { return bytes.HasPrefix(bytes.TrimSpace(body), []byte("[")) }

// placeOf names a message within a body: nothing where it is the only one.
func placeOf(body []byte) func(i int) string {
	if isArray(body) {
		return func(i int) string { return fmt.Sprintf("[%d].", i) }
	}
	return func(int) string { return "" }
}

// decodeMessages reads one message or an array of them.
func (s *Server) decodeMessages(body []byte) ([]weaviate.NewMessage, error) {
	items, prefix := []json.RawMessage{body}, placeOf(body)
	if isArray(body) {
		items = nil
		if err := json.Unmarshal(body, &items); err != nil {
			return nil, badBody(fmt.Sprintf("not JSON: %v", err))
		}
		if len(items) < 1 || len(items) > maxItems {
			return nil, badBody(fmt.Sprintf("an array must have 1 to %d messages", maxItems))
		}
	}
	messages := make([]weaviate.NewMessage, len(items))
	seen := map[string]bool{}
	for i, item := range items {
		o := decodeObject(item, prefix(i))
		m := weaviate.NewMessage{Message: weaviate.Message{
			ID:        o.text("id", "", 1, maxID),
			Role:      o.requiredText("role"),
			Content:   o.requiredText("content"),
			CreatedAt: o.instant("created_at"),
		}, Vector: o.vector("vector")}
		if !isRole(m.Role) {
			o.wrong("role", "must be user, assistant or system")
		}
		if m.ID != "" && seen[m.ID] {
			o.wrong("id", "stands twice in one write")
		}
		seen[m.ID] = true
		o.into("properties", &m.Properties, "an object")
		for name := range m.Properties {
			// Weaviate takes Chat_id for chat_id.
			if slices.ContainsFunc(s.cfg.MappedProperties, func(p string) bool { return strings.EqualFold(p, name) }) {
				o.wrong("properties", fmt.Sprintf("may not name %q, which is a field of the message", name))
			}
		}
		o.strict()
		if err := o.err(); err != nil {
			return nil, err
		}
		messages[i] = m
	}
	return messages, nil
}
