package stats

import (
	"math"
	"regexp"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"hearth/client"
)

// busy is a snapshot with large numbers everywhere.
func busy() Snapshot {
	counts := client.CacheCounts{Hits: 12_345_678, Stale: 30, Misses: 1_234_567, Errors: 4, HitRatio: 0.909, Entries: 1200, Bytes: 30 << 20}
	pool := client.PoolStats{
		Size: 64, Limit: 8, Open: 9, InUse: 7, Queue: 3, Requests: 654_321, Failures: 17, Retries: 21, Dials: 11, Reused: 654_310, Waits: 12, WaitMS: 90_000,
		Breaker: client.BreakerStats{State: "half-open", Opened: 2, Refused: 5}, RoundTrip: client.Quantiles{P50: 12.34, P99: 4321},
	}
	s := Snapshot{
		Cache: &client.CacheStats{CacheCounts: counts, MaxBytes: 64 << 20, Evictions: 77, Rejected: 6, Resources: map[string]client.CacheCounts{"history": counts, "odoo_models": {}}},
		Pools: client.Pools{"weaviate": {PoolStats: pool}, "https://an-example-with-a-long-name.example.com:8443": {PoolStats: pool}},
		Operations: map[string]client.OperationStats{
			"hearth.history": {Count: 200, P50MS: 0.4, P90MS: 60, P99MS: 140, MaxMS: 12_000}, "mine\x1b[2J\nnext" + strings.Repeat("x", 100): {Count: 1},
		},
		Advice: []client.Advice{{Rule: "weaviate-ceiling", Text: "3 of 200 requests waited. " + strings.Repeat("Many words follow here. ", 10)}},
	}
	for i := range 14 {
		s.Invocations = append(s.Invocations, client.Invocation{
			Began: time.Date(2026, 3, 1, 10, 0, i, 0, time.Local).Format(time.RFC3339Nano), DurationMS: 63.2, FrozenMS: float64(i) * 1000, FunctionMS: new(523.0),
			InvocationCounts: client.InvocationCounts{Hits: 3, Stale: 1, Misses: 2, Dials: 4, QueueWaitMS: 250}, Operations: make([]client.Operation, 5), DroppedOperations: 1,
		})
	}
	s.Invocations[0].Cold = true
	return s
}

func TestTheTextSaysWhatWasMeasured(t *testing.T) {
	text := busy().Text(Look{Width: 120})
	for _, row := range []string{
		`Cache: 90.9 % of 13M reads from memory`, `30.0MiB of 64.0MiB used, 77 evicted, 6 not let in`,
		`history +90.9 % +12M +30 +1234k +4 +1200 +30.0MiB`, `odoo_models +- +0 +0 +0 +0 +0 +0B`,
		`weaviate +half-open +7/8 +9 +654321 +17 +21 +12.3ms +4321ms`, `weaviate +3 +12 +90s +64 +11 +654310 +2 +5`,
		`10:00:00 +cold +63.2ms +523ms +3 +1 +2 +4 +250ms +6`, `10:00:01 +thawed +63.2ms`, `and 4 more invocations`,
		`Operations of the last invocations \(14\)`, `hearth.history +200 +0.4ms +60.0ms +140ms +12s`, `- 3 of 200 requests waited`,
	} {
		if !regexp.MustCompile(`(?m)^` + row).MatchString(text) {
			t.Errorf("no line is %q:\n%s", row, text)
		}
	}
	if strings.Contains(text, "10:00:10") {
		t.Errorf("more than ten invocations:\n%s", text)
	}
}

func TestEachLineFits(t *testing.T) {
	for _, width := range []int{20, 40, 80, 0, 200} {
		most := width
		if width == 0 {
			most = 80
		}
		for line := range strings.Lines(busy().Text(Look{Width: width})) {
			if n := utf8.RuneCountInString(strings.TrimSuffix(line, "\n")); n > most {
				t.Errorf("%d characters, want %d: %q", n, most, line)
			}
		}
	}
}

func TestNoNumberIsCutIn80Columns(t *testing.T) {
	text := busy().Text(Look{})
	for line := range strings.Lines(text) {
		if strings.HasSuffix(line, "…\n") && !strings.HasPrefix(line, "mine") {
			t.Errorf("%q", line)
		}
	}
	for _, whole := range []string{"4321ms", "654321", "and 4 more invocations", "12s"} {
		if !strings.Contains(text, whole) {
			t.Errorf("no %s:\n%s", whole, text)
		}
	}
}

func TestNothingChangesTheTerminalUnlessItIsStyled(t *testing.T) {
	for _, styled := range []bool{false, true} {
		text := busy().Text(Look{Width: 300, Styled: styled})
		if got := strings.Contains(text, "\x1b[1mCache"); got != styled {
			t.Errorf("styled %v: %q", styled, text)
		}
		if strings.Contains(text, "\x1b[2J") || !strings.Contains(text, "mine?[2J?next") {
			t.Errorf("the name of an operation is written as it stands:\n%q", text)
		}
	}
}

func TestANewHearthHasLittleToShow(t *testing.T) {
	text := Snapshot{Cache: &client.CacheStats{MaxBytes: 1 << 20}}.Text(Look{})
	for _, says := range []string{"Cache: - of 0 reads", "none is configured", "none yet", "Advice\nnone\n"} {
		if !strings.Contains(text, says) {
			t.Errorf("no %q:\n%s", says, text)
		}
	}
}

func TestNumbersStayShort(t *testing.T) {
	for want, got := range map[string]string{
		"999999": number(999_999), "1000k": number(1_000_000), "10M": number(10_000_000), "1023B": bytes(1023), "1KiB": bytes(1024), "1.0MiB": bytes(1 << 20),
		"0": millis(0), "0.3ms": millis(0.26), "99.9ms": millis(99.9), "100ms": millis(100), "9999ms": millis(9999), "10s": millis(10_000), "1.0h": millis(3_600_000),
		"168.0h": millis(7 * 24 * 3_600_000), "2.8e+05h": millis(1e12), "2.8e+301h": millis(1e308), "999999M": number(999_999_999_999), "9.22e+18": number(math.MaxInt64),
	} {
		if got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
	if got := cut("åäö", 3) + " " + cut("åäö", 2); got != "åäö å…" {
		t.Error(got)
	}
}
