package odoo

import (
	"fmt"
	"strings"
	"time"
)

// ArgumentError is a call that was not sent because it cannot be right.
type ArgumentError struct {
	Field  string // of the call: "model", "method", "args", "args[0]", "kwargs.ids" …
	Detail string // what is wrong with it, reading on from the field's name
}

func (e *ArgumentError) Error() string { return "odoo: " + e.Field + " " + e.Detail }

// Kind says what an [Error] means to the caller.
type Kind string

// The kinds.
const (
	Forbidden Kind = "forbidden" // the user may not do it
	NotFound  Kind = "not-found" // there is no such model, method or record
	Conflict  Kind = "conflict"  // the records are locked, or were changed by another user
	Rejected  Kind = "rejected"  // Odoo does not accept the values
	Failed    Kind = "failed"    // the caller can do nothing about it
)

// Error is a call that Odoo, or what stands before Odoo, refused or failed. It is the same under both protocols.
type Error struct {
	Kind Kind
	// Name is the exception's without its module, "AccessError"; or one of ours for what the protocols name
	// differently: UnknownModel, UnknownMethod, UnknownDatabase, UnknownLanguage, BadArguments, DatabaseError, NoProtocol, BadAnswer.
	Name      string
	Message   string // for people, often in the user's language, of at most 1 KiB and never a traceback
	Retryable bool   // the same call may well succeed if it is made again
	// RetryAfter is how long the answer asks to wait before the next try; 0: it does not.
	RetryAfter time.Duration

	outage          bool // Odoo, or a proxy before it, has failed
	refused         bool // our credentials
	protocolMissing bool // the address does not speak the protocol
	mayHaveRun      bool // the answer does not tell whether the call was carried out
}

func (e *Error) Error() string { return "odoo: " + e.Name + ": " + e.Message }

// NotThere says that Odoo has no such model or no such method.
func (e *Error) NotThere() bool { return e.Name == "UnknownModel" || e.Name == "UnknownMethod" }

// Outage says that Odoo cannot answer now: it is busy or has failed, or a proxy before it cannot reach it.
func (e *Error) Outage() bool { return e.Retryable || e.outage }

// definite says that Odoo itself refused the call and will refuse it each time. The reason is neither the credentials nor the
// protocol.
func (e *Error) definite() bool {
	return !e.refused && !e.protocolMissing && !e.mayHaveRun && !e.Retryable
}

// redact removes a secret from the message, in case Odoo has repeated it.
func (e *Error) redact(secret string) *Error {
	const least = 6 // bytes: a shorter secret may be a part of other words
	if len(secret) >= least {
		e.Message = strings.ReplaceAll(e.Message, secret, "[key]")
	}
	return e
}

func credentialsRefused() *Error {
	return &Error{Kind: Failed, Name: "AccessDenied", refused: true, Message: "Odoo refused the credentials: is HEARTH_ODOO_KEY right? A password needs HEARTH_ODOO_USER too"}
}

func unknownDatabase(db string) *Error {
	return &Error{Kind: Failed, Name: "UnknownDatabase", Message: fmt.Sprintf("nothing at Odoo's address serves the database %q: is HEARTH_ODOO_DB right?", db)}
}

func unknownLanguage(lang string) *Error {
	return &Error{
		Kind: Failed, Name: "UnknownLanguage",
		Message: "Odoo has no active language " + lang + ": set HEARTH_ODOO_LANG to one that it has, or leave it unset",
	}
}

func protocolMissing(p Protocol, db string) *Error {
	message := "nothing at Odoo's address speaks " + string(p)
	if p == JSON2 && db != "" { // Odoo answers the same for a database that it does not serve
		message += fmt.Sprintf(" for the database %q", db)
	}
	return &Error{Kind: Failed, Name: "NoProtocol", protocolMissing: true, Message: message}
}
