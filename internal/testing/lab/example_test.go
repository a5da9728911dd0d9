package lab_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"time"

	"hearth/internal/testing/lab"
	"hearth/internal/testing/lambdatest"
)

// A harness with the sample handler in Go, whose upstreams are 20 ms away: one turn, and how long it took.
func Example() {
	lab.Main("example", func(ctx context.Context, dir string) (err error) {
		root, err := lab.Root(ctx)
		if err != nil {
			return err
		}
		hearth, handler := filepath.Join(dir, "hearth"), filepath.Join(dir, "bootstrap")
		if err := errors.Join(lab.Build(ctx, root, hearth), lab.BuildGoHandler(ctx, root, handler)); err != nil {
			return err
		}
		upstreams, err := lab.StartUpstreams(dir, lab.UpstreamsConfig{RTT: 20 * time.Millisecond})
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, upstreams.Close()) }()
		if err := lab.MakeClasses(ctx, hearth, upstreams.Settings()); err != nil {
			return err
		}
		sandbox, err := lab.Start(ctx, lab.SandboxConfig{
			Host: lambdatest.Config{MemoryMB: 512}, Extension: hearth, Settings: upstreams.Settings(),
			Socket: filepath.Join(dir, "s"), Runtime: lab.GoRuntime(handler),
		})
		if err != nil {
			return err
		}
		defer func() {
			_, closed := sandbox.Close(ctx)
			err = errors.Join(err, closed)
		}()
		began := time.Now()
		var reply lab.Reply
		if err := sandbox.Invoke(ctx, lab.Turn{ChatID: lab.ChatID(1), Text: "Hello", Route: lab.OdooRoute}, &reply); err != nil {
			return err
		}
		table := lab.NewTable(os.Stdout, "turn ms\t")
		table.Row("%.1f\t  %s", lab.MS(time.Since(began)), reply.Text)
		return table.Flush()
	})
}
