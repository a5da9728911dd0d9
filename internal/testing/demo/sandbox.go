package main

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"hearth/internal/testing/lab"
	"hearth/internal/testing/lab/direct"
	"hearth/internal/testing/lambdatest"
)

//go:embed measure.py
var measurePy []byte

// language says which sample handler to run: Python where there is one with grpcio, by which its users ask Weaviate.
func language(ctx context.Context, wanted string) (lab.Language, error) {
	const least = "import grpc, ssl, sys; sys.exit(sys.version_info < (3, 9))"
	python := exec.CommandContext(ctx, "python3", "-c", least).Run() == nil
	switch {
	case wanted == "python" && !python:
		return "", errors.New("there is no python3 of 3.9 or later with grpcio (Debian's python3-grpcio)")
	case wanted == "python" || wanted == "auto" && python:
		return lab.Python, nil
	case wanted == "go" || wanted == "auto":
		return lab.Go, nil
	}
	return "", fmt.Errorf("no language %q: auto, python or go", wanted)
}

// build builds the extension in dir, and what the runtime of the handler needs.
func build(ctx context.Context, dir string, l lab.Language) (extension string, _ lab.Runtime, err error) {
	root, err := lab.Root(ctx)
	if err != nil {
		return "", nil, err
	}
	extension = filepath.Join(dir, "hearth")
	if err := lab.Build(ctx, root, extension); err != nil {
		return "", nil, err
	}
	if l == lab.Go {
		bootstrap := filepath.Join(dir, "bootstrap")
		return extension, lab.GoRuntime(bootstrap), lab.BuildGoHandler(ctx, root, bootstrap)
	}
	task := filepath.Join(dir, "task")
	err = errors.Join(os.Mkdir(task, 0o700), os.WriteFile(filepath.Join(task, "measure.py"), measurePy, 0o600),
		os.WriteFile(filepath.Join(task, "direct.py"), direct.Python(), 0o600))
	return extension, lab.PythonRuntime(task, filepath.Join(root, "client", "python"), filepath.Join(root, "examples", "python")), err
}

// start makes the classes, and starts a sandbox whose warm-up ends before the first invocation.
func start(ctx context.Context, dir, extension string, handler lab.Runtime, u *lab.Upstreams) (*lab.Sandbox, error) {
	if err := lab.MakeClasses(ctx, extension, u.Settings()); err != nil {
		return nil, err
	}
	return lab.Start(ctx, lab.SandboxConfig{
		Host:      lambdatest.Config{Init: lambdatest.ProvisionedConcurrency, Handler: "measure.measure", Timeout: time.Minute},
		Extension: extension, Settings: u.Settings(), Socket: filepath.Join(dir, "s"), Runtime: handler,
	})
}
