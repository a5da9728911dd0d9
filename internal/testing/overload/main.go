// Command overload measures a sidecar whose upstream is overloaded (overload.go), and one whose upstream is down (outage.go). A run ends
// with an error if a limit does not hold.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"runtime/debug"
	"time"

	"hearth/client"
	"hearth/internal/testing/lab"
	"hearth/internal/testing/lambdatest"
)

func main() {
	short := flag.Bool("short", false, "one size, and seconds in place of minutes")
	workers := flag.Int("workers", 0, "only the overload of an upstream with so many workers")
	flag.Parse()
	debug.SetGCPercent(400) // the callers and the upstream are in this process, and their garbage is not the sidecar's
	lab.Main("overload", func(ctx context.Context, dir string) error {
		root, err := lab.Root(ctx)
		if err != nil {
			return err
		}
		binary := filepath.Join(dir, "hearth")
		if err := lab.BuildVariant(ctx, root, binary); err != nil {
			return err
		}
		sizes := []int{6, 25, 100}
		switch {
		case *workers > 0:
			return runOverload(ctx, dir, binary, []int{*workers}, *short)
		case *short:
			sizes = sizes[1:2]
		}
		err = runOverload(ctx, dir, binary, sizes, *short)
		return errors.Join(err, runOutage(ctx, dir, binary))
	})
}

// rig is a sidecar and its upstreams.
type rig struct {
	upstreams *lab.Upstreams
	sandbox   *lab.Sandbox
	socket    string
}

// newRig starts a sidecar on a managed instance. settings are added to those of the upstreams.
func newRig(ctx context.Context, dir, binary, name string, settings ...string) (g *rig, err error) {
	g = &rig{socket: filepath.Join(dir, name)}
	if g.upstreams, err = lab.StartUpstreams(dir, lab.UpstreamsConfig{}); err != nil { //nolint:contextcheck // their life ends with close
		return nil, err
	}
	settings = append(g.upstreams.Settings(), settings...)
	if err = lab.MakeClasses(ctx, binary, settings); err == nil {
		g.sandbox, err = lab.Start(ctx, lab.SandboxConfig{
			Host: lambdatest.Config{
				Init: lambdatest.ManagedInstances, Concurrency: 1, Timeout: time.Minute,
				Answer: func(context.Context, []byte) ([]byte, error) { return nil, nil },
			},
			Extension: binary, Settings: settings, Socket: g.socket,
		})
	}
	if err != nil {
		return nil, errors.Join(err, g.upstreams.Close())
	}
	return g, nil
}

func (g *rig) close(ctx context.Context) error {
	_, err := g.sandbox.Close(ctx)
	return errors.Join(err, g.upstreams.Close())
}

// search makes a search that the cache does not hold, if text is new.
func search(ctx context.Context, c *client.Client, text string) error {
	_, err := c.Relevant(ctx, "chat", client.RelevantRequest{Text: text})
	return err
}

// check returns an error, and prints it, if a limit does not hold.
func check(holds bool, format string, args ...any) error {
	if holds {
		return nil
	}
	err := fmt.Errorf(format, args...)
	fmt.Fprintln(os.Stdout, "FAIL:", err)
	return err
}
