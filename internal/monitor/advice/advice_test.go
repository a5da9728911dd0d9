package advice_test

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"hearth/cache"
	"hearth/client/wire"
	"hearth/internal/executor"
	"hearth/internal/monitor/advice"
	"hearth/pool"
)

// healthy is a Hearth with much to do and nothing to change.
func healthy() advice.Measured {
	m := advice.Measured{
		Settings: advice.Settings{
			Workers: 5, TimelineWindow: 50, ConnMaxIdle: 50 * time.Second, PreprocessTimeout: 30 * time.Second,
			Timeouts: map[string]time.Duration{"weaviate": 5 * time.Second, "odoo": 10 * time.Second},
			Policies: map[cache.Resource]cache.Policy{
				cache.History: {Fresh: 2 * time.Second, IfError: 10 * time.Minute}, cache.OdooRead: {Fresh: 30 * time.Second},
			},
			MemoryLimit: 128 << 20, FunctionMemory: 512 << 20, ColdStarts: true,
		},
		Cache: wire.CacheStats{
			CacheCounts: wire.CacheCounts{Hits: 900, Misses: 100, Bytes: 10 << 20}, MaxBytes: 64 << 20,
			Resources: map[string]wire.CacheCounts{"history": {Hits: 900, Misses: 100}, "odoo_read": {Hits: 90, Misses: 10}},
		},
		Lapsed:  map[cache.Resource]cache.Lapsed{},
		Pools:   wire.Pools{},
		Crowds:  map[string]pool.Crowd{"weaviate": {}, "odoo": {}},
		Workers: executor.WaitCounts{Runs: 100, Most: 4},
		Memory:  40 << 20,
	}
	for name, size := range map[string]int{"weaviate": 5, "odoo": 2, "https://example.com": 5} {
		m.Pools[name] = wire.UpstreamStats{PoolStats: wire.PoolStats{
			Size: size, Requests: 200, Breaker: wire.BreakerStats{State: "closed"}, RoundTrip: wire.Quantiles{P99: 80},
		}}
	}
	m.Invocations.Invocations = invocations(200)
	return m
}

// invocations are warm ones, the last one cold.
func invocations(n int) []wire.Invocation {
	all := make([]wire.Invocation, n)
	for i := range all {
		all[i] = wire.Invocation{DurationMS: 20, FrozenMS: 3000}
	}
	all[n-1].Cold = true
	return all
}

// with changes the statistics of an upstream.
func with(m *advice.Measured, upstream string, change func(*wire.PoolStats)) {
	u := m.Pools[upstream]
	change(&u.PoolStats)
	m.Pools[upstream] = u
}

// each changes the first n invocations.
func each(m *advice.Measured, n int, change func(*wire.Invocation)) {
	for i := range n {
		change(&m.Invocations.Invocations[i])
	}
}

func timedOut(ms float64) func(*wire.Invocation) {
	return func(inv *wire.Invocation) {
		inv.Operations = []wire.Operation{{Operation: "hearth.history", Status: 200, DurationMS: 9}, {Operation: "hearth.history", Status: 504, DurationMS: ms}}
	}
}

func thawed(frozen time.Duration, dials int64) func(*wire.Invocation) {
	return func(inv *wire.Invocation) { inv.FrozenMS, inv.Dials = float64(frozen.Milliseconds()), dials }
}

func cold(ms float64) func(*wire.Invocation) {
	return func(inv *wire.Invocation) {
		if inv.Cold {
			inv.DurationMS = ms
		}
	}
}

type change = func(*advice.Measured)

// rules have for each rule a case that it speaks in, what it says there, and cases just below.
func rules() map[string]struct {
	fires, setting, suggestion string
	says                       []string
	at                         change
	below                      []change
} {
	ceiling := func(upstream string, requests int64, crowd pool.Crowd) change {
		return func(m *advice.Measured) {
			with(m, upstream, func(p *wire.PoolStats) { p.Requests = requests })
			m.Crowds[upstream] = crowd
		}
	}
	type rule = struct {
		fires, setting, suggestion string
		says                       []string
		at                         change
		below                      []change
	}
	pools := func(upstream string, change func(*wire.PoolStats)) change {
		return func(m *advice.Measured) { with(m, upstream, change) }
	}
	ring := func(n, changed int, change func(*wire.Invocation)) change {
		return func(m *advice.Measured) {
			m.Invocations.Invocations = invocations(n)
			each(m, changed, change)
		}
	}
	lapsedHistory := func(hits, misses int64, l cache.Lapsed) change {
		return func(m *advice.Measured) {
			m.Cache.Resources["history"] = wire.CacheCounts{Hits: hits, Misses: misses}
			m.Lapsed[cache.History] = l
		}
	}
	return map[string]rule{
		"a breaker that has opened": {
			"odoo-breaker", "", "",
			[]string{"odoo has opened 3 times and is half-open", "40 tries were not sent", "25 of 200", "7 of 9 dials failed", "p99 of its answers is 80 ms"},
			pools("odoo", func(p *wire.PoolStats) {
				p.Failures, p.DialErrors, p.Dials, p.RoundTrip.Count, p.Breaker = 25, 7, 9, 175, wire.BreakerStats{State: "half-open", Opened: 3, Refused: 40}
			}),
			[]change{pools("odoo", func(p *wire.PoolStats) { p.Failures = 25 })},
		},
		"the breaker of a host that was fetched from": {
			"fetch-breaker", "", "",
			[]string{"https://example.com has opened once"},
			pools("https://example.com", func(p *wire.PoolStats) { p.Breaker.Opened = 1 }),
			nil,
		},
		"calls that hit no setting's limit": {
			"deadlines", "", "",
			[]string{"2 of the last 200 invocations made 2 calls", "1900 ms at the median", "function's timeout"},
			ring(200, 2, timedOut(1900)),
			[]change{ring(200, 1, timedOut(1900)), ring(19, 2, timedOut(1900))},
		},
		"calls that hit an upstream's limit": {
			"deadlines", "HEARTH_WEAVIATE_TIMEOUT", "10s",
			[]string{"HEARTH_WEAVIATE_TIMEOUT=5s", "set HEARTH_WEAVIATE_TIMEOUT=10s"},
			ring(20, 2, timedOut(5010)), nil,
		},
		"preprocesses that hit their limit": {
			"deadlines", "HEARTH_PREPROCESS_TIMEOUT", "1m",
			[]string{"HEARTH_PREPROCESS_TIMEOUT=30s"},
			ring(20, 2, timedOut(29_990)), nil,
		},
		"retries": {
			"weaviate-retries", "", "",
			[]string{"5 of 100 requests to weaviate (5 %)", "3 retries more"},
			pools("weaviate", func(p *wire.PoolStats) { p.Requests, p.Retries, p.RetriesRefused = 100, 5, 3 }),
			[]change{
				pools("weaviate", func(p *wire.PoolStats) { p.Requests, p.Retries = 101, 5 }),
				pools("weaviate", func(p *wire.PoolStats) { p.Requests, p.Retries = 49, 49 }),
				pools("weaviate", func(p *wire.PoolStats) { p.Requests, p.Retries = 80, 4 }),
			},
		},
		"waits for a slot of Weaviate": {
			"weaviate-ceiling", "HEARTH_WEAVIATE_CONNECTIONS", "8",
			[]string{"3 of 200 requests waited 40 ms on average for a slot of weaviate: its ceiling is 5. HEARTH_WEAVIATE_CONNECTIONS=8 would have let all of them through at once."},
			ceiling("weaviate", 200, pool.Crowd{Waits: 3, Waited: 120 * time.Millisecond, Most: 8}),
			[]change{
				ceiling("weaviate", 200, pool.Crowd{Waits: 2, Waited: 120 * time.Millisecond, Most: 8}),
				ceiling("weaviate", 301, pool.Crowd{Waits: 3, Waited: 120 * time.Millisecond, Most: 8}),
				ceiling("weaviate", 49, pool.Crowd{Waits: 3, Waited: 120 * time.Millisecond, Most: 8}),
				ceiling("weaviate", 200, pool.Crowd{Waits: 3, Waited: 2999 * time.Microsecond, Most: 8}),
				ceiling("weaviate", 200, pool.Crowd{Waits: 3, Waited: 120 * time.Millisecond, Most: 5}),
			},
		},
		"more waits for Odoo than the settings allow slots": {
			"odoo-ceiling", "HEARTH_ODOO_CONNECTIONS", "256",
			[]string{"let 256 of 300 through at once"},
			ceiling("odoo", 1000, pool.Crowd{Waits: 300, Waited: 3 * time.Second, Most: 300}), nil,
		},
		"waits for a slot of Odoo": {
			"odoo-ceiling", "HEARTH_ODOO_CONNECTIONS", "4",
			[]string{"ceiling is 2", "as many workers"},
			ceiling("odoo", 50, pool.Crowd{Waits: 3, Waited: 3 * time.Millisecond, Most: 4}), nil,
		},
		"batches with more requests than workers": {
			"workers", "HEARTH_WORKERS", "12",
			[]string{"5 of 50 batches", "the 5 workers", "at most 12", "8.0 ms on average", "all parts at once"},
			func(m *advice.Measured) {
				m.Workers = executor.WaitCounts{Runs: 50, Crowded: 5, Most: 12, Waited: 40 * time.Millisecond}
			},
			[]change{
				func(m *advice.Measured) {
					m.Workers = executor.WaitCounts{Runs: 51, Crowded: 5, Most: 12, Waited: 40 * time.Millisecond}
				},
				func(m *advice.Measured) {
					m.Workers = executor.WaitCounts{Runs: 19, Crowded: 5, Most: 12, Waited: 40 * time.Millisecond}
				},
				func(m *advice.Measured) {
					m.Workers = executor.WaitCounts{Runs: 20, Crowded: 4, Most: 12, Waited: 40 * time.Millisecond}
				},
				func(m *advice.Measured) {
					m.Workers = executor.WaitCounts{Runs: 50, Crowded: 5, Most: 12, Waited: 4 * time.Millisecond}
				},
			},
		},
		"batches with more requests than workers may be": {
			"workers", "HEARTH_WORKERS", "64",
			[]string{"64 parts at once"},
			func(m *advice.Measured) {
				m.Workers = executor.WaitCounts{Runs: 50, Crowded: 50, Most: 100, Waited: time.Second}
			}, nil,
		},
		"reads of what was fresh a moment ago": {
			"ttl-history", "HEARTH_TTL_HISTORY", "4s/0s/10m",
			[]string{"20 of 100 reads of history", "20 of those", "younger than 4s"},
			lapsedHistory(80, 20, cache.Lapsed{20}),
			[]change{lapsedHistory(80, 20, cache.Lapsed{19}), lapsedHistory(79, 20, cache.Lapsed{20}), lapsedHistory(50, 50, cache.Lapsed{0, 0, 0, 50})},
		},
		"reads of what was fresh a while ago": {
			"ttl-history", "HEARTH_TTL_HISTORY", "8s/0s/10m",
			[]string{"30 of 100 reads", "19 of those found it younger than 8s"},
			lapsedHistory(70, 30, cache.Lapsed{9, 10, 10, 1}), nil,
		},
		"reads of Odoo": {
			"ttl-odoo-read", "HEARTH_TTL_ODOO_READ", "1m",
			[]string{"25 of 100 reads of odoo_read"},
			func(m *advice.Measured) { m.Lapsed[cache.OdooRead] = cache.Lapsed{25} }, nil,
		},
		"histories longer than the window": {
			"history-window", "HEARTH_TIMELINE_WINDOW", "120",
			[]string{"50 of 1000 histories", "up to 120", "now 50"},
			func(m *advice.Measured) { m.ShortReads, m.MostWanted = 50, 120 },
			[]change{
				func(m *advice.Measured) { m.ShortReads, m.MostWanted = 49, 120 },
				func(m *advice.Measured) { m.ShortReads, m.MostWanted = 50, 50 },
				func(m *advice.Measured) {
					m.Cache.Resources["history"] = wire.CacheCounts{Misses: 49}
					m.ShortReads, m.MostWanted = 49, 120
				},
			},
		},
		"little memory left": {
			"memory", "", "",
			[]string{"115.2 MiB of the 128 MiB", "512 MiB", "below 64 MiB"},
			func(m *advice.Measured) { m.Memory = 120_795_956 },
			[]change{
				func(m *advice.Measured) { m.Memory = 120_795_954 },
				func(m *advice.Measured) { m.Memory, m.MemoryLimit = 1<<40, math.MaxInt64 },
			},
		},
		"entries that were evicted": {
			"cache-bytes", "HEARTH_CACHE_BYTES", "128MiB",
			[]string{"10 MiB of 64 MiB", "evicted 15 entries and kept 5 out", "100 misses"},
			func(m *advice.Measured) { m.Cache.Evictions, m.Cache.Rejected = 15, 5 },
			[]change{
				func(m *advice.Measured) { m.Cache.Evictions, m.Cache.Rejected = 15, 4 },
				func(m *advice.Measured) { m.Cache.Evictions, m.Cache.Misses = 20, 201 },
				func(m *advice.Measured) { m.Cache.Evictions, m.Cache.Hits, m.Cache.Misses = 50, 0, 99 },
			},
		},
		"entries that were evicted in a small function": {
			"cache-bytes", "", "",
			[]string{"more than a quarter of the function's 128 MiB"},
			func(m *advice.Measured) { m.Cache.Evictions, m.FunctionMemory = 20, 128<<20 }, nil,
		},
		"connections that break": {
			"connections-broken", "HEARTH_CONN_MAX_IDLE", "25s",
			[]string{"10 of 200 requests to weaviate (5 %)", "HEARTH_CONN_MAX_IDLE=50s", "try HEARTH_CONN_MAX_IDLE=25s"},
			pools("weaviate", func(p *wire.PoolStats) { p.Replays = 10 }),
			[]change{
				pools("weaviate", func(p *wire.PoolStats) { p.Replays = 9 }),
				pools("weaviate", func(p *wire.PoolStats) { p.Requests, p.Replays = 49, 49 }),
			},
		},
		"connections that are closed too soon": {
			"connections-idle", "HEARTH_CONN_MAX_IDLE", "100s",
			[]string{"40 of 199 warm invocations dialed 80 connections", "up to 90 s", "HEARTH_CONN_MAX_IDLE=50s"},
			ring(200, 40, thawed(90*time.Second, 2)),
			[]change{
				ring(200, 39, thawed(90*time.Second, 2)), ring(200, 40, thawed(50*time.Second, 2)), ring(200, 40, thawed(5*time.Minute, 2)),
				ring(200, 40, thawed(90*time.Second, 0)), ring(20, 19, thawed(90*time.Second, 2)),
			},
		},
		"a class that mixes chats": {
			"class-tokenization", "", "",
			[]string{`class Message has the tokenization "word"`, "20 reads"},
			func(m *advice.Measured) {
				m.Mixing = map[string]string{"Message": "word"}
				m.Cache.Resources = map[string]wire.CacheCounts{"history": {Misses: 10}, "relevant": {Misses: 5}, "mute": {Misses: 5}}
			},
			[]change{func(m *advice.Measured) {
				m.Mixing = map[string]string{"Message": "word"}
				m.Cache.Resources = map[string]wire.CacheCounts{"history": {Misses: 19}}
			}},
		},
		"a slow cold start": {
			"cold-starts", "", "",
			[]string{"1 of 20 invocations of this sandbox (5 %)", "120 ms", "20 ms at the median", "Provisioned concurrency"},
			ring(20, 20, cold(120)),
			[]change{
				ring(20, 20, cold(119)), ring(21, 21, cold(120)), ring(9, 9, cold(120)),
				func(m *advice.Measured) { ring(20, 20, cold(120))(m); m.ColdStarts = false },
				ring(20, 20, func(inv *wire.Invocation) { inv.FunctionMS = new(300.0); cold(120)(inv) }),
			},
		},
	}
}

func TestEachRuleSpeaksFromItsBoundOn(t *testing.T) {
	if got := advice.Of(healthy()); len(got) > 0 {
		t.Fatalf("of a healthy one: %+v", got)
	}
	for name, r := range rules() {
		m := healthy()
		r.at(&m)
		got := advice.Of(m)
		if len(got) != 1 || got[0].Rule != r.fires || got[0].Setting != r.setting || got[0].Suggestion != r.suggestion {
			t.Errorf("%s: %+v", name, got)
			continue
		}
		for _, words := range r.says {
			if !strings.Contains(got[0].Text, words) {
				t.Errorf("%s: %q does not say %q", name, got[0].Text, words)
			}
		}
		for i, below := range r.below {
			m := healthy()
			below(&m)
			if got := advice.Of(m); slices.ContainsFunc(got, func(a wire.Advice) bool { return a.Rule == r.fires }) {
				t.Errorf("%s: below its bound (%d): %+v", name, i, got)
			}
		}
	}
}

func TestANewHearthGivesNoAdvice(t *testing.T) {
	if got := advice.Of(advice.Measured{}); got == nil || len(got) > 0 {
		t.Errorf("%+v", got)
	}
}

// TestNoAdviceContradictsAnother takes any of the rules' cases together.
func TestNoAdviceContradictsAnother(t *testing.T) {
	all := rules()
	names := make([]string, 0, len(all))
	for name := range all {
		names = append(names, name)
	}
	slices.Sort(names)
	rapid.Check(t, func(t *rapid.T) {
		m := healthy()
		for _, name := range rapid.SliceOfDistinct(rapid.SampledFrom(names), rapid.ID).Draw(t, "cases") {
			all[name].at(&m)
		}
		got := advice.Of(m)
		settings, said := map[string]string{}, map[string]bool{}
		for _, a := range got {
			said[a.Rule] = true
			if a.Setting == "" {
				continue
			}
			if before, twice := settings[a.Setting]; twice {
				t.Errorf("%s is to be %s and %s", a.Setting, before, a.Suggestion)
			}
			settings[a.Setting] = a.Suggestion
			if !strings.Contains(a.Text, fmt.Sprintf("%s=%s", a.Setting, a.Suggestion)) {
				t.Errorf("%q does not say %s=%s", a.Text, a.Setting, a.Suggestion)
			}
		}
		if said["memory"] && said["cache-bytes"] {
			t.Errorf("less and more memory for the cache: %+v", got)
		}
		if said["odoo-breaker"] && said["odoo-ceiling"] {
			t.Errorf("more requests at once to an upstream that does not answer: %+v", got)
		}
	})
}
