package sidecar

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"hearth/client/wire"
	"hearth/pool/weaviate"
)

const (
	maxItems = 100 // messages of one write
	maxID    = 128 // bytes of a message's own id
	maxKey   = 255 // bytes of an idempotency key
)

// idempotencyKey is the request's key; empty: it has none.
func (r *request) idempotencyKey() (string, error) {
	keys := r.Request.Header.PeekAll(wire.HeaderIdempotencyKey)
	if len(keys) > 1 {
		return "", wire.BadField(wire.HeaderIdempotencyKey, "is given more than once")
	}
	key := string(bytes.Join(keys, nil))
	if len(key) > maxKey {
		return "", wire.BadField(wire.HeaderIdempotencyKey, fmt.Sprintf("must have at most %d bytes", maxKey))
	}
	return key, nil
}

func isArray(body []byte) bool { return bytes.HasPrefix(bytes.Trim(body, jsonSpace), []byte("[")) }

// prefixOf is what the fields of message i are named with: its place in an array, or nothing if the body is one message.
func prefixOf(body []byte, i int) string {
	if isArray(body) {
		return fmt.Sprintf("[%d].", i)
	}
	return ""
}

// inMessages turns an error about one message of a body into one that names the field.
func inMessages(body []byte, err error) error {
	if e, ok := errors.AsType[*weaviate.TimeError](err); ok {
		return wire.BadField(prefixOf(body, e.Index)+"created_at", e.Detail)
	}
	return err
}

// decodeMessages reads one message or an array of them.
func (s *Server) decodeMessages(body []byte) ([]wire.NewMessage, error) {
	items := []json.RawMessage{body}
	if isArray(body) {
		items = nil
		if err := json.Unmarshal(body, &items); err != nil {
			return nil, badBody(fmt.Sprintf("not JSON: %v", err))
		}
		if len(items) < 1 || len(items) > maxItems {
			return nil, badBody(fmt.Sprintf("an array must have 1 to %d messages", maxItems))
		}
	}
	messages := make([]wire.NewMessage, len(items))
	seen := map[string]bool{}
	for i, item := range items {
		o := decodeObject(item, prefixOf(body, i), nil)
		m := s.decodeMessage(o)
		if m.ID != "" && seen[m.ID] {
			o.wrong("id", "stands twice in one write")
		}
		seen[m.ID] = true
		o.rejectUnknown()
		if err := o.err(); err != nil {
			return nil, err
		}
		messages[i] = m
	}
	return messages, nil
}

func (s *Server) decodeMessage(o *object) wire.NewMessage {
	m := wire.NewMessage{
		ID:        o.text("id", "", 1, maxID),
		Role:      o.requiredText("role"),
		Content:   o.requiredText("content"),
		CreatedAt: o.instant("created_at"),
		Vector:    o.vector("vector"),
	}
	if !isRole(m.Role) {
		o.wrong("role", "must be user, assistant or system")
	}
	if o.field("properties", &m.Properties, "an object") && len(m.Properties) > maxProperties {
		o.wrong("properties", fmt.Sprintf("may have %d fields", maxProperties))
	}
	for name := range m.Properties {
		// Weaviate takes Chat_id for chat_id.
		if slices.ContainsFunc(s.cfg.MappedProperties, func(p string) bool { return strings.EqualFold(p, name) }) {
			o.wrong("properties", fmt.Sprintf("may not name %q, which is a field of the message", name))
		}
	}
	return m
}
