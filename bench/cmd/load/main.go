// Command load is a load generator: it reads jobs from its standard input and writes reports to its standard output.
package main

import (
	"fmt"
	"os"
	"runtime"
	"runtime/debug"

	"hearth/bench/load"
)

func main() {
	runtime.LockOSThread()
	debug.SetGCPercent(-1) // a collection would be measured as latency; a round allocates next to nothing
	if err := load.Serve(os.Stdin, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
