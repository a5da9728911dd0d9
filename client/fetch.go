package client

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"time"
	"unicode/utf8"

	"hearth/client/wire"
)

// ErrPending occurs if a job is not done yet.
var ErrPending = errors.New("hearth: the job is not done yet")

// Fetch sends a request to a host that HEARTH_FETCH_ALLOW lists. The sidecar caches answers by HTTP's rules. A status of 4xx or 5xx of that
// host is no error. A request that may change something is sent once. If the sidecar gives no answer, the error is [ErrUnknownOutcome]. If
// the host gives none, it is a [Problem] of kind unknown-outcome.
//
// q.Body may hold any bytes: if they are no text, they are sent as BodyBase64. q.Async is ignored: see [Client.StartFetch].
func (c *Client) Fetch(ctx context.Context, q FetchRequest, opts ...Option) (*Fetched, error) {
	q.Async = false
	f := &Fetched{}
	if err := c.fetch(ctx, q, opts, f); err != nil {
		return nil, err
	}
	return f, nil
}

// StartFetch is Fetch as a job that runs beside the handler. It returns the job's name at once. [Client.Job] returns the job's result.
func (c *Client) StartFetch(ctx context.Context, q FetchRequest, opts ...Option) (job string, err error) {
	q.Async = true
	var j Job
	err = c.fetch(ctx, q, opts, &j)
	return j.Job, err
}

func (c *Client) fetch(ctx context.Context, q FetchRequest, opts []Option, v any) error {
	patience := c.cfg.Timeout
	if q.TimeoutMS > 0 && !q.Async {
		patience = time.Duration(q.TimeoutMS)*time.Millisecond + answerMargin
	}
	if !utf8.ValidString(q.Body) {
		q.Body, q.BodyBase64 = "", []byte(q.Body)
	}
	req, err := newCall(http.MethodPost, PathFetch, opts).about("", "fetch").withBody(q)
	if err != nil {
		return err
	}
	req.write = !slices.Contains([]string{"", http.MethodGet, http.MethodHead, http.MethodOptions}, q.Method)
	req.neverRepeat = req.write
	req.ownTimeout = q.TimeoutMS > 0
	return c.do(ctx, req, patience, v)
}

// Job returns the result of a job. It waits for the result for at most wait, which may be up to 30 s. If the job is not done then, the
// error is [ErrPending]. A result can be read once; after that, or if it was not read for 10 minutes, the error is a [Problem] of kind
// no-such-job or expired.
func (c *Client) Job(ctx context.Context, job string, wait time.Duration, opts ...Option) (*Fetched, error) {
	target := fmt.Sprintf("/v1/jobs/%s?wait_ms=%d", url.PathEscape(job), wait.Milliseconds())
	var reply struct {
		Job
		Fetched
	}
	req := newCall(http.MethodGet, target, opts)
	req.ownTimeout, req.takes = true, true
	err := c.do(ctx, req, wait+c.cfg.Timeout, &reply)
	if p, ok := errors.AsType[*Problem](err); ok && p.Kind() == wire.KindNoSuchJob && req.sent.Load() > 1 {
		p.Detail += ". The connection broke, and this client asked again: the first answer may have held the result"
	}
	if err != nil {
		return nil, err
	}
	if reply.Job.Job != "" {
		return nil, ErrPending
	}
	return &reply.Fetched, nil
}
