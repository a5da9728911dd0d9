// Package bot asks Hearth what a chatbot asks, and judges every answer: a message that was written must be there, once
// and in its place, and nothing may be older than its freshness allows.
//
// Start at [Bot]: calls.go has its calls through Hearth, elsewhere.go what another sandbox writes past this Hearth, and
// oracle.go what was written and what an answer must therefore show. Every value is written once only, so that an answer
// says which writes it knows.
package bot

import (
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"hearth/client"
	"hearth/client/wire"
	"hearth/internal/testing/lab"
)

// Errors of answers that are not right.
var (
	ErrStale = errors.New("staler than its policy")
	ErrWrong = errors.New("wrong")
)

// Freshness is for how long Hearth may answer with what it holds while others write.
type Freshness struct {
	History, Relevant, Mute, OdooRead time.Duration

	// OdooModels counts calls of [Bot.Relabel] instead: how many of the last ones an answer may not know.
	OdooModels int64
}

// DefaultFreshness is that of a Hearth with no settings; it says nothing of Odoo's models.
func DefaultFreshness() Freshness {
	return Freshness{History: 2 * time.Second, Relevant: time.Minute, Mute: 5 * time.Second, OdooRead: 30 * time.Second}
}

// Bot is safe for concurrent use, but for two calls that set the mute of one chat. Its fields are set before the first call.
type Bot struct {
	Name      string         // part of every value
	Hearth    *client.Client // whose answers are judged
	Upstreams *lab.Upstreams // to write past it
	Freshness Freshness

	oracle  oracle
	label   atomic.Int64 // of Odoo's field phone
	written atomic.Int64 // numbers the values
}

// What is asked for.
const (
	messages = 10  // of a history, per role
	relevant = 100 // at most: more than a chat has
)

// The oracle's logs: of a chat's messages by role, of its mute, and of Odoo's contacts.
func logOf(chat, what string) string { return chat + " " + what }

const (
	contacts = "contacts" // also the phone number that they have in common
	unmuted  = "not muted"
)

func roles() []string { return []string{wire.RoleUser, wire.RoleAssistant} }

// value is one that was never written before, and a time later than all before.
func (b *Bot) value() (string, time.Time) {
	n := b.written.Add(1)
	return fmt.Sprintf("value %d of %s", n, b.Name), time.Unix(1_700_000_000, 0).UTC().Add(time.Duration(n) * time.Millisecond)
}

// mutedUntil is the end of a mute that no other has.
func (b *Bot) mutedUntil() (value string, until time.Time) {
	until = time.Unix(4_000_000_000, 0).UTC().Add(time.Duration(b.written.Add(1)) * time.Second)
	return until.Format(time.RFC3339), until
}
