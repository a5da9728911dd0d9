package weaviate

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"sync/atomic"

	"github.com/weaviate/weaviate-go-client/v4/weaviate/fault"

	"hearth/pool"
)

// unwrapClientError turns an error of the client library, which does not unwrap, into an *Error or a *pool.Error.
func (c *Client) unwrapClientError(err error, sent func() int64) error {
	for err != nil {
		if e, ok := errors.AsType[*Error](err); ok {
			return c.told(e)
		}
		if e, ok := errors.AsType[*pool.Error](err); ok {
			return e
		}
		f, ok := errors.AsType[*fault.WeaviateClientError](err)
		if !ok {
			break
		}
		if f.IsUnexpectedStatusCode || f.DerivedFromError == nil {
			return c.told(&Error{Status: f.StatusCode, Message: shorten(f.Msg)})
		}
		err = f.DerivedFromError
	}
	if u, ok := errors.AsType[*url.Error](err); ok {
		err = u.Err
	}
	return c.cfg.REST.Failed(sent() > 0, err)
}

// countSent returns ctx with these options, and how often a request made under it may have reached the server. The context also
// notes what [withRetryAfter] needs.
func countSent(ctx context.Context, o pool.Options) (_ context.Context, sent func() int64) {
	n := new(atomic.Int64)
	o.Sent, o.RetryAfter = n, new(atomic.Int64)
	return pool.With(ctx, o), n.Load
}

// withRetryAfter adds to the refusal of a request made under ctx how long the server asks to wait.
func withRetryAfter(ctx context.Context, err error) error {
	e, ok := errors.AsType[*Error](err)
	after := pool.RetryAfter(ctx)
	if !ok || after == 0 {
		return err
	}
	own := *e // a copy, because other searches may share e
	own.RetryAfter = after
	return &own
}

// write runs one write of the client library. Its error says if the outcome is unknown. A refusal is the outcome of the last try
// only: an earlier try may have been applied. repeated says that there was an earlier try.
func (c *Client) write(ctx context.Context, do func(context.Context) error) (repeated bool, err error) {
	ctx, sent := countSent(ctx, pool.Options{Repeatable: true, Proven: true, Kind: "write"}) // every write here is an upsert or a merge
	err = do(ctx)
	repeated = sent() > 1
	if err == nil || errors.Is(err, pool.ErrUnknownOutcome) { // do itself may say the latter: by a verdict
		return repeated, err
	}
	err = withRetryAfter(ctx, c.unwrapClientError(err, sent))
	e, refused := errors.AsType[*Error](err)
	_, redirected := errors.AsType[*pool.RedirectError](err)
	if (redirected || refused && e.Status < http.StatusInternalServerError) && !repeated || sent() == 0 {
		return repeated, err
	}
	return repeated, c.unknownOutcome(err)
}

// unknownOutcome is the error of a write that may have been applied.
func (c *Client) unknownOutcome(err error) error {
	return &pool.Error{
		Upstream: c.cfg.REST.Name(), Address: c.cfg.REST.Address(), Sent: true, Err: fmt.Errorf("%w: %w", pool.ErrUnknownOutcome, err),
	}
}
