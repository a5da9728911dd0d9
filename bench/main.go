// Command bench measures Hearth beside servers that do the same work, and judges the numbers by the limits that Hearth holds itself
// to. It prints a line "name value unit" for each number, with the quartiles of its rounds in parentheses.
//
// Start at run. measurements lists what is measured, each in a package of its own, and limits.go has all limits. A limit that does not
// hold is said; a run fails only if a number is beyond the limit's floor.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"time"

	"hearth/bench/allocs"
	"hearth/bench/handlers"
	"hearth/bench/miss"
	"hearth/bench/result"
	"hearth/bench/rig"
	"hearth/bench/speed"
	"hearth/internal/testing/lab"
)

// measurement makes some of the lines of a run.
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
	}
}

func main() {
	short := flag.Bool("short", false, "fewer and shorter rounds, and no peers that must be downloaded")
	only := flag.String("only", "", "measurements to make, separated by commas; empty: all")
	flag.Parse()
	lab.Main("bench", func(ctx context.Context, dir string) error {
		chosen, err := choose(measurements(), *only)
		if err != nil {
			return err
		}
		return run(ctx, os.Stdout, rig.Config{Dir: dir, Short: *short, Progress: os.Stderr}, chosen)
	})
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

func run(ctx context.Context, out io.Writer, cfg rig.Config, chosen []measurement) error {
	all, err := limits()
	if err != nil {
		return err
	}
	r, err := rig.New(ctx, cfg)
	if err != nil {
		return err
	}
	defer r.Close()
	var lines []result.Line
	for _, m := range chosen {
		measured, err := m.measure(ctx, r, all)
		if err != nil {
			return fmt.Errorf("%s: %w", m.name, err)
		}
		for _, l := range measured {
			fmt.Fprintln(out, l)
		}
		lines = append(lines, measured...)
	}
	return judge(out, all, lines)
}

// measure makes the lines. If one is beyond its floor, the measurement is made once more: other work of the machine may be the reason.
func (m measurement) measure(ctx context.Context, r *rig.Rig, all []limit) ([]result.Line, error) {
	began := time.Now()
	lines, err := m.run(ctx, r)
	if err == nil && anyBroken(all, lines) {
		fmt.Fprintf(r.Progress, "%s: a number is beyond its floor; measuring again\n", m.name)
		lines, err = m.run(ctx, r)
	}
	fmt.Fprintf(r.Progress, "%s took %.0f s\n", m.name, time.Since(began).Seconds())
	return lines, err
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
