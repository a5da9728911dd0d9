package advice_test

import (
	"reflect"
	"strings"
	"testing"
	"time"

	"hearth/cache"
	"hearth/client/wire"
	"hearth/internal/executor"
	"hearth/internal/monitor/advice"
	"hearth/internal/settings"
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
		"the largest cache":              {func(m *advice.Measured) { m.FunctionMemory, m.Cache.MaxBytes, m.Cache.Evictions = 0, 4<<30, 20 }, "cache-bytes", "8192MiB"},
		"a larger cache":                 {func(m *advice.Measured) { m.FunctionMemory, m.Cache.MaxBytes, m.Cache.Evictions = 0, 4<<30+1, 20 }, "", ""},
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
		"calls of another upstream": {func(m *advice.Measured) {
			each(m, 2, timedOut(5000))
			each(m, 2, func(inv *wire.Invocation) { inv.Operations[1].Operation = "hearth.odoo_call" })
		}, "deadlines", ""},
		"calls of Odoo": {func(m *advice.Measured) {
			each(m, 2, timedOut(10_000))
			each(m, 2, func(inv *wire.Invocation) { inv.Operations[1].Operation = "hearth.odoo_models" })
		}, "deadlines", "20s"},
		"calls of Weaviate, and Odoo may take as long": {func(m *advice.Measured) {
			m.Timeouts["weaviate"], m.Timeouts["odoo"] = 8*time.Second, 8*time.Second
			each(m, 2, timedOut(8000))
		}, "deadlines", "16s"},
		"two calls that ended for two reasons": {func(m *advice.Measured) {
			each(m, 2, timedOut(5000))
			each(m, 1, timedOut(1900))
		}, "", ""},
		"calls that took nearly as long as a setting may be": {func(m *advice.Measured) {
			m.PreprocessTimeout = 10 * time.Minute
			each(m, 2, timedOut(600_000))
		}, "deadlines", "15m"},
		"a start that is compared with what Hearth took of the others": {func(m *advice.Measured) {
			m.Invocations.Invocations = invocations(20)
			m.Invocations.Invocations[19].FunctionMS = new(900.0)
		}, "", ""},
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
	m.Timeouts["odoo"] = m.Timeouts["weaviate"]
	each(&m, 2, timedOut(5000))
	if got := advice.Of(m); len(got) != 1 || got[0].Setting != "HEARTH_WEAVIATE_TIMEOUT" {
		t.Errorf("a history ran out of time: %+v", got)
	}
	m = healthy()
	broken(100, 20)(&m)
	with(&m, "odoo", func(p *wire.PoolStats) { p.Replays = 21 })
	if got := advice.Of(m); len(got) != 1 || !strings.Contains(got[0].Text, "to odoo") {
		t.Errorf("of two upstreams: %+v", got)
	}
}

// One of something reads as one, and nothing is said of what did not happen.
func TestTheSentencesAreGrammatical(t *testing.T) {
	for says, change := range map[string]change{
		"has opened once and is closed: 1 try was not sent": func(m *advice.Measured) {
			with(m, "odoo", func(p *wire.PoolStats) { p.Breaker.Opened, p.Breaker.Refused = 1, 1 })
		},
		"were retries, and 1 retry more was not sent": func(m *advice.Measured) {
			with(m, "odoo", func(p *wire.PoolStats) { p.Retries, p.RetriesRefused = 100, 1 })
		},
		"(50 %) were retries. The log": func(m *advice.Measured) { with(m, "odoo", func(p *wire.PoolStats) { p.Retries = 100 }) },
		"more parts than the 1 worker, at most 3": func(m *advice.Measured) {
			m.Settings.Workers, m.Workers = 1, executor.WaitCounts{Runs: 20, Crowded: 5, Most: 3, Waited: time.Second}
		},
		"evicted 1 entry and kept 19 out, beside 1 miss.": func(m *advice.Measured) {
			m.Cache.Misses, m.Cache.Evictions, m.Cache.Rejected = 1, 1, 19
		},
		"It took 1e+305 s": func(m *advice.Measured) {
			m.Invocations.Invocations = invocations(20)
			each(m, 20, func(inv *wire.Invocation) { inv.FunctionMS = new(1.0) })
			m.Invocations.Invocations[19].FunctionMS = new(1e308)
		},
	} {
		m := healthy()
		change(&m)
		if got := advice.Of(m); len(got) != 1 || !strings.Contains(got[0].Text, says) {
			t.Errorf("%+v does not say %q", got, says)
		}
	}
}

// Hearth starts with each setting that is suggested.
func TestEachSuggestionIsASettingThatParses(t *testing.T) {
	suggested := map[string]bool{}
	for name, r := range rules() {
		m := healthy()
		r.at(&m)
		for _, a := range advice.Of(m) {
			if a.Setting == "" {
				continue
			}
			suggested[a.Setting] = true
			before, err := settings.Read(nil)
			if err != nil {
				t.Fatal(err)
			}
			after, err := settings.Read([]string{a.Setting + "=" + a.Suggestion})
			if err != nil || reflect.DeepEqual(before, after) {
				t.Errorf("%s: %s=%s: %v", name, a.Setting, a.Suggestion, err)
			}
		}
	}
	if len(suggested) < 10 {
		t.Errorf("only %v were suggested", suggested)
	}
}
