package figures

import (
	"math"
	"strings"
	"testing"
)

func TestPercentile(t *testing.T) {
	samples := Samples{5, 1, 4, 2, 3}
	for p, want := range map[float64]float64{0: 1, 0.2: 1, 0.5: 3, 0.6: 3, 0.95: 5, 0.99: 5, 1: 5} {
		if got := samples.Percentile(p); got != want {
			t.Errorf("p%v: %v, want %v", 100*p, got, want)
		}
	}
	if samples[0] != 5 {
		t.Error("the samples were sorted in place")
	}
	if got := (Samples{1, 2}).Median(); got != 1 {
		t.Errorf("median of two: %v", got)
	}
	if got := NearestRank([]string{"a", "b", "c", "d"}, 0.51); got != "c" {
		t.Errorf("p51 of four: %s", got)
	}
	if got := (Samples{}).Median(); !math.IsNaN(got) {
		t.Errorf("median of none: %v", got)
	}
	if got := samples.Max(); got != 5 {
		t.Errorf("the largest: %v", got)
	}
}

func TestATableIsAlignedRightButForWhatFollowsTheLastTab(t *testing.T) {
	var out strings.Builder
	table := NewTable(&out, "hits\tratio\t")
	table.Row("%d\t%.1f %%\t  %s", 7, 100.0, "100%d")
	if err := table.Flush(); err != nil {
		t.Fatal(err)
	}
	if want := "  hits    ratio\n     7  100.0 %  100%d\n"; out.String() != want {
		t.Errorf("%q, want %q", out.String(), want)
	}
}
