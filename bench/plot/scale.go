package plot

import (
	"math"
	"slices"
	"strconv"
)

// scale places values between 0, at the bottom of a chart, and 1.
type scale struct {
	low, high float64
	log       bool
}

// newScale is a scale that has room for the values. One that is not logarithmic begins at 0.
func newScale(values []float64, log bool) scale {
	if len(values) == 0 {
		return scale{low: 0, high: 1}
	}
	lowest, highest := slices.Min(values), slices.Max(values)
	if log && lowest > 0 {
		return scale{math.Pow(10, math.Floor(math.Log10(lowest))), math.Pow(10, math.Ceil(math.Log10(highest*1.0001))), true}
	}
	step := niceStep(highest)
	return scale{low: 0, high: step * max(1, math.Ceil(highest/step))}
}

func (s scale) position(v float64) float64 {
	if s.log {
		return math.Log(v/s.low) / math.Log(s.high/s.low)
	}
	return (v - s.low) / (s.high - s.low)
}

// ticks are the values at which a line is drawn.
func (s scale) ticks() (at []float64) {
	if s.log {
		for v := s.low; v <= s.high*1.0001; v *= 10 {
			at = append(at, v)
		}
		return at
	}
	step := niceStep(s.high)
	for i := 0; float64(i)*step <= s.high*1.0001; i++ {
		at = append(at, float64(i)*step)
	}
	return at
}

// niceStep is 1, 2 or 5 times a power of ten, so that about five steps make highest.
func niceStep(highest float64) float64 {
	if highest <= 0 {
		return 1
	}
	power := math.Pow(10, math.Floor(math.Log10(highest/5)))
	for _, times := range []float64{1, 2, 5} {
		if highest/(times*power) <= 6 {
			return times * power
		}
	}
	return 10 * power
}

// label is a number with a k for thousands.
func label(v float64) string {
	if v >= 1000 {
		return strconv.FormatFloat(v/1000, 'g', 4, 64) + "k"
	}
	return strconv.FormatFloat(v, 'g', 4, 64)
}
