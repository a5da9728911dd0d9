package main

import (
	"errors"
	"fmt"
	"io"

	"hearth/internal/testing/lab"
	"hearth/internal/testing/lambdatest"
)

// What Hearth may cost on one whole CPU.
const (
	fullCPU    = 1769 // MB
	mostRatio  = 3.0  // of the bare extension's time to the first /next
	mostAdded  = 1.0  // ms after the response, the median
	mostIdle   = 25.0 // MiB
	mostLoaded = 40.0 // MiB after the invocations
	mostEnd    = 300  // ms from SHUTDOWN to the end
	mostZip    = 7_000_000
)

var errGate = errors.New("costs more than it may")

// verdict compares what was measured with the limits. All pairs together are judged by their time to the first /next, and
// each cell too unless it has few: on a busy machine few pairs say little. With provisioned concurrency the first /next waits
// for the warm-up on purpose, so it is not judged. On Managed Instances Lambda does not wait after a response.
func verdict(out io.Writer, rows []row, zips []file, few bool) (err error) {
	gate := func(what string, got, most float64) {
		word := "kept"
		if !(got <= most) { // nothing was measured
			word, err = "MISSED", errGate
		}
		fmt.Fprintf(out, "  %s: %.2f, at most %.0f: %s\n", what, got, most, word)
	}
	fmt.Fprintf(out, "\nHeld to, at %d MB:\n", fullCPU)
	var ratios lab.Samples
	for _, r := range rows {
		if r.memoryMB != fullCPU {
			continue
		}
		if r.init != lambdatest.ProvisionedConcurrency {
			ratios = append(ratios, r.ratios()...)
			if !few {
				gate(fmt.Sprintf("%v: first /next, of the bare extension's", r.cell), r.ratios().Median(), mostRatio)
			}
		}
		if r.init != lambdatest.ManagedInstances {
			gate(fmt.Sprintf("%v: ms added after the response", r.cell), r.extension.added.Median(), mostAdded)
		}
		gate(fmt.Sprintf("%v: MiB idle", r.cell), r.extension.idle.Median(), mostIdle)
		gate(fmt.Sprintf("%v: MiB loaded", r.cell), r.extension.loaded, mostLoaded)
		gate(fmt.Sprintf("%v: ms from SHUTDOWN to the end, the longest", r.cell), r.extension.ended.Max(), mostEnd)
	}
	if len(ratios) > 0 {
		gate(fmt.Sprintf("first /next, of the bare extension's, in %d pairs", len(ratios)), ratios.Median(), mostRatio)
	}
	for _, zip := range zips {
		gate("bytes of "+zip.name, float64(zip.size), mostZip)
	}
	return err
}
