package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"strings"
	"time"

	"hearth/internal/testing/lab"
	"hearth/internal/testing/lambdatest"
	"hearth/internal/testing/odootest"
	"hearth/internal/testing/testnet"
	"hearth/internal/testing/weaviatetest"
)

// What a handler may take while an upstream is silent.
const (
	functionTimeout = 3 * time.Second // Lambda's default
	learnedAfter    = 2               // invocations that may take longer than mostSilent
	mostSilent      = 300.0           // ms per invocation
	mostUntilRight  = 2               // invocations until the answers are right after an upstream has come back
	silentChats     = 4

	shortInvocations = 12
)

// Between two invocations the sandbox runs on, but after the third of every ten it is frozen for longer than a second, and after the
// seventh for a moment.
const (
	longFreeze  = 1200 * time.Millisecond
	shortFreeze = 200 * time.Millisecond
)

// situation is what is wrong with the upstreams.
type situation struct {
	name           string
	weaviate, odoo silence
	route          string
	back           int // the invocation before which both begin to answer, while the sandbox is frozen; 0: never
}

func situations(invocations int) []situation {
	return []situation{
		{name: "Weaviate accepts", weaviate: mute, route: "chat"},
		{name: "Weaviate says SETTINGS", weaviate: settings, route: "chat"},
		{name: "Weaviate answers PINGs", weaviate: pings, route: "chat"},
		{name: "Odoo accepts", odoo: mute, route: lab.OdooRoute},
		{name: "both accept", weaviate: mute, odoo: mute, route: lab.OdooRoute},
		{name: "both come back", weaviate: mute, odoo: mute, route: lab.OdooRoute, back: invocations / 2},
		{name: "both answer", route: lab.OdooRoute},
	}
}

// silentRun runs the sample handlers with upstreams that never answer, in sandboxes that are reset after a timeout.
type silentRun struct {
	dir, root, hearth, bootstrap string
	invocations                  int
	only                         string
	lateness                     lab.Lateness
}

// outcome is what was measured of a handler in a situation.
type outcome struct {
	situation
	language  lab.Language
	took      lab.Samples // ms per invocation, without the machine's own delays
	timedOut  int
	resets    int
	saved     int
	wrong     int // answers that are not right although Weaviate answers
	untilGood int // invocations from the upstreams' return to the last answer that is not right
}

func runSilent(ctx context.Context, out io.Writer, dir string, o options) (err error) {
	if o.short {
		o.invocations = min(o.invocations, shortInvocations)
	}
	r := &silentRun{dir: dir, hearth: filepath.Join(dir, "hearth"), bootstrap: filepath.Join(dir, "bootstrap"), invocations: o.invocations, only: o.only}
	if r.root, err = lab.Root(ctx); err != nil {
		return err
	}
	if err := errors.Join(lab.Build(ctx, r.root, r.hearth), lab.BuildGoHandler(ctx, r.root, r.bootstrap)); err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	go r.lateness.Record(ctx)
	var outcomes []outcome
	for _, s := range situations(r.invocations) {
		for _, l := range []lab.Language{lab.Go, lab.Python} {
			if !strings.Contains(s.name+", "+string(l), r.only) {
				continue
			}
			got, err := r.measure(ctx, s, l, len(outcomes))
			outcomes = append(outcomes, got)
			if err != nil {
				return errors.Join(silentVerdict(out, outcomes), fmt.Errorf("%s, %s: %w", s.name, l, err))
			}
		}
	}
	return silentVerdict(out, outcomes)
}

// measure makes the invocations of one handler in one situation.
func (r *silentRun) measure(ctx context.Context, s situation, l lab.Language, n int) (got outcome, err error) {
	got = outcome{situation: s, language: l}
	u, err := startSilent(s) //nolint:contextcheck // their life ends with close
	if err != nil {
		return got, err
	}
	defer u.close()
	if err := lab.MakeClasses(ctx, r.hearth, u.direct); err != nil {
		return got, err
	}
	handler := lab.GoRuntime(r.bootstrap)
	if l == lab.Python {
		handler = lab.PythonRuntime(filepath.Join(r.root, "examples", "python"), filepath.Join(r.root, "client", "python"))
	}
	sandbox, err := lab.Start(ctx, lab.SandboxConfig{
		Host:      lambdatest.Config{MemoryMB: fullCPU, Timeout: functionTimeout, Reset: true},
		Extension: r.hearth, Settings: u.settings, Socket: filepath.Join(r.dir, fmt.Sprint(n)), Runtime: handler,
	})
	if err != nil {
		return got, err
	}
	defer func() {
		got.resets = sandbox.Host.Resets()
		_, closed := sandbox.Close(ctx)
		err = errors.Join(err, closed)
	}()
	turns := map[string]int{} // saved, by chat
	for i := range r.invocations {
		if err := r.turn(ctx, sandbox, &got, i, turns); err != nil {
			return got, fmt.Errorf("invocation %d: %w%s", i+1, err, sandbox.Logs())
		}
		frozen := map[int]time.Duration{2: longFreeze, 6: shortFreeze}[i%10]
		if i+1 == s.back {
			u.speak()
			frozen = longFreeze
		}
		if err := pause(ctx, sandbox.Host, frozen); err != nil {
			return got, err
		}
	}
	return got, nil
}

// turn makes an invocation, and notes how long it took and whether the answer is right.
func (r *silentRun) turn(ctx context.Context, sandbox *lab.Sandbox, got *outcome, i int, turns map[string]int) error {
	chat := lab.ChatID(i % silentChats)
	var reply lab.Reply
	began := time.Now()
	err := sandbox.Invoke(ctx, lab.Turn{ChatID: chat, Text: "Where is my parcel?", Route: got.route}, &reply)
	ended := time.Now()
	got.took = append(got.took, lab.MS(ended.Sub(began)-r.lateness.Within(began, ended)))
	switch {
	case errors.Is(err, lambdatest.ErrTimeout):
		got.timedOut++
	case err != nil:
		return err
	}
	right := reply.Saved && reply.History == min(2*turns[chat], 20)
	if reply.Saved {
		turns[chat]++
		got.saved++
	}
	switch {
	case right:
	case got.back > 0 && i >= got.back:
		got.untilGood = i + 1 - got.back
	case got.weaviate == speaks:
		got.wrong++
	}
	return nil
}

// pause is what happens to the sandbox between two invocations.
func pause(ctx context.Context, host *lambdatest.Host, frozen time.Duration) error {
	if err := host.WaitReady(ctx); err != nil || frozen == 0 {
		if errors.Is(err, lambdatest.ErrReset) { // nothing is left to freeze
			return nil
		}
		return err
	}
	if err := host.Freeze(); err != nil {
		return err
	}
	select {
	case <-time.After(frozen):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// silentUpstreams are stand-ins, each behind a mouth.
type silentUpstreams struct {
	servers          []*testnet.Server
	mouths           []*mouth
	settings, direct []string
}

func startSilent(s situation) (u *silentUpstreams, err error) {
	u = &silentUpstreams{}
	defer func() {
		if err != nil {
			u.close()
		}
	}()
	weaviate, err := testnet.Serve(weaviatetest.New(), testnet.Config{HTTP2: true})
	if err != nil {
		return u, err
	}
	u.servers = append(u.servers, weaviate)
	odoo, err := testnet.Serve(odootest.New(odootest.Config{DB: lab.OdooDB, Key: lab.OdooKey}), testnet.Config{})
	if err != nil {
		return u, err
	}
	u.servers = append(u.servers, odoo)
	for i, silence := range []silence{s.weaviate, s.odoo} {
		m, err := newMouth(u.servers[i].Addr, silence)
		if err != nil {
			return u, err
		}
		u.mouths = append(u.mouths, m)
	}
	u.direct = []string{"HEARTH_WEAVIATE_URL=" + weaviate.URL, "HEARTH_WEAVIATE_GRPC_URL=" + weaviate.URL}
	u.settings = []string{
		"HEARTH_WEAVIATE_URL=" + u.mouths[0].url(), "HEARTH_WEAVIATE_GRPC_URL=" + u.mouths[0].url(),
		"HEARTH_ODOO_URL=" + u.mouths[1].url(), "HEARTH_ODOO_DB=" + lab.OdooDB, "HEARTH_ODOO_KEY=" + lab.OdooKey,
	}
	return u, nil
}

// speak ends the silence for connections that are accepted from now on.
func (u *silentUpstreams) speak() {
	for _, m := range u.mouths {
		m.speaking.Store(true)
	}
}

func (u *silentUpstreams) close() {
	for _, m := range u.mouths {
		m.close()
	}
	for _, s := range u.servers {
		_ = s.Close()
	}
}

// silentVerdict prints the outcomes and judges them.
func silentVerdict(out io.Writer, outcomes []outcome) (err error) {
	w := lab.NewTable(out, "upstreams\thandler\tinvocations\ttimed out\tresets\t1st ms\t2nd ms\t3rd ms\tworst from 3rd ms\tsaved\twrong\tuntil right\t")
	for _, o := range outcomes {
		first := append(append(lab.Samples{}, o.took...), 0, 0, 0)
		rest := o.took[min(learnedAfter, len(o.took)):]
		var missed []string
		gate := func(ok bool, what string) {
			if !ok {
				missed = append(missed, what)
				err = errGate
			}
		}
		gate(o.timedOut == 0, "timed out")
		gate(len(rest) > 0 && rest.Max() <= mostSilent, "slow")
		gate(o.wrong == 0, "wrong")
		gate(o.untilGood <= mostUntilRight, "late to recover")
		w.Row("%s\t%s\t%d\t%d\t%d\t%.1f\t%.1f\t%.1f\t%.1f\t%d\t%d\t%d\t  %s", o.name, o.language, len(o.took), o.timedOut, o.resets,
			first[0], first[1], first[2], rest.Max(), o.saved, o.wrong, o.untilGood, strings.Join(missed, ", "))
	}
	return errors.Join(w.Flush(), err)
}
