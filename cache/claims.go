package cache

import (
	"errors"
	"slices"

	"hearth/client/wire"
)

// ErrKeyReused occurs when an idempotency key comes again with another body.
var ErrKeyReused = errors.New("idempotency key reused with another body")

// maxClaims is how many idempotency keys are remembered per chat.
const maxClaims = 64

// claim is what an idempotency key stands for. It is guarded by chats.mu.
//
// The chat remembers a claim while a write with the key is under way. After that it keeps the claim only if a write with the key
// has stored something, or may have. Otherwise the key is free again.
type claim struct {
	key      string
	body     uint64 // hash of the request's body
	messages []wire.Message
	size     int64
	writes   int  // under way
	stored   bool // a write has stored something, or may have
}

func newClaim(key string, body uint64, messages []wire.Message) *claim {
	c := &claim{key: key, body: body, messages: messages, size: int64(len(key)) + 64}
	for _, m := range messages {
		c.size += messageBytes(m)
	}
	return c
}

func (c *claim) bytes() int64 { return c.size }

// claimOf is the claim of a key; nil: there is none.
func (ch *chat) claimOf(key string) *claim {
	i := slices.IndexFunc(ch.claims, func(c *claim) bool { return c.key == key })
	if i < 0 {
		return nil
	}
	return ch.claims[i]
}

// remember adds a claim, in place of the oldest one if there are too many.
func (ch *chat) remember(c *claim) {
	claims := ch.claims
	if len(claims) >= maxClaims {
		claims = claims[1:]
	}
	ch.claims = append(slices.Clip(claims), c)
}

// release ends a write under the claim, and forgets the claim if no write has stored anything.
func (ch *chat) release(c *claim, stored bool) {
	c.writes--
	c.stored = c.stored || stored
	if c.writes == 0 && !c.stored {
		ch.claims = slices.DeleteFunc(ch.claims, func(other *claim) bool { return other == c })
	}
}
