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
)

// ErrPending occurs if a job is not done yet.
var ErrPending = errors.New("hearth: the job is not done yet")

// Fetch asks a host that HEARTH_FETCH_ALLOW lists, by HTTP's own caching rules. A status of 4xx or 5xx of that host is no error. A
// request that may change something is sent once; if no answer comes, the error is [ErrUnknownOutcome], or a [Problem] of kind
// unknown-outcome if the sidecar got no answer from the host.
//
// q.Body may hold any bytes: what is no text goes as BodyBase64. q.Async is ignored: see [Client.StartFetch].
func (c *Client) Fetch(ctx context.Context, q FetchRequest, opts ...Option) (*Fetched, error) {
	q.Async = false
	f := &Fetched{}
	if err := c.fetch(ctx, q, opts, f); err != nil {
		return nil, err
	}
	return f, nil
}

// StartFetch is Fetch as a job that runs beside the handler: it returns the job's name at once. [Client.Job] returns what the job
// has brought.
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

// Job returns what a job has brought, and waits for it for at most that long (up to 30 s). If the job is not done then, the error is
// [ErrPending]. A result can be read once; after that, or if it was not read for 10 minutes, the error is a [Problem] of kind
// no-such-job or expired.
func (c *Client) Job(ctx context.Context, job string, wait time.Duration, opts ...Option) (*Fetched, error) {
	target := fmt.Sprintf("/v1/jobs/%s?wait_ms=%d", url.PathEscape(job), wait.Milliseconds())
	var reply struct {
		Job
		Fetched
	}
	req := newCall(http.MethodGet, target, opts)
	req.ownTimeout = true
	if err := c.do(ctx, req, wait+c.cfg.Timeout, &reply); err != nil {
		return nil, err
	}
	if reply.Job.Job != "" {
		return nil, ErrPending
	}
	return &reply.Fetched, nil
}
