package cache

import (
	"context"
	"time"

	"hearth/client/wire"
	"hearth/internal/clock"
)

// A write goes through the cache in three steps, whatever it writes:
//
//  1. Begin, before it is sent. From then on loads that may miss the write know of it.
//  2. Commit what the upstream has acknowledged: from then on every read shows it. Or Unknown, if the write may have
//     happened: what is held is dropped, because it may be wrong. Both, if it is known of a part only. Neither, if nothing
//     was stored.
//  3. End, always.

// Draft is a write of messages before it is sent.
type Draft struct {
	Messages []wire.Message // their content does not matter; one without a CreatedAt is given one
	Key      string         // the request's idempotency key; empty: none
	Body     uint64         // a hash of the request's body: the same key must come with the same body
}

// MessageWrite is one write of messages to a chat. It is for one goroutine.
type MessageWrite struct {
	cache    *Cache
	chat     *chat
	messages []wire.Message
	claim    *claim // nil: no key
	stored   bool   // something was stored, or may have been
}

// BeginMessages starts a write of messages to a chat. It is ErrKeyReused if the key came before with another body.
func (c *Cache) BeginMessages(ctx context.Context, chat string, d Draft) (*MessageWrite, error) {
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	w := &MessageWrite{cache: c, chat: c.chats.pin(chat)}
	if err := w.begin(d); err != nil {
		c.chats.unpin(w.chat)
		return nil, err
	}
	return w, nil
}

func (w *MessageWrite) begin(d Draft) error {
	cs := w.cache.chats
	cs.mu.Lock()
	defer cs.mu.Unlock()
	if k := w.chat.claimOf(d.Key); k != nil {
		if k.body != d.Body {
			return ErrKeyReused
		}
		w.claim = k
	}
	if w.claim != nil {
		w.messages = w.claim.messages
	} else {
		w.messages = w.chat.identify(d.Messages, cs.now().Wall)
		if d.Key != "" {
			w.claim = w.chat.remember(newClaim(d.Key, d.Body, w.messages))
			cs.countLocked(w.chat)
		}
	}
	if w.claim != nil {
		w.claim.writes++
	}
	return nil
}

// identify returns the ID, the role and the time of each message. Those without a time are given one.
func (ch *chat) identify(messages []wire.Message, now time.Time) []wire.Message {
	out := make([]wire.Message, len(messages))
	for i, m := range messages {
		if m.CreatedAt.IsZero() {
			m.CreatedAt = ch.nextCreatedAt(now)
		}
		out[i] = wire.Message{ID: m.ID, Role: m.Role, CreatedAt: m.CreatedAt}
	}
	return out
}

// nextCreatedAt is the time for a message that came without one: now, or just after the newest message known.
func (ch *chat) nextCreatedAt(now time.Time) time.Time {
	at := now.UTC().Truncate(time.Microsecond)
	newest := ch.lastCreatedAt
	if t := ch.timeline; t != nil && t.newestTime().After(newest) {
		newest = t.newestTime()
	}
	if t := ch.recent.newest(); t.After(newest) {
		newest = t
	}
	if least := newest.Add(time.Millisecond); !newest.IsZero() && at.Before(least) {
		at = least
	}
	ch.lastCreatedAt = at
	return at
}

// Messages are the ID, role and time of each message to write. If the key came before, they are those of the first request
// with it: so a repeated request writes the very same messages.
func (w *MessageWrite) Messages() []wire.Message { return w.messages }

// Commit puts messages that the upstream has into the chat's windows, and keeps them for loads that may have missed them.
// The relevance results of the chat are dropped.
func (w *MessageWrite) Commit(_ context.Context, stored []wire.Message) error {
	w.stored = true
	w.commit(stored)
	w.cache.DropRelevant(w.chat.id)
	return nil
}

func (w *MessageWrite) commit(stored []wire.Message) {
	cs, ch := w.cache.chats, w.chat
	cs.mu.Lock()
	defer cs.mu.Unlock()
	now := cs.now()
	if ch.timeline != nil {
		ch.timeline = ch.timeline.with(stored, ch.maxWindow).within(cs.maxOfOne())
		ch.encoded = nil
	}
	// A load may have begun before this write was acknowledged if anything else has pinned the chat. Times do not tell: a
	// freeze may lie between.
	loadsUnderWay := ch.pins > 1
	if loadsUnderWay || cs.mayLag[messageWrites] {
		ch.recent.add(stored, now, loadsUnderWay)
	}
	cs.wroteLocked(ch, now)
}

// Unknown says that messages may have been stored: what was loaded of the chat is no longer known to be right.
func (w *MessageWrite) Unknown(_ context.Context) error {
	w.stored = true
	w.cache.chats.forget(w.chat)
	w.cache.DropRelevant(w.chat.id)
	return nil
}

// End ends the write.
func (w *MessageWrite) End() {
	w.releaseClaim()
	w.cache.chats.unpin(w.chat)
}

func (w *MessageWrite) releaseClaim() {
	cs := w.cache.chats
	cs.mu.Lock()
	defer cs.mu.Unlock()
	if w.claim != nil {
		w.chat.release(w.claim, w.stored)
	}
}

// MuteWrite is one write of a chat's mute. It is for one goroutine.
type MuteWrite struct {
	cache *Cache
	chat  *chat
	turn  chan struct{} // the chat's
	at    clock.Instant // when it began
}

// BeginMute starts a write of a chat's mute. It waits until the chat's mute write before it has ended: the last one
// remembered must be the last one written.
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

// Commit remembers the mute that the upstream has. A load that began before does not replace it.
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

// Unknown says that the mute may have been stored: it is loaded again. A load that may lag can miss it. Then the last
// acknowledged write counts, unless the load shows a change that the upstream made later than that write began.
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
