package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
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
	managedMB     = 2 * fullCPU
	warmRounds    = 10
	managedRounds = 10
	mostTrips     = 1.3 // round trips of a cold preprocess without Odoo, the median, beyond the upstream's own time
)

// crowd is so many invocations at once.
type crowd struct {
	atOnce int
	odoo   bool
}

func crowds() []crowd { return []crowd{{32, false}, {64, false}, {32, true}, {64, true}} }

// serviceTimes are how long the upstreams took for each request.
type serviceTimes struct {
	mu   sync.Mutex
	took lab.Samples // guarded by mu, ms
}

// of wraps h and measures its requests.
func (s *serviceTimes) of(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		began := time.Now()
		defer func() {
			s.mu.Lock()
			defer s.mu.Unlock()
			s.took = append(s.took, lab.MS(time.Since(began)))
		}()
		h.ServeHTTP(w, r)
	})
}

// take returns what was measured since the last call.
func (s *serviceTimes) take() lab.Samples {
	s.mu.Lock()
	defer s.mu.Unlock()
	defer func() { s.took = nil }()
	return s.took
}

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
	w := lab.NewTable(out, "at once\tOdoo\tround trip ms\tserver p50 ms\tpreprocess p50 ms\tp99 ms\tround trips beyond the server\tfailed\tWeaviate's dials, warm\tmeasured\tOdoo's dials, warm\tmeasured\t")
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

// measureCrowd prints a row, and returns what of it is missed.
func measureCrowd(ctx context.Context, w lab.Table, c crowd, hearth, socket string) (missed string, err error) {
	var server serviceTimes
	u, err := lab.StartUpstreams(filepath.Dir(socket), lab.UpstreamsConfig{RTT: managedRTT, Wrap: server.of}) //nolint:contextcheck // their life ends with Close
	if err != nil {
		return "", err
	}
	defer func() { err = errors.Join(err, u.Close()) }()
	if err := lab.MakeClasses(ctx, hearth, u.Settings()); err != nil {
		return "", err
	}
	m := &managed{crowd: c}
	m.sandbox, err = lab.Start(ctx, lab.SandboxConfig{
		Host:      lambdatest.Config{Init: lambdatest.ManagedInstances, Concurrency: c.atOnce, MemoryMB: managedMB, Answer: m.handle},
		Extension: hearth, Settings: u.Settings(), Socket: socket,
	})
	if err != nil {
		return "", err
	}
	defer func() {
		_, closed := m.sandbox.Close(ctx)
		err = errors.Join(err, closed)
	}()
	var trips lab.Samples
	for range 5 {
		trip, err := u.RoundTrip(ctx)
		if err != nil {
			return "", err
		}
		trips = append(trips, lab.MS(trip))
	}
	for range warmRounds {
		m.round(ctx)
	}
	before, err := m.pools(ctx)
	if err != nil {
		return "", err
	}
	m.took, m.failed = nil, 0
	server.take()
	for range managedRounds {
		m.round(ctx)
	}
	after, err := m.pools(ctx)
	if err != nil {
		return "", err
	}
	served := server.take().Median()
	beyond := (m.took.Median() - served) / trips.Median()
	if !c.odoo && !(beyond <= mostTrips) {
		missed = fmt.Sprintf("MISSED: at most %.1f", mostTrips)
	}
	w.Row("%d\t%v\t%.1f\t%.1f\t%.1f\t%.1f\t%.2f\t%d\t%d\t%d\t%d\t%d\t  %s", c.atOnce, c.odoo, trips.Median(), served, m.took.Median(), m.took.Percentile(0.99),
		beyond, m.failed, dials(before["weaviate"]), dials(after["weaviate"])-dials(before["weaviate"]),
		dials(before["odoo"]), dials(after["odoo"])-dials(before["odoo"]), missed)
	return missed, nil
}

func dials(s wire.UpstreamStats) int64 { return s.Dials }

// managed is a function whose handler measures.
type managed struct {
	crowd
	sandbox *lab.Sandbox
	chats   int // asked for so far

	mu     sync.Mutex
	took   lab.Samples // guarded by mu, ms per preprocess
	failed int         // guarded by mu
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
