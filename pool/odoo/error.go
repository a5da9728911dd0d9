package odoo

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
)

// ErrUnknownOutcome occurs when a write may have been carried out though no answer of Odoo's says so: the connection
// broke, or a proxy gave up waiting. The write has not been repeated, and should not be without looking.
var ErrUnknownOutcome = errors.New("odoo: unknown outcome of a write")

// ArgumentError is a call that was not sent because it cannot be right.
type ArgumentError struct {
	Field  string // of the call: "model", "method", "args", "args[0]", "kwargs.ids" …
	Detail string // what is wrong with it, reading on from the field's name
}

func (e *ArgumentError) Error() string { return "odoo: " + e.Field + " " + e.Detail }

// Error is a call that Odoo, or what stands before it, refused or failed. It is the same under both protocols.
type Error struct {
	// Status is the HTTP status for our own caller: 403, 404 (no such model, method or record), 409 (locked or
	// changed by somebody else), 422 (Odoo does not accept the values), or 502 for what the caller cannot help.
	Status int
	// Name is the exception's without its module, "AccessError"; or one of ours for what the protocols name
	// differently: UnknownModel, UnknownMethod, UnknownDatabase, UnknownLanguage, BadArguments, DatabaseError, NoProtocol, BadAnswer.
	Name      string
	Message   string // for people, often in the user's language, of at most 1 KiB and never a traceback
	Retryable bool   // the same call may well succeed if made again

	refused bool // our credentials
	absent  bool // the protocol is not spoken here
	unsure  bool // does not tell whether the call was carried out
}

func (e *Error) Error() string { return "odoo: " + e.Name + ": " + e.Message }

// definite says that Odoo itself refused the call, as it will each time, and not for the credentials or the protocol.
func (e *Error) definite() bool { return !e.refused && !e.absent && !e.unsure && !e.Retryable }

// without takes a secret out of the message, should Odoo have repeated it.
func (e *Error) without(secret string) *Error {
	if len(secret) >= 6 { // a shorter one would tear up innocent words
		e.Message = strings.ReplaceAll(e.Message, secret, "[key]")
	}
	return e
}

func credentialsRefused() *Error {
	return &Error{Status: http.StatusBadGateway, Name: "AccessDenied", refused: true, Message: "Odoo refused the credentials"}
}

func unknownDatabase(db string) *Error {
	return &Error{
		Status: http.StatusBadGateway, Name: "UnknownDatabase",
		Message: fmt.Sprintf("nothing at Odoo's address serves the database %q", db),
	}
}

func absent(p Protocol, db string) *Error {
	message := "nothing at Odoo's address speaks " + string(p)
	if p == JSON2 && db != "" { // Odoo answers the same for a database that it does not serve
		message += fmt.Sprintf(" for the database %q", db)
	}
	return &Error{Status: http.StatusBadGateway, Name: "NoProtocol", absent: true, Message: message}
}

// strange is an answer that Odoo itself would not have given: from a proxy, or no Odoo at all. Whether the call came
// through is anybody's guess if the answer says that it succeeded or that something behind it failed.
func strange(what string, status int) *Error {
	return &Error{
		Status: http.StatusBadGateway, Name: "BadAnswer",
		Message:   fmt.Sprintf("Odoo's address answered %d with %s", status, what),
		Retryable: status >= 502 && status <= 504 || status == http.StatusTooManyRequests,
		refused:   status == http.StatusUnauthorized || status == http.StatusForbidden,
		unsure:    status < 300 || status >= 500,
	}
}
