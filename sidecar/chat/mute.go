package chat

import (
	"context"
	"time"

	"github.com/cespare/xxhash/v2"

	"hearth/cache"
	"hearth/client/wire"
	"hearth/pool/weaviate"
)

// Mute says whether the bot is muted in a chat now. The reply's body is a [wire.Mute].
func (s *Service) Mute(ctx context.Context, spelled string, d cache.Directives) (cache.Reply, error) {
	m, origin, err := s.mute(ctx, spelled, d)
	if err != nil {
		return cache.Reply{}, err
	}
	body, err := Encode(m)
	if err != nil {
		return cache.Reply{}, err
	}
	return cache.Reply{Body: body, ETag: cache.ETag(body), Origin: origin}, nil
}

func (s *Service) mute(ctx context.Context, spelled string, d cache.Directives) (wire.Mute, cache.Origin, error) {
	chat, err := s.muteChat(ctx, spelled)
	if err != nil {
		return wire.Mute{}, cache.Origin{}, err
	}
	m, origin, err := s.cfg.Cache.Mute(ctx, chat, s.cfg.Policies[cache.Mute], d, func(ctx context.Context) (cache.LoadedMute, error) {
		m, err := s.cfg.Weaviate.Mute(ctx, chat)
		return cache.LoadedMute{
			MuteState: cache.MuteState{Muted: m.Muted, Until: m.Until}, Updated: m.Updated, Replicated: s.cfg.Weaviate.MuteMayLag(),
		}, err
	})
	return muteNow(m), origin, err
}

// muteNow says what a mute means now: one that has ended is none.
func muteNow(m cache.MuteState) wire.Mute {
	if !m.Muted || !m.Until.IsZero() && !time.Now().Before(m.Until) {
		return wire.Mute{}
	}
	if m.Until.IsZero() {
		return wire.Mute{Muted: true}
	}
	return wire.Mute{Muted: true, Until: &m.Until}
}

// SetMute writes a chat's mute, and returns what it means now. Writes to one chat are sent one after another.
//
// Errors: [ErrNoMuteEnd]; a [*RepeatableError], as setting it again is the same; and those of [weaviate.Client.SetMute].
func (s *Service) SetMute(ctx context.Context, spelled string, want wire.Mute) (wire.Mute, error) {
	m := cache.MuteState{Muted: want.Muted}
	if want.Until != nil {
		m.Until = *want.Until
	}
	if s.cfg.Weaviate != nil && !s.cfg.Weaviate.TakesUntil() && !m.Until.IsZero() {
		return wire.Mute{}, ErrNoMuteEnd
	}
	chat, err := s.muteChat(ctx, spelled)
	if err != nil {
		return wire.Mute{}, err
	}
	unlock, err := s.muting.lock(ctx, chat)
	if err != nil {
		return wire.Mute{}, err
	}
	defer unlock()
	err = s.cfg.Cache.SetMute(chat, m, func() error {
		return s.cfg.Weaviate.SetMute(ctx, chat, m.Muted, m.Until, objectID("mute", chat))
	})
	if weaviate.Unknown(err) {
		err = &RepeatableError{err}
	}
	return muteNow(m), err
}

// keyedLock is a lock per key. Keys share a bounded number of locks.
type keyedLock [64]chan struct{}

func newKeyedLock() (l keyedLock) {
	for i := range l {
		l[i] = make(chan struct{}, 1)
	}
	return l
}

func (l *keyedLock) lock(ctx context.Context, key string) (unlock func(), err error) {
	c := l[xxhash.Sum64String(key)%uint64(len(l))]
	select {
	case c <- struct{}{}:
		return func() { <-c }, nil
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}
