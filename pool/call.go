package pool

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"sync/atomic"
	"time"
)

// Request is one call to the upstream of a Pool.
type Request struct {
	Method string
	Path   string // path and query below the pool's URL, already escaped: "/v1/batch/objects"
	Header http.Header
	Body   []byte
	// Repeatable says that sending the request twice is the same as sending it once, whatever its method.
	// Only repeatable requests are tried again after they may have reached the upstream.
	Repeatable bool
}

// Response is an upstream's whole answer, whatever its status.
type Response struct {
	Status int
	Header http.Header
	Body   []byte
	// RetryAfter is how long an answer that reports a failure asks to wait before the next try; 0: it does not ask.
	RetryAfter time.Duration
}

// Error is a call that brought no whole answer: no connection, no slot, no time, or an answer cut short.
type Error struct {
	Upstream string
	Address  string // as [Pool.Address] names it; empty: no upstream was asked
	// Sent says that the upstream may have received the request, so that the outcome of a write is unknown.
	Sent bool
	// RetryAfter is how long to wait before the call may succeed, as the [Breaker] or the upstream itself says; 0: not known.
	RetryAfter time.Duration
	Err        error
}

func (e *Error) Error() string { return fmt.Sprintf("%s: %v", e.Upstream, e.Err) }
func (e *Error) Unwrap() error { return e.Err }

// Failed makes the error of a call that brought no whole answer. sent is [Error.Sent].
func (p *Pool) Failed(sent bool, err error) *Error {
	e := &Error{Upstream: p.cfg.Name, Address: p.Address(), Sent: sent, Err: unwrapURLError(err)}
	if open, ok := errors.AsType[*openError](err); ok {
		e.RetryAfter = open.wait
	}
	return e
}

// Do sends req and reads the whole answer. Every error is an *Error; a status of 4xx or 5xx is no error, a redirect is
// one ([RedirectError]).
// The call ends at ctx's deadline or after Config.Timeout, whichever comes first.
func (p *Pool) Do(ctx context.Context, req Request) (*Response, error) {
	sent := new(atomic.Int64)
	ctx = With(ctx, Options{Repeatable: req.Repeatable, Sent: sent, RetryAfter: new(atomic.Int64)})
	fail := func(err error) (*Response, error) { return nil, p.Failed(!notApplied(sent.Load(), err), err) }
	var body io.Reader
	if req.Body != nil {
		body = bytes.NewReader(req.Body)
	}
	r, err := http.NewRequestWithContext(ctx, req.Method, p.base+req.Path, body)
	if err != nil {
		return fail(err)
	}
	maps.Copy(r.Header, req.Header)
	resp, err := p.send(r)
	if err != nil {
		return fail(err)
	}
	defer resp.Body.Close()
	b, err := bodyOf(resp)
	if err != nil {
		return fail(err)
	}
	return &Response{Status: resp.StatusCode, Header: resp.Header, Body: b, RetryAfter: RetryAfter(ctx)}, nil
}
