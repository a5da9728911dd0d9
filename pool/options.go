package pool

import (
	"cmp"
	"context"
	"net/http"
	"sync/atomic"
	"time"
)

// Options say how the requests that are made under a context are to be treated. [With] puts them into one.
type Options struct {
	// Repeatable says that sending a request twice is the same as sending it once, whatever its method. Only repeatable
	// requests are sent again after they may have reached the upstream. GET and HEAD always are.
	Repeatable bool
	// Proven keeps a request off connections that a freeze may have broken. It is for repeatable writes: a copy of one
	// that got stuck on such a connection may arrive after the next write, and undo it.
	Proven bool
	// Background marks a request that no caller waits for. How many of them go out at once says nothing about how many
	// connections callers need.
	Background bool
	// Caller is the number of the API request for which a request is made; 0: none. One caller never takes all slots of a [Limit]. Where
	// contexts with different callers are nested, the outer one counts: a batch is one caller.
	Caller uint64
	// Until is when the caller stops waiting; zero: that is not known. A load that requests share may have more time than the caller that
	// began it.
	Until time.Time
	// Kind is what kind of call it is: one of a few names that the upstream's client chooses. Calls of one kind should take about the
	// same time.
	Kind string
	// Credentials are put into the header of every request, and renewed if the upstream refuses them; nil: none.
	Credentials Credentials
	// Header is added to every request: trace headers reach the upstreams this way.
	Header http.Header
	// Sent counts how often a request may have reached its upstream: every time that it was given to a connection, except
	// when the upstream said that it had not read the request. If the count is more than 1, the request was sent again.
	Sent *atomic.Int64

	// RetryAfter is set to the nanoseconds after which the upstream asks to try again, if its answer says so.
	RetryAfter *atomic.Int64

	probe *probe      // the request is one of a probe: it goes past the breaker and the limit, and is not retried
	retry bool        // the request was sent before and has failed
	fresh bool        // the request must go over a connection that is opened after the request came
	taken func(taken) // called when the request has its connection
	heard func()      // called when an answer has begun to come
	stuck func()      // called when the connection of a request that must not be repeated was found dead
}

type optionsKey struct{}

// With returns a context with these options and those of ctx. If both have a value for a field, the one of o counts.
func With(ctx context.Context, o Options) context.Context {
	had := optionsOf(ctx)
	o.Repeatable = o.Repeatable || had.Repeatable
	o.Proven = o.Proven || had.Proven
	o.Background = o.Background || had.Background
	o.fresh = o.fresh || had.fresh
	o.retry = o.retry || had.retry
	o.Caller = cmp.Or(had.Caller, o.Caller)
	if o.Until.IsZero() {
		o.Until = had.Until
	}
	o.Kind = cmp.Or(o.Kind, had.Kind)
	if o.taken == nil {
		o.taken = had.taken
	}
	if o.heard == nil {
		o.heard = had.heard
	}
	if o.stuck == nil {
		o.stuck = had.stuck
	}
	if o.Credentials == nil {
		o.Credentials = had.Credentials
	}
	if o.Header == nil {
		o.Header = had.Header
	}
	if o.Sent == nil {
		o.Sent = had.Sent
	}
	o.RetryAfter = cmp.Or(o.RetryAfter, had.RetryAfter)
	o.probe = cmp.Or(o.probe, had.probe)
	return context.WithValue(ctx, optionsKey{}, o)
}

func optionsOf(ctx context.Context) Options {
	o, _ := ctx.Value(optionsKey{}).(Options)
	return o
}

// Probing says that the calls under ctx belong to a probe of a breaker. No other call may wait for them: they take as long as the upstream
// is silent.
func Probing(ctx context.Context) bool { return optionsOf(ctx).probe != nil }

// countSent adds n to the count of requests that may have reached the upstream.
func (o Options) countSent(n int64) {
	if o.Sent != nil {
		o.Sent.Add(n)
	}
}

// noteRetryAfter stores how long an answer that reports a failure asks to wait.
func (o Options) noteRetryAfter(resp *http.Response) {
	if o.RetryAfter == nil || judgeAnswer(resp).outcome == well {
		return
	}
	after, _ := retryAfter(resp)
	o.RetryAfter.Store(int64(after))
}

// RetryAfter is what [Options.RetryAfter] of a context was set to; 0: nothing.
func RetryAfter(ctx context.Context) time.Duration {
	if after := optionsOf(ctx).RetryAfter; after != nil {
		return time.Duration(after.Load())
	}
	return 0
}
