// Command counted is Hearth that counts its heap objects. It is no other than the product but for this: for every byte of its standard
// input it writes a line to its standard output with the number of heap objects that it has allocated so far.
package main

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"runtime"
	"runtime/metrics"

	"hearth/internal/app"
)

func main() {
	go count(os.Stdin, os.Stdout)
	os.Exit(app.Main(os.Args, os.Environ(), io.Discard, os.Stderr, app.Options{}))
}

func count(in io.Reader, out io.Writer) {
	asked := bufio.NewReader(in)
	sample := []metrics.Sample{{Name: "/gc/heap/allocs:objects"}}
	for {
		if _, err := asked.ReadByte(); err != nil {
			return
		}
		runtime.GC() // until then a thread may know of objects that the metric does not
		metrics.Read(sample)
		fmt.Fprintln(out, sample[0].Value.Uint64())
	}
}
