package result_test

import (
	"fmt"
	"math"
	"testing"

	"hearth/bench/result"
)

func ExampleRatio() {
	ours, theirs := []float64{90, 45, 99}, []float64{100, 50, 110} // the second round was slow for both
	fmt.Println(result.Ratio("hit_vs_bare", ours, theirs))
	fmt.Println(result.Difference("overhead", "µs", ours, theirs))
	fmt.Println(result.Single("rss_idle_mib", 17.25, "MiB"))
	// Output:
	// hit_vs_bare 0.900 ratio
	// overhead -10.0 µs (-10.5 to -7.500)
	// rss_idle_mib 17.2 MiB
}

func TestQuantile(t *testing.T) {
	samples := []float64{4, 1, 3, 2}
	for q, want := range map[float64]float64{0: 1, 0.25: 1.75, 0.5: 2.5, 0.75: 3.25, 1: 4} {
		if got := result.Quantile(samples, q); got != want {
			t.Errorf("quantile %v is %v and not %v", q, got, want)
		}
	}
	if samples[0] != 4 {
		t.Error("the samples were sorted in place")
	}
	if got := result.Quantile([]float64{7}, 0.99); got != 7 {
		t.Errorf("of one sample: %v", got)
	}
	if got := result.Quantile(nil, 0.5); !math.IsNaN(got) {
		t.Errorf("of none: %v", got)
	}
}

func TestALineOfNoSamplesIsNotANumber(t *testing.T) {
	if l := result.Ratio("x", nil, []float64{1}); !math.IsNaN(l.Value) {
		t.Errorf("%v", l)
	}
}

func TestNumber(t *testing.T) {
	for v, want := range map[float64]string{123456.7: "123457", 17.25: "17.2", 0.9: "0.900", -10.5: "-10.5", 0.0001: "0.000"} {
		if got := result.Number(v); got != want {
			t.Errorf("%v is printed as %s and not %s", v, got, want)
		}
	}
}
