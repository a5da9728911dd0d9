package cache

import (
	"errors"
	"slices"
	"time"
)

// ErrKeyReused occurs when an idempotency key comes again with another body.
var ErrKeyReused = errors.New("idempotency key reused with another body")

// mostClaims is how many idempotency keys are remembered per chat.
const mostClaims = 64

// Write is one write to a chat, from before it is sent until its outcome is known. End must be called.
type Write struct {
	cache *Cache
	chat  *chat
}

// BeginWrite starts a write to a chat.
func (c *Cache) BeginWrite(id string) *Write {
	c.chats.mu.Lock()
	defer c.chats.mu.Unlock()
	return &Write{cache: c, chat: c.chats.pinLocked(id)}
}

// End ends the write.
func (w *Write) End() { w.cache.chats.unpin(w.chat) }

// Reserve returns the time for a message that came without one: now, or just after the newest message known.
func (w *Write) Reserve(now time.Time) time.Time {
	cs := w.cache.chats
	cs.mu.Lock()
	defer cs.mu.Unlock()
	at := now.UTC().Truncate(time.Microsecond)
	newest := w.chat.reserved
	if t := w.chat.timeline; t != nil {
		for i := range t {
			if last := t[i].newest(1); len(last) == 1 && last[0].CreatedAt.After(newest) {
				newest = last[0].CreatedAt
			}
		}
	}
	if t := w.chat.recent.newest(); t.After(newest) {
		newest = t
	}
	if least := newest.Add(time.Millisecond); !newest.IsZero() && at.Before(least) {
		at = least
	}
	w.chat.reserved = at
	return at
}

// Acknowledge puts messages that Weaviate has into the chat's windows, and keeps them for loads that may have
// missed them. What depends on the chat's messages otherwise is dropped.
func (w *Write) Acknowledge(messages []Message) {
	c, cs := w.cache, w.cache.chats
	cs.mu.Lock()
	ch, now := w.chat, c.now()
	if ch.timeline != nil {
		ch.timeline = ch.timeline.with(messages, ch.most).within(cs.mostOfOne())
		ch.rendered = nil
	}
	underWay := ch.pins > 1 // a load may have begun before: after a freeze time does not tell
	if underWay || cs.mayLag[messageWrites] {
		ch.recent.add(messages, now, underWay)
	}
	cs.wroteLocked(ch, now)
	cs.mu.Unlock()
	c.DropRelevant(ch.id)
}

// Unknown says that the write may have happened: whatever was loaded is no longer known to be right.
func (w *Write) Unknown() {
	cs := w.cache.chats
	cs.mu.Lock()
	cs.forgetLocked(w.chat)
	cs.mu.Unlock()
	w.cache.DropRelevant(w.chat.id)
}

// claim is what an idempotency key stands for.
type claim struct {
	key      string
	body     uint64 // hash of the request's body
	messages []Message
	size     int64
}

func newClaim(key string, body uint64, messages []Message) claim {
	c := claim{key: key, body: body, messages: messages, size: int64(len(key)) + 64}
	for _, m := range messages {
		c.size += m.bytes()
	}
	return c
}

func (c claim) bytes() int64 { return c.size }

// Claim remembers what an idempotency key stands for, so that a repeated request writes the very same
// messages: it returns those of the first request with this key, or ErrKeyReused where its body was another.
// Only their identity is kept: content is left out.
func (w *Write) Claim(key string, body uint64, messages []Message) ([]Message, error) {
	cs := w.cache.chats
	cs.mu.Lock()
	defer cs.mu.Unlock()
	for _, k := range w.chat.keys {
		if k.key == key {
			if k.body != body {
				return nil, ErrKeyReused
			}
			return k.messages, nil
		}
	}
	kept := make([]Message, len(messages))
	for i, m := range messages {
		kept[i] = Message{ID: m.ID, Role: m.Role, CreatedAt: m.CreatedAt}
	}
	keys := w.chat.keys
	if len(keys) >= mostClaims {
		keys = keys[1:]
	}
	w.chat.keys = append(slices.Clip(keys), newClaim(key, body, kept))
	cs.countLocked(w.chat)
	return kept, nil
}
