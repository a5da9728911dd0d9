package cache

import (
	"context"

	"hearth/client/wire"
	"hearth/internal/clock"
)

// MuteWrite is one write of a chat's mute. It is for one goroutine.
type MuteWrite struct {
	cache *Cache
	chat  *chat
	turn  chan struct{} // the chat's
	at    clock.Instant // when it began
}

// BeginMute starts a write of a chat's mute. It waits for the end of the chat's previous mute write: the cache must remember the
// mute that was written last.
func (c *Cache) BeginMute(ctx context.Context, chat string) (*MuteWrite, error) {
	ch, turn := c.chats.pinForMute(chat)
	select {
	case turn <- struct{}{}:
		return &MuteWrite{cache: c, chat: ch, turn: turn, at: c.now()}, nil
	case <-ctx.Done():
		c.chats.unpin(ch)
		return nil, context.Cause(ctx)
	}
}

func (cs *chats) pinForMute(id string) (*chat, chan struct{}) {
	cs.mu.Lock()
	defer cs.mu.Unlock()
	ch := cs.pinLocked(id)
	if ch.muteTurn == nil {
		ch.muteTurn = make(chan struct{}, 1)
	}
	return ch, ch.muteTurn
}

// Commit remembers the mute that the upstream has acknowledged. A load that began before the commit does not replace it.
func (w *MuteWrite) Commit(_ context.Context, m wire.Mute) error {
	cs, ch := w.cache.chats, w.chat
	cs.mu.Lock()
	defer cs.mu.Unlock()
	now := cs.now()
	ch.muteToken = cs.newToken()
	ch.mute = &heldMute{Mute: m, at: w.at, acknowledged: now}
	if cs.mayLag[muteWrites] {
		ch.lastMuteWrite, ch.lostMuteWrite = ch.mute, lost{}
	}
	cs.wroteLocked(ch, now)
	return nil
}

// Unknown takes note that the mute may have been stored: the next read loads the mute again. If the class has replicas, that
// load can miss the write. Then the last acknowledged write counts, unless the load shows a change that the upstream made
// after that write began.
func (w *MuteWrite) Unknown(_ context.Context) error {
	cs, ch := w.cache.chats, w.chat
	cs.mu.Lock()
	defer cs.mu.Unlock()
	ch.muteToken = cs.newToken()
	ch.mute = nil
	cs.countLocked(ch)
	return nil
}

// End ends the write, and lets the next one begin.
func (w *MuteWrite) End() {
	<-w.turn
	w.cache.chats.unpin(w.chat)
}
