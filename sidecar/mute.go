package sidecar

import (
	"context"
	"net/http"
	"time"

	"github.com/cespare/xxhash/v2"

	"hearth/cache"
	"hearth/client/wire"
	"hearth/pool/weaviate"
)

func (s *Server) mute(r *request) error {
	m, origin, err := s.getMute(r.ctx, r.chat, r.directives)
	if err != nil {
		return err
	}
	body, err := encode(m)
	if err != nil {
		return err
	}
	return r.reply("mute", cache.Reply{Body: body, ETag: cache.ETag(body), Origin: origin})
}

func (s *Server) getMute(ctx context.Context, spelled string, d cache.Directives) (wire.Mute, cache.Origin, error) {
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
	return wireMute(m), origin, err
}

// wireMute says what a mute means now: one that has ended is none.
func wireMute(m cache.MuteState) wire.Mute {
	if !m.Muted || !m.Until.IsZero() && !time.Now().Before(m.Until) {
		return wire.Mute{}
	}
	if m.Until.IsZero() {
		return wire.Mute{Muted: true}
	}
	return wire.Mute{Muted: true, Until: &m.Until}
}

func (s *Server) setMute(r *request) error {
	o := decodeObject(r.body, "")
	var m cache.MuteState
	if !o.into("muted", &m.Muted, "true or false") {
		o.wrong("muted", "is required")
	}
	m.Until = o.instant("until")
	if !m.Muted && !m.Until.IsZero() {
		o.wrong("until", "goes with muted: true only")
	}
	o.strict()
	if err := o.err(); err != nil {
		return err
	}
	if s.cfg.Weaviate != nil && !s.cfg.Weaviate.TakesUntil() && !m.Until.IsZero() {
		return wire.BadField("until", "cannot be kept: HEARTH_MUTE_FIELDS names no property for it")
	}
	chat, err := s.muteChat(r.ctx, r.chat)
	if err != nil {
		return err
	}
	unlock, err := s.muting.lock(r.ctx, chat)
	if err != nil {
		return err
	}
	defer unlock()
	err = s.cfg.Cache.SetMute(chat, m, func() error {
		return s.cfg.Weaviate.SetMute(r.ctx, chat, m.Muted, m.Until, objectID("mute", chat))
	})
	if err != nil {
		p := s.problemOf(err)
		p.Retryable = p.Retryable || weaviate.Unknown(err) // setting it again is the same
		return p
	}
	r.timings(timing{"mute", time.Since(r.started)})
	return r.send(http.StatusOK, wireMute(m))
}

// keyedLock lets one caller per key in at a time. Keys share a bounded number of locks.
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
