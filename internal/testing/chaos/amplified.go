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

// sent are requests to an upstream for one request to the sidecar, which its trace names. Those of the sidecar's own have no trace.
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

// forget begins to count anew what is sent.
func (g *rig) forget() (before map[sent]int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	before, g.sent = g.sent, map[sent]int{}
	return before
}

// eachAlone makes every call alone while nothing is held, once for each rig, and takes note of what it sends. What goes to real servers
// cannot be seen.
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

// What the design allows to be sent beyond the calls themselves: retries have such a budget for each upstream, and hedges, which only
// Weaviate gets, another.
const (
	budgetShare   = 0.1
	budgetMinute  = 10
	earlierCalls  = 20 // whose share may be left
	hedgedService = "weaviate"
)

// amplified judges how much was sent again while the fault lasted: all that each request to the sidecar has sent beyond what it sends
// when it is alone.
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

// outage goes on until two seconds after the fault's beginning, and then makes calls for a second more. Of these only probes may reach
// the upstreams.
func (c *course) outage(ctx context.Context, began time.Time) error {
	// The wait for a probe is doubled from 0.2 s on, so two seconds after the beginning there are two in a second at most. Each is a
	// request and a connection.
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
