package monitor

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"hearth/client/wire"
	"hearth/internal/clock"
	"hearth/internal/testing/emf"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// tester is a monitor in a synctest bubble, with the documents that it has written.
type tester struct {
	testing.TB
	*Monitor
	pulse     *clock.Pulse
	routes    map[string]*Route
	documents []emf.Document
	flushes   int
}

func newTester(t testing.TB, concurrent bool) *tester {
	e := &tester{TB: t, pulse: clock.NewPulse(nil), routes: map[string]*Route{}}
	e.Monitor = New(Config{FunctionName: "f", Out: e, Concurrent: concurrent})
	for _, name := range []string{"history", "preprocess"} {
		e.routes[name] = e.NewRoute("GET /"+name, "hearth."+name)
	}
	return e
}

func (e *tester) Write(line []byte) (int, error) {
	d, err := emf.Parse(string(line))
	if err != nil || d.Namespace != "Hearth" || d.Dimensions["FunctionName"] != "f" {
		e.Errorf("%s: %v", line, err)
	}
	e.documents = append(e.documents, d)
	return len(line), nil
}

func (e *tester) Flush() { e.flushes++ }

// trace is a header with that Root; empty: none.
func trace(root string) []byte {
	if root == "" {
		return nil
	}
	return []byte("Self=1-2;Root=" + root + ";Parent=53995c3f42cd8ad8;Sampled=1")
}

// call begins a call and returns it with what ends it.
func (e *tester) call(root, route string) Call {
	return Call{Route: e.routes[route], Trace: trace(root), Began: time.Now(), Clock: e.pulse.Read(), Status: 200}
}

func (e *tester) done(c Call) {
	c.Ended = time.Now()
	e.Done(c)
}

// history makes a call that takes a moment and is a hit.
func (e *tester) history(root string) {
	c := e.call(root, "history")
	time.Sleep(time.Millisecond)
	c.Hits = 1
	c.Verdicts.Set("", "hit")
	e.done(c)
}

func (e *tester) timings(root, requestID string, operations ...string) {
	t := wire.Timings{RequestID: requestID}
	for i, name := range operations {
		t.Timings = append(t.Timings, wire.Timing{Operation: name, DurationMS: float64(i)})
	}
	c := e.call(root, "")
	c.Ended = time.Now()
	e.Timings(c, t)
}

// awake lets time pass without a freeze.
func (e *tester) awake(d time.Duration) {
	for end := time.Now().Add(d); time.Now().Before(end); e.pulse.Now() {
		time.Sleep(min(clock.Beat, time.Until(end)))
	}
}

// frozen is as long as the process stands still. The last beat was a call's begin, a millisecond ago.
func (e *tester) frozen(d time.Duration) { time.Sleep(d) }

// want says which documents have been written since the last call: each is the sum of hits, and + if it was late.
func (e *tester) want(documents string) {
	e.Helper()
	var got []string
	for _, d := range e.documents {
		s := fmt.Sprint(d.Metrics["hits"].Values[0])
		if d.Properties["late"] == true {
			s += "+"
		}
		got = append(got, s)
	}
	e.documents = nil
	if strings.Join(got, " ") != documents {
		e.Errorf("documents with hits %v, want %s", got, documents)
	}
}

func TestAnInvocationBeginsWithTheCallThatCameFirst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := newTester(t, false)
		began := time.Now()
		slow := e.call("1-a", "preprocess")
		time.Sleep(time.Millisecond)
		e.history("1-a")
		e.done(slow)
		inv := e.Invocations().Invocations[0]
		if inv.Began != began.UTC().Format("2006-01-02T15:04:05.000Z") || inv.DurationMS != 2 || inv.Operations[0].StartMS != 1 || inv.Operations[1].StartMS != 0 {
			t.Errorf("%+v", inv)
		}
	})
}

func TestTheHandlersTimingsEndTheirInvocation(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := newTester(t, false)
		e.history("1-a")
		e.history("1-a")
		e.want("")
		e.timings("1-a", "r1", "lambda_handler_total", "mine", "mine")
		if e.flushes != 1 {
			t.Errorf("%d flushes", e.flushes)
		}
		d := e.documents[0]
		if got := d.Metrics["hearth.history_duration"]; got.Unit != "Milliseconds" || !slices.Equal(got.Values, []float64{1, 1}) {
			t.Errorf("Hearth's operations are %v", got)
		}
		if got := d.Metrics["mine_duration"]; !slices.Equal(got.Values, []float64{1, 2}) || d.Metrics["lambda_handler_total_duration"].Values[0] != 0 {
			t.Errorf("the handler's operations are %v", d.Metrics)
		}
		if d.Properties["request_id"] != "r1" || d.Properties["late"] != nil || d.Metrics["cold_start"].Values[0] != 1 || d.Metrics["queue_wait"].Unit != "Milliseconds" {
			t.Errorf("%+v", d)
		}
		e.want("2")

		e.history("1-b")
		e.timings("1-b", "r1", "lambda_handler_total") // once more
		e.want("")
		e.timings("1-b", "r2")
		if got := e.documents[0].Metrics["cold_start"].Values[0]; got != 0 {
			t.Error("the second invocation is a cold start")
		}
		e.want("1")
		e.timings("1-c", "r3") // of an invocation without a call
		e.want("0")
		e.timings("", "")
		e.timings("", "") // no id is never the same one
		e.want("0 0")
	})
}

func TestTheNextInvocationEndsOneWithoutTimings(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := newTester(t, false)
		e.history("1-a")
		e.awake(2 * time.Minute) // it waits for something else
		e.history("1-a")
		left := e.call("1-a", "history") // its handler gives up waiting
		e.frozen(time.Hour)
		e.history("1-b")
		e.want("2+")
		left.Hits = 1
		e.done(left)
		e.want("")
		e.history("1-b")
		e.timings("1-b", "b")
		e.want("2")
		e.history("1-c")
		e.want("1+") // what was left behind
		e.Close()
		e.want("1+")
	})
}

func TestAFreezeEndsAnInvocationWithoutAnID(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := newTester(t, false)
		e.history("")
		e.awake(50 * time.Second)
		e.history("")
		e.want("")
		e.frozen(3 * time.Second)
		e.history("")
		e.want("2+")
		e.awake(time.Minute)
		e.history("")
		e.want("1+")
		e.timings("", "x")
		e.want("1")
		got := e.Invocations().Invocations
		if len(got) != 3 || got[2].FrozenMS != 0 || !got[2].Cold || got[1].FrozenMS != 3001 || got[1].Thaws != 1 || got[0].FrozenMS != 0 || got[0].Thaws != 0 {
			t.Errorf("%+v", got)
		}

		e.history("1-a")
		e.frozen(2 * time.Second)
		e.history("") // the next invocation's
		e.want("1+")
	})
}

func TestAStarvedProcessDoesNotEndAnInvocationThatHasAnID(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := newTester(t, false)
		e.history("1-a")
		e.frozen(5 * time.Second)
		e.history("1-a")
		e.want("")
		e.frozen(2 * time.Minute) // Lambda tries the event once more
		e.history("1-a")
		e.want("2+")
		if got := e.Invocations().Invocations; len(got) != 2 || got[1].Thaws != 1 || got[0].FrozenMS != 120_001 {
			t.Errorf("%+v", got)
		}
	})
}

func TestInvocationsAtTheSameTimeDoNotEndEachOther(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := newTester(t, true)
		for range 3 {
			e.history("1-a")
			e.history("1-b")
			e.history("")
			e.awake(20 * time.Second)
		}
		e.want("")
		e.timings("1-a", "a")
		e.want("3")
		e.awake(wire.MaxTimeout)
		e.history("1-c")
		e.want("3+ 3+") // no invocation takes longer
		for i := range maxOpen {
			e.history(fmt.Sprint("2-", i))
		}
		e.want("1+")
	})
}

func TestAnInvocationIsShownAsItWas(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := newTester(t, false)
		began := time.Now()
		c := e.call("1-a", "preprocess")
		time.Sleep(20 * time.Millisecond)
		c.Hits, c.Misses, c.Status = 2, 1, 502
		c.Verdicts.Set(wire.PartMute, "hit")
		c.Verdicts.Set(wire.PartHistory, "stale")
		c.Pools = &Pools{Dials: 3, Reused: 2, Retries: 1, BreakerOpen: 4, QueueWait: 1500 * time.Microsecond}
		e.done(c)
		e.history("1-a")
		got := e.Invocations()
		inv := got.Invocations[0]
		want := []wire.Operation{
			{Operation: "hearth.preprocess", Route: "GET /preprocess", DurationMS: 20, Status: 502, Cache: map[string]string{wire.PartMute: "hit", wire.PartHistory: "stale"}},
			{Operation: "hearth.history", Route: "GET /history", StartMS: 20, DurationMS: 1, Status: 200, Cache: "hit"},
		}
		if fmt.Sprint(inv.Operations) != fmt.Sprint(want) {
			t.Errorf("%v, want %v", inv.Operations, want)
		}
		counts := wire.InvocationCounts{Hits: 3, Misses: 1, Dials: 3, Reused: 2, Retries: 1, BreakerOpen: 4, QueueWaitMS: 1.5}
		if inv.InvocationCounts != counts || inv.ID != "1-a" || inv.DurationMS != 21 || inv.Began != began.UTC().Format("2006-01-02T15:04:05.000Z") {
			t.Errorf("%+v", inv)
		}
		if s := got.Operations["hearth.preprocess"]; s != (wire.OperationStats{Count: 1, P50MS: 20, P90MS: 20, P99MS: 20, MaxMS: 20}) {
			t.Errorf("%+v", got.Operations)
		}
	})
}

// A percentile is the least duration that so many percent of all do not exceed.
func TestPercentilesAreByTheNearestRank(t *testing.T) {
	e := newTester(t, false)
	for n, want := range map[int]wire.OperationStats{
		1:   {Count: 1, P50MS: 1, P90MS: 1, P99MS: 1, MaxMS: 1},
		2:   {Count: 2, P50MS: 1, P90MS: 2, P99MS: 2, MaxMS: 2},
		100: {Count: 100, P50MS: 50, P90MS: 90, P99MS: 99, MaxMS: 100},
	} {
		name := fmt.Sprint("of ", n)
		var sent wire.Timings
		for i := range n {
			sent.Timings = append(sent.Timings, wire.Timing{Operation: name, DurationMS: float64(n - i)})
		}
		c := e.call("", "")
		c.Ended = c.Began
		e.Timings(c, sent)
		if got := e.Invocations().Operations[name]; got != want {
			t.Errorf("%+v, want %+v", got, want)
		}
	}
}

func TestWhatIsRememberedIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := newTester(t, false)
		for range maxOperations + 7 {
			e.history("1-a")
		}
		e.timings("1-a", "0")
		if got := e.Invocations().Invocations[0]; len(got.Operations) != maxOperations || got.DroppedOperations != 7 || got.Hits != maxOperations+7 {
			t.Errorf("%d operations and %d dropped, %d hits", len(got.Operations), got.DroppedOperations, got.Hits)
		}
		if got := e.documents[0].Properties["dropped_operations"]; got != 7. {
			t.Errorf("the document says %v dropped", got)
		}
		for i := range maxIDs {
			e.timings("", fmt.Sprint("r", i))
		}
		all := e.Invocations().Invocations
		if len(all) != maxClosed || all[0].RequestID != fmt.Sprint("r", maxIDs-1) {
			t.Errorf("%d invocations", len(all))
		}
		before := len(e.documents)
		e.timings("", "r1")
		e.timings("", "0") // forgotten
		if len(e.documents) != before+1 {
			t.Errorf("%d documents more", len(e.documents)-before)
		}
		long := make([]string, wire.MaxTimings)
		for i := range long {
			long[i] = fmt.Sprintf("%0128d", i)
		}
		for i := range maxClosed {
			e.timings("", fmt.Sprint("long", i), long...)
		}
		if n := len(e.Invocations().Invocations); n < 10 || n > maxHandlers/(128*wire.MaxTimings) {
			t.Errorf("%d invocations with large timings", n)
		}
	})
}

func TestAHitAllocatesNothing(t *testing.T) {
	e := newTester(t, false)
	e.history("1-5759e988-bd862e3fe1be46a994272793")
	c := e.call("1-5759e988-bd862e3fe1be46a994272793", "history")
	c.Ended = c.Began
	for range maxOperations {
		e.Done(c)
	}
	if n := testing.AllocsPerRun(1000, func() {
		c.Verdicts.Set("", "hit")
		e.Done(c)
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func BenchmarkDone(b *testing.B) {
	e := newTester(b, false)
	c := e.call("1-5759e988-bd862e3fe1be46a994272793", "history")
	c.Ended = c.Began
	b.ReportAllocs()
	for b.Loop() {
		e.Done(c)
	}
}

// BenchmarkTimings is what the end of an invocation costs, with five operations of Hearth and five of the handler.
func BenchmarkTimings(b *testing.B) {
	e := newTester(b, false)
	e.cfg.Out = discard{}
	c := e.call("1-5759e988-bd862e3fe1be46a994272793", "history")
	c.Ended = c.Began
	sent := wire.Timings{FunctionMS: new(523.1)}
	for i := range 5 {
		sent.Timings = append(sent.Timings, wire.Timing{Operation: fmt.Sprint("step", i), DurationMS: 12.345})
	}
	b.ReportAllocs()
	for b.Loop() {
		for range 5 {
			e.Done(c)
		}
		e.Timings(c, sent)
	}
}
