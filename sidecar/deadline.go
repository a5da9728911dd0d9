package sidecar

import (
	"context"
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

// maxMarginShare is the largest share of an invocation's time that the margin may take: a tenth.
const maxMarginShare = 10

// readTime is how long the whole request may take, from when it came, if it is a read. A third of the invocation's time is left for
// what the handler does with the answer.
func (r *request) readTime() time.Duration { return r.timeWithin(r.beforeMargin()*2/3, r.batchRead) }

// writeTime is readTime of a write. A write is often the last thing that a handler does.
func (r *request) writeTime() time.Duration { return r.timeWithin(r.beforeMargin(), r.batchWrite) }

// beforeMargin is what the invocation has left, without the margin.
func (r *request) beforeMargin() time.Duration {
	return r.left - min(r.server.cfg.DeadlineMargin, r.left/maxMarginShare)
}

// timeWithin is the smallest of the timeouts that hold for a request.
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

// readContext is waitContext of a read.
func (r *request) readContext() context.Context { return r.waitContext(r.readTime()) }

// writeContext is waitContext of a write.
func (r *request) writeContext() context.Context { return r.waitContext(r.writeTime()) }

// waitContext returns a context for what has to be waited for. It has the request's trace, and ends so long after the request came.
// A handler calls it once at most: release ends only the last one.
func (r *request) waitContext(d time.Duration) context.Context {
	traced := pool.With(r.serverCtx, pool.Options{Header: traceHeaders(r), Caller: r.server.callers.Add(1)})
	passed := time.Since(r.started)
	var ctx context.Context
	ctx, r.cancel = r.server.cfg.Pulse.WithTimeoutIn(traced, d-passed, r.left-passed)
	return ctx
}

// traceHeaders are the request's headers that go on to the upstreams.
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
