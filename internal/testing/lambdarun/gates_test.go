package main

import (
	"errors"
	"math"
	"strings"
	"testing"

	"hearth/internal/testing/lambdatest"
)

func TestPercentile(t *testing.T) {
	samples := []float64{5, 1, 4, 2, 3}
	for p, want := range map[float64]float64{0: 1, 0.2: 1, 0.5: 3, 0.99: 5, 1: 5} {
		if got := percentile(samples, p); got != want {
			t.Errorf("p%v: %v, want %v", 100*p, got, want)
		}
	}
	if got := median(nil); !math.IsNaN(got) {
		t.Errorf("median of none: %v", got)
	}
}

func TestVerdict(t *testing.T) {
	for _, tc := range []struct {
		name                     string
		init                     lambdatest.InitType
		mb                       int
		next, added, idle, ended []float64
		zip                      int64
		missed                   int
	}{
		{"kept", lambdatest.OnDemand, 1769, []float64{30}, []float64{1}, []float64{25}, []float64{300}, 6_000_000, 0},
		{"late", lambdatest.OnDemand, 1769, []float64{31}, []float64{1}, []float64{25}, []float64{300}, 6_000_000, 2},
		{"late on purpose", lambdatest.ProvisionedConcurrency, 1769, []float64{31}, []float64{1}, []float64{25}, []float64{300}, 6_000_000, 0},
		{"all of it", lambdatest.OnDemand, 1769, []float64{31}, []float64{1.1}, []float64{26}, []float64{301}, 6_000_001, 6},
		{"nobody waits", lambdatest.ManagedInstances, 1769, []float64{30}, []float64{1.1}, []float64{25}, []float64{300}, 6_000_000, 0},
		{"one end was late", lambdatest.OnDemand, 1769, []float64{30}, []float64{1}, []float64{25}, []float64{2, 301, 2}, 6_000_000, 1},
		{"small", lambdatest.OnDemand, 512, []float64{31}, []float64{1.1}, []float64{26}, []float64{301}, 6_000_000, 0},
		{"nothing measured", lambdatest.OnDemand, 1769, nil, nil, nil, nil, 6_000_000, 4},
	} {
		r := row{
			cell: cell{tc.init, tc.mb, "go"}, beside: cost{next: []float64{10}},
			extension: cost{next: tc.next, added: tc.added, idle: tc.idle, loaded: 40, ended: tc.ended},
		}
		var out strings.Builder
		err := verdict(&out, []row{r}, []file{{"layer.zip", tc.zip}}, false)
		if n := strings.Count(out.String(), "MISSED"); n != tc.missed || errors.Is(err, errGate) != (tc.missed > 0) {
			t.Errorf("%s: %v\n%s", tc.name, err, out.String())
		}
	}
}

func TestTheRatioIsOfPairs(t *testing.T) {
	r := row{extension: cost{next: []float64{20, 200, 30}}, beside: cost{next: []float64{10, 100, 10}}} // The machine was slow once.
	if got := median(r.ratios()); got != 2 {
		t.Errorf("%v, want 2", got)
	}
}
