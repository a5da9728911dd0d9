package main

import (
	"fmt"
	"io"
	"math"
	"slices"
	"text/tabwriter"
)

// percentile of samples by the nearest rank.
func percentile(samples []float64, p float64) float64 {
	if len(samples) == 0 {
		return math.NaN()
	}
	sorted := slices.Sorted(slices.Values(samples))
	return sorted[max(0, int(math.Ceil(p*float64(len(sorted))))-1)]
}

func median(samples []float64) float64 { return percentile(samples, 0.5) }

// ratios are how much longer the extension took to its first /next than the one beside it, by pairs that were started
// one right after the other: the machine treated them alike.
func (r row) ratios() (list []float64) {
	for i := range min(len(r.extension.next), len(r.beside.next)) {
		list = append(list, r.extension.next[i]/r.beside.next[i])
	}
	return list
}

// table prints what was measured. Each cell holds the extension's value and that of the one beside it.
func table(out io.Writer, rows []row, extension, beside string) error {
	fmt.Fprintf(out, "%s / %s\n\n", extension, beside)
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(w, "initialization\tMB\thandler\tINIT ms\texec→register ms\texec→/next ms\tratio\tadded p50 ms\tadded p99 ms\tidle MiB\tloaded MiB\tSHUTDOWN→end ms\t")
	for _, r := range rows {
		a, b := r.extension, r.beside
		fmt.Fprintf(w, "%s\t%d\t%s\t", r.init, r.memoryMB, r.language)
		for _, pair := range [][2]float64{{median(a.init), median(b.init)}, {median(a.register), median(b.register)}, {median(a.next), median(b.next)}} {
			fmt.Fprintf(w, "%.1f / %.1f\t", pair[0], pair[1])
		}
		fmt.Fprintf(w, "%.2f\t", median(r.ratios()))
		for _, p := range []float64{0.5, 0.99} {
			fmt.Fprintf(w, "%.2f / %.2f\t", percentile(a.added, p), percentile(b.added, p))
		}
		fmt.Fprintf(w, "%.1f / %.1f\t%.1f / %.1f\t%.1f / %.1f\t\n", median(a.idle), median(b.idle), a.loaded, b.loaded, median(a.ended), median(b.ended))
	}
	return w.Flush()
}
