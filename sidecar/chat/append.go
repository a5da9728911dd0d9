package chat

import (
	"context"
	"errors"
	"slices"
	"time"

	"hearth/client/wire"
	"hearth/pool"
)

// Draft is a write of messages as a caller asks for it.
type Draft struct {
	Messages []wire.NewMessage
	Key      string // an idempotency key; empty: none
	Body     []byte // of the request: the same key must come with the same body
}

// repeatable says whether sending the draft again writes the same objects: it has a key, or every message has an id.
func (d Draft) repeatable() bool {
	return d.Key != "" || !slices.ContainsFunc(d.Messages, func(m wire.NewMessage) bool { return m.ID == "" })
}

// Append writes messages of a chat, and returns their objects' UUIDs in order once Weaviate has them all. From then on every
// history read through the same cache has them.
//
// Errors: a [*PartialError] if Weaviate has answered and has not stored every message; a [*RepeatableError] if the outcome is
// unknown and the draft may be sent again; a *[weaviate.TimeError] for a time that the class cannot hold; [cache.ErrKeyReused];
// and those of [weaviate.Client.Append].
func (s *Service) Append(ctx context.Context, spelled string, draft Draft) (ids []string, err error) {
	defer s.waited(ctx, "weaviate", time.Now(), &err)
	chat, err := s.messageChat(ctx, spelled, true)
	if err != nil {
		return nil, err
	}
	messages, err := identify(chat, draft)
	if err != nil {
		return nil, err
	}
	w, err := s.begin(ctx, chat, draft, messages)
	if err != nil {
		return nil, err
	}
	defer w.End()
	written, err := s.cfg.Weaviate.Append(ctx, chat, messages)
	if err != nil {
		if !errors.Is(err, pool.ErrUnknownOutcome) {
			return nil, err
		}
		unknown := w.Unknown(ctx)
		if draft.repeatable() {
			err = &RepeatableError{err}
		}
		return nil, errors.Join(err, unknown)
	}
	var stored []wire.Message
	result := &PartialError{Items: make([]Item, len(messages)), Repeatable: draft.repeatable()}
	for i, m := range messages {
		result.Items[i] = Item{m.ID, written[i].Err}
		if written[i].Err == nil {
			m.CreatedAt = written[i].CreatedAt
			stored = append(stored, m.Message)
			ids = append(ids, m.ID)
		}
	}
	if len(stored) > 0 {
		err = w.Commit(ctx, stored)
	}
	if result.Unknown() {
		err = errors.Join(err, w.Unknown(ctx))
	}
	if err != nil {
		return nil, err
	}
	if len(stored) < len(messages) {
		return nil, result
	}
	return ids, nil
}
