package main

import (
	"errors"
	"strings"
	"testing"

	"hearth/internal/testing/lab"
	"hearth/internal/testing/lambdatest"
)

func TestVerdict(t *testing.T) {
	for _, tc := range []struct {
		name                     string
		init                     lambdatest.InitType
		mb                       int
		next, added, idle, ended lab.Samples
		zip                      int64
		missed                   int
	}{
		{"kept", lambdatest.OnDemand, 1769, lab.Samples{30}, lab.Samples{1}, lab.Samples{25}, lab.Samples{300}, 7_000_000, 0},
		{"late", lambdatest.OnDemand, 1769, lab.Samples{31}, lab.Samples{1}, lab.Samples{25}, lab.Samples{300}, 7_000_000, 2},
		{"late on purpose", lambdatest.ProvisionedConcurrency, 1769, lab.Samples{31}, lab.Samples{1}, lab.Samples{25}, lab.Samples{300}, 7_000_000, 0},
		{"all of it", lambdatest.OnDemand, 1769, lab.Samples{31}, lab.Samples{1.1}, lab.Samples{26}, lab.Samples{301}, 7_000_001, 6},
		{"nobody waits", lambdatest.ManagedInstances, 1769, lab.Samples{30}, lab.Samples{1.1}, lab.Samples{25}, lab.Samples{300}, 7_000_000, 0},
		{"one end was late", lambdatest.OnDemand, 1769, lab.Samples{30}, lab.Samples{1}, lab.Samples{25}, lab.Samples{2, 301, 2}, 7_000_000, 1},
		{"small", lambdatest.OnDemand, 512, lab.Samples{31}, lab.Samples{1.1}, lab.Samples{26}, lab.Samples{301}, 7_000_000, 0},
		{"nothing measured", lambdatest.OnDemand, 1769, nil, nil, nil, nil, 7_000_000, 4},
	} {
		r := row{
			cell: cell{tc.init, tc.mb, lab.Go}, beside: cost{next: lab.Samples{10}},
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
	r := row{extension: cost{next: lab.Samples{20, 200, 30}}, beside: cost{next: lab.Samples{10, 100, 10}}} // The machine was slow once.
	if got := r.ratios().Median(); got != 2 {
		t.Errorf("%v, want 2", got)
	}
}
