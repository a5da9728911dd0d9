package monitor

import (
	"bufio"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"hearth/client/wire"
)

// scrape reads the metrics as Prometheus does: each series has one value, and a family stands in one place, after its type.
func scrape(t *testing.T, m *Monitor, pools wire.Pools) map[string]float64 {
	t.Helper()
	var text strings.Builder
	m.WritePrometheus(&text, wire.CacheStats{Resources: map[string]wire.CacheCounts{"history": {Hits: 1 << 60}}}, pools)
	all, types := map[string]float64{}, map[string]bool{}
	family := ""
	for lines := bufio.NewScanner(strings.NewReader(text.String())); lines.Scan(); {
		line := lines.Text()
		if name, ok := strings.CutPrefix(line, "# TYPE "); ok {
			family, _, _ = strings.Cut(name, " ")
			if types[family] {
				t.Errorf("%s has two types", family)
			}
			types[family] = true
		}
		if strings.HasPrefix(line, "#") {
			continue
		}
		at := strings.LastIndexByte(line, ' ')
		value, err := strconv.ParseFloat(line[at+1:], 64)
		if _, twice := all[line[:at]]; err != nil || twice || !strings.HasPrefix(line, family) {
			t.Errorf("%s of %s: %v", line, family, err)
		}
		all[line[:at]] = value
	}
	return all
}

// A counter that falls looks to Prometheus like a restart, and its rate leaps.
func TestNoCounterFallsWhenATryFails(t *testing.T) {
	m := New(Config{})
	var before map[string]float64
	for _, n := range []wire.PoolStats{
		{Requests: 1},
		{Requests: 2, RoundTrip: wire.Quantiles{Count: 1}},
		{Requests: 2, RoundTrip: wire.Quantiles{Count: 1}, Failures: 1},
		{Requests: 2, RoundTrip: wire.Quantiles{Count: 1}, Failures: 1, DialErrors: 1},
	} {
		now := scrape(t, m, wire.Pools{"weaviate": {PoolStats: n}})
		for series, value := range before {
			if value > now[series] {
				t.Errorf("%s falls from %v to %v", series, value, now[series])
			}
		}
		before = now
	}
	for outcome, want := range map[string]float64{"answered": 1, "failed": 1, "refused": 0, "rejected": 0, "unconnected": 1} {
		if got := before[`hearth_upstream_requests_total{upstream="weaviate",outcome="`+outcome+`"}`]; got != want {
			t.Errorf("%s is %v, want %v", outcome, got, want)
		}
	}
	if got := before[`hearth_cache_requests_total{resource="history",outcome="hit"}`]; got != 1<<60 {
		t.Errorf("a large count is %v", got)
	}
}

func TestMetricsAreReadWhileRequestsAreCounted(t *testing.T) {
	const each, workers = 500, 4
	m := New(Config{})
	route := m.NewRoute("GET /a", "hearth.a")
	var load sync.WaitGroup
	for worker := range workers {
		load.Go(func() {
			now := time.Now()
			for i := range each {
				m.Done(Call{Route: route, Began: now, Ended: now.Add(time.Duration(i) * time.Millisecond), Status: 200 + worker%2*300})
			}
		})
	}
	done := make(chan struct{})
	go func() { load.Wait(); close(done) }()
	var before map[string]float64
	for ended := false; !ended; {
		select {
		case <-done:
			ended = true
		default:
		}
		now := scrape(t, m, nil)
		for series, value := range before {
			if value > now[series] {
				t.Errorf("%s falls from %v to %v", series, value, now[series])
			}
		}
		before = now
	}
	for series, want := range map[string]float64{
		`hearth_requests_total{route="GET /a",status="200"}`: each * workers / 2, `hearth_requests_total{route="GET /a",status="500"}`: each * workers / 2,
		`hearth_request_duration_seconds_count{route="GET /a"}`: each * workers, `hearth_request_duration_seconds_bucket{route="GET /a",le="+Inf"}`: each * workers,
	} {
		if before[series] != want {
			t.Errorf("%s is %v, want %v", series, before[series], want)
		}
	}
}
