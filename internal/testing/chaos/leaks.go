package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"slices"
	"strings"
	"time"

	"hearth/client/wire"
)

// usage is what the sidecar holds while no call is under way.
type usage struct {
	goroutines map[string]int
	files      int
	open       int // connections that are open at the upstreams' side and not in the sidecar's pools
	web        int // connections to the host to fetch from
	busy       int // calls that hold a slot or wait for one, as the sidecar says
}

// mostWeb is how many connections the sidecar may keep to the host to fetch from.
const mostWeb = 8

// measure measures what the sidecar holds. It closes the harness's own connections to the sidecar first.
func (g *rig) measure(ctx context.Context) (u usage, err error) {
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
	process, err := g.sandbox.Extension.Usage()
	if err != nil {
		return u, err
	}
	u.files = process.Files - pools["weaviate"].Open - pools["odoo"].Open - u.web
	u.goroutines, err = g.goroutines(ctx)
	return u, err
}

// steady measures until two measurements are equal.
func (g *rig) steady(ctx context.Context) (u usage, err error) {
	const every, most = 50 * time.Millisecond, 40
	for range most {
		last := u
		if u, err = g.measure(ctx); err != nil {
			return u, err
		}
		if maps.Equal(u.goroutines, last.goroutines) && u.files == last.files && u.open == last.open && u.busy == 0 {
			return u, nil
		}
		if err := pause(ctx, every); err != nil {
			return u, err
		}
	}
	return u, nil // it still changes; settled judges that after the fault
}

// leaked is what is held now and was not held before. Connections in the pools and their goroutines are not leaked, nor are the server's
// idle workers.
func (u usage) leaked(before usage) (goroutines, conns, files int, why string) {
	for _, stack := range slices.Sorted(maps.Keys(u.goroutines)) {
		if n := u.goroutines[stack] - before.goroutines[stack]; n > 0 && !ofConnection(stack) {
			goroutines += n
			why += fmt.Sprintf("\n      %d more: %s", n, stack)
		}
	}
	return goroutines, max(0, u.open-max(0, before.open)) + max(0, u.web-mostWeb) + u.busy, max(0, u.files-before.files), why
}

// loadTime is how long the load of a page may take: the default of HEARTH_PREPROCESS_TIMEOUT. A load may go on after its callers have left,
// because its result is kept for others.
const loadTime = 30 * time.Second

// settled measures until nothing is held that was not held before, for some seconds at most. loads is when the last load of a page began
// that may still go on.
func (g *rig) settled(ctx context.Context, before usage, loads time.Time) (u usage, err error) {
	const every = 100 * time.Millisecond
	most := max(8*time.Second, time.Until(loads.Add(loadTime+time.Second)))
	for began := time.Now(); ; {
		if u, err = g.measure(ctx); err != nil {
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

// goroutines asks the sidecar how many goroutines there are with each stack.
func (g *rig) goroutines(ctx context.Context) (map[string]int, error) {
	c, err := new(net.Dialer).DialContext(ctx, "unix", g.debug)
	if err != nil {
		return nil, err
	}
	defer c.Close()
	if err := c.SetDeadline(time.Now().Add(5 * time.Second)); err != nil {
		return nil, err
	}
	text, err := io.ReadAll(c)
	if err != nil {
		return nil, err
	}
	return parseGoroutines(string(text)), nil
}

// parseGoroutines reads a goroutine profile, in which a blank line follows each stack.
func parseGoroutines(profile string) map[string]int {
	stacks := map[string]int{}
	for stack := range strings.SplitSeq(profile, "\n\n") {
		if i := strings.Index(stack, "goroutine profile:"); i >= 0 {
			_, stack, _ = strings.Cut(stack, "\n")
		}
		var n int
		if _, err := fmt.Sscanf(stack, "%d @", &n); err != nil {
			continue
		}
		var frames []string
		for line := range strings.Lines(stack) {
			if fields := strings.Fields(line); len(fields) >= 3 && fields[0] == "#" {
				name, _, _ := strings.Cut(fields[2], "+0x")
				frames = append(frames, name)
			}
		}
		stacks[strings.Join(frames, " < ")] += n
	}
	return stacks
}

// ofConnection says whether a stack is that of a connection to an upstream, or of the server's idle workers, which end later.
func ofConnection(stack string) bool {
	return strings.Contains(stack, "net/http.(*persistConn)") || strings.Contains(stack, "http2ClientConn") ||
		strings.Contains(stack, "http2.(*ClientConn)") || strings.Contains(stack, "fasthttp.(*workerPool).workerFunc")
}
