package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sync"
	"time"

	"hearth/client"
	"hearth/client/wire"
	"hearth/internal/testing/lab"
	"hearth/internal/testing/lambdatest"
)

// What is asked of an instance that serves many invocations at once.
const (
	managedRTT    = 60 * time.Millisecond
	nearRTT       = time.Microsecond // the same proxies, and no distance
	managedMB     = 2 * fullCPU
	warmRounds    = 10
	managedRounds = 10
	mostTrips     = 1.3 // round trips of a cold preprocess without Odoo, the median
)

// crowd is so many invocations at once.
type crowd struct {
	atOnce int
	odoo   bool
}

func crowds() []crowd { return []crowd{{32, false}, {64, false}, {32, true}, {64, true}} }

// runManaged makes cold preprocesses on Managed Instances, as many at once as there are handlers, with no setting that says how many.
func runManaged(ctx context.Context, out io.Writer, dir string) error {
	root, err := lab.Root(ctx)
	if err != nil {
		return err
	}
	hearth := filepath.Join(dir, "hearth")
	if err := lab.Build(ctx, root, hearth); err != nil {
		return err
	}
	w := lab.NewTable(out, "at once\tOdoo\tround trip ms\tpreprocess p50 ms\tp99 ms\tp50 without distance ms\tround trips\tfailed\twaits for a slot\tWeaviate's dials, warm\tmeasured\tOdoo's dials, warm\tmeasured\t")
	var missed error
	for i, c := range crowds() {
		word, err := measureCrowd(ctx, w, c, hearth, filepath.Join(dir, fmt.Sprint(i)))
		if err != nil {
			return fmt.Errorf("%d at once: %w", c.atOnce, err)
		}
		if word != "" {
			missed = errGate
		}
	}
	return errors.Join(w.Flush(), missed)
}

// measureCrowd prints a row, and returns what of it is missed. So many calls at once keep the processors busy: the same calls are made in
// turn of an instance whose upstreams are near, and what they take is not the distance's.
func measureCrowd(ctx context.Context, w lab.Table, c crowd, hearth, socket string) (missed string, err error) {
	far, err := newManaged(ctx, c, managedRTT, hearth, socket+"far")
	if err != nil {
		return "", err
	}
	defer func() { err = errors.Join(err, far.close(ctx)) }()
	near, err := newManaged(ctx, c, nearRTT, hearth, socket+"near")
	if err != nil {
		return "", err
	}
	defer func() { err = errors.Join(err, near.close(ctx)) }()
	for range warmRounds {
		far.round(ctx)
		near.round(ctx)
	}
	before, err := far.pools(ctx)
	if err != nil {
		return "", err
	}
	far.forget()
	near.forget()
	for range managedRounds {
		far.round(ctx)
		near.round(ctx)
	}
	after, err := far.pools(ctx)
	if err != nil {
		return "", err
	}
	trips := (far.took.Median() - near.took.Median()) / (far.trip - near.trip)
	if !c.odoo && !(trips <= mostTrips) {
		missed = fmt.Sprintf("MISSED: at most %.1f", mostTrips)
	}
	measured := func(of func(wire.UpstreamStats) int64, upstream string) int64 {
		return of(after[upstream]) - of(before[upstream])
	}
	w.Row("%d\t%v\t%.1f\t%.1f\t%.1f\t%.1f\t%.2f\t%d\t%d\t%d\t%d\t%d\t%d\t  %s", c.atOnce, c.odoo, far.trip, far.took.Median(), far.took.Percentile(0.99),
		near.took.Median(), trips, far.failed+near.failed, measured(waits, "weaviate"), dials(before["weaviate"]), measured(dials, "weaviate"),
		dials(before["odoo"]), measured(dials, "odoo"), missed)
	return missed, nil
}

func waits(s wire.UpstreamStats) int64 { return s.Waits }
func dials(s wire.UpstreamStats) int64 { return s.Dials }

// managed is a function whose handler measures, with its upstreams.
type managed struct {
	crowd
	upstreams *lab.Upstreams
	sandbox   *lab.Sandbox
	trip      float64 // ms: a round trip to the upstreams, the median
	chats     int     // asked for so far

	mu     sync.Mutex
	took   lab.Samples // guarded by mu, ms per preprocess
	failed int         // guarded by mu
}

// newManaged starts an instance and its upstreams. Close it.
func newManaged(ctx context.Context, c crowd, rtt time.Duration, hearth, socket string) (m *managed, err error) {
	m = &managed{crowd: c}
	defer func() {
		if err != nil {
			err = errors.Join(err, m.close(ctx))
		}
	}()
	dir := socket + ".d"
	if err = os.Mkdir(dir, 0o700); err != nil {
		return m, err
	}
	if m.upstreams, err = lab.StartUpstreams(dir, lab.UpstreamsConfig{RTT: rtt}); err != nil { //nolint:contextcheck // their life ends with close
		return m, err
	}
	settings := m.upstreams.Settings()
	if err = lab.MakeClasses(ctx, hearth, settings); err != nil {
		return m, err
	}
	m.sandbox, err = lab.Start(ctx, lab.SandboxConfig{
		Host:      lambdatest.Config{Init: lambdatest.ManagedInstances, Concurrency: c.atOnce, MemoryMB: managedMB, Answer: m.handle},
		Extension: hearth, Settings: settings, Socket: socket,
	})
	if err != nil {
		m.sandbox = nil // Start has closed it
		return m, err
	}
	var trips lab.Samples
	for range 5 {
		trip, err := m.upstreams.RoundTrip(ctx)
		if err != nil {
			return m, err
		}
		trips = append(trips, lab.MS(trip))
	}
	m.trip = trips.Median()
	return m, nil
}

func (m *managed) close(ctx context.Context) (err error) {
	if m.sandbox != nil {
		_, err = m.sandbox.Close(ctx)
	}
	if m.upstreams != nil {
		err = errors.Join(err, m.upstreams.Close())
	}
	return err
}

// forget forgets what was measured.
func (m *managed) forget() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.took, m.failed = nil, 0
}

// round makes as many invocations at once as there may be, each for a chat of its own that nobody has asked for.
func (m *managed) round(ctx context.Context) {
	var all sync.WaitGroup
	for range m.atOnce {
		m.chats++
		chat := []byte(lab.ChatID(m.chats))
		all.Go(func() {
			if _, err := m.sandbox.Host.Invoke(ctx, chat); err != nil {
				m.mu.Lock()
				defer m.mu.Unlock()
				m.failed++
			}
		})
	}
	all.Wait()
}

func (m *managed) handle(ctx context.Context, chat []byte) ([]byte, error) {
	route := "chat"
	if m.odoo {
		route = lab.OdooRoute
	}
	began := time.Now()
	reply, err := m.sandbox.Hearth.Preprocess(ctx, client.PreprocessRequest{
		ChatID: string(chat), Text: "Where is my parcel?", RouteName: route, EnableOdoo: m.odoo, NumMessages: 10,
	})
	took := lab.MS(time.Since(began))
	if err == nil && len(reply.Errors) > 0 {
		err = fmt.Errorf("%v", reply.Errors)
	}
	if err != nil {
		return nil, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.took = append(m.took, took)
	return chat, nil
}

func (m *managed) pools(ctx context.Context) (pools wire.Pools, err error) {
	raw, err := m.sandbox.Hearth.DebugPools(ctx)
	if err == nil {
		err = json.Unmarshal(raw, &pools)
	}
	return pools, err
}
