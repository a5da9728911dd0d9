package cache

import (
	"context"
	"time"

	"hearth/client/wire"
	"hearth/internal/clock"
)

// LoadedMute is what a load of a mute brought.
type LoadedMute struct {
	wire.Mute
	Updated time.Time // by the upstream's clock
	MayLag  bool      // the load may have missed a write that was acknowledged before it began
}

// Mute returns a chat's mute: held, or from load.
func (c *Cache) Mute(ctx context.Context, chat string, p Policy, d Directives, load func(context.Context) (LoadedMute, error)) (wire.Mute, Origin, error) {
	s := &muteSource{c: c, id: chat, noStore: d.NoStore, fetch: load}
	m, o, err := read(ctx, c, question{resource: Mute, policy: p, directives: d}, s)
	if err != nil {
		return wire.Mute{}, Origin{}, err
	}
	return m.Mute, o, nil
}

// HeldMute returns a chat's mute, if it is held and the request accepts it. It never waits. If it returns false, call Mute.
func (c *Cache) HeldMute(now clock.Instant, chat []byte, p Policy, d Directives) (wire.Mute, Origin, bool) {
	m := c.chats.heldMute(chat)
	if m == nil {
		return wire.Mute{}, Origin{}, false
	}
	o, ok := judgeHeld(now, p, d, m.at)
	if !ok {
		return wire.Mute{}, Origin{}, false
	}
	c.counters[Mute].count(o.Served, d)
	return m.Mute, o, true
}

// heldMute returns a chat's mute; nil: it is not held.
func (cs *chats) heldMute(chat []byte) *heldMute {
	cs.mu.Lock()
	defer cs.mu.Unlock()
	ch := cs.byID[string(chat)]
	if ch == nil || ch.mute == nil {
		return nil
	}
	cs.touchLocked(ch)
	return ch.mute
}

// muteSource reads one chat's mute.
type muteSource struct {
	c       *Cache
	id      string
	noStore bool
	fetch   func(context.Context) (LoadedMute, error)

	chat *chat // set by pin
}

func (s *muteSource) look() (*heldMute, bool) {
	m := s.c.chats.heldMute([]byte(s.id))
	return m, m != nil
}

func (s *muteSource) pin() string {
	cs := s.c.chats
	cs.mu.Lock()
	defer cs.mu.Unlock()
	s.chat = cs.pinLocked(s.id)
	return chatFlight(Mute, s.id, s.chat.muteToken)
}

func (s *muteSource) unpin() { s.c.chats.unpin(s.chat) }

func (s *muteSource) load(ctx context.Context) (*heldMute, error) {
	cs := s.c.chats
	ch := cs.pin(s.id)
	defer cs.unpin(ch)
	_, t, at := cs.beginLoad(ch)
	loaded, err := s.fetch(ctx)
	if err != nil {
		return nil, err
	}
	return s.keep(ch, t, at, loaded)
}

// keep keeps what a load brought that began under the token. If the load may have missed our own last write, that counts.
func (s *muteSource) keep(ch *chat, t token, at clock.Instant, loaded LoadedMute) (*heldMute, error) {
	m := &heldMute{Mute: loaded.Mute, at: at}
	cs := s.c.chats
	cs.mu.Lock()
	defer cs.mu.Unlock()
	cs.learnLocked(muteWrites, loaded.MayLag)
	if loaded.MayLag {
		saw := sight{at: at, mayLag: true}
		if err := ch.lostMuteWrite.refuse(saw); err != nil {
			return nil, err
		}
		if ours := ch.lastMuteWrite; ours != nil && saw.misses(ours.acknowledged) && loaded.Updated.Before(ours.at.Wall) {
			m.Mute = ours.Mute
		}
	}
	if ch.muteToken == t && !s.noStore && (ch.mute == nil || ch.mute.at.Mono < at.Mono) {
		ch.mute = m
		cs.countLocked(ch)
	}
	return m, nil
}

func (s *muteSource) finish(m *heldMute) (*heldMute, error) { return m, nil }
