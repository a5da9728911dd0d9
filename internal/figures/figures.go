// Package figures prints what was measured: [Samples] of one thing, a [Table] of any columns, and the table of several ways to do the same
// ([WriteWays]). The command compare and the harnesses in internal/testing share it. It measures nothing itself.
package figures

import (
	"fmt"
	"io"
	"math"
	"slices"
	"text/tabwriter"
	"time"
)

// Samples are measurements of one thing.
type Samples []float64

// Percentile is by the nearest rank; p goes from 0 to 1. It is not a number if there are no samples.
func (s Samples) Percentile(p float64) float64 {
	if len(s) == 0 {
		return math.NaN()
	}
	return NearestRank(slices.Sorted(slices.Values(s)), p)
}

// NearestRank returns the percentile p (0 to 1) by the nearest rank: the least value that at least this share of the values do not exceed.
// The values are in ascending order, and there is at least one.
func NearestRank[T any](sorted []T, p float64) T {
	return sorted[max(0, int(math.Ceil(p*float64(len(sorted))))-1)]
}

// Median is the 50th percentile.
func (s Samples) Median() float64 { return s.Percentile(0.5) }

// Max is the largest sample.
func (s Samples) Max() float64 { return s.Percentile(1) }

// MS is a duration in milliseconds.
func MS(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

// Table prints columns that are aligned right.
type Table struct{ w *tabwriter.Writer }

// NewTable begins a table with its header. A tab ends a cell.
func NewTable(out io.Writer, header string) Table {
	t := Table{tabwriter.NewWriter(out, 0, 0, 2, ' ', tabwriter.AlignRight)}
	t.Row("%s", header)
	return t
}

// Row adds a row. A tab ends a cell; text after the last tab is aligned left.
func (t Table) Row(format string, cells ...any) { fmt.Fprintf(t.w, format+"\n", cells...) }

// Flush prints the table.
func (t Table) Flush() error { return t.w.Flush() }
