package cache

import (
	"context"
	"time"

	"hearth/client/wire"
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
	k := w.chat.claimOf(d.Key)
	switch {
	case k != nil && k.body != d.Body:
		return ErrKeyReused
	case k != nil:
		w.messages = k.messages
	default:
		w.messages = w.chat.identify(d.Messages, cs.now().Wall)
		if d.Key == "" {
			return nil
		}
		k = newClaim(d.Key, d.Body, w.messages)
		w.chat.remember(k)
		cs.countLocked(w.chat)
	}
	k.writes++
	w.claim = k
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

// Messages are the ID, role and time of each message to write; they must not be changed. If the key came before, they are those
// of the first request with it: so a repeated request writes the very same messages.
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
