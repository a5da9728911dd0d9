package sidecar

import (
	"context"
	"fmt"
	"net/http"
	"time"

	"hearth/client/wire"
	"hearth/pool"
)

// timeLeft reads the X-Hearth-Timeout-Ms lines of a request; 0: none. The smallest value counts. A value above wire.MaxTimeout counts as
// none: some environments tell handlers a deadline that is far too late.
func timeLeft(lines [][]byte) (left time.Duration, refusal *wire.Problem) {
	for _, line := range lines {
		ms := 0
		for _, digit := range line {
			if digit < '0' || digit > '9' {
				ms = 0
				break
			}
			ms = min(10*ms+int(digit-'0'), int(wire.MaxTimeout.Milliseconds())+1)
		}
		if ms == 0 {
			return 0, wire.BadField(wire.HeaderTimeout, "must be a positive whole number of milliseconds")
		}
		if d := time.Duration(ms) * time.Millisecond; d <= wire.MaxTimeout && (left == 0 || d < left) {
			left = d
		}
	}
	return left, nil
}

// maxMarginShare says that the margin takes at most a tenth of an invocation's time.
const maxMarginShare = 10

// readTime is how long a read may take, from when the request came. A third of the invocation's time is left for what the handler does
// with the answer.
func (r *request) readTime() time.Duration { return r.timeWithin(r.beforeMargin()*2/3, r.batchRead) }

// writeTime is how long a write may take, from when the request came. No third is left: a write is often the last thing that a handler
// does.
func (r *request) writeTime() time.Duration { return r.timeWithin(r.beforeMargin(), r.batchWrite) }

// beforeMargin is the time that the invocation has left, without the margin.
func (r *request) beforeMargin() time.Duration {
	return r.left - min(r.server.cfg.DeadlineMargin, r.left/maxMarginShare)
}

// timeWithin is how long a request may take: the timeout that it names, else the default, but no longer than its invocation and its
// batch allow.
func (r *request) timeWithin(invocation, batch time.Duration) time.Duration {
	d := r.server.cfg.Timeout
	if r.timeout > 0 {
		d = r.timeout
	}
	if r.left > 0 {
		d = min(d, invocation)
	}
	if batch > 0 {
		d = min(d, batch)
	}
	return d
}

// errCallerLeft ends a read whose caller has closed its connection.
var errCallerLeft = fmt.Errorf("%w: the caller has left", context.Canceled)

// readContext returns the context of a read. It also ends when the caller leaves, because nobody waits for the answer any more.
func (r *request) readContext() context.Context {
	return r.untilCallerLeaves(r.waitContext(r.readTime()))
}

// untilCallerLeaves returns a context that ends with ctx, or when the caller leaves. ctx is the request's last context.
func (r *request) untilCallerLeaves(ctx context.Context) context.Context {
	ctx, leave := context.WithCancelCause(ctx)
	left, end := func() { leave(errCallerLeft) }, r.cancel
	stop := func() {}
	switch {
	case r.conn != nil:
		stop = r.conn.watchLater(left)
	case r.batchLeft != nil:
		unregister := context.AfterFunc(r.batchLeft, left)
		stop = func() { unregister() }
	}
	r.cancel = func() {
		stop()
		leave(nil)
		end()
	}
	return ctx
}

// writeContext returns the context of a write. A write goes on when its caller leaves: if it were ended, its outcome would be unknown.
func (r *request) writeContext() context.Context { return r.waitContext(r.writeTime()) }

// waitContext returns the context in which a handler waits for something. It has the request's trace, and ends d after the request came.
// A handler calls it once at most, because release ends only the last one.
func (r *request) waitContext(d time.Duration) context.Context {
	traced := pool.With(r.serverCtx, pool.Options{Header: traceHeaders(r), Caller: r.server.callers.Add(1), Until: r.started.Add(d)})
	passed := time.Since(r.started)
	var ctx context.Context
	ctx, r.cancel = r.server.cfg.Pulse.WithTimeoutIn(traced, d-passed, r.left-passed)
	return ctx
}

// traceHeaders are the trace headers of the request. They are sent to the upstreams.
func traceHeaders(r *request) http.Header {
	var h http.Header
	for _, name := range []string{"Traceparent", "Tracestate", "X-Amzn-Trace-Id"} {
		if v := r.Request.Header.Peek(name); len(v) > 0 {
			if h == nil {
				h = http.Header{}
			}
			h[name] = []string{string(v)}
		}
	}
	return h
}
