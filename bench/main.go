// Command bench measures Hearth beside servers that do the same work, and judges the numbers by the limits that Hearth holds itself
// to. It prints a line "name value unit" for each number, with the quartiles of its rounds in parentheses.
//
// Start at run.do. measurements lists what is measured, each in a package of its own, and limits.go has all limits. A run names
// each limit that does not hold, and fails only if a number is beyond the limit's floor.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"hearth/bench/allocs"
	"hearth/bench/document"
	"hearth/bench/handlers"
	"hearth/bench/miss"
	"hearth/bench/profile"
	"hearth/bench/result"
	"hearth/bench/rig"
	"hearth/bench/speed"
	"hearth/bench/start"
	"hearth/internal/testing/lab"
)

// measurement makes some of the lines of a run. It uses [rig.Rig.Again] for numbers that other
// work of the machine disturbs.
type measurement struct {
	name string
	run  func(context.Context, *rig.Rig) ([]result.Line, error)
}

func measurements() []measurement {
	return []measurement{
		{"speed", speed.Measure},
		{"allocs", allocs.Measure},
		{"miss", miss.Measure},
		{"handlers", handlers.Measure},
		{"start", start.Measure},
	}
}

func main() {
	short := flag.Bool("short", false, "shorter rounds, fewer for the handlers, and no nginx and Redis")
	only := flag.String("only", "", "measurements to make, separated by commas; empty: all")
	doc := flag.Bool("doc", false, "write the numbers into docs/benchmarks.md, and draw its charts")
	profiles := flag.String("profile", "", "measure nothing, and write CPU profiles of Hearth to this folder")
	flag.Parse()
	lab.Main("bench", func(ctx context.Context, dir string) error {
		chosen, err := choose(measurements(), *only)
		if err != nil {
			return err
		}
		cfg := rig.Config{Dir: dir, Short: *short, Progress: os.Stderr}
		if *profiles != "" {
			return writeProfiles(ctx, *profiles, os.Stdout, cfg)
		}
		measure := run{measurements: chosen}
		if *doc {
			measure.documented = `make bench BENCH="` + strings.Join(os.Args[1:], " ") + `"`
		}
		return measure.do(ctx, os.Stdout, cfg)
	})
}

func writeProfiles(ctx context.Context, folder string, out io.Writer, cfg rig.Config) error {
	r, err := rig.New(ctx, cfg)
	if err != nil {
		return err
	}
	defer r.Close()
	return profile.Write(ctx, r, folder, out)
}

func choose(all []measurement, only string) (chosen []measurement, err error) {
	if only == "" {
		return all, nil
	}
	for name := range strings.SplitSeq(only, ",") {
		i := slices.IndexFunc(all, func(m measurement) bool { return m.name == name })
		if i < 0 {
			return nil, fmt.Errorf("there is no measurement %q", name)
		}
		chosen = append(chosen, all[i])
	}
	return chosen, nil
}

var errFloor = errors.New("a number is beyond its floor")

// run is what is to be done.
type run struct {
	measurements []measurement
	documented   string // the command that the document names; empty: no document is written
}

func (r run) do(ctx context.Context, out io.Writer, cfg rig.Config) error {
	all, err := limits()
	if err != nil {
		return err
	}
	cfg.Broken = func(lines []result.Line) bool { return anyBroken(all, lines) }
	built, err := rig.New(ctx, cfg)
	if err != nil {
		return err
	}
	defer built.Close()
	var lines []result.Line
	for _, m := range r.measurements {
		began := time.Now()
		measured, err := m.run(ctx, built)
		if err != nil {
			return fmt.Errorf("%s: %w", m.name, err)
		}
		fmt.Fprintf(built.Progress, "%s took %.0f s\n", m.name, time.Since(began).Seconds())
		for _, l := range measured {
			fmt.Fprintln(out, l)
		}
		lines = append(lines, measured...)
	}
	if r.documented != "" {
		path := filepath.Join(built.Root, "docs", "benchmarks.md")
		if err := document.Write(path, describe(ctx, built.Root, r.documented, all, lines)); err != nil {
			return err
		}
	}
	if err := judge(out, all, lines); err != nil || len(r.measurements) < len(measurements()) {
		return err
	}
	return unmeasured(all, lines)
}

// unmeasured is an error if a limit that has a floor was held against no line: then a run could not fail.
func unmeasured(all []limit, lines []result.Line) error {
	for _, l := range all {
		measured := slices.ContainsFunc(lines, func(line result.Line) bool {
			first, ok := of(all, line)
			return ok && first.names == l.names
		})
		if !math.IsNaN(l.floor) && !measured {
			return fmt.Errorf("%s was not measured", l.names)
		}
	}
	return nil
}

// judge prints which limits hold.
func judge(out io.Writer, all []limit, lines []result.Line) error {
	fmt.Fprintln(out)
	for _, line := range lines {
		if l, ok := of(all, line); ok {
			fmt.Fprintf(out, "%s: %v: %s (%v)\n", l.judge(line), line.Name, result.Number(line.Value), l)
		}
	}
	if anyBroken(all, lines) {
		return errFloor
	}
	return nil
}
