package cache

import (
	"errors"
	"slices"
)

// ErrKeyReused occurs when an idempotency key comes again with another body.
var ErrKeyReused = errors.New("idempotency key reused with another body")

// mostClaims is how many idempotency keys are remembered per chat.
const mostClaims = 64

// claim is what an idempotency key stands for. It is guarded by chats.mu.
//
// It is remembered while a write that has claimed the key is under way, and after one that may have stored something.
// A key whose writes have all been refused is free again.
type claim struct {
	key      string
	body     uint64 // hash of the request's body
	messages []Message
	size     int64
	writes   int  // under way
	used     bool // a write has stored something, or may have
}

func newClaim(key string, body uint64, messages []Message) *claim {
	c := &claim{key: key, body: body, messages: messages, size: int64(len(key)) + 64}
	for _, m := range messages {
		c.size += m.bytes()
	}
	return c
}

func (c *claim) bytes() int64 { return c.size }

// Claim remembers what an idempotency key stands for, so that a repeated request writes the very same
// messages: it returns those of the first request with this key, or ErrKeyReused where its body was another.
// Only their identity is kept: content is left out. A write claims one key at most.
func (w *Write) Claim(key string, body uint64, messages []Message) ([]Message, error) {
	cs := w.cache.chats
	cs.mu.Lock()
	defer cs.mu.Unlock()
	for _, k := range w.chat.keys {
		if k.key == key {
			if k.body != body {
				return nil, ErrKeyReused
			}
			w.claimLocked(k)
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
	k := newClaim(key, body, kept)
	w.chat.keys = append(slices.Clip(keys), k)
	w.claimLocked(k)
	cs.countLocked(w.chat)
	return kept, nil
}

func (w *Write) claimLocked(k *claim) {
	if w.claim != k {
		k.writes++
		w.claim = k
	}
}

// Refused says that the write has stored nothing. Without it a write counts as one that may have.
func (w *Write) Refused() { w.refused = true }

// unclaimLocked lets go of the key that the write has claimed, and forgets it if no write used it.
func (w *Write) unclaimLocked() {
	k := w.claim
	if k == nil {
		return
	}
	k.writes--
	k.used = k.used || !w.refused
	if k.writes == 0 && !k.used {
		w.chat.keys = slices.DeleteFunc(w.chat.keys, func(other *claim) bool { return other == k })
	}
}
