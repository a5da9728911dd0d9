package monitor

import (
	"cmp"
	"encoding/json"
	"maps"
	"slices"
	"strconv"
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

// documentWriter writes a document.
type documentWriter struct {
	values []byte // the members of the object: metrics and properties
	list   []byte // the names and units of the metrics
	room   int    // for how many metrics more there is room
}

func (d *documentWriter) add(name, unit string, values ...float64) {
	d.member(name)
	if len(values) > 1 {
		d.values = append(d.values, '[')
	}
	for _, v := range values {
		format := byte('f')
		if v > 0 && v < 1e-6 { // else there would be up to 300 zeros
			format = 'e'
		}
		d.values = append(strconv.AppendFloat(d.values, min(v, maxValue), format, -1, 64), ',')
	}
	if len(values) > 1 {
		d.values = append(d.values[:len(d.values)-1], "],"...)
	}
	d.list = strconv.AppendQuote(append(d.list, `{"Name":`...), name) // printable ASCII: JSON quotes it likewise
	d.list = append(append(append(d.list, `,"Unit":"`...), unit...), `"},`...)
	d.room--
}

func (d *documentWriter) member(name string) {
	d.values = append(strconv.AppendQuote(d.values, name), ':')
}

// property adds a member that is no metric.
func (d *documentWriter) property(name string, value any) {
	d.member(name)
	text, err := json.Marshal(value)
	if err != nil { // numbers and strings always encode
		panic(err)
	}
	d.values = append(append(d.values, text...), ',')
}

// document is the invocation's metrics in CloudWatch's Embedded Metric Format: a line. What is beyond a limit is cut: values after the first
// maxValues, and metrics after the first maxMetrics in the order of metricOrder.
func (inv *invocation) document(function string) []byte {
	d := documentWriter{values: append(make([]byte, 0, 2<<10), '{'), list: make([]byte, 0, 1<<10), room: maxMetrics}
	n := inv.total()
	cold := 0.0
	if inv.cold {
		cold = 1
	}
	d.add("hits", "Count", float64(n.Hits))
	d.add("misses", "Count", float64(n.Misses))
	d.add("stale", "Count", float64(n.Stale))
	d.add("dials", "Count", float64(n.Dials))
	d.add("reused", "Count", float64(n.Reused))
	d.add("retries", "Count", float64(n.Retries))
	d.add("breaker_open", "Count", float64(n.BreakerOpen))
	d.add("queue_wait", "Milliseconds", n.QueueWaitMS)
	d.add("cold_start", "Count", cold)
	d.add("thaws", "Count", float64(n.Thaws))

	durations := map[string][]float64{}
	for operation, values := range inv.durations() {
		name := metricName(operation)
		durations[name] = append(durations[name], values...)
	}
	names := slices.SortedFunc(maps.Keys(durations), func(a, b string) int { return cmp.Or(metricOrder(a)-metricOrder(b), strings.Compare(a, b)) })
	dropped := max(0, len(names)-d.room)
	for _, name := range names[:len(names)-dropped] {
		values := durations[name]
		d.add(name, "Milliseconds", values[:min(len(values), maxValues)]...)
	}

	d.property("FunctionName", function)
	if inv.late {
		d.property("late", true)
	}
	if inv.requestID != "" {
		d.property("request_id", inv.requestID)
	}
	if inv.id != "" {
		d.property("trace_root", inv.id)
	}
	if inv.dropped > 0 {
		d.property("dropped_operations", inv.dropped)
	}
	if dropped > 0 {
		d.property("dropped_metrics", dropped)
	}
	at := inv.wallOfEnd()
	if age := time.Since(at.Round(0)); age > maxAge || age < -maxAhead { // the clock may have been set
		at = time.Now()
	}
	line := strconv.AppendInt(append(d.values, `"_aws":{"Timestamp":`...), at.UnixMilli(), 10)
	line = append(line, `,"CloudWatchMetrics":[{"Namespace":"Hearth","Dimensions":[["FunctionName"]],"Metrics":[`...)
	return append(append(line, d.list[:len(d.list)-1]...), "]}]}}\n"...)
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

// metricOrder says where a duration stands among the metrics. First come the handler's operations that dashboards name, then Hearth's
// operations, then the handler's others. Within each group the order is by name.
func metricOrder(name string) int {
	switch name {
	case "lambda_handler_total_duration", "parallel_message_history_duration", "parallel_relevance_search_duration", "parallel_preprocessing_duration":
		return 0
	}
	if strings.HasPrefix(name, "hearth.") {
		return 1
	}
	return 2
}
