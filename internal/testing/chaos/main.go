// Command chaos breaks the upstreams of a sidecar in many ways, makes every call of the API under each fault, and judges every reply. A good
// reply comes in time, and is right, or marked as stale and within its policy, or an error that tells the true reason. After each fault
// every call must be right again, every acknowledged write must be there, and nothing may be left over.
//
// Start at run. faults.go lists the faults, and strike.go and tamper.go make them happen. calls.go and others.go have the calls. course.go
// has the phases around a fault, and round.go makes the calls in them. judge.go says what a good reply is (lab/bot knows the truth),
// amplified.go how much may be sent, and leaks.go what may be left. tally.go counts. With -servers only the faults of a network happen, in
// front of real servers.
package main

import (
	"cmp"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"sync"

	"golang.org/x/sync/errgroup"

	"hearth/internal/testing/lab"
)

// options are the flags.
type options struct {
	short   bool
	without string
	only    *regexp.Regexp
	lanes   int
	real    *lab.Real // real servers; nil: stand-ins
}

func main() {
	var o options
	flag.BoolVar(&o.short, "short", false, "one fault of each kind, with every defence")
	flag.StringVar(&o.without, "without", "", "a defence to switch off; then the run must not be clean")
	only := flag.String("faults", "", "only the faults whose names match this regular expression")
	flag.IntVar(&o.lanes, "lanes", 4, "faults at the same time, each with a sidecar of its own")
	servers := flag.String("servers", "", "a file with what e2e/cmd/servers prints: only faults of the network happen, in front of these servers")
	flag.Parse()
	lab.Main("chaos", func(ctx context.Context, dir string) (err error) {
		if o.only, err = regexp.Compile(*only); err != nil {
			return err
		}
		if *servers != "" {
			if o.real, err = lab.NewReal(*servers); err != nil {
				return err
			}
			defer func() { err = errors.Join(err, o.real.DropClasses(context.WithoutCancel(ctx))) }()
		}
		return run(ctx, os.Stdout, dir, o)
	})
}

func run(ctx context.Context, out io.Writer, dir string, o options) error {
	root, err := lab.Root(ctx)
	if err != nil {
		return err
	}
	binary := filepath.Join(dir, "hearth")
	if err := lab.BuildVariant(ctx, root, binary); err != nil {
		return err
	}
	h := harness{dir: dir, binary: binary, out: out, options: o}
	if o.without != "" {
		return h.without(ctx, o.without)
	}
	t, err := h.run(ctx, "with every defence", "", o.only)
	if err != nil {
		return err
	}
	var faults []error
	if !t.clean() {
		faults = append(faults, errors.New("not clean"))
	}
	if !o.short && o.real == nil && o.only.String() == "" {
		for _, d := range defences() {
			faults = append(faults, h.without(ctx, d.name))
		}
	}
	fmt.Fprintln(out, t)
	return errors.Join(faults...)
}

// defence is something that Hearth does against faults, and an expression for the faults that show whether it works.
type defence struct {
	name, faults string
}

func defences() []defence {
	return []defence{
		{name: "breaker", faults: "^503 and a huge"},
		{name: "look", faults: "^dropped flows"},
		{name: "deadline", faults: "^Odoo never answers"}, // a write waits on although the breaker opens
		{name: "retry-budget", faults: "^every fourth request"},
		{name: "write-rule", faults: "^a create is cut"},
	}
}

// harness is what all runs have in common.
type harness struct {
	dir, binary string
	out         io.Writer
	options     options
}

// without switches a defence off and runs the faults that show it. It returns an error if the run is clean all the same.
func (h harness) without(ctx context.Context, name string) error {
	i := slices.IndexFunc(defences(), func(d defence) bool { return d.name == name })
	if i < 0 {
		return fmt.Errorf("there is no defence %q", name)
	}
	only := h.options.only
	if only.String() == "" {
		only = regexp.MustCompile(defences()[i].faults)
	}
	t, err := h.run(ctx, "without "+name, name, only)
	if err != nil {
		return err
	}
	fmt.Fprintf(h.out, "without %s: %v\n", name, t)
	if t.clean() {
		return fmt.Errorf("nothing is worse without %s", name)
	}
	return nil
}

// run runs the faults that match only. without names a defence that is switched off; empty: none.
func (h harness) run(ctx context.Context, title, without string, only *regexp.Regexp) (*tally, error) {
	fmt.Fprintf(h.out, "%s:\n", title)
	t := &tally{out: h.out, most: 2}
	if without != "" {
		t.most = 1
	}
	o := h.options
	o.only, o.without = only, without
	return t, runFaults(ctx, filepath.Join(h.dir, cmp.Or(without, "all")), h.binary, o, t)
}

// runFaults runs the chosen faults, one at a time in each lane.
func runFaults(ctx context.Context, dir, binary string, o options, t *tally) error {
	lateness := &lab.Lateness{}
	live, stop := context.WithCancel(ctx)
	var beside sync.WaitGroup
	defer beside.Wait()
	defer stop()
	beside.Go(func() { lateness.Record(live) })

	queue := make(chan fault)
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error {
		defer close(queue)
		for _, f := range faults() {
			if o.short && !f.short || o.real != nil && !f.real || !o.only.MatchString(f.name) {
				continue
			}
			select {
			case queue <- f:
			case <-ctx.Done():
				return context.Cause(ctx)
			}
		}
		return nil
	})
	lanes := o.lanes
	if o.real != nil {
		lanes = 1
	}
	for n := range lanes {
		l := &lane{real: o.real, dir: filepath.Join(dir, strconv.Itoa(n)), binary: binary, without: o.without, lateness: lateness, tally: t}
		g.Go(func() error { return l.run(ctx, queue) })
	}
	return g.Wait()
}

// lane runs faults one after another. They share a rig, as long as they need the same setup.
type lane struct {
	dir, binary, without string
	real                 *lab.Real
	lateness             *lab.Lateness
	tally                *tally
	rig                  *rig
	rigs                 int
}

func (l *lane) run(ctx context.Context, queue <-chan fault) (err error) {
	defer func() { err = errors.Join(err, l.end(ctx)) }()
	for f := range queue {
		if l.rig != nil && l.rig.setup != f.setup {
			if err := l.end(ctx); err != nil {
				return err
			}
		}
		if l.rig == nil {
			dir := filepath.Join(l.dir, strconv.Itoa(l.rigs))
			l.rigs++
			if err := os.MkdirAll(dir, 0o700); err != nil {
				return err
			}
			if l.rig, err = newRig(ctx, dir, l.binary, l.without, f.setup, l.real); err != nil {
				return err
			}
		}
		c := &course{fault: f, rig: l.rig, chat: "chaos/" + f.name, calls: calls(), lateness: l.lateness, tally: l.tally}
		if err := c.run(ctx); err != nil {
			return err
		}
		l.tally.ended(c)
	}
	return nil
}

func (l *lane) end(ctx context.Context) error {
	if l.rig == nil {
		return nil
	}
	g := l.rig
	l.rig = nil
	return g.close(ctx)
}
