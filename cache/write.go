package cache

import "time"

// Write is one write to a chat, from before it is sent until its outcome is known. End must be called.
type Write struct {
	cache   *Cache
	chat    *chat
	claim   *claim // nil: no key
	refused bool   // nothing was stored
}

// BeginWrite starts a write to a chat.
func (c *Cache) BeginWrite(id string) *Write {
	c.chats.mu.Lock()
	defer c.chats.mu.Unlock()
	return &Write{cache: c, chat: c.chats.pinLocked(id)}
}

// End ends the write.
func (w *Write) End() {
	w.cache.chats.mu.Lock()
	w.unclaimLocked()
	w.cache.chats.mu.Unlock()
	w.cache.chats.unpin(w.chat)
}

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
