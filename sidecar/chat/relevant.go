package chat

import (
	"bytes"
	"context"

	"hearth/cache"
	"hearth/client/wire"
	"hearth/pool/weaviate"
)

// Relevant finds the messages of a chat that are relevant to a text or a vector, best first. The reply's body is a
// [wire.Relevant].
func (s *Service) Relevant(ctx context.Context, q weaviate.Query, d cache.Directives) (cache.Reply, error) {
	var err error
	if q.Chat, err = s.messageChat(ctx, q.Chat); err != nil {
		return cache.Reply{}, err
	}
	id, err := Encode(q)
	if err != nil {
		return cache.Reply{}, err
	}
	key := cache.RelevantKey(q.Chat, string(id))
	return s.cfg.Cache.Get(ctx, key, s.cfg.Policies[cache.Relevant], d, func(ctx context.Context) ([]byte, error) {
		found, mode, err := s.cfg.Weaviate.Relevant(ctx, q)
		if err != nil {
			return nil, err
		}
		return Encode(wire.Relevant{Mode: string(mode), RelevantMessages: found})
	})
}

// relevantList cuts the list out of a reply of Relevant. The list is the reply's last field, and no mode has a bracket in its name.
func relevantList(reply []byte) []byte { return reply[bytes.IndexByte(reply, '[') : len(reply)-1] }
