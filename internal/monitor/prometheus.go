package monitor

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/VictoriaMetrics/metrics"

	"hearth/client/wire"
)

// Route is a call of the API, with its counters.
type Route struct {
	monitor   *Monitor
	name      string                   // the method and the path's pattern
	operation string                   // such as hearth.history; empty: the call is none of an invocation's
	statuses  atomic.Pointer[counters] // nil: no answer yet
	durations atomic.Pointer[metrics.PrometheusHistogram]
}

// counters are those of each status.
type counters [600]atomic.Pointer[metrics.Counter]

// NewRoute makes a route. Each has a name of its own.
func (m *Monitor) NewRoute(name, operation string) *Route {
	return &Route{monitor: m, name: name, operation: operation}
}

// count counts an answer. A series begins with its first answer.
func (r *Route) count(status int, took time.Duration) {
	all := r.statuses.Load()
	if all == nil {
		r.statuses.CompareAndSwap(nil, &counters{})
		all = r.statuses.Load()
	}
	status = min(max(0, status), len(all)-1)
	n := all[status].Load()
	if n == nil {
		n = r.monitor.requests.GetOrCreateCounter(series("hearth_requests_total", "route", r.name, "status", strconv.Itoa(status)))
		all[status].Store(n)
	}
	n.Inc()
	d := r.durations.Load()
	if d == nil {
		seconds := []float64{.0001, .00025, .0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30}
		d = r.monitor.durations.GetOrCreatePrometheusHistogramExt(series("hearth_request_duration_seconds", "route", r.name), seconds)
		r.durations.Store(d)
	}
	d.Update(took.Seconds())
}

// WritePrometheus writes all metrics in Prometheus's text format. What the cache and the pools count themselves is read now.
func (m *Monitor) WritePrometheus(w io.Writer, cache wire.CacheStats, pools wire.Pools) {
	family(w, "hearth_requests_total", "counter", "Requests answered.")
	m.requests.WritePrometheus(w)
	family(w, "hearth_request_duration_seconds", "histogram", "From a request's first byte until its reply is ready.")
	m.durations.WritePrometheus(w)

	family(w, "hearth_cache_requests_total", "counter", "Reads of the cache.")
	for _, name := range slices.Sorted(maps.Keys(cache.Resources)) {
		n := cache.Resources[name]
		write(w, "hearth_cache_requests_total", n.Hits, "resource", name, "outcome", "hit")
		write(w, "hearth_cache_requests_total", n.Misses, "resource", name, "outcome", "miss")
		write(w, "hearth_cache_requests_total", n.Stale, "resource", name, "outcome", "stale")
	}
	family(w, "hearth_cache_bytes", "gauge", "Bytes that the cache holds.")
	write(w, "hearth_cache_bytes", cache.Bytes)

	upstreams := slices.Sorted(maps.Keys(pools))
	family(w, "hearth_upstream_requests_total", "counter", "Tries that were answered, failed, were refused by the breaker or rejected by a full queue, and connections that could not be opened.")
	for _, name := range upstreams {
		n := pools[name]
		write(w, "hearth_upstream_requests_total", n.RoundTrip.Count, "upstream", name, "outcome", "answered") // Requests-Failures would fall when a try fails
		write(w, "hearth_upstream_requests_total", n.Failures, "upstream", name, "outcome", "failed")
		write(w, "hearth_upstream_requests_total", n.Breaker.Refused, "upstream", name, "outcome", "refused")
		write(w, "hearth_upstream_requests_total", n.Rejected, "upstream", name, "outcome", "rejected")
		write(w, "hearth_upstream_requests_total", n.DialErrors, "upstream", name, "outcome", "unconnected")
	}
	family(w, "hearth_upstream_connections", "gauge", "Open connections.")
	for _, name := range upstreams {
		n := pools[name]
		write(w, "hearth_upstream_connections", int64(n.Idle), "upstream", name, "state", "idle")
		write(w, "hearth_upstream_connections", int64(n.Open-n.Idle), "upstream", name, "state", "in_use")
	}
	family(w, "hearth_breaker_state", "gauge", "0: closed, 1: half-open, 2: open.")
	for _, name := range upstreams {
		state := map[wire.BreakerState]int64{wire.BreakerHalfOpen: 1, wire.BreakerOpen: 2}[pools[name].Breaker.State]
		write(w, "hearth_breaker_state", state, "upstream", name)
	}
}

func family(w io.Writer, name, kind, help string) {
	fmt.Fprintf(w, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, kind)
}

func write(w io.Writer, name string, value int64, labels ...string) {
	metrics.WriteGaugeUint64(w, series(name, labels...), uint64(max(0, value))) //nolint:gosec // it is not negative
}

// series is a metric's name with its labels, each a name and a value.
func series(name string, labels ...string) string {
	b := []byte(name)
	for i := 0; i < len(labels); i += 2 {
		b = append(b, "{,"[min(i, 1)])
		b = strconv.AppendQuote(append(append(b, labels[i]...), '='), labels[i+1])
	}
	if len(labels) > 0 {
		b = append(b, '}')
	}
	return string(b)
}
