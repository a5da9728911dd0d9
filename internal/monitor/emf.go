package monitor

import (
	"cmp"
	"encoding/json"
	"maps"
	"slices"
	"strings"
	"time"
)

// Limits of CloudWatch's Embedded Metric Format.
const (
	maxMetrics = 100
	maxValues  = 100                 // of one metric
	maxValue   = 1 << 53             // CloudWatch takes larger ones; no duration is
	maxAge     = 13 * 24 * time.Hour // CloudWatch takes 14 days
	maxAhead   = time.Hour           // CloudWatch takes 2 hours
)

// metric is what a document says of one of its metrics.
type metric struct {
	Name string
	Unit string
}

// document is the invocation's metrics in CloudWatch's Embedded Metric Format: a line. What is beyond a limit is cut: values after the first
// maxValues, and metrics after the first maxMetrics, by order.
func (inv *invocation) document(function string) []byte {
	doc := map[string]any{"FunctionName": function}
	var list []metric
	add := func(name, unit string, value any) {
		list = append(list, metric{name, unit})
		doc[name] = value
	}
	n := inv.total()
	cold := 0
	if inv.cold {
		cold = 1
	}
	add("hits", "Count", n.Hits)
	add("misses", "Count", n.Misses)
	add("stale", "Count", n.Stale)
	add("dials", "Count", n.Dials)
	add("reused", "Count", n.Reused)
	add("retries", "Count", n.Retries)
	add("breaker_open", "Count", n.BreakerOpen)
	add("queue_wait", "Milliseconds", n.QueueWaitMS)
	add("cold_start", "Count", cold)
	add("thaws", "Count", n.Thaws)

	durations := map[string][]float64{}
	for operation, values := range inv.durations() {
		name := metricName(operation)
		durations[name] = append(durations[name], values...)
	}
	names := slices.SortedFunc(maps.Keys(durations), func(a, b string) int { return cmp.Or(order(a)-order(b), strings.Compare(a, b)) })
	dropped := max(0, len(list)+len(names)-maxMetrics)
	for _, name := range names[:len(names)-dropped] {
		values := durations[name]
		for i := range values {
			values[i] = min(values[i], maxValue)
		}
		if len(values) == 1 {
			add(name, "Milliseconds", values[0])
		} else {
			add(name, "Milliseconds", values[:min(len(values), maxValues)])
		}
	}

	if inv.late {
		doc["late"] = true
	}
	if inv.requestID != "" {
		doc["request_id"] = inv.requestID
	}
	if inv.id != "" {
		doc["trace_root"] = inv.id
	}
	if inv.dropped > 0 {
		doc["dropped_operations"] = inv.dropped
	}
	if dropped > 0 {
		doc["dropped_metrics"] = dropped
	}
	at := inv.wallOfEnd()
	if age := time.Since(at.Round(0)); age > maxAge || age < -maxAhead { // the clock may have been set
		at = time.Now()
	}
	doc["_aws"] = map[string]any{
		"Timestamp":         at.UnixMilli(),
		"CloudWatchMetrics": []any{map[string]any{"Namespace": "Hearth", "Dimensions": [][]string{{"FunctionName"}}, "Metrics": list}},
	}
	line, err := json.Marshal(doc)
	if err != nil { // numbers and strings always encode
		panic(err)
	}
	return append(line, '\n')
}

// metricName is the name of an operation's metric. CloudWatch takes printable ASCII.
func metricName(operation string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r > '~' {
			return '_'
		}
		return r
	}, operation) + "_duration"
}

// order is where a duration stands among the metrics, after the counts: first those that dashboards know by name, then Hearth's other operations, then the
// handler's, each by name.
func order(name string) int {
	switch name {
	case "lambda_handler_total_duration", "parallel_message_history_duration", "parallel_relevance_search_duration", "parallel_preprocessing_duration":
		return 0
	}
	if strings.HasPrefix(name, "hearth.") {
		return 1
	}
	return 2
}
