package weaviate

import (
	"cmp"
	"fmt"
	"net/http"
	"strings"
	"time"

	"connectrpc.com/connect"
)

// Kind is the reason of an [Error], if the error is not a refusal in Weaviate's own words.
type Kind string

// The kinds.
const (
	WrongClass Kind = "wrong-class"      // the class's shape cannot be served right
	CutShort   Kind = "search-cut-short" // the server's maximum of results ended the search
	TooLarge   Kind = "answer-too-large" // the answer does not fit into the memory that it may take
)

// Error is an answer that says no, or one that cannot be used. Status is the HTTP status, or the one that a status of gRPC
// stands for.
type Error struct {
	Status  int
	Kind    Kind   // empty: a refusal
	Message string // at most 1 KiB
	// RetryAfter is how long the answer asks to wait before the next try; 0: it does not.
	RetryAfter time.Duration

	noClass    bool // the server knows no such class
	tooDeep    bool // the search goes deeper than the server allows
	vectorizer bool // the class's vectorizer could not be used
}

func (e *Error) Error() string {
	if e.Kind != "" {
		return "weaviate: " + e.Message
	}
	return fmt.Sprintf("weaviate: %d: %s", e.Status, e.Message)
}

// Retryable says that the same question may be answered later.
func (e *Error) Retryable() bool {
	return e.Kind == "" && (e.Status == http.StatusTooManyRequests ||
		e.Status >= http.StatusInternalServerError && e.Status != http.StatusNotImplemented)
}

func wrongClass(format string, args ...any) *Error {
	return &Error{Status: http.StatusUnprocessableEntity, Kind: WrongClass, Message: shorten(fmt.Sprintf(format, args...))}
}

func cutShort(class string) *Error {
	return &Error{Status: http.StatusUnprocessableEntity, Kind: CutShort, Message: fmt.Sprintf(
		"a search of class %s ended at the server's maximum of results (QUERY_MAXIMUM_RESULTS) before it had found enough: "+
			"ask for fewer messages, or give the chat's property the tokenization \"field\"", class)}
}

// vectorizerKey is what to do about a vectorizer that cannot be used.
const vectorizerKey = ": is HEARTH_WEAVIATE_HEADERS set to the key that the class's vectorizer takes?"

// refusals are stable parts of Weaviate's texts, which say what its codes do not, and the HTTP status that each stands for.
func refusals() []struct {
	text   string
	status int
	mark   func(*Error)
} {
	return []struct {
		text   string
		status int
		mark   func(*Error)
	}{
		{"extract auth:", http.StatusUnauthorized, nil},
		{"could not find class", http.StatusNotFound, func(e *Error) { e.noClass = true; e.Message += " (`hearth schema` creates it)" }},
		{"query maximum results exceeded", http.StatusUnprocessableEntity, func(e *Error) { e.tooDeep = true }},
		{"no api key found", http.StatusUnprocessableEntity, vectorizerFailed},
		{"vectorize", http.StatusUnprocessableEntity, vectorizerFailed},
		{"multi-tenancy enabled, but request was without tenant", http.StatusUnprocessableEntity, func(e *Error) { e.Message += ": set HEARTH_WEAVIATE_TENANT" }},
		{"tenant not active", http.StatusUnprocessableEntity, func(e *Error) { e.Message += ": activate it, or is HEARTH_WEAVIATE_TENANT wrong?" }},
		{"tenant not found", http.StatusUnprocessableEntity, func(e *Error) { e.Message += ": is HEARTH_WEAVIATE_TENANT right?" }},
		{"multiple vectors, but no target vectors", http.StatusUnprocessableEntity, func(e *Error) { e.Message += ": set HEARTH_WEAVIATE_VECTOR" }},
		{"cannot reach enough replicas", http.StatusServiceUnavailable, nil},
		{"no read replica found", http.StatusServiceUnavailable, nil},
		{"429 Too many requests", http.StatusTooManyRequests, nil},
		{"context deadline exceeded", http.StatusGatewayTimeout, nil},
		{"context canceled", http.StatusServiceUnavailable, nil},
	}
}

// vectorizerFailed marks the failure of a vectorizer, which may be its provider's for the moment.
func vectorizerFailed(e *Error) {
	e.vectorizer = true
	for _, passing := range []string{"failed with status: 429", "failed with status: 5", "deadline exceeded", "connection refused"} {
		if strings.Contains(e.Message, passing) {
			e.Status = http.StatusServiceUnavailable
			return
		}
	}
	e.Message += vectorizerKey
}

// statusError is an answer of gRPC other than OK.
func statusError(code connect.Code, message string) *Error {
	e := &Error{Status: http.StatusUnprocessableEntity, Message: shorten(cmp.Or(message, "gRPC status "+code.String()))}
	switch code {
	case connect.CodeUnauthenticated:
		e.Status = http.StatusUnauthorized
	case connect.CodePermissionDenied:
		e.Status = http.StatusForbidden
		e.Message += " (the class is missing, or this user's role may not read it: `hearth schema` creates classes that are missing)"
	case connect.CodeNotFound:
		e.Status = http.StatusNotFound
	case connect.CodeUnavailable, connect.CodeAborted, connect.CodeCanceled:
		e.Status = http.StatusServiceUnavailable
	case connect.CodeDeadlineExceeded:
		e.Status = http.StatusGatewayTimeout
	case connect.CodeInternal:
		e.Status = http.StatusInternalServerError
	case connect.CodeUnimplemented:
		e.Status = http.StatusNotImplemented
		e.Message += ": is HEARTH_WEAVIATE_GRPC_URL right?"
	case connect.CodeResourceExhausted:
		if strings.Contains(message, "message larger than max") {
			e.Kind = TooLarge
			return e
		}
		e.Status = http.StatusTooManyRequests
	default: // Unknown, mostly: the text tells
	}
	for _, r := range refusals() {
		if strings.Contains(message, r.text) {
			e.Status = r.status
			if r.mark != nil {
				r.mark(e)
			}
			break
		}
	}
	return e
}

// told completes the error of an answer that a server, or a proxy before it, has given. It removes the key and the values of the
// configured headers from the message. If the key was refused, it adds what to check.
func (c *Client) told(e *Error) *Error {
	e.Message = c.credentials.hide(e.Message)
	if e.Status == http.StatusUnauthorized && !strings.Contains(e.Message, keyVariable) {
		e.Message = strings.TrimSpace(e.Message + " " + c.aboutKey())
	}
	return e
}

const keyVariable = "HEARTH_WEAVIATE_API_KEY"

func (c *Client) hasKey() bool { return c.cfg.APIKey != "" || c.cfg.SecretKey != nil }

// aboutKey is what to look at where the key is refused.
func (c *Client) aboutKey() string {
	switch {
	case !c.hasKey():
		return "(" + keyVariable + " is not set)"
	case strings.HasPrefix(strings.ToLower(c.cfg.APIKey), "bearer "):
		return "(" + keyVariable + " is the key alone, without Bearer)"
	}
	return "(is " + keyVariable + " right?)"
}

// mostMessage is how much of Weaviate's own words is handed on, in bytes.
const mostMessage = 1 << 10

func shorten(s string) string {
	if len(s) > mostMessage {
		s = s[:mostMessage] + "…"
	}
	return strings.ToValidUTF8(strings.TrimSpace(s), "�")
}
