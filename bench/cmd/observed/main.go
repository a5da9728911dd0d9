// Command observed is Hearth, and no other than the product but for this: it obeys commands on its standard input, one a line, and
// answers each with a line on its standard output.
//
//	allocs          the number of heap objects that it has allocated so far
//	profile <file>  begin to write a CPU profile
//	stop            end the profile
package main

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"runtime"
	"runtime/metrics"
	"runtime/pprof"
	"strings"

	"hearth/internal/app"
)

func main() {
	go obey(os.Stdin, os.Stdout)
	os.Exit(app.Main(os.Args, os.Environ(), io.Discard, os.Stderr, app.Options{}))
}

func obey(in io.Reader, out io.Writer) {
	var file *os.File // of the profile
	for commands := bufio.NewScanner(in); commands.Scan(); {
		command, argument, _ := strings.Cut(commands.Text(), " ")
		var answer any = "ok"
		var err error
		switch command {
		case "allocs":
			answer = allocs()
		case "profile":
			if file, err = os.Create(argument); err == nil {
				err = pprof.StartCPUProfile(file)
			}
		case "stop":
			pprof.StopCPUProfile()
			err = file.Close()
		default:
			err = fmt.Errorf("no command %q", command)
		}
		if err != nil {
			answer = err
		}
		fmt.Fprintln(out, answer)
	}
}

func allocs() uint64 {
	runtime.GC() // until then a thread may know of objects that the metric does not
	sample := []metrics.Sample{{Name: "/gc/heap/allocs:objects"}}
	metrics.Read(sample)
	return sample[0].Value.Uint64()
}
