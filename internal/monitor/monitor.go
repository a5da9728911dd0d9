// Package monitor remembers what happened in the last invocations, and counts requests.
//
// Start at [Monitor.Done], which the API calls at the end of each request. invocation.go says which invocation a call belongs to and when an
// invocation is over, snapshot.go shows the last ones, emf.go makes the document of metrics that CloudWatch reads, and prometheus.go counts for Prometheus.
// The package does no I/O: documents go to [Config.Out], which must not block.
package monitor

import (
	"bytes"
	"io"
	"slices"
	"sync"
	"time"

	"github.com/VictoriaMetrics/metrics"

	"hearth/client/wire"
	"hearth/internal/clock"
)

// Bounds of what is remembered.
const (
	maxClosed     = 200     // invocations that are over
	maxOpen       = 1024    // invocations that are not over
	maxOperations = 100     // of one invocation
	maxHandlers   = 1 << 20 // bytes of the handlers' measurements, of all invocations that are over
	maxIDs        = 1024    // ids of requests whose timings have come
	maxTrace      = 512     // bytes of an X-Amzn-Trace-Id
	maxRoot       = 128     // bytes of an invocation's id
)

// Config of a monitor.
type Config struct {
	FunctionName string // the dimension of the metrics; empty: no documents are written
	Out          Output // takes the documents; nil discards them
	// Concurrent says that the sandbox runs several invocations at once. Then the first call of one does not end another.
	Concurrent bool
}

// Output takes one line at a time. Write must not block. Flush waits for a short time until the lines have been written.
type Output interface {
	io.Writer
	Flush()
}

type discard struct{}

func (discard) Write(line []byte) (int, error) { return len(line), nil }
func (discard) Flush()                         {}

// Monitor is safe for concurrent use.
type Monitor struct {
	cfg                 Config
	requests, durations *metrics.Set
	unknown             *Route

	mu       sync.Mutex
	begun    int                    // guarded by mu, as all that follows: invocations so far
	open     map[string]*invocation // by id
	openList []*invocation          // the same, the oldest first
	recent   *invocation            // the open one of the last call; nil: it is over
	closed   []*invocation          // the oldest first; they do not change any more
	handlers int                    // bytes of their measurements
	last     clock.Reading          // the latest of a call
	pools    Pools                  // what was counted last
	ids      map[string]bool        // of requests whose timings have come
	idList   []string               // the oldest first
}

// New makes a monitor.
func New(cfg Config) *Monitor {
	if cfg.Out == nil {
		cfg.Out = discard{}
	}
	m := &Monitor{
		cfg: cfg, requests: metrics.NewSet(), durations: metrics.NewSet(), open: map[string]*invocation{}, ids: map[string]bool{},
	}
	m.unknown = m.NewRoute("unknown", "")
	return m
}

// Call is a request that was answered.
type Call struct {
	Route        *Route        // nil: the request asked for no call of the API, or was refused before that was known
	Trace        []byte        // its X-Amzn-Trace-Id; nil: it had none
	Began, Ended time.Time     // Ended: the reply was ready
	Clock        clock.Reading // when it came
	Status       int
	Verdicts     Verdicts
	Hits         int64 // reads of the cache, as the cache counts them
	Misses       int64
	Stale        int64
	Pools        *Pools // what all pools have done so far; nil: the call has waited for nothing
}

func (c *Call) took() time.Duration { return c.Ended.Sub(c.Began) }

// Pools are counters of all pools together.
type Pools struct {
	Dials, Reused, Retries int64
	BreakerOpen            int64 // requests that were not sent because a breaker was open
	QueueWait              time.Duration
}

// moveTo sets p to a later count, and returns the difference. Two calls may have counted in another order than they come here.
func (p *Pools) moveTo(now Pools) (since Pools) {
	move := func(last *int64, now int64) int64 {
		d := max(0, now-*last)
		*last += d
		return d
	}
	since.Dials = move(&p.Dials, now.Dials)
	since.Reused = move(&p.Reused, now.Reused)
	since.Retries = move(&p.Retries, now.Retries)
	since.BreakerOpen = move(&p.BreakerOpen, now.BreakerOpen)
	since.QueueWait = time.Duration(move((*int64)(&p.QueueWait), int64(now.QueueWait)))
	return since
}

func (p *Pools) add(q Pools) {
	p.Dials += q.Dials
	p.Reused += q.Reused
	p.Retries += q.Retries
	p.BreakerOpen += q.BreakerOpen
	p.QueueWait += q.QueueWait
}

// Done records a request that was answered. It allocates only if the request is the first of its kind or of its invocation.
func (m *Monitor) Done(c Call) {
	if c.Route == nil {
		c.Route = m.unknown
	}
	c.Route.count(c.Status, c.took())
	if c.Route.operation == "" {
		return
	}
	m.mu.Lock()
	inv, over := m.findLocked(&c)
	inv.add(&c)
	m.mu.Unlock()
	m.write(over)
}

// Timings records what a handler has measured, and ends its invocation. It returns when the invocation's document has been written, or after the
// bounded time of Output.Flush. Timings whose request id has come before count nothing.
func (m *Monitor) Timings(c Call, t wire.Timings) {
	m.mu.Lock()
	if !m.firstLocked(t.RequestID) {
		m.mu.Unlock()
		return
	}
	inv, over := m.findLocked(&c)
	inv.requestID, inv.functionMS, inv.timings = t.RequestID, t.FunctionMS, t.Timings
	m.closeLocked(inv, false)
	m.mu.Unlock()
	if m.write(append(over, inv)); m.cfg.FunctionName != "" {
		m.cfg.Out.Flush()
	}
}

// firstLocked remembers an id, and says whether it is new. An empty one always is.
func (m *Monitor) firstLocked(id string) bool {
	if id == "" {
		return true
	}
	if m.ids[id] {
		return false
	}
	m.ids[id] = true
	if m.idList = append(m.idList, id); len(m.idList) > maxIDs {
		delete(m.ids, m.idList[0])
		m.idList = slices.Delete(m.idList, 0, 1)
	}
	return true
}

// Close ends all invocations. Their documents are written late.
func (m *Monitor) Close() {
	m.mu.Lock()
	over := slices.Clone(m.openList)
	for _, inv := range over {
		m.closeLocked(inv, true)
	}
	m.mu.Unlock()
	m.write(over)
}

func (m *Monitor) write(over []*invocation) {
	if m.cfg.FunctionName == "" {
		return
	}
	for _, inv := range over {
		_, _ = m.cfg.Out.Write(inv.document(m.cfg.FunctionName)) // a log that cannot be written cannot tell so
	}
}

// rootOf is the Root of an X-Amzn-Trace-Id: Root=1-5759e988-bd862e3fe1be46a994272793;Parent=…;Sampled=1. It is empty if there is none, or none
// that an id can be.
func rootOf(trace []byte) []byte {
	if len(trace) > maxTrace {
		return nil
	}
	for len(trace) > 0 {
		var field []byte
		field, trace, _ = bytes.Cut(trace, []byte(";"))
		root, ok := bytes.CutPrefix(bytes.TrimSpace(field), []byte("Root="))
		if !ok {
			continue
		}
		if len(root) > maxRoot || slices.ContainsFunc(root, func(b byte) bool { return b <= ' ' || b > '~' }) {
			return nil
		}
		return root
	}
	return nil
}
