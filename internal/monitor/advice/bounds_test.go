package advice_test

import (
	"strings"
	"testing"
	"time"

	"hearth/cache"
	"hearth/client/wire"
	"hearth/internal/executor"
	"hearth/internal/monitor/advice"
	"hearth/pool"
)

// Each of these cases is exactly at a bound of its rule.
func TestEachBoundBelongsToItsRule(t *testing.T) {
	counts := func(waits executor.WaitCounts) change { return func(m *advice.Measured) { m.Workers = waits } }
	lapsedFor := func(fresh time.Duration, misses int64, l cache.Lapsed) change {
		return func(m *advice.Measured) {
			m.Policies[cache.History] = cache.Policy{Fresh: fresh}
			m.Cache.Resources["history"] = wire.CacheCounts{Hits: 100 - misses, Misses: misses}
			m.Lapsed[cache.History] = l
		}
	}
	broken := func(requests, replays int64) change {
		return func(m *advice.Measured) {
			with(m, "weaviate", func(p *wire.PoolStats) { p.Requests, p.Replays = requests, replays })
		}
	}
	for name, c := range map[string]struct {
		change
		rule, suggestion string
	}{
		"retries of 50 requests": {func(m *advice.Measured) { with(m, "odoo", func(p *wire.PoolStats) { p.Requests, p.Retries = 50, 5 }) }, "odoo-retries", ""},
		"waits of a hundredth": {func(m *advice.Measured) {
			with(m, "weaviate", func(p *wire.PoolStats) { p.Requests = 300 })
			m.Crowds["weaviate"] = pool.Crowd{Waits: 3, Waited: time.Second, Most: 6}
		}, "weaviate-ceiling", "6"},
		"batches that wait for a ms":       {counts(executor.WaitCounts{Runs: 20, Crowded: 5, Most: 6, Waited: 5 * time.Millisecond}), "workers", "6"},
		"batches as large as the workers":  {counts(executor.WaitCounts{Runs: 20, Crowded: 5, Most: 5, Waited: time.Second}), "", ""},
		"half of what has lapsed":          {lapsedFor(2*time.Second, 20, cache.Lapsed{10, 10}), "ttl-history", "4s"},
		"half of it older":                 {lapsedFor(2*time.Second, 20, cache.Lapsed{5, 5, 10}), "ttl-history", "8s"},
		"the longest freshness to suggest": {lapsedFor(365*24*time.Hour/8, 20, cache.Lapsed{20}), "ttl-history", "2190h"},
		"a longer freshness":               {lapsedFor(365*24*time.Hour/8+1, 20, cache.Lapsed{20}), "", ""},
		"no freshness":                     {lapsedFor(0, 100, cache.Lapsed{0, 0, 100}), "", ""},
		"5 of 50 histories": {func(m *advice.Measured) {
			m.Cache.Resources["history"] = wire.CacheCounts{Misses: 50}
			m.ShortReads, m.MostWanted = 5, 51
		}, "history-window", "51"},
		"20 evictions beside 200 misses": {func(m *advice.Measured) { m.Cache.Hits, m.Cache.Misses, m.Cache.Evictions = 0, 200, 20 }, "cache-bytes", "128MiB"},
		"20 evictions in 100 reads":      {func(m *advice.Measured) { m.Cache.Hits, m.Cache.Misses, m.Cache.Evictions = 0, 100, 20 }, "cache-bytes", "128MiB"},
		"a quarter of the memory":        {func(m *advice.Measured) { m.FunctionMemory, m.Cache.Evictions = 512<<20, 20 }, "cache-bytes", "128MiB"},
		"no function":                    {func(m *advice.Measured) { m.FunctionMemory, m.Cache.Evictions = 0, 20 }, "cache-bytes", "128MiB"},
		"nine tenths of the memory":      {func(m *advice.Measured) { m.MemoryLimit, m.Memory = 100, 90 }, "memory", ""},
		"5 broken of 100":                {broken(100, 5), "connections-broken", "25s"},
		"5 broken of 50":                 {broken(50, 5), "connections-broken", "25s"},
		"broken though hardly kept":      {func(m *advice.Measured) { broken(50, 5)(m); m.ConnMaxIdle = 5 * time.Second }, "", ""},
		"more broken at another": {func(m *advice.Measured) {
			broken(100, 20)(m)
			with(m, "odoo", func(p *wire.PoolStats) { p.Replays = 19 })
		}, "connections-broken", "25s"},
		"5 of 20 thaws": {func(m *advice.Measured) {
			m.Invocations.Invocations = invocations(21)
			each(m, 5, thawed(290*time.Second, 1))
		}, "connections-idle", "5m"},
		"4 of 20 thaws": {func(m *advice.Measured) {
			m.Invocations.Invocations = invocations(21)
			each(m, 4, thawed(290*time.Second, 1))
		}, "", ""},
		"10 invocations": {func(m *advice.Measured) { m.Invocations.Invocations = invocations(10); each(m, 10, cold(900)) }, "cold-starts", ""},
		"a start of twice as long": {func(m *advice.Measured) {
			m.Invocations.Invocations = invocations(10)
			each(m, 10, func(inv *wire.Invocation) { inv.DurationMS = 500; cold(1000)(inv) })
		}, "cold-starts", ""},
		"a start of less than twice as long": {func(m *advice.Measured) {
			m.Invocations.Invocations = invocations(10)
			each(m, 10, func(inv *wire.Invocation) { inv.DurationMS = 500; cold(999)(inv) })
		}, "", ""},
		"calls just before a timeout": {func(m *advice.Measured) { each(m, 2, timedOut(4749)) }, "deadlines", ""},
		"calls at a timeout":          {func(m *advice.Measured) { each(m, 2, timedOut(4750)) }, "deadlines", "10s"},
		"calls at the longest timeout": {func(m *advice.Measured) {
			m.PreprocessTimeout = 450 * time.Second
			each(m, 2, timedOut(450_000))
		}, "deadlines", "15m"},
	} {
		m := healthy()
		c.change(&m)
		got := advice.Of(m)
		switch {
		case c.rule == "" && len(got) == 0:
		case len(got) != 1 || got[0].Rule != c.rule || got[0].Suggestion != c.suggestion:
			t.Errorf("%s: %+v, want %s %s", name, got, c.rule, c.suggestion)
		}
	}
	m := healthy()
	broken(100, 20)(&m)
	with(&m, "odoo", func(p *wire.PoolStats) { p.Replays = 21 })
	if got := advice.Of(m); len(got) != 1 || !strings.Contains(got[0].Text, "to odoo") {
		t.Errorf("of two upstreams: %+v", got)
	}
}
