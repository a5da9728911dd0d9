package chat

import (
	"bytes"
	"context"
	"encoding/binary"
	"math"
	"time"

	"hearth/cache"
	"hearth/client/wire"
	"hearth/internal/clock"
	"hearth/pool/weaviate"
)

// HeldRelevant returns what Relevant would, if that is in memory, the request accepts it, and the caller spells the chat as the class
// names it. It never waits. If it returns false, call Relevant.
func (s *Service) HeldRelevant(now clock.Instant, q weaviate.Query, d cache.Directives) (cache.Reply, bool) {
	if s.cfg.Weaviate == nil || !s.cfg.Weaviate.IsMessageChat([]byte(q.Chat)) {
		return cache.Reply{}, false
	}
	return s.cfg.Cache.Held(now, relevantKey(q), s.cfg.Policies[cache.Relevant], d)
}

// Relevant finds the messages of a chat that are relevant to a text or a vector, best first. The reply's body is a
// [wire.Relevant].
func (s *Service) Relevant(ctx context.Context, q weaviate.Query, d cache.Directives) (got cache.Reply, err error) {
	defer s.waited(ctx, "weaviate", time.Now(), &err)
	if q.Chat, err = s.messageChat(ctx, q.Chat, d.NoCache); err != nil {
		return cache.Reply{}, err
	}
	return s.cfg.Cache.Get(ctx, relevantKey(q), s.cfg.Policies[cache.Relevant], d, func(ctx context.Context) ([]byte, error) {
		found, mode, err := s.cfg.Weaviate.Relevant(ctx, q)
		if err != nil {
			return nil, err
		}
		return Encode(wire.Relevant{Mode: string(mode), RelevantMessages: found})
	})
}

// relevantKey is the same for two searches whose results are the same.
func relevantKey(q weaviate.Query) cache.Key {
	var memory [256]byte
	b := binary.AppendUvarint(memory[:0], uint64(q.Count))
	b = appendText(appendText(b, string(q.Mode)), q.Text)
	b = binary.AppendUvarint(b, uint64(len(q.Roles)))
	for _, role := range q.Roles {
		b = appendText(b, role)
	}
	for _, x := range q.Vector {
		b = binary.LittleEndian.AppendUint32(b, math.Float32bits(x))
	}
	return cache.RelevantKey(q.Chat, string(b))
}

// appendText appends a text after its length, so that no text can be taken for another one with what follows.
func appendText(b []byte, text string) []byte {
	return append(binary.AppendUvarint(b, uint64(len(text))), text...)
}

// relevantList cuts the list out of a reply of Relevant. The list is the reply's last field, and no mode has a bracket in its name.
func relevantList(reply []byte) []byte { return reply[bytes.IndexByte(reply, '[') : len(reply)-1] }
