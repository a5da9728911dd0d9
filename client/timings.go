package client

import (
	"context"
	"net/http"
	"sync"
	"time"

	"hearth/client/wire"
)

// timingsTimeout bounds how long the handler's reply waits until Hearth has taken its timings.
const timingsTimeout = 50 * time.Millisecond

// SendTimings tells Hearth what the handler has measured: at most [wire.MaxTimings] operations. A second call with the same RequestID
// counts nothing. [Client.Invocation] does this.
func (c *Client) SendTimings(ctx context.Context, t Timings, opts ...Option) error {
	req, err := newCall(http.MethodPost, PathTimings, opts).withBody(t)
	if err != nil {
		return err
	}
	req.write, req.neverRepeat = t.RequestID == "", t.RequestID == ""
	return c.do(ctx, req, c.cfg.Timeout, nil)
}

// Invocation begins an invocation of the function. What [Timed] measures with the context that it returns goes to Hearth in one call,
// when end is called; the call takes 50 ms at most, and its failure is printed to [Config].Output, at most once a minute. requestID is
// lambdacontext's AwsRequestID; it may be empty.
//
//	ctx, end := c.Invocation(ctx, requestID)
//	defer end()
//
// An invocation within one of the same requestID is a part of that.
func (c *Client) Invocation(ctx context.Context, requestID string) (_ context.Context, end func()) {
	if outer, ok := ctx.Value(invocationKey{}).(*invocation); ok && outer.requestID == requestID {
		return ctx, func() {}
	}
	in := &invocation{client: c, requestID: requestID, began: time.Now()}
	return context.WithValue(ctx, invocationKey{}, in), sync.OnceFunc(func() { in.end(ctx) })
}

// invocation collects what is measured in one invocation of the function.
type invocation struct {
	client    *Client
	requestID string
	began     time.Time

	mu      sync.Mutex
	timings []Timing
	beyond  int // timings that are not in timings
	ended   bool
}

type invocationKey struct{}

// add collects a timing. If there are too many, the first ones and the last one are kept: the last is the handler's own.
func (in *invocation) add(t Timing) {
	in.mu.Lock()
	ended := in.ended
	switch {
	case ended:
	case len(in.timings) < wire.MaxTimings:
		in.timings = append(in.timings, t)
	default:
		in.timings[wire.MaxTimings-1] = t
		in.beyond++
	}
	in.mu.Unlock()
	if ended {
		in.client.notSent(1, "the operation "+t.Operation+" ended after its invocation")
	}
}

// end sends what was collected. ctx may have ended: it is for its values and its deadline.
func (in *invocation) end(ctx context.Context) {
	in.mu.Lock()
	in.ended = true
	timings, beyond := in.timings, in.beyond
	in.mu.Unlock()
	if beyond > 0 {
		in.client.notSent(beyond, "an invocation has too many")
	}
	if len(timings) == 0 {
		return
	}
	timeout := timingsTimeout
	if deadline, ok := ctx.Deadline(); ok {
		timeout = min(timeout, time.Until(deadline))
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), timeout)
	defer cancel()
	body := Timings{RequestID: in.requestID, FunctionMS: new(milliseconds(time.Since(in.began))), Timings: timings}
	if err := in.client.SendTimings(ctx, body); err != nil {
		in.client.notSent(len(timings), err.Error())
	}
}

// unsent counts the timings that could not be sent since the last line about them.
type unsent struct {
	mu       sync.Mutex
	count    int
	nextLine time.Time
}

// notSent prints that timings were not sent: the first time at once, then at most one line a minute with their number.
func (c *Client) notSent(count int, why string) {
	now := time.Now()
	c.unsent.mu.Lock()
	c.unsent.count += count
	quiet := now.Before(c.unsent.nextLine)
	if !quiet {
		count, c.unsent.count, c.unsent.nextLine = c.unsent.count, 0, now.Add(time.Minute)
	}
	c.unsent.mu.Unlock()
	if !quiet {
		printJSON(c.cfg.Output, struct {
			Level     string `json:"level"`
			Timestamp string `json:"timestamp"`
			Message   string `json:"message"`
			Timings   int    `json:"timings"`
			Error     string `json:"error"`
		}{"WARN", timestamp(), "Hearth may lack timings that the log has", count, why})
	}
}
