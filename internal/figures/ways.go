package figures

import (
	"fmt"
	"io"
)

// Way is one of several ways to do the same, and what it took.
type Way struct {
	Name     string  // begins with its letter in parentheses
	Held     string  // what Hearth had
	MS       Samples // milliseconds of each sample
	Requests Samples // to the upstreams, in each sample
}

// Less is by how much the median of w is below that of base, in percent of base.
func (w *Way) Less(base *Way) float64 { return 100 * (1 - w.MS.Median()/base.MS.Median()) }

// WriteWays prints a row for each way, and by how much it is below the first two. A way without samples has no numbers.
func WriteWays(out io.Writer, ways ...*Way) error {
	w := NewTable(out, "\theld\tsamples\tp50 ms\tp95 ms\tless than (a)\tless than (b)\tupstream requests\t")
	width := 0
	for _, way := range ways {
		width = max(width, len(way.Name))
	}
	for _, way := range ways {
		name := fmt.Sprintf("%-*s", width, way.Name) // padded, so that the first column is aligned left
		if len(way.MS) == 0 {
			w.Row("%s\t%s\t0\t\t\t\t\t\t", name, way.Held)
			continue
		}
		below := [2]string{"", ""}
		for i, base := range ways[:min(2, len(ways))] {
			if way != ways[0] && way != base && len(base.MS) > 0 {
				below[i] = fmt.Sprintf("%.2f %%", way.Less(base))
			}
		}
		w.Row("%s\t%s\t%d\t%.2f\t%.2f\t%s\t%s\t%.0f\t",
			name, way.Held, len(way.MS), way.MS.Median(), way.MS.Percentile(0.95), below[0], below[1], way.Requests.Median())
	}
	return w.Flush()
}
