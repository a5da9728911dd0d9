// Command samplelog prints what the real extension and a handler in Python write to a function's log, in a Lambda sandbox's double. The handler
// makes each call that the client has. The tests in deploy/ read from it which metrics and fields there are.
package main

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"hearth/internal/testing/lab"
	"hearth/internal/testing/lambdatest"
)

//go:embed handler.py
var handlerPy []byte

func main() { lab.Main("samplelog", run) }

func run(ctx context.Context, dir string) (err error) {
	root, err := lab.Root(ctx)
	if err != nil {
		return err
	}
	hearth, task := filepath.Join(dir, "hearth"), filepath.Join(dir, "task")
	err = errors.Join(lab.Build(ctx, root, hearth), os.Mkdir(task, 0o700), os.WriteFile(filepath.Join(task, "handler.py"), handlerPy, 0o600))
	if err != nil {
		return err
	}
	upstreams, err := lab.StartUpstreams(dir, lab.UpstreamsConfig{}) //nolint:contextcheck // their life ends with Close
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, upstreams.Close()) }()
	if err := lab.MakeClasses(ctx, hearth, upstreams.Settings()); err != nil {
		return err
	}
	sandbox, err := lab.Start(ctx, lab.SandboxConfig{
		Host:      lambdatest.Config{Handler: "handler.handler", Timeout: time.Minute},
		Extension: hearth, Settings: upstreams.Settings(), Socket: filepath.Join(dir, "s"),
		Runtime: lab.PythonRuntime(task, filepath.Join(root, "client", "python")),
	})
	if err != nil {
		return err
	}
	var result string
	err = sandbox.Invoke(ctx, map[string]string{"chat_id": "42"}, &result)
	_, closed := sandbox.Close(ctx)
	if err := errors.Join(err, closed); err != nil {
		return fmt.Errorf("%w%s", err, sandbox.Logs())
	}
	fmt.Print(sandbox.Extension.Log(), sandbox.Runtime.Log())
	return nil
}
