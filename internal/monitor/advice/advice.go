// Package advice says what to change in the settings, by what was measured.
//
// Start at [Of], which lists the rules. caching.go has those about the cache, upstreams.go those about the pools and what is asked there,
// and invocations.go those about the invocations of the function. Each rule's comment says from which numbers on it speaks; with less it is
// silent, because a few requests tell nothing.
//
// The package only computes: it measures nothing and changes nothing.
package advice

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strconv"
	"time"

	"hearth/cache"
	"hearth/client/wire"
	"hearth/internal/executor"
	"hearth/internal/figures"
	"hearth/pool"
)

// Measured is what the rules look at.
type Measured struct {
	Settings

	Cache  wire.CacheStats
	Lapsed map[cache.Resource]cache.Lapsed
	// As [cache.Cache.ShortReads] returns them.
	ShortReads, MostWanted int64

	Pools  wire.Pools
	Crowds map[string]pool.Crowd // by upstream
	Mixing map[string]string     // classes in which a search for one chat finds other chats' objects, and the tokenization of the chat's property

	Workers     executor.WaitCounts // of HEARTH_WORKERS
	Invocations wire.Invocations
	Memory      int64 // bytes that the Go runtime has from the system
}

// Settings are those that the rules may advise to change, and what bounds them.
type Settings struct {
	Workers           int
	TimelineWindow    int
	ConnMaxIdle       time.Duration
	PreprocessTimeout time.Duration
	Timeouts          map[string]time.Duration // of one call, by upstream
	Policies          map[cache.Resource]cache.Policy
	MemoryLimit       int64 // of the Go runtime, in bytes; [math.MaxInt64]: there is none
	FunctionMemory    int64 // in bytes; 0: this is not Lambda
	ColdStarts        bool  // an invocation may have to wait for the start of its sandbox
}

// Of returns the advice of every rule that has some.
//
// No advice contradicts another. If the process has little memory left, no rule asks for a larger cache. If a breaker has opened, the rules
// about ceilings, retries and lost connections of that upstream are silent: what they measured is what the outage did. If connections break
// while they are unused, no rule asks for keeping them longer.
func Of(m Measured) []wire.Advice {
	found := []wire.Advice{}
	for _, rule := range []func(*Measured) []wire.Advice{
		breakers, deadlines, retries, ceilings, workers, lapsed, window, memory, cacheBytes, broken, idle, mixing, coldStarts,
	} {
		found = append(found, rule(&m)...)
	}
	return found
}

// one is the advice of a rule that has one piece of it.
func one(rule, setting, suggestion, format string, args ...any) []wire.Advice {
	return []wire.Advice{{Rule: rule, Setting: setting, Suggestion: suggestion, Text: fmt.Sprintf(format, args...)}}
}

func times(n int64) string {
	if n == 1 {
		return "once"
	}
	return strconv.FormatInt(n, 10) + " times"
}

// count is a number with its noun, in the singular or the plural.
func count[N int | int64](n N, one, many string) string {
	if n == 1 {
		many = one
	}
	return fmt.Sprintf("%d %s", n, many)
}

// percent is a share as people read it.
func percent(part, all int64) string {
	return strconv.FormatFloat(100*float64(part)/float64(max(all, 1)), 'f', 0, 64) + " %"
}

// shown is a duration in milliseconds for people: three digits are enough.
func shown(ms float64) string {
	switch {
	case ms >= 1e7:
		return strconv.FormatFloat(ms/1000, 'g', 3, 64) + " s"
	case ms >= 10_000:
		return strconv.FormatFloat(ms/1000, 'f', 0, 64) + " s"
	case ms >= 10:
		return strconv.FormatFloat(ms, 'f', 0, 64) + " ms"
	}
	return strconv.FormatFloat(ms, 'f', 1, 64) + " ms"
}

// mean is the mean of a sum of durations, in milliseconds.
func mean(sum time.Duration, n int64) float64 { return float64(sum.Microseconds()) / 1000 / float64(n) }

// mib is a number of bytes in MiB for people.
func mib(bytes int64) string {
	return strconv.FormatFloat(math.Round(float64(bytes)/(1<<20)*10)/10, 'f', -1, 64) + " MiB"
}

// durationText is a duration as settings have it: 2s, not 2s0ms, and 1h, not 1h0m0s.
func durationText(d time.Duration) string {
	for _, unit := range []struct {
		d    time.Duration
		name string
	}{{time.Hour, "h"}, {time.Minute, "m"}, {time.Second, "s"}} {
		if d > 0 && d%unit.d == 0 {
			return strconv.FormatInt(int64(d/unit.d), 10) + unit.name
		}
	}
	return d.String()
}

// names are the keys of a map, in order.
func names[K cmp.Ordered, V any](m map[K]V) []K {
	keys := make([]K, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}

// median of numbers; 0: there are none.
func median(values []float64) float64 {
	if len(values) == 0 {
		return 0
	}
	slices.Sort(values)
	return figures.NearestRank(values, 0.5)
}
