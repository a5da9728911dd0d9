// Command freeze freezes and thaws sandboxes with the real extension in them hundreds of times. Meanwhile it does to their
// connections what Lambda and the network do to idle ones, and it shows that no request fails because of that and no answer
// is staler than its policy. Then it leaves out one defence after another, and shows what each is for.
//
// Start at run. plan.go says what happens in which freeze, sandbox.go makes it happen, handler.go is what is asked
// right before and right after (lab/bot knows the right answers), and tally.go says what a first request may cost.
//
// The kernel of a stopped process still answers, and its clocks go on, unlike those of a stopped virtual machine. So the wire
// breaks the connections (testnet.Proxy), and the clocks are shifted (HEARTH_TEST_CLOCK). No process can notice a freeze that
// is shorter than a second, so no connection dies in silence in one.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"hearth/internal/testing/lab"
)

const sandboxes = 6

func main() {
	freezes := flag.Int("freezes", 300, "freezes with every defence; half of that without each")
	seed := flag.Uint64("seed", uint64(time.Now().UnixNano()), "what the rounds are drawn by")
	short := flag.Bool("short", false, "60 freezes, and no run without a defence")
	flag.Parse()
	if *short {
		*freezes = 60
	}
	lab.Main("freeze", func(ctx context.Context, dir string) error {
		return run(ctx, os.Stdout, dir, *freezes, *seed, *short)
	})
}

func run(ctx context.Context, out io.Writer, dir string, freezes int, seed uint64, short bool) error {
	root, err := lab.Root(ctx)
	if err != nil {
		return err
	}
	binary := filepath.Join(dir, "hearth")
	if err := lab.BuildVariant(ctx, root, binary); err != nil {
		return err
	}
	immobile := twoAddresses(ctx, dir)
	if immobile != nil {
		fmt.Fprintf(out, "No upstream can change its address here: %v\n", immobile)
	}
	fmt.Fprintf(out, "%d sandboxes on %d CPUs, upstreams %v away over TLS, seed %d. Connections live for %v idle in half of the\n"+
		"sandboxes, %v in the others, and half of the freezes are shorter. Those shorter than %v nobody notices: in them no connection\n"+
		"dies in silence.\n",
		sandboxes, runtime.NumCPU(), rtt, seed, idleLimits()[0], idleLimits()[1], gap)

	h := &harness{dir: dir, binary: binary, seed: seed, moving: immobile == nil, out: out}
	defended, err := h.run(ctx, defence{}, freezes)
	if err != nil {
		return err
	}
	var faults []error
	if defended.failures > 0 || defended.stale > 0 {
		faults = append(faults, errors.New("a freeze was seen"))
	}
	if defended.slow() {
		faults = append(faults, errors.New(defended.firstRequests()))
	}
	if err := defended.pooled(); err != nil {
		faults = append(faults, err)
	}
	if !short {
		for _, d := range []defence{{"idle_limit", "idle limit"}, {"race", "race"}, {"replay", "replay and retries"}} {
			r, err := h.run(ctx, d, freezes/2)
			if err != nil {
				return err
			}
			fmt.Fprintf(out, "without %s: %v late_first_requests=%d\n", d.name, r, r.beyond)
			if !r.worse(defended) {
				faults = append(faults, fmt.Errorf("nothing is worse without %s", d.name))
			}
		}
		fmt.Fprintln(out)
	}
	fmt.Fprintln(out, defended)
	return errors.Join(faults...)
}

// defence is what the extension can leave out: the key tells it so.
type defence struct{ key, name string }

// harness is what all runs have in common.
type harness struct {
	dir, binary string
	seed        uint64
	moving      bool
	out         io.Writer
}

// run freezes n times, without a defence if one is named.
func (h *harness) run(ctx context.Context, without defence, n int) (r result, err error) {
	t := &tally{lateness: &lab.Lateness{}, out: h.out, most: 5}
	name := "with every defence"
	if without.name != "" {
		t.most, name = 1, "without "+without.name
	}
	fmt.Fprintf(h.out, "\n%s:\n", strings.ToUpper(name[:1])+name[1:])
	var running []*sandbox
	defer func() {
		for _, s := range running {
			err = errors.Join(err, s.close(ctx))
		}
	}()
	for i := range sandboxes {
		dir := filepath.Join(h.dir, name, strconv.Itoa(i))
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return r, err
		}
		s, err := start(ctx, dir, h.binary, without.key, i, t)
		if err != nil {
			return r, err
		}
		running = append(running, s)
	}

	var beside sync.WaitGroup
	defer beside.Wait()
	live, stop := context.WithCancel(ctx)
	defer stop()
	beside.Go(func() { t.lateness.Record(live) })
	beside.Go(func() {
		tick := time.NewTicker(10 * time.Second)
		defer tick.Stop()
		for {
			select {
			case <-tick.C:
				t.progress(n)
			case <-live.Done():
				return
			}
		}
	})
	random := rand.New(rand.NewPCG(h.seed, 0))
	g, gctx := errgroup.WithContext(ctx)
	for i, own := range plan(random, n, sandboxLimits(), h.moving) {
		s := running[i]
		g.Go(func() error { return s.run(gctx, own) })
	}
	if err := g.Wait(); err != nil {
		return r, err
	}
	for _, s := range running {
		t.add(&t.dials, s.upstreams.Connections())
	}
	stop()
	return t.result()
}
