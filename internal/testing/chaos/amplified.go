package main

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"net/http"
	"strings"
	"time"

	"hearth/client/wire"
)

// sent is a key for counting the requests that reach an upstream: by the trace of the request to the sidecar that they were made for. The
// trace is empty for the sidecar's own requests.
type sent struct{ trace, to string }

// newTrace returns a trace that begins with the number of a call.
func newTrace(call int) string {
	id := make([]byte, 16)
	_, _ = rand.Read(id) // never fails
	id[0] = byte(call + 1)
	return hex.EncodeToString(id)
}

// callOf is the number of the call in a trace.
func callOf(trace string) string { return trace[:min(2, len(trace))] }

func traceOf(r *http.Request) string {
	_, rest, _ := strings.Cut(r.Header.Get("Traceparent"), "-")
	trace, _, _ := strings.Cut(rest, "-")
	return trace
}

// forget returns the counts of what was sent, and begins to count anew.
func (g *rig) forget() (before map[sent]int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	before, g.sent = g.sent, map[sent]int{}
	return before
}

// eachAlone makes every call alone, with an empty cache, and notes what each sends to the upstreams. It does so once for each rig. It does
// nothing before real servers, whose requests the rig cannot count.
func (c *course) eachAlone(ctx context.Context) error {
	if c.rig.alone != nil || c.rig.truth.Unlabeled {
		return nil
	}
	c.rig.alone = map[sent]int{}
	if err := pause(ctx, webFresh); err != nil { // the batch fetches the page first
		return err
	}
	for _, call := range c.calls {
		drop := &reply{attempt: attempt{method: http.MethodDelete, path: wire.PathCache}}
		if c.rig.send(ctx, drop); drop.status != http.StatusOK {
			return fmt.Errorf("nothing was dropped: %w%v", drop.err, drop)
		}
		c.rig.forget()
		if v := c.call(ctx, call, true); v.what != right {
			return fmt.Errorf("%s alone is not right: %+v", call.name, v)
		}
		for s, n := range c.rig.forget() {
			c.rig.alone[sent{callOf(s.trace), s.to}] += n
		}
	}
	return nil
}

// How much may be sent beyond the calls themselves. Retries have such a budget for each upstream. Hedges, which only Weaviate gets, have
// another one.
const (
	budgetShare   = 0.1
	budgetMinute  = 10
	earlierCalls  = 20 // calls before the fault whose share may not be used up yet
	hedgedService = "weaviate"
)

// amplified judges how much was sent again during the fault: what each request to the sidecar has sent beyond what the same call sends
// alone.
func (c *course) amplified(took time.Duration) {
	if c.rig.alone == nil {
		return
	}
	calls, again := map[string]int{}, map[string]int{}
	for s, n := range c.rig.forget() {
		usual := n // of the sidecar's own requests
		if s.trace != "" {
			usual = min(n, c.rig.alone[sent{callOf(s.trace), s.to}])
		}
		calls[s.to] += usual
		again[s.to] += n - usual
	}
	for to, n := range again {
		budget := budgetShare*float64(calls[to]+earlierCalls) + budgetMinute*max(1, took.Minutes())
		if to == hedgedService {
			budget *= 2
		}
		c.sum.sent, c.sum.again = c.sum.sent+calls[to]+n, c.sum.again+n
		if over := float64(n) - budget; over > 0 {
			c.tally.offence(c, amplified, int(over)+1, "%d of %d requests to %s were sent again, the budget is %.0f", n, calls[to]+n, to, budget)
		}
	}
}

// outage makes calls until two seconds after the fault's beginning, and then for one more second. In that last second only probes may reach
// the upstreams.
func (c *course) outage(ctx context.Context, began time.Time) error {
	// The wait before a probe doubles from 0.2 s on. So two seconds after the beginning there are at most two probes in a second. Each
	// counts twice, as a request and as a connection.
	const probes = 2 * 2
	for time.Since(began) < 2*time.Second {
		c.round(ctx, false, 1)
		if err := pause(ctx, 50*time.Millisecond); err != nil {
			return err
		}
	}
	before, made, from := c.rig.tries(), 0, time.Now()
	for time.Since(from) < time.Second {
		made += len(c.round(ctx, true, 1))
		if err := pause(ctx, 50*time.Millisecond); err != nil {
			return err
		}
	}
	seconds := max(1, time.Since(from).Seconds())
	after := c.rig.tries()
	for _, u := range c.fault.outage {
		perSecond := float64(after[u]-before[u]) / seconds
		c.sum.perSecond += perSecond
		if perSecond > probes {
			c.tally.offence(c, amplified, int(perSecond), "in an outage %.0f tries a second reach %s, of %.0f calls a second", perSecond, u, float64(made)/seconds)
		}
	}
	return nil
}
