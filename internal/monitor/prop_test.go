package monitor

import (
	"fmt"
	"maps"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"
)

// What the documents and the reply of debug/invocations count is what was called, however invocations, their calls and freezes interleave.
func TestTheCountsAreThoseOfTheCalls(t *testing.T) {
	for _, concurrent := range []bool{false, true} {
		t.Run(fmt.Sprintf("concurrent %v", concurrent), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				rapid.Check(struct{ testing.TB }{t}, func(r *rapid.T) { countsAreThoseOfTheCalls(t, r, concurrent) })
			})
		})
	}
}

// sums are what is counted of the invocations of one id.
type sums struct {
	hits, misses, stale, histories, preprocesses, timings float64
}

func countsAreThoseOfTheCalls(t *testing.T, r *rapid.T, concurrent bool) {
	e := newTester(t, concurrent)
	want := map[string]sums{}
	var pools Pools
	var thaws float64
	var open []Call
	roots := rapid.SampledFrom([]string{"", "1-a", "1-b", "1-c"})
	sent := map[string]bool{}
	begin := func(r *rapid.T) {
		c := e.call(roots.Draw(r, "root"), rapid.SampledFrom([]string{"history", "preprocess"}).Draw(r, "route"))
		open = append(open, c)
	}
	end := func(r *rapid.T) {
		if len(open) == 0 {
			r.Skip("no call is under way")
		}
		i := rapid.IntRange(0, len(open)-1).Draw(r, "call")
		c := open[i]
		open = append(open[:i], open[i+1:]...)
		c.Hits, c.Misses, c.Stale = int64(rapid.IntRange(0, 2).Draw(r, "hits")), int64(rapid.IntRange(0, 2).Draw(r, "misses")), int64(rapid.IntRange(0, 2).Draw(r, "stale"))
		if rapid.Bool().Draw(r, "waited") {
			pools.Dials++
			pools.Retries += 2
			pools.QueueWait += time.Millisecond
			c.Pools = new(pools)
		}
		s := want[string(rootOf(c.Trace))]
		s.hits += float64(c.Hits)
		s.misses += float64(c.Misses)
		s.stale += float64(c.Stale)
		if c.Route == e.routes["history"] {
			s.histories++
		} else {
			s.preprocesses++
		}
		want[string(rootOf(c.Trace))] = s
		thaws = max(thaws, float64(c.Clock.Freezes))
		e.done(c)
	}
	r.Repeat(map[string]func(*rapid.T){
		"begin": begin,
		"end":   end,
		"call":  func(r *rapid.T) { begin(r); time.Sleep(time.Millisecond); end(r) },
		"timings": func(r *rapid.T) {
			root, id := roots.Draw(r, "root"), fmt.Sprint(rapid.IntRange(0, 8).Draw(r, "request"))
			e.timings(root, id, "total")
			if !sent[id] {
				s := want[root]
				s.timings++
				want[root] = s
				thaws = max(thaws, float64(e.pulse.Freezes()))
			}
			sent[id] = true
		},
		"freeze": func(r *rapid.T) { e.frozen(time.Duration(rapid.IntRange(1, 100).Draw(r, "seconds")) * time.Second) },
		"wait":   func(r *rapid.T) { e.awake(time.Duration(rapid.IntRange(1, 20).Draw(r, "minutes")) * time.Minute) },
	})
	for len(open) > 0 {
		end(r)
	}
	e.Close()

	documents, shown := map[string]sums{}, map[string]sums{}
	var inDocuments Pools
	var thawed, cold float64
	for _, d := range e.documents {
		root, _ := d.Properties["trace_root"].(string)
		sum := func(name string) (all float64) {
			for _, v := range d.Metrics[name].Values {
				all += v
			}
			return all
		}
		s := documents[root]
		s.hits += sum("hits")
		s.misses += sum("misses")
		s.stale += sum("stale")
		s.histories += float64(len(d.Metrics["hearth.history_duration"].Values))
		s.preprocesses += float64(len(d.Metrics["hearth.preprocess_duration"].Values))
		s.timings += float64(len(d.Metrics["total_duration"].Values))
		documents[root] = s
		inDocuments.add(Pools{Dials: int64(sum("dials")), Retries: int64(sum("retries")), QueueWait: time.Duration(sum("queue_wait")) * time.Millisecond})
		thawed += sum("thaws")
		cold += sum("cold_start")
	}
	for _, inv := range e.Invocations().Invocations {
		s := shown[inv.ID]
		s.hits += float64(inv.Hits)
		s.misses += float64(inv.Misses)
		s.stale += float64(inv.Stale)
		for _, op := range inv.Operations {
			if op.Operation == "hearth.history" {
				s.histories++
			} else {
				s.preprocesses++
			}
		}
		s.timings += float64(len(inv.Timings))
		shown[inv.ID] = s
	}
	if !maps.Equal(documents, want) || !maps.Equal(shown, want) {
		r.Fatalf("documents: %v\nshown: %v\ncalled: %v", documents, shown, want)
	}
	if inDocuments != pools || thawed != thaws || len(e.documents) > 0 != (cold == 1) {
		r.Fatalf("the pools have done %v and the documents say %v; %v thaws, want %v; %v cold starts", pools, inDocuments, thawed, thaws, cold)
	}
}
