package chat

import (
	"context"
	"crypto/fips140"
	"fmt"
	"strconv"

	"github.com/cespare/xxhash/v2"
	"github.com/google/uuid"

	"hearth/cache"
	"hearth/client/wire"
	"hearth/pool/weaviate"
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

// identify makes the messages to write from a draft. The ID of each is its object's UUID.
func identify(chat string, draft Draft) ([]weaviate.NewMessage, error) {
	messages := make([]weaviate.NewMessage, len(draft.Messages))
	for i, d := range draft.Messages {
		id, err := messageID(chat, i, d.ID, draft)
		if err != nil {
			return nil, err
		}
		messages[i] = weaviate.NewMessage{
			Message: wire.Message{ID: id, Role: d.Role, Content: d.Content, CreatedAt: d.CreatedAt},
			Vector:  d.Vector, Properties: d.Properties,
		}
	}
	return messages, nil
}

// begin begins the write of messages, and gives a time to those that have none.
func (s *Service) begin(ctx context.Context, chat string, draft Draft, messages []weaviate.NewMessage) (*cache.MessageWrite, error) {
	d := cache.Draft{Messages: make([]wire.Message, len(messages)), Key: draft.Key, Body: xxhash.Sum64(draft.Body)}
	for i, m := range messages {
		d.Messages[i] = m.Message
	}
	w, err := s.cfg.Cache.BeginMessages(ctx, chat, d)
	if err != nil {
		return nil, err
	}
	for i, m := range w.Messages() {
		messages[i].CreatedAt = m.CreatedAt
	}
	return w, nil
}

// messageID is the UUID of the message in place i of a draft: derived from its own id, else from the draft's key, else new.
func messageID(chat string, i int, own string, draft Draft) (string, error) {
	if own != "" {
		return objectID("id", chat, own), nil
	}
	if draft.Key != "" {
		// The body is part of the name, so that a key that is no longer remembered does not overwrite messages of another body.
		return objectID("key", chat, draft.Key, strconv.Itoa(i), string(draft.Body)), nil
	}
	id, err := uuid.NewV7()
	if err != nil {
		return "", fmt.Errorf("chat: %w", err)
	}
	return id.String(), nil
}
