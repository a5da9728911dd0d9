package wire

import (
	"cmp"
	"fmt"
	"strings"
	"sync"
)

// Problem is an error as application/problem+json (RFC 9457), with fields of Hearth's own: Field, Upstream, Retryable,
// Items and Errors.
type Problem struct {
	Type     string `json:"type"` // the address of its [Kind] in the documentation
	Title    string `json:"title"`
	Status   int    `json:"status"`
	Detail   string `json:"detail,omitempty"`
	Field    string `json:"field,omitempty"`    // the field or parameter at fault
	Upstream string `json:"upstream,omitempty"` // weaviate, odoo or the host of a fetch
	// Retryable is true if the same request may succeed later and does no harm when it is sent again.
	Retryable bool `json:"retryable"`
	// Items are the outcomes of a write's messages, if they differ.
	Items []ItemOutcome `json:"items,omitempty"`
	// Errors are the problems of the parts of a preprocess, if every part failed, or those of several models.
	Errors map[string]*Problem `json:"errors,omitempty"`
}

// Kind is a type of [Problem].
type Kind string

// The kinds.
const (
	KindAnswerTooLarge Kind = "answer-too-large" // an upstream's answer has more bytes than the function's memory allows
	KindBadBody        Kind = "bad-body"
	KindBadField       Kind = "bad-field" // Field names it
	KindExpired        Kind = "expired"   // a job's result was not fetched in time
	KindForbidden      Kind = "forbidden"
	KindHeaders        Kind = "headers"
	KindInternal       Kind = "internal"        // the sidecar's log says why
	KindKeyReused      Kind = "key-reused"      // the same key came before with another body
	KindMayMissWrites  Kind = "may-miss-writes" // a replica may not show the last writes yet
	KindMediaType      Kind = "media-type"
	KindMethod         Kind = "method"
	KindNoSuchCall     Kind = "no-such-call"
	KindNoSuchJob      Kind = "no-such-job"
	KindNotAllowed     Kind = "not-allowed" // the detail names the rule
	KindNotCached      Kind = "not-cached"  // the request said only-if-cached
	KindNotConfigured  Kind = "not-configured"
	KindNotHTTP        Kind = "not-http"
	KindOdoo           Kind = "odoo" // status and retryable follow Odoo's own answer
	KindOverloaded     Kind = "overloaded"
	KindPartial        Kind = "partial"    // Items has the outcome of each message
	KindPreprocess     Kind = "preprocess" // Errors has the reason for each part
	KindRedirected     Kind = "redirected"
	KindSearchCutShort Kind = "search-cut-short" // the server's maximum of results hid messages
	KindSecret         Kind = "secret"           // a setting names a secret whose value is not known
	KindShuttingDown   Kind = "shutting-down"
	KindSlowRequest    Kind = "slow-request"
	KindTimeout        Kind = "timeout"
	KindToken          Kind = "token"
	KindTooLarge       Kind = "too-large"
	KindUnavailable    Kind = "unavailable"     // too many of the last calls to the upstream have failed: it is not asked for now
	KindUnknownOutcome Kind = "unknown-outcome" // a write was sent and no answer came
	KindUnreachable    Kind = "unreachable"
	KindWeaviate       Kind = "weaviate" // status and retryable follow Weaviate's own answer
	KindWrongClass     Kind = "wrong-class"
)

// kinds has the usual status, title and retryability of each kind. A problem may have others: see [KindWeaviate] and [KindOdoo].
// client/python/hearth/errors.py has the same table.
var kinds = sync.OnceValue(func() map[Kind]Problem { //nolint:gochecknoglobals // never changed
	return map[Kind]Problem{
		KindAnswerTooLarge: {Status: 502, Title: "Answer too large"},
		KindBadBody:        {Status: 400, Title: "The body is not what the call takes"},
		KindBadField:       {Status: 400, Title: "A field is wrong"},
		KindExpired:        {Status: 410, Title: "Job expired"},
		KindForbidden:      {Status: 403, Title: "Not a call of this machine's own"},
		KindHeaders:        {Status: 431, Title: "Headers too large"},
		KindInternal:       {Status: 500, Title: "Internal error"},
		KindKeyReused:      {Status: 422, Title: "Idempotency key reused"},
		KindMayMissWrites:  {Status: 503, Title: "Writes may be missing", Retryable: true},
		KindMediaType:      {Status: 415, Title: "Not JSON"},
		KindMethod:         {Status: 405, Title: "Method not allowed"},
		KindNoSuchCall:     {Status: 404, Title: "No such call"},
		KindNoSuchJob:      {Status: 404, Title: "No such job"},
		KindNotAllowed:     {Status: 403, Title: "Address not allowed"},
		KindNotCached:      {Status: 504, Title: "Not held"},
		KindNotConfigured:  {Status: 503, Title: "Upstream not configured"},
		KindNotHTTP:        {Status: 400, Title: "Not HTTP"},
		KindOdoo:           {Status: 502, Title: "Odoo refused"},
		KindOverloaded:     {Status: 503, Title: "Too many calls at once", Retryable: true},
		KindPartial:        {Status: 502, Title: "Not everything was written"},
		KindPreprocess:     {Status: 502, Title: "No part could be fetched"},
		KindRedirected:     {Status: 502, Title: "Upstream's address redirects"},
		KindSearchCutShort: {Status: 502, Title: "Search cut short"},
		KindSecret:         {Status: 502, Title: "Secret not resolved"},
		KindShuttingDown:   {Status: 503, Title: "Shutting down", Retryable: true},
		KindSlowRequest:    {Status: 408, Title: "Request too slow"},
		KindTimeout:        {Status: 504, Title: "No answer in time", Retryable: true},
		KindToken:          {Status: 401, Title: "Token missing or wrong"},
		KindTooLarge:       {Status: 413, Title: "Body too large"},
		KindUnavailable:    {Status: 503, Title: "Upstream unavailable", Retryable: true},
		KindUnknownOutcome: {Status: 502, Title: "Outcome unknown"},
		KindUnreachable:    {Status: 502, Title: "Upstream not reached", Retryable: true},
		KindWeaviate:       {Status: 502, Title: "Weaviate refused"},
		KindWrongClass:     {Status: 502, Title: "Class of the wrong shape"},
	}
})

// docs is the page that explains each kind under its own heading.
const docs = "/docs/errors.md#"

// NewProblem makes a problem of a kind, with the kind's status, title and retryability.
func NewProblem(kind Kind, detail string) *Problem {
	p := kinds()[kind]
	p.Type, p.Detail = docs+string(kind), detail
	return &p
}

// BadField makes the problem of a field that is wrong. The detail is the field's name followed by what, such as "must be a number".
func BadField(field, what string) *Problem {
	p := NewProblem(KindBadField, field+" "+what)
	p.Field = field
	return p
}

// Kind returns the problem's kind. It is empty if the problem did not come from Hearth.
func (p *Problem) Kind() Kind {
	kind, ours := strings.CutPrefix(p.Type, docs)
	if !ours {
		return ""
	}
	return Kind(kind)
}

func (p *Problem) Error() string {
	s := "hearth: " + p.Title
	if detail := cmp.Or(p.firstFailure(), p.Detail); detail != "" {
		s += ": " + detail
	}
	return s
}

// firstFailure names the first of a write's messages that may not be stored, and says why.
func (p *Problem) firstFailure() string {
	for i, item := range p.Items {
		if item.Outcome == OutcomeStored {
			continue
		}
		s := fmt.Sprintf("message %d of %d: %s", i+1, len(p.Items), item.Outcome)
		if item.Detail != "" {
			s += ", " + item.Detail
		}
		return s
	}
	return ""
}

// ItemOutcome is what became of one message of a write.
type ItemOutcome struct {
	ID      string  `json:"id"`
	Outcome Outcome `json:"outcome"`
	Detail  string  `json:"detail,omitempty"` // why the message is not stored
}

// Outcome is what became of a write. It is a plain string.
type Outcome = string

// The outcomes.
const (
	OutcomeStored  Outcome = "stored"
	OutcomeFailed  Outcome = "failed"  // the message was not stored
	OutcomeUnknown Outcome = "unknown" // no answer came, so the message may be stored or not
)
