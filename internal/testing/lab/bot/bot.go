// Package bot makes the calls of a chatbot and judges every answer: a message that was written must be there, once and in its
// place, and nothing may be older than its freshness allows.
//
// Start at [Bot]. calls.go has its calls through Hearth, and in parts for harnesses that send the calls themselves. elsewhere.go has the
// writes of others without this Hearth. oracle.go knows what was written, and so what an answer must show. Every value is written only once, so an answer shows which writes it knows.
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
	ErrLost  = errors.New("a write through this Hearth is missing") // an ErrStale too
)

// Freshness is for how long Hearth may answer from its cache after others have written.
type Freshness struct {
	History, Relevant, Mute, OdooRead time.Duration

	// OdooModels is counted in calls of [Bot.Relabel]: so many of the last ones an answer need not know.
	OdooModels int64
}

// DefaultFreshness is that of Hearth's default settings, without Odoo's models.
func DefaultFreshness() Freshness {
	return Freshness{History: 2 * time.Second, Relevant: time.Minute, Mute: 5 * time.Second, OdooRead: 30 * time.Second}
}

// Bot is safe for concurrent use, except that only one call at a time may set the mute of a chat. Set its fields before the first
// call.
type Bot struct {
	Name      string         // a part of every value
	Hearth    *client.Client // whose answers are judged
	Upstreams *lab.Upstreams // to write past it
	Freshness Freshness
	Unlabeled bool // Odoo is not [Bot.Relabeled]

	oracle  oracle
	label   atomic.Int64 // of Odoo's field phone
	written atomic.Int64 // numbers the values
}

// What it asks for.
const (
	Messages = 10      // messages of a history, per role
	Relevant = 100     // relevant messages at most: more than a chat has
	Text     = "value" // what is relevant: every message has this word
)

// The oracle's logs: of a chat's messages by role, of its mute, and of Odoo's contacts.
func logOf(chat, what string) string { return chat + " " + what }

const (
	contacts = "contacts"
	unmuted  = "not muted"
)

// phone is the number that the bot's contacts have in common.
func (b *Bot) phone() string { return logOf(contacts, "of "+b.Name) }

func roles() []string { return []string{wire.RoleUser, wire.RoleAssistant} }

// value is a value that was never written before, and a time later than all before.
func (b *Bot) value() (string, time.Time) {
	n := b.written.Add(1)
	return fmt.Sprintf("value %d of %s", n, b.Name), time.Unix(1_700_000_000, 0).UTC().Add(time.Duration(n) * time.Millisecond)
}

// mutedUntil is an end that no other mute has.
func (b *Bot) mutedUntil() (value string, until time.Time) {
	until = time.Unix(4_000_000_000, 0).UTC().Add(time.Duration(b.written.Add(1)) * time.Second)
	return until.Format(time.RFC3339), until
}
