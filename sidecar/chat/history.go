package chat

import (
	"context"
	"time"

	"hearth/cache"
	"hearth/client/wire"
	"hearth/internal/clock"
)

// HeldHistory returns what History would, if that is in memory, the request accepts it, and the caller spells the chat as the class
// names it. It never waits. If it returns false, call History.
func (s *Service) HeldHistory(now clock.Instant, chat []byte, v cache.View, d cache.Directives) (cache.Reply, bool) {
	if s.cfg.Weaviate == nil || !s.cfg.Weaviate.IsMessageChat(chat) {
		return cache.Reply{}, false
	}
	return s.cfg.Cache.HeldHistory(now, chat, v, s.cfg.Policies[cache.History], d)
}

// History reads a chat's newest messages. The reply's body is a [wire.History].
func (s *Service) History(ctx context.Context, spelled string, v cache.View, d cache.Directives) (got cache.Reply, err error) {
	defer s.waited(ctx, "weaviate", time.Now(), &err)
	chat, err := s.messageChat(ctx, spelled, d.NoCache)
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
