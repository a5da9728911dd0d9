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
		at := roundNumbers(lowest, highest)
		return scale{at[0], at[len(at)-1], true}
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
		return roundNumbers(s.low, s.high)
	}
	step := niceStep(s.high)
	for i := 0; float64(i)*step <= s.high*1.0001; i++ {
		at = append(at, float64(i)*step)
	}
	return at
}

// roundNumbers are 1, 2 and 5 times powers of ten: those from low to high, and if low or high is none of them, the next ones.
func roundNumbers(low, high float64) (at []float64) {
	const nearly = 1 + 1e-9 // for what floating point loses
	for power := math.Pow(10, math.Floor(math.Log10(low))); ; power *= 10 {
		for _, times := range []float64{1, 2, 5} {
			v := times * power
			if v <= low*nearly {
				at = at[:0]
			}
			at = append(at, v)
			if v*nearly >= high && len(at) > 1 {
				return at
			}
		}
	}
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
