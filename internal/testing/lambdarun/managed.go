package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime/debug"
	"sync"
	"syscall"
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
	managedRounds = 20
	harnessGC     = 400 // percent: a collection of this process would be measured as Hearth's time
	mostTrips     = 1.3 // round trips of a cold preprocess without Odoo, without the upstream's own time, the median
)

// crowd is so many invocations at once. Each handler begins its next one when its last one has ended; or, with burst, when those of all
// have ended.
type crowd struct {
	atOnce int
	burst  bool
	odoo   bool
}

// crowds returns what is measured. A burst has no limit: the processors that everything shares here are busy for most of it.
func crowds() (all []crowd) {
	for _, odoo := range []bool{false, true} {
		for _, burst := range []bool{false, true} {
			all = append(all, crowd{32, burst, odoo}, crowd{64, burst, odoo})
		}
	}
	return all
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
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer debug.SetGCPercent(debug.SetGCPercent(harnessGC))
	lateness := &lab.Lateness{}
	go lateness.Record(ctx)
	w := lab.NewTable(out, "at once\tburst\tOdoo\tround trip ms\tpreprocess p50 ms\tp99 ms\tserver p50 ms\tround trips\tmachine late p50 ms\tCPU ms per preprocess: Hearth\tall else\tfailed\twaits for a slot\tWeaviate's dials, warm\tmeasured\tOdoo's dials, warm\tmeasured\t")
	var missed error
	for i, c := range crowds() {
		m := &managed{crowd: c, lateness: lateness, server: serverTimes{last: map[string]time.Duration{}}}
		word, err := m.measure(ctx, w, hearth, filepath.Join(dir, fmt.Sprint(i)))
		if err != nil {
			return fmt.Errorf("%d at once: %w", c.atOnce, err)
		}
		if word != "" {
			missed = errGate
		}
	}
	return errors.Join(w.Flush(), missed)
}

// measure prints a row, and returns the limit that is missed, if one is. From the time of a preprocess only the upstream's own time is
// subtracted, which it took for its last answer about the chat. The CPU time of Hearth, the double of Lambda, the proxies and the handlers
// counts, and so does their wait for a processor. The row also says how late the machine was.
func (m *managed) measure(ctx context.Context, w lab.Table, hearth, socket string) (missed string, err error) {
	defer func() { err = errors.Join(err, m.close(ctx)) }()
	if err := m.start(ctx, hearth, socket); err != nil {
		return "", err
	}
	m.invoke(ctx, warmRounds)
	before, err := m.pools(ctx)
	if err != nil {
		return "", err
	}
	cpu, err := m.cpu()
	if err != nil {
		return "", err
	}
	m.forget()
	m.invoke(ctx, managedRounds)
	used, err := m.cpu()
	if err != nil {
		return "", err
	}
	after, err := m.pools(ctx)
	if err != nil {
		return "", err
	}
	trips := m.distant.Median() / m.trip
	if !m.odoo && !m.burst && !(trips <= mostTrips) {
		missed = fmt.Sprintf("MISSED: at most %.1f", mostTrips)
	}
	measured := func(of func(wire.UpstreamStats) int64, upstream string) int64 {
		return of(after[upstream]) - of(before[upstream])
	}
	each := float64(len(m.took) + m.failed)
	w.Row("%d\t%v\t%v\t%.1f\t%.1f\t%.1f\t%.2f\t%.2f\t%.1f\t%.2f\t%.2f\t%d\t%d\t%d\t%d\t%d\t%d\t  %s", m.atOnce, m.burst, m.odoo, m.trip, m.took.Median(), m.took.Percentile(0.99),
		m.served.Median(), trips, m.late.Median(), lab.MS(used.hearth-cpu.hearth)/each, lab.MS(used.rest-cpu.rest)/each, m.failed,
		measured(waits, "weaviate"), dials(before["weaviate"]), measured(dials, "weaviate"), dials(before["odoo"]), measured(dials, "odoo"), missed)
	return missed, nil
}

func waits(s wire.UpstreamStats) int64 { return s.Waits }
func dials(s wire.UpstreamStats) int64 { return s.Dials }

// managed is a function whose handler measures, with its upstreams.
type managed struct {
	crowd
	lateness  *lab.Lateness
	server    serverTimes
	upstreams *lab.Upstreams
	sandbox   *lab.Sandbox
	trip      float64 // ms: a round trip to the upstreams, the median
	chats     int     // asked for so far

	mu                          sync.Mutex
	took, served, distant, late lab.Samples // guarded by mu, ms per preprocess: in all; of that the upstream's time; the rest; and how late the machine was
	failed                      int         // guarded by mu
}

// start starts the instance and its upstreams.
func (m *managed) start(ctx context.Context, hearth, socket string) (err error) {
	dir := socket + ".d"
	if err = os.Mkdir(dir, 0o700); err != nil {
		return err
	}
	if m.upstreams, err = lab.StartUpstreams(dir, lab.UpstreamsConfig{RTT: managedRTT, Wrap: m.server.of}); err != nil { //nolint:contextcheck // their life ends with close
		return err
	}
	settings := m.upstreams.Settings()
	if err = lab.MakeClasses(ctx, hearth, settings); err != nil {
		return err
	}
	m.sandbox, err = lab.Start(ctx, lab.SandboxConfig{
		Host:      lambdatest.Config{Init: lambdatest.ManagedInstances, Concurrency: m.atOnce, MemoryMB: managedMB, Answer: m.handle},
		Extension: hearth, Settings: settings, Socket: socket,
	})
	if err != nil {
		m.sandbox = nil // Start has closed it
		return err
	}
	var trips lab.Samples
	for range 5 {
		trip, err := m.upstreams.RoundTrip(ctx)
		if err != nil {
			return err
		}
		trips = append(trips, lab.MS(trip))
	}
	m.trip = trips.Median()
	return nil
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
	m.took, m.served, m.distant, m.late, m.failed = nil, nil, nil, nil, 0
}

// chatPrefix and chatBytes are how [serverTimes] finds the chat in a request.
const (
	chatPrefix = "managed/"
	chatBytes  = len(chatPrefix) + 6
)

func chatID(n int) string { return fmt.Sprintf("%s%06d", chatPrefix, n) }

// invoke makes so many invocations of each handler, each for a chat of its own that nobody has asked for.
func (m *managed) invoke(ctx context.Context, each int) {
	if m.burst {
		for range each {
			m.together(ctx, 1)
		}
		return
	}
	m.together(ctx, each)
}

// together has each handler make so many invocations, one after another.
func (m *managed) together(ctx context.Context, each int) {
	var all sync.WaitGroup
	for range m.atOnce {
		first := m.chats + 1
		m.chats += each
		all.Go(func() {
			for i := range each {
				if _, err := m.sandbox.Host.Invoke(ctx, []byte(chatID(first+i))); err != nil {
					m.mu.Lock()
					m.failed++
					m.mu.Unlock()
				}
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
	ended := time.Now()
	if err == nil && len(reply.Errors) > 0 {
		err = fmt.Errorf("%v", reply.Errors)
	}
	if err != nil {
		return nil, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	took, served := ended.Sub(began), m.server.ofChat(string(chat))
	m.took, m.served = append(m.took, lab.MS(took)), append(m.served, lab.MS(served))
	m.distant, m.late = append(m.distant, lab.MS(took-served)), append(m.late, lab.MS(m.lateness.Within(began, ended)))
	return chat, nil
}

func (m *managed) pools(ctx context.Context) (pools wire.Pools, err error) {
	raw, err := m.sandbox.Hearth.DebugPools(ctx)
	if err == nil {
		err = json.Unmarshal(raw, &pools)
	}
	return pools, err
}

// processors is the CPU time that was used so far.
type processors struct {
	hearth time.Duration
	rest   time.Duration // by this process: the upstreams, the wire to them, the double of Lambda and the handlers
}

func (m *managed) cpu() (p processors, err error) {
	usage, err := m.sandbox.Extension.Usage()
	if err != nil {
		return p, err
	}
	var own syscall.Rusage
	err = syscall.Getrusage(syscall.RUSAGE_SELF, &own)
	return processors{hearth: usage.CPU, rest: time.Duration(own.Utime.Nano() + own.Stime.Nano())}, err
}
