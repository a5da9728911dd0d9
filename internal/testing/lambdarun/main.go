// Command lambdarun runs the layer in a double of Lambda, with every initialization type and in three sizes, and compares it
// with an extension that only registers. It says what Hearth costs at INIT, after the response and in memory, and fails if
// that is more than the limits in gates.go.
//
// Start at run. build.go builds the binaries, sandbox.go starts a sandbox, rounds.go measures, table.go prints. What Hearth saves
// is shown by the demo. With -silent it runs the sample handlers beside upstreams that never answer, in sandboxes that are reset after a
// timeout (silent.go, mouth.go), and with -managed it makes many calls at once on Managed Instances (managed.go).
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"hearth/internal/testing/lab"
	"hearth/internal/testing/lambdatest"
)

// options are the flags.
type options struct {
	layer    string
	short    bool
	variants bool
	beside   string

	silent, managed bool
	invocations     int
	only            string
}

func main() {
	var o options
	flag.StringVar(&o.layer, "layer", "", "the layer's zip, instead of building it")
	flag.BoolVar(&o.short, "short", false, "fewer starts and invocations")
	flag.BoolVar(&o.variants, "variants", false, "compare registering for INVOKE with registering for SHUTDOWN only, and nothing else")
	flag.StringVar(&o.beside, "beside", "", "compare with this build of the extension, of an older commit say, and do nothing else")
	flag.BoolVar(&o.silent, "silent", false, "run the sample handlers beside upstreams that never answer, and nothing else")
	flag.BoolVar(&o.managed, "managed", false, "make many cold calls at once on Managed Instances, and nothing else")
	flag.IntVar(&o.invocations, "invocations", 50, "how many for each handler, with -silent")
	flag.StringVar(&o.only, "only", "", "the situations and handlers whose names contain this, with -silent")
	flag.Parse()
	lab.Main("lambdarun", func(ctx context.Context, dir string) error {
		switch {
		case o.silent:
			return runSilent(ctx, os.Stdout, dir, o)
		case o.managed:
			return runManaged(ctx, os.Stdout, dir)
		}
		return run(ctx, os.Stdout, dir, o)
	})
}

func run(ctx context.Context, out io.Writer, dir string, o options) (err error) {
	began := time.Now()
	b, err := build(ctx, dir, o)
	if err != nil {
		return err
	}
	// What is measured is not the distance of the upstreams.
	u, err := lab.StartUpstreams(dir, lab.UpstreamsConfig{PublicCA: true}) //nolint:contextcheck // their life ends with Close
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, u.Close()) }()

	layer, err := lambdatest.New(lambdatest.Config{Layer: b.zips[0]}) //nolint:contextcheck // it only unpacks
	if err != nil {
		return err
	}
	defer layer.Close()
	r := &rounds{dir: dir, root: b.root, opt: layer.Opt, upstreams: u, handler: b.handler, starts: 9, invocations: 200}
	if o.short {
		r.starts, r.invocations = 7, 40
	}
	extension, beside := subject{name: "hearth", path: r.opt("extensions", "hearth")}, subject{name: bareName, path: b.bare}
	cells := matrix(o.short)
	if o.variants {
		beside = subject{name: "SHUTDOWN only", path: b.variant}
		extension = subject{name: "INVOKE too", path: b.variant, env: []string{"HEARTH_TEST_EVENTS=INVOKE"}}
		cells = cells[:3]
	}
	if o.beside != "" {
		beside = subject{name: "beside", path: o.beside}
	}
	if err := lab.MakeClasses(ctx, r.opt("extensions", "hearth"), u.Settings()); err != nil {
		return err
	}
	var rows []row
	for _, c := range cells {
		got, err := r.measure(ctx, c, extension, beside)
		if err != nil {
			return fmt.Errorf("%v: %w", c, err)
		}
		rows = append(rows, got)
	}
	if err := table(out, rows, extension.name, beside.name); err != nil {
		return err
	}
	fmt.Fprintf(out, "\nMedians of %d starts; %d invocations, a freeze after every %dth but on Managed Instances. In force: %s.\n",
		r.starts, r.invocations, freezeEvery, rows[0].limits)
	if o.variants || o.beside != "" {
		return nil
	}
	sizes, err := fileSizes(b.zips)
	if err != nil {
		return err
	}
	err = verdict(out, rows, sizes, o.short)
	fmt.Fprintf(out, "It took %v.\n", time.Since(began).Round(time.Second))
	return err
}

// matrix is every initialization type in every size with the handler in Go, and on demand also with the one in Python.
func matrix(short bool) (cells []cell) {
	sizes := []int{1769, 512, 128}
	for _, init := range lambdatest.InitTypes() {
		for _, mb := range sizes {
			cells = append(cells, cell{init, mb, lab.Go})
		}
	}
	if short {
		sizes = sizes[:1]
	}
	for _, mb := range sizes {
		cells = append(cells, cell{lambdatest.OnDemand, mb, lab.Python})
	}
	return cells
}

// bareName is the extension that only registers.
const bareName = "bare"

// file is one whose size counts.
type file struct {
	name string
	size int64
}

func fileSizes(paths []string) (sizes []file, err error) {
	for _, path := range paths {
		info, err := os.Stat(path)
		if err != nil {
			return nil, err
		}
		sizes = append(sizes, file{filepath.Base(path), info.Size()})
	}
	return sizes, nil
}
