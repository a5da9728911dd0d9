package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"sync"
	"time"

	"hearth/client/wire"
)

const (
	deadline = 1500 * time.Millisecond // of every call
	slack    = 30 * time.Millisecond   // of a reply beyond its deadline: the way back, and the harness itself
	patience = 15 * time.Second        // for a sidecar that knows no deadline
)

// round makes every call at the same time, each so many times, and judges the replies. The mute of a chat is set once only: of two
// mutes at the same time nobody knows which is the last.
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
	c.rig.send(ctx, r)
	v := r.judge(c.fault.also)
	late := r.ended.Sub(r.asked) - deadline - slack - c.lateness.Within(r.asked, r.ended)
	c.tally.judged(c, r, v, late)
	if safe := a.settle == nil && name != "batch"; safe && c.fault.hidden && c.phase == underIt && v.what != right {
		c.tally.offence(c, wrongs, 1, "a fault that Hearth hides was seen: %s %s%s", v.kind, v.why, r)
	}
	if r.attempt.contact != "" {
		if times := c.rig.created(r.attempt.contact); times > 1 {
			c.tally.offence(c, amplified, 1, "%s arrived %d times", r.attempt.contact, times)
		}
	}
	if a.then != nil && v.what == right {
		return c.attempt(ctx, name, a.then(r), noCache)
	}
	return v
}

// send makes the request, and fills in what came.
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
	req.Header.Set("X-Hearth-Timeout-Ms", strconv.Itoa(int(deadline/time.Millisecond)))
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

// use is what the sidecar holds while nothing is under way.
type use struct {
	goroutines map[string]int
	files      int
	open       int // connections to the upstreams, as their side sees them
	web        int // connections to the other host: the sidecar does not say how many it keeps
	busy       int // calls that hold a slot or wait for one, as the sidecar says
}

// mostWeb is how many connections the sidecar keeps to another host.
const mostWeb = 8

// quiet measures what the sidecar holds, after every connection to the upstreams has been closed.
func (g *rig) quiet(ctx context.Context) (u use, err error) {
	g.http.CloseIdleConnections()
	for _, s := range g.upstreams.Servers() {
		u.open += s.Wire.Open()
	}
	u.web = g.web.Wire.Open()
	r := &reply{attempt: attempt{method: http.MethodGet, path: wire.PathDebugPools}}
	g.send(ctx, r)
	g.http.CloseIdleConnections()
	var pools wire.Pools
	if err := json.Unmarshal(r.body, &pools); err != nil {
		return u, fmt.Errorf("debug/pools: %w, %w", r.err, err)
	}
	for _, p := range pools {
		u.busy += p.InUse + p.Queue
		u.open -= p.Open
	}
	usage, err := g.sandbox.Extension.Usage()
	if err != nil {
		return u, err
	}
	u.files = usage.Files - pools["weaviate"].Open - pools["odoo"].Open - u.web
	u.goroutines, err = g.goroutines(ctx)
	return u, err
}

// steady measures what the sidecar holds once that does not change any more.
func (g *rig) steady(ctx context.Context) (u use, err error) {
	const every, most = 50 * time.Millisecond, 40
	for range most {
		last := u
		if u, err = g.quiet(ctx); err != nil {
			return u, err
		}
		if maps.Equal(u.goroutines, last.goroutines) && u.files == last.files && u.open == last.open && u.busy == 0 {
			return u, nil
		}
		if err := pause(ctx, every); err != nil {
			return u, err
		}
	}
	return u, nil // what changes for so long is judged after the fault
}

// leaked is what is held now and was not before. Connections that are open in the pools are not leaked, nor are the goroutines that they
// have, nor the server's idle workers.
func (u use) leaked(before use) (goroutines, conns, files int, why string) {
	for _, stack := range slices.Sorted(maps.Keys(u.goroutines)) {
		if n := u.goroutines[stack] - before.goroutines[stack]; n > 0 && !ofConnection(stack) {
			goroutines += n
			why += fmt.Sprintf("\n      %d more: %s", n, stack)
		}
	}
	return goroutines, max(0, u.open-max(0, before.open)) + max(0, u.web-mostWeb) + u.busy, max(0, u.files-before.files), why
}

// settled waits until nothing is held that was not before, but not for long.
func (g *rig) settled(ctx context.Context, before use) (u use, err error) {
	const every, most = 100 * time.Millisecond, 8 * time.Second
	for began := time.Now(); ; {
		if u, err = g.quiet(ctx); err != nil {
			return u, err
		}
		goroutines, conns, files, _ := u.leaked(before)
		if goroutines+conns+files == 0 || time.Since(began) > most {
			return u, nil
		}
		if err := pause(ctx, every); err != nil {
			return u, err
		}
	}
}

// seed writes what the chat begins with, past the sidecar.
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

// change writes past the sidecar, so that what it holds is no longer true.
func (c *course) change() error {
	b := c.rig.truth
	b.Relabel()
	b.web.publish()
	if err := b.AppendElsewhere(c.chat); err != nil {
		return err
	}
	return b.CreateElsewhere()
}
