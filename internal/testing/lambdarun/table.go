package main

import (
	"fmt"
	"io"

	"hearth/internal/testing/lab"
)

// ratios are how many times longer the extension took to its first /next than the one it is compared with, for each pair that
// was started one right after the other.
func (r row) ratios() (list lab.Samples) {
	for i := range min(len(r.extension.next), len(r.beside.next)) {
		list = append(list, r.extension.next[i]/r.beside.next[i])
	}
	return list
}

// table prints what was measured: in each column the value of the extension and of the one it is compared with.
func table(out io.Writer, rows []row, extension, beside string) error {
	fmt.Fprintf(out, "%s / %s\n\n", extension, beside)
	w := lab.NewTable(out, "initialization\tMB\thandler\tINIT ms\texec→register ms\texec→/next ms\tratio\tadded p50 ms\tadded p99 ms\tidle MiB\tloaded MiB\tSHUTDOWN→end ms\t")
	for _, r := range rows {
		a, b := r.extension, r.beside
		w.Row("%s\t%d\t%s\t%.1f / %.1f\t%.1f / %.1f\t%.1f / %.1f\t%.2f\t%.2f / %.2f\t%.2f / %.2f\t%.1f / %.1f\t%.1f / %.1f\t%.1f / %.1f\t",
			r.init, r.memoryMB, r.language,
			a.init.Median(), b.init.Median(), a.register.Median(), b.register.Median(), a.next.Median(), b.next.Median(),
			r.ratios().Median(), a.added.Median(), b.added.Median(), a.added.Percentile(0.99), b.added.Percentile(0.99),
			a.idle.Median(), b.idle.Median(), a.loaded, b.loaded, a.ended.Median(), b.ended.Median())
	}
	return w.Flush()
}
