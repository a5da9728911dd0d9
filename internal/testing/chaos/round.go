package main

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"slices"
	"strconv"
	"sync"
	"time"

	"hearth/client/wire"
)

const (
	deadline     = 1500 * time.Millisecond // of every call
	realDeadline = 3 * time.Second         // of every call before real servers: a real Odoo is slow with many calls at once
	slack        = 30 * time.Millisecond   // how late a reply may be: the way back, and the harness itself
	patience     = 15 * time.Second        // how long the harness waits, for a sidecar that ignores deadlines
)

// round makes every call, each so many times, all at once, and judges the replies. Only one of them sets the chat's mute, because of two at
// the same time nobody knows which is the last.
func (c *course) round(ctx context.Context, noCache bool, times int) (all []verdict) {
	list := slices.Clone(c.calls)
	for range times - 1 {
		list = append(list, slices.DeleteFunc(slices.Clone(c.calls), func(call call) bool { return call.name == "set mute" })...)
	}
	all = make([]verdict, len(list))
	var wg sync.WaitGroup
	for i, call := range list {
		wg.Go(func() { all[i] = c.call(ctx, call, noCache) })
	}
	wg.Wait()
	return all
}

// call makes one call, judges the reply, and counts it.
func (c *course) call(ctx context.Context, call call, noCache bool) verdict {
	return c.attempt(ctx, call.name, call.make(c.rig.truth, c.chat), noCache)
}

func (c *course) attempt(ctx context.Context, name string, a attempt, noCache bool) verdict {
	r := &reply{call: name, attempt: a, noCache: noCache, opaque: c.fault.opaque}
	r.trace = newTrace(slices.IndexFunc(c.calls, func(call call) bool { return call.name == name }))
	r.deadline = c.rig.truth.deadline
	c.rig.send(ctx, r)
	v := r.judge(c.fault.also)
	late := r.ended.Sub(r.asked) - c.rig.truth.deadline - slack - c.lateness.Within(r.asked, r.ended)
	c.tally.judged(c, r, v, late)
	if safe := a.settle == nil && name != "batch"; safe && c.fault.hidden && c.phase == underIt && v.what != right {
		c.tally.offence(c, wrongs, 1, "a fault that Hearth hides was seen: %s %s%s", v.kind, v.why, r)
	}
	if r.attempt.contact != "" {
		if times := c.rig.created(r.attempt.contact); times > 1 {
			c.tally.offence(c, amplified, 1, "%s arrived %d times", r.attempt.contact, times)
		}
	}
	if v.what == failed && slices.Contains([]string{"batch", "fetch", "job"}, name) {
		c.mu.Lock()
		c.loads = r.asked
		c.mu.Unlock()
	}
	if a.then != nil && v.what == right {
		return c.attempt(ctx, name, a.then(r), noCache)
	}
	return v
}

// send sends the request, and fills in the reply.
func (g *rig) send(ctx context.Context, r *reply) { sendBy(ctx, g.http, g.token, r) }

func sendBy(ctx context.Context, by *http.Client, token string, r *reply) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	var body io.Reader = http.NoBody
	if r.attempt.body != nil {
		encoded, err := json.Marshal(r.attempt.body)
		if err != nil {
			r.err = err
			return
		}
		body = bytes.NewReader(encoded)
	}
	req, err := http.NewRequestWithContext(ctx, r.attempt.method, "http://localhost"+r.attempt.path, body)
	if err != nil {
		r.err = err
		return
	}
	req.Header.Set(wire.HeaderToken, token)
	if r.trace != "" {
		req.Header.Set("Traceparent", "00-"+r.trace+"-00f067aa0ba902b7-01")
	}
	req.Header.Set("X-Hearth-Timeout-Ms", strconv.Itoa(int(cmp.Or(r.deadline, deadline)/time.Millisecond)))
	if r.attempt.body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	if r.noCache {
		req.Header.Set("Cache-Control", "no-cache")
	}
	r.asked = time.Now()
	defer func() { r.ended = time.Now() }()
	resp, err := by.Do(req)
	if err != nil {
		r.err = err
		return
	}
	defer resp.Body.Close()
	r.status, r.header = resp.StatusCode, resp.Header
	r.body, r.err = io.ReadAll(resp.Body)
}

// seed writes the chat's first content, not through the sidecar.
func (c *course) seed() error {
	b := c.rig.truth
	for range 3 {
		if err := b.AppendElsewhere(c.chat); err != nil {
			return err
		}
	}
	if err := b.MuteElsewhere(c.chat); err != nil {
		return err
	}
	return b.CreateElsewhere()
}

// change writes something new, not through the sidecar, so that what the sidecar holds is out of date.
func (c *course) change() error {
	b := c.rig.truth
	b.Relabel()
	b.web.publish()
	if err := b.AppendElsewhere(c.chat); err != nil {
		return err
	}
	return b.CreateElsewhere()
}
