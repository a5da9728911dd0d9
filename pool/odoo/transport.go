package odoo

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"

	"hearth/pool"
)

// Doer sends a request to Odoo and reads the whole answer; its errors are *[pool.Error]. A *[pool.Pool] is one.
type Doer interface {
	Do(ctx context.Context, req pool.Request) (*pool.Response, error)
}

// protocol writes calls and reads answers in one of Odoo's protocols.
type protocol interface {
	encode(c Call) (pool.Request, error)                         // an *ArgumentError if the protocol cannot say it
	decode(c Call, r *pool.Response) (result []byte, err *Error) // result is valid JSON
	secret() string                                              // the key that it sends
}

// send makes one normalized call. It says when the outcome of a write is unknown.
func (c *Client) send(ctx context.Context, p protocol, call Call, read bool) (json.RawMessage, error) {
	req, err := p.encode(call)
	if err != nil {
		return nil, err
	}
	req.Repeatable = read
	r, err := c.ask(pool.With(ctx, pool.Options{Kind: kindOfCall(call, read)}), req)
	if err != nil {
		if e, ok := errors.AsType[*pool.Error](err); !read && (!ok || e.Sent) {
			return nil, unknownOutcome(err)
		}
		return nil, err
	}
	result, fault := p.decode(call, r)
	if fault == nil {
		return result, nil
	}
	fault = fault.redact(p.secret())
	fault.RetryAfter = r.RetryAfter
	if !read && fault.mayHaveRun {
		fault.Retryable = false
		return nil, unknownOutcome(fault)
	}
	return nil, fault
}

// kindOfCall is the kind of call for [pool.Options.Kind].
func kindOfCall(call Call, read bool) string {
	switch {
	case !read:
		return "write"
	case call.Method == "fields_get":
		return "model"
	}
	return "read"
}

// unknownOutcome is the error of a write that may have been carried out.
func unknownOutcome(err error) error {
	return &pool.Error{Upstream: "odoo", Sent: true, Err: fmt.Errorf("%w of a write: %w", pool.ErrUnknownOutcome, err)}
}

// ask sends a request and returns its answer. clean has turned what only Python takes for JSON into JSON.
func (c *Client) ask(ctx context.Context, req pool.Request) (*pool.Response, error) {
	r, err := c.cfg.Pool.Do(ctx, req)
	if err != nil {
		return nil, err
	}
	answer := *r
	answer.Body = clean(r.Body)
	return &answer, nil
}

// kindOf is the kind that a status of JSON-2 stands for.
func kindOf(status int) Kind {
	switch status {
	case http.StatusForbidden:
		return Forbidden
	case http.StatusNotFound:
		return NotFound
	case http.StatusConflict:
		return Conflict
	case http.StatusUnprocessableEntity:
		return Rejected
	}
	return Failed
}

// unexpectedAnswer is an answer that Odoo itself would not have given: from a proxy, or from no Odoo at all. A call may have
// run if the answer says that it succeeded, or that something behind the proxy failed.
func unexpectedAnswer(what string, status int) *Error {
	return &Error{
		Kind: Failed, Name: "BadAnswer",
		Message:    fmt.Sprintf("Odoo's address answered %d with %s", status, what),
		Retryable:  status >= 502 && status <= 504 || status == http.StatusTooManyRequests,
		refused:    status == http.StatusUnauthorized || status == http.StatusForbidden,
		mayHaveRun: status < 300 || status >= 500,
		outage:     status >= 500,
	}
}

// unexpectedResult is a result other than the method has.
func unexpectedResult(what string) *Error { return unexpectedAnswer(what, http.StatusOK) }
