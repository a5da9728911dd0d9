package monitor

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"hearth/client/wire"
)

func TestADocumentKeepsTheLimits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := newTester(t, false)
		for range maxOperations {
			e.history("1-a")
		}
		names := []string{"hearth.history", "größe", "gr\u00d6\u00dfe", "a b\n"}
		for i := range wire.MaxTimings - len(names) {
			names = append(names, fmt.Sprintf("n%02d", i))
		}
		e.timings("1-a", "r", names...)
		d := e.documents[0]
		if len(d.Metrics) != maxMetrics || d.Properties["dropped_metrics"] != 9. {
			t.Errorf("%d metrics, dropped %v", len(d.Metrics), d.Properties)
		}
		if n := len(d.Metrics["hearth.history_duration"].Values); n != maxValues {
			t.Errorf("%d values", n)
		}
		if got := d.Metrics["gr__e_duration"].Values; !slices.Equal(got, []float64{1, 2}) && !slices.Equal(got, []float64{2, 1}) || d.Metrics["a b__duration"].Values == nil {
			t.Errorf("%v", d.Metrics)
		}
		e.documents = nil
		c := e.call("1-b", "")
		c.Ended = time.Now()
		e.Timings(c, wire.Timings{Timings: []wire.Timing{{Operation: "a", DurationMS: 1e308}}})
		if len(e.documents) != 1 {
			t.Error("no document")
		}

		e.history("1-c") // and Lambda freezes the sandbox for longer than CloudWatch takes documents
		e.frozen(20 * 24 * time.Hour)
		ahead := e.call("1-d", "history") // and then the clock is set back
		ahead.Began = ahead.Began.Add(3 * time.Hour)
		ahead.Ended = ahead.Began
		e.Done(ahead)
		e.Close()
	})
}

// Dashboards know some metrics by name. A handler with many operations of its own must not push them out.
func TestTheMetricsOfDashboardsAreInEachDocument(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := newTester(t, false)
		e.history("1-a")
		known := []string{"lambda_handler_total", "parallel_message_history", "parallel_relevance_search", "parallel_preprocessing"}
		var names []string
		for i := range wire.MaxTimings - len(known) {
			names = append(names, fmt.Sprintf("hearth.%02d", i))
		}
		e.timings("1-a", "r", append(names, known...)...)
		d := e.documents[0]
		for _, name := range known {
			if d.Metrics[name+"_duration"].Values == nil {
				t.Errorf("there is no %s", name)
			}
		}
		for _, name := range []string{"hits", "misses", "stale", "dials", "reused", "retries", "breaker_open", "queue_wait", "cold_start", "thaws"} {
			if d.Metrics[name].Values == nil {
				t.Errorf("there is no %s", name)
			}
		}
		if len(d.Metrics) != maxMetrics || d.Properties["dropped_metrics"] != 11. {
			t.Errorf("%d metrics, dropped %v", len(d.Metrics), d.Properties)
		}
	})
}

func TestWhateverTheHandlerSendsMakesADocument(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		rapid.Check(struct{ testing.TB }{t}, func(r *rapid.T) {
			e := newTester(t, false)
			sent := wire.Timings{RequestID: rapid.StringN(0, 128, -1).Draw(r, "request_id")}
			want := map[string][]float64{}
			for range rapid.IntRange(1, 5).Draw(r, "timings") {
				one := wire.Timing{Operation: rapid.StringN(1, 128, -1).Draw(r, "operation"), DurationMS: rapid.Float64Range(0, math.MaxFloat64).Draw(r, "duration_ms")}
				sent.Timings = append(sent.Timings, one)
				name := metricName(one.Operation)
				want[name] = append(want[name], min(one.DurationMS, maxValue))
			}
			c := e.call("1-a", "")
			c.Ended = time.Now()
			e.Timings(c, sent)
			d := e.documents[0] // it was parsed
			for name, values := range want {
				got := slices.Sorted(slices.Values(d.Metrics[name].Values))
				if slices.Sort(values); !slices.Equal(got, values) {
					r.Errorf("%q is %v, want %v", name, got, values)
				}
			}
			if id, _ := d.Properties["request_id"].(string); id != strings.ToValidUTF8(sent.RequestID, "\ufffd") || len(d.Metrics) != 10+len(want) {
				r.Errorf("%+v of %+v", d, sent)
			}
		})
	})
}

func TestWithoutAFunctionNothingIsWritten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := newTester(t, false)
		e.cfg.FunctionName = ""
		e.history("1-a")
		e.timings("1-a", "r")
		e.Close()
		e.want("")
	})
}
