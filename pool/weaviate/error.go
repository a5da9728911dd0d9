package weaviate

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"

	"github.com/weaviate/weaviate-go-client/v4/weaviate/fault"

	"hearth/pool"
)

// ErrUnknownOutcome occurs when a write may or may not have been applied: it was sent, and no answer said.
var ErrUnknownOutcome = errors.New("outcome unknown")

// Error is an answer that says no. Status is the HTTP status, or the one that a GraphQL error stands for.
type Error struct {
	Status  int
	Message string // Weaviate's own words, at most 1 KiB
}

func (e *Error) Error() string { return fmt.Sprintf("weaviate: %d: %s", e.Status, e.Message) }

// Retryable says that the same question may be answered later.
func (e *Error) Retryable() bool {
	return e.Status == http.StatusTooManyRequests || e.Status >= http.StatusInternalServerError
}

// fail turns an error of the client library, which does not unwrap, into an *Error or a *pool.Error.
func (c *Client) fail(err error, sent func() int64) error {
	for err != nil {
		if e, ok := errors.AsType[*Error](err); ok {
			return e
		}
		if e, ok := errors.AsType[*pool.Error](err); ok {
			return e
		}
		f, ok := errors.AsType[*fault.WeaviateClientError](err)
		if !ok {
			break
		}
		if f.IsUnexpectedStatusCode || f.DerivedFromError == nil {
			return &Error{Status: f.StatusCode, Message: shorten(f.Msg)}
		}
		err = f.DerivedFromError
	}
	if u, ok := errors.AsType[*url.Error](err); ok {
		err = u.Err
	}
	return &pool.Error{Upstream: c.pool.Name(), Sent: sent() > 0, Err: err}
}

// write runs one write of the client library, and says when its outcome is unknown.
func (c *Client) write(ctx context.Context, do func(context.Context) error) error {
	ctx, sent := pool.TraceSent(pool.Proven(pool.Repeatable(ctx))) // every write here is an upsert or a merge
	err := do(ctx)
	if err == nil {
		return nil
	}
	err = c.fail(err, sent)
	e, refused := errors.AsType[*Error](err)
	_, redirected := errors.AsType[*pool.RedirectError](err)
	// A refusal is the outcome, but of the last try only: one before it may have been applied.
	if (redirected || refused && e.Status < http.StatusInternalServerError) && sent() <= 1 || sent() == 0 {
		return err
	}
	return fmt.Errorf("%w: %w", ErrUnknownOutcome, err)
}

// graphQLError turns the errors inside an HTTP 200 into one.
func graphQLError(messages []string) error {
	m := strings.Join(messages, "; ")
	status := http.StatusUnprocessableEntity
	if strings.Contains(m, "429 Too many requests") { // how an overloaded server says it, inside a 200
		status = http.StatusTooManyRequests
	}
	e := &Error{Status: status, Message: shorten(m)}
	if strings.Contains(m, `on type "GetObjectsObj"`) { // it is not in the schema
		e.Message += " (`hearth schema` creates classes that are missing)"
	}
	return e
}

func shorten(s string) string {
	const most = 1 << 10
	if len(s) > most {
		s = s[:most] + "…"
	}
	return strings.ToValidUTF8(strings.TrimSpace(s), "�")
}
