package load

import (
	"math"
	"testing"
	"time"
)

func TestQuantiles(t *testing.T) {
	h := &histogram{}
	if got := h.microseconds(0.5); !math.IsNaN(got) {
		t.Errorf("an empty histogram has the median %v", got)
	}
	for i := range 1000 {
		h.add(time.Duration(i+1) * time.Microsecond)
	}
	for q, want := range map[float64]float64{0: 1, 0.5: 500, 0.99: 990, 0.999: 999, 1: 1000} {
		if got := h.microseconds(q); math.Abs(got-want) > want/steps {
			t.Errorf("quantile %v is %v and not %v", q, got, want)
		}
	}
}

func FuzzBucket(f *testing.F) {
	for _, ns := range []int64{0, 1, 127, 128, 255, 256, 257, 1e6, math.MaxInt64} {
		f.Add(ns)
	}
	f.Fuzz(func(t *testing.T, ns int64) {
		n := uint64(max(ns, 0))
		i := bucket(n)
		if low, next := lowest(i), lowest(i+1); n < low || n >= next || next-low > max(1, low/steps) {
			t.Errorf("%d is in bucket %d, from %d to %d", n, i, low, next)
		}
		(&histogram{}).add(time.Duration(ns))
	})
}
