package chat

import (
	"context"
	"errors"
	"time"

	"hearth/cache"
	"hearth/client/wire"
	"hearth/internal/clock"
	"hearth/pool"
)

// HeldMute returns what Mute would, if that is in memory, the request accepts it, and the caller spells the chat as the class
// names it. It never waits. If it returns false, call Mute.
func (s *Service) HeldMute(now clock.Instant, chat []byte, d cache.Directives) (cache.Reply, bool) {
	m, origin, ok := s.heldMute(now, chat, d)
	if !ok {
		return cache.Reply{}, false
	}
	reply, err := muteReply(m, origin)
	return reply, err == nil
}

func (s *Service) heldMute(now clock.Instant, chat []byte, d cache.Directives) (wire.Mute, cache.Origin, bool) {
	if s.cfg.Weaviate == nil || !s.cfg.Weaviate.IsMuteChat(chat) {
		return wire.Mute{}, cache.Origin{}, false
	}
	m, origin, ok := s.cfg.Cache.HeldMute(now, chat, s.cfg.Policies[cache.Mute], d)
	return muteNow(m), origin, ok
}

// Mute says whether the bot is muted in a chat now. The reply's body is a [wire.Mute].
func (s *Service) Mute(ctx context.Context, spelled string, d cache.Directives) (cache.Reply, error) {
	m, origin, err := s.mute(ctx, spelled, d)
	if err != nil {
		return cache.Reply{}, err
	}
	return muteReply(m, origin)
}

func muteReply(m wire.Mute, origin cache.Origin) (cache.Reply, error) {
	body, err := Encode(m)
	if err != nil {
		return cache.Reply{}, err
	}
	return cache.Reply{Body: body, ETag: cache.ETag(body), Origin: origin}, nil
}

func (s *Service) mute(ctx context.Context, spelled string, d cache.Directives) (m wire.Mute, origin cache.Origin, err error) {
	defer s.waited(ctx, "weaviate", time.Now(), &err)
	chat, err := s.muteChat(ctx, spelled, d.NoCache)
	if err != nil {
		return wire.Mute{}, cache.Origin{}, err
	}
	m, origin, err = s.cfg.Cache.Mute(ctx, chat, s.cfg.Policies[cache.Mute], d, func(ctx context.Context) (cache.LoadedMute, error) {
		m, err := s.cfg.Weaviate.Mute(ctx, chat)
		return cache.LoadedMute{
			Mute: m.Mute, Updated: m.Updated, MayLag: s.cfg.Weaviate.MuteMayLag(),
		}, err
	})
	return muteNow(m), origin, err
}

// muteNow returns what a mute means now: after its end the bot is not muted.
func muteNow(m wire.Mute) wire.Mute {
	if !m.Muted || m.Until != nil && !time.Now().Before(*m.Until) {
		return wire.Mute{}
	}
	return m
}

// SetMute writes a chat's mute, and returns what it means now. Writes to one chat are sent one after another.
//
// Errors: [ErrNoMuteEnd]; a [*RepeatableError], as setting it again is the same; and those of [weaviate.Client.SetMute].
func (s *Service) SetMute(ctx context.Context, spelled string, m wire.Mute) (now wire.Mute, err error) {
	defer s.waited(ctx, "weaviate", time.Now(), &err)
	if s.cfg.Weaviate != nil && !s.cfg.Weaviate.TakesUntil() && m.Until != nil {
		return wire.Mute{}, ErrNoMuteEnd
	}
	chat, err := s.muteChat(ctx, spelled, true)
	if err != nil {
		return wire.Mute{}, err
	}
	w, err := s.cfg.Cache.BeginMute(ctx, chat)
	if err != nil {
		return wire.Mute{}, err
	}
	defer w.End()
	err = s.cfg.Weaviate.SetMute(ctx, chat, m, objectID("mute", chat))
	if err != nil {
		if errors.Is(err, pool.ErrUnknownOutcome) {
			err = errors.Join(&RepeatableError{err}, w.Unknown(ctx))
		}
		return muteNow(m), err
	}
	return muteNow(m), w.Commit(ctx, m)
}
