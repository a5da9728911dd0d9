package cache

import (
	"context"
	"time"

	"hearth/client/wire"
)

// A write goes through the cache in three steps, whatever it writes:
//
//  1. Begin, before the write is sent. It pins the chat, so that the chat stays in memory until the write ends.
//  2. The outcome. Commit takes what the upstream has acknowledged: every later read shows it. Unknown is for a write that
//     may have happened: it drops what is held, because that may be wrong. A write calls both if the outcome of only a part
//     is known, and neither if nothing was stored.
//  3. End, always.

// Draft is a write of messages before it is sent.
type Draft struct {
	Messages []wire.Message // their Content is not used; a message without a CreatedAt gets one
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

// BeginMessages starts a write of messages to a chat. It returns ErrKeyReused if an earlier request had the same key and
// another body.
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

// identify returns the ID, the role and the time of each message. A message without a time gets one.
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

// nextCreatedAt returns the time for a message that came without one: now, but at least 1 ms after the newest known message.
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

// Messages returns the ID, role and time of each message to write. The caller must not change them. If an earlier request had
// the same key, they are the messages of that request: a repeated request writes the same messages again.
func (w *MessageWrite) Messages() []wire.Message { return w.messages }

// Commit adds the messages that the upstream has acknowledged to the chat's windows, and keeps them for loads that may have
// missed them. It drops the relevance results of the chat.
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
		ch.insert(stored, cs.maxOfOne())
	}
	// Every load pins its chat. So if the chat has another pin than this write's, a load may have begun before this write was
	// acknowledged. The age of the load does not rule that out: a freeze may lie between.
	loadsUnderWay := ch.pins > 1
	if loadsUnderWay || cs.mayLag[messageWrites] {
		ch.recent.add(stored, now, loadsUnderWay)
	}
	cs.wroteLocked(ch, now)
}

// Unknown takes note that messages may have been stored. It drops what was loaded of the chat, because that may be wrong now.
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
