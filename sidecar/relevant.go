package sidecar

import (
	"bytes"
	"context"
	"strings"

	"hearth/cache"
	"hearth/client/wire"
	"hearth/pool/weaviate"
)

const defaultCount, maxCount = 5, 100

func (s *Server) relevant(r *request) error {
	o := decodeObject(r.body, "")
	q := weaviate.Query{
		Chat:   r.chat,
		Text:   o.text("text", "", 0, s.cfg.MaxBody),
		Count:  o.number("count", defaultCount, 1, maxCount),
		Vector: o.vector("vector"),
		Roles:  o.roles("roles"),
		Mode: weaviate.Mode(o.oneOf("mode", string(weaviate.Auto), string(weaviate.Auto), string(weaviate.BM25),
			string(weaviate.NearText), string(weaviate.NearVector), string(weaviate.Hybrid))),
	}
	switch {
	case q.Mode == weaviate.NearVector && q.Vector == nil:
		o.wrong("vector", "is required by mode near_vector")
	case q.Mode == weaviate.Auto && q.Vector != nil:
	case q.Mode != weaviate.NearVector && strings.TrimSpace(q.Text) == "":
		o.wrong("text", "is required, and must not be blank")
	}
	if err := o.err(); err != nil {
		return err
	}
	got, err := s.getRelevant(r.ctx, q, r.directives)
	if err != nil {
		return err
	}
	return r.reply("relevant", got)
}

func (o *object) roles(name string) []string {
	roles := []string{"user", "assistant"}
	if o.list(name, &roles, "an array of roles") && len(roles) == 0 {
		o.wrong(name, "must not be empty")
	}
	for _, role := range roles {
		if !isRole(role) {
			o.wrong(name, "must hold user, assistant or system")
		}
	}
	return roles
}

func isRole(s string) bool { return s == "user" || s == "assistant" || s == "system" }

func (s *Server) getRelevant(ctx context.Context, q weaviate.Query, d cache.Directives) (cache.Reply, error) {
	var err error
	if q.Chat, err = s.messageChat(ctx, q.Chat); err != nil {
		return cache.Reply{}, err
	}
	id, err := encode(q)
	if err != nil {
		return cache.Reply{}, err
	}
	key := cache.RelevantKey(q.Chat, string(id))
	return s.cfg.Cache.Get(ctx, key, s.cfg.Policies[cache.Relevant], d, func(ctx context.Context) ([]byte, error) {
		found, mode, err := s.cfg.Weaviate.Relevant(ctx, q)
		if err != nil {
			return nil, err
		}
		list := make([]wire.ScoredMessage, len(found))
		for i, f := range found {
			list[i] = wire.ScoredMessage{Message: wire.Message(f.Message), Score: f.Score}
		}
		return encode(wire.Relevant{Mode: string(mode), RelevantMessages: list})
	})
}

// relevantList is the list within a reply of getRelevant, its last field; a mode's name has no bracket.
func relevantList(reply []byte) []byte { return reply[bytes.IndexByte(reply, '[') : len(reply)-1] }
