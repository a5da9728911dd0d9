package load

import (
	"math"
	"math/bits"
	"time"
)

// steps is how many buckets there are between a power of two and the next one: a latency is known to 1/steps of itself.
const (
	stepBits = 7
	steps    = 1 << stepBits
)

// histogram counts latencies in buckets whose width grows with the latency. The zero value is empty.
type histogram struct {
	buckets [(64 - stepBits) * steps]uint32
	count   int
}

func (h *histogram) add(d time.Duration) {
	h.buckets[bucket(uint64(max(d, 0)))]++
	h.count++
}

// bucket is exact below steps; above, it is the highest stepBits+1 bits of ns and their place.
func bucket(ns uint64) int {
	shift := max(0, bits.Len64(ns)-stepBits-1)
	return shift*steps + int(ns>>shift)
}

// lowest is the smallest number of the bucket i.
func lowest(i int) uint64 {
	if i < 2*steps {
		return uint64(i)
	}
	shift := i/steps - 1
	return uint64(i-shift*steps) << shift
}

// microseconds is the quantile q, from 0 to 1, in microseconds. It is not a number if the histogram is empty.
func (h *histogram) microseconds(q float64) float64 {
	rank := max(1, int(math.Ceil(q*float64(h.count))))
	for i, n := range h.buckets {
		if rank -= int(n); rank <= 0 {
			return float64(lowest(i)+lowest(i+1)) / 2 / 1000
		}
	}
	return math.NaN()
}
