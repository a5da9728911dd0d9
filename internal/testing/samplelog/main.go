// Command samplelog prints what the real extension and a handler in Python write to a function's log, in a Lambda sandbox's double. The
// handler makes each call that the client has. After that comes the log of an extension that is not ready. The tests in deploy/ read from
// it which metrics, fields and messages there are.
package main

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"net"
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
	return errors.Join(answers(ctx, lab.SandboxConfig{
		Host:      lambdatest.Config{Handler: "handler.handler", Timeout: time.Minute},
		Extension: hearth, Settings: upstreams.Settings(), Socket: filepath.Join(dir, "s"),
		Runtime: lab.PythonRuntime(task, filepath.Join(root, "client", "python")),
	}), notReady(ctx, lab.SandboxConfig{Extension: hearth, Socket: filepath.Join(dir, "t")}))
}

// answers prints the log of a sandbox in which all is well.
func answers(ctx context.Context, cfg lab.SandboxConfig) error {
	sandbox, err := lab.Start(ctx, cfg)
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

// notReady prints the log of an extension whose port is taken, with a setting that is wrong and an upstream that is down. It is called until
// the upstream's breaker has opened.
func notReady(ctx context.Context, cfg lab.SandboxConfig) error {
	taken, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	defer taken.Close()
	cfg.Settings = []string{"HEARTH_ADDR=" + taken.Addr().String(), "HEARTH_WEAVIATE_URL=no-url", "HEARTH_ODOO_URL=http://127.0.0.1:1", "HEARTH_ODOO_KEY=x"}
	sandbox, err := lab.Start(ctx, cfg)
	if err != nil {
		return err
	}
	for range 10 {
		if _, err := sandbox.Hearth.OdooModels(ctx, nil); err == nil {
			return errors.New("an upstream that is down has answered")
		}
	}
	_, err = sandbox.Close(ctx)
	fmt.Print(sandbox.Extension.Log())
	return err
}
