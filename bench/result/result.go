// Package result has what a measurement returns, and the statistics that make it. A measurement alternates between what it compares
// and pairs the samples of each round, because the noise of a machine changes from round to round but hits both samples of one.
package result

import (
	"fmt"
	"math"
	"slices"
)

// Line is one number that was measured. Low and High are the quartiles of its samples; both are the value where there is one sample.
type Line struct {
	Name      string
	Value     float64
	Unit      string
	Low, High float64
}

// String is how a run prints the line.
func (l Line) String() string {
	text := fmt.Sprintf("%s %s %s", l.Name, Number(l.Value), l.Unit)
	if l.Low != l.High {
		text += fmt.Sprintf(" (%s to %s)", Number(l.Low), Number(l.High))
	}
	return text
}

// Number prints a value with at least three digits.
func Number(v float64) string {
	switch {
	case math.Abs(v) >= 1000:
		return fmt.Sprintf("%.0f", v)
	case math.Abs(v) >= 10:
		return fmt.Sprintf("%.1f", v)
	}
	return fmt.Sprintf("%.3f", v)
}

// Single is a line of one sample.
func Single(name string, value float64, unit string) Line {
	return Line{Name: name, Value: value, Unit: unit, Low: value, High: value}
}

// Median is a line whose value is the median of the samples.
func Median(name, unit string, samples []float64) Line {
	return Line{Name: name, Value: Quantile(samples, 0.5), Unit: unit, Low: Quantile(samples, 0.25), High: Quantile(samples, 0.75)}
}

// Ratio is the median of ours[i] / theirs[i]. The two have the samples of the same rounds in the same order.
func Ratio(name string, ours, theirs []float64) Line {
	return Median(name, "ratio", pairs(ours, theirs, func(a, b float64) float64 { return a / b }))
}

// Difference is the median of ours[i] - theirs[i]. The two have the samples of the same rounds in the same order.
func Difference(name, unit string, ours, theirs []float64) Line {
	return Median(name, unit, pairs(ours, theirs, func(a, b float64) float64 { return a - b }))
}

func pairs(ours, theirs []float64, of func(a, b float64) float64) (samples []float64) {
	for i := range min(len(ours), len(theirs)) {
		samples = append(samples, of(ours[i], theirs[i]))
	}
	return samples
}

// Quantile is the q-quantile of the samples, interpolated between neighbours; q goes from 0 to 1. It is not a number without samples.
func Quantile(samples []float64, q float64) float64 {
	if len(samples) == 0 {
		return math.NaN()
	}
	sorted := slices.Sorted(slices.Values(samples))
	at := q * float64(len(sorted)-1)
	below := int(at)
	above := min(below+1, len(sorted)-1)
	return sorted[below] + (at-float64(below))*(sorted[above]-sorted[below])
}
