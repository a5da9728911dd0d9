package main

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"hearth/client"
	"hearth/internal/buildtags"
	"hearth/internal/testing/lambdatest"
)

//go:embed measure.py
var measurePy []byte

// sessionToken is the credential that both sides derive the API's token from.
const sessionToken = "demo-session-token"

// sandbox is a Lambda sandbox with the real extension and the sample handler in it.
type sandbox struct {
	handler
	language  string
	hearth    *client.Client
	host      *lambdatest.Host
	extension *lambdatest.Process
	runtime   *lambdatest.Process
}

// language says which sample handler to run: Python where there is one with grpcio, by which its users ask Weaviate.
func language(ctx context.Context, wanted string) (string, error) {
	const least = "import grpc, ssl, sys; sys.exit(sys.version_info < (3, 9))"
	python := exec.CommandContext(ctx, "python3", "-c", least).Run() == nil
	switch {
	case wanted == "python" && !python:
		return "", errors.New("there is no python3 of 3.9 or later with grpcio (Debian's python3-grpcio)")
	case wanted == "python" || wanted == "auto" && python:
		return "python", nil
	case wanted == "go" || wanted == "auto":
		return "go", nil
	}
	return "", fmt.Errorf("no language %q: auto, python or go", wanted)
}

// build builds the extension, and the sample handler if it is the one in Go.
func build(ctx context.Context, dir, language string) (root string, err error) {
	out, err := exec.CommandContext(ctx, "go", "list", "-m", "-f", "{{.Dir}}", "hearth").Output()
	if err != nil {
		return "", fmt.Errorf("where is the module? %w", err)
	}
	root = strings.TrimSpace(string(out))
	modules := map[string]string{"hearth": root}
	if language == "go" {
		modules["bootstrap"] = filepath.Join(root, "examples", "go")
	}
	for name, module := range modules {
		cmd := exec.CommandContext(ctx, "go", "build", buildtags.Flag(), "-o", filepath.Join(dir, name), ".")
		cmd.Dir = module
		if out, err := cmd.CombinedOutput(); err != nil {
			return "", fmt.Errorf("go build in %s: %w\n%s", module, err, out)
		}
	}
	return root, nil
}

// startSandbox starts the extension, makes the classes, and starts the handler.
func startSandbox(ctx context.Context, dir, root, language string, u *upstreams) (s *sandbox, err error) {
	socket := filepath.Join(dir, "s")
	env := []string{
		"AWS_SESSION_TOKEN=" + sessionToken, "HEARTH_SOCKET=" + socket,
		"HEARTH_ADDR=127.0.0.1:0", // the socket is what the handler uses
	}
	cfg := client.FromEnv(func(name string) string {
		for _, v := range append(env, "AWS_LAMBDA_RUNTIME_API=the double") {
			if value, ok := strings.CutPrefix(v, name+"="); ok {
				return value
			}
		}
		return ""
	})
	s = &sandbox{language: language}
	if s.hearth, err = client.New(cfg); err != nil {
		return nil, err
	}
	s.host, err = lambdatest.New(lambdatest.Config{ //nolint:contextcheck // its life ends with close
		Init:    lambdatest.ProvisionedConcurrency, // the warm-up ends before the first invocation
		Handler: "measure.measure", Timeout: time.Minute,
	})
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, s.close(ctx))
		}
	}()
	settings := []string{
		"HEARTH_WEAVIATE_URL=" + u.rest.URL, "HEARTH_WEAVIATE_GRPC_URL=" + u.grpc.URL,
		"HEARTH_ODOO_URL=" + u.odoo.URL, "HEARTH_ODOO_DB=" + odooDB, "HEARTH_ODOO_KEY=" + odooKey, "HEARTH_TLS_CA=" + u.caFile,
	}
	hearth := filepath.Join(dir, "hearth")
	schema := exec.CommandContext(ctx, hearth, "schema")
	schema.Env = settings
	if out, err := schema.CombinedOutput(); err != nil {
		return s, fmt.Errorf("hearth schema: %w\n%s", err, out)
	}
	if s.extension, err = s.host.StartExtension(ctx, hearth, append(env, settings...)...); err != nil {
		return s, err
	}
	start := s.startPython
	if language == "go" {
		start = s.startGo
	}
	if err = start(ctx, dir, root, u.caFile, env); err != nil {
		return s, err
	}
	return s, s.host.WaitReady(ctx)
}

func (s *sandbox) startGo(ctx context.Context, dir, _, caFile string, env []string) (err error) {
	if s.runtime, err = s.host.StartBootstrap(ctx, filepath.Join(dir, "bootstrap"), env...); err != nil {
		return err
	}
	s.handler, err = newGoHandler(s.host, s.hearth, caFile)
	return err
}

func (s *sandbox) startPython(ctx context.Context, dir, root, _ string, env []string) (err error) {
	task := filepath.Join(dir, "task")
	if err := errors.Join(os.Mkdir(task, 0o700), os.WriteFile(filepath.Join(task, "measure.py"), measurePy, 0o600)); err != nil {
		return err
	}
	path := strings.Join([]string{filepath.Join(root, "client", "python"), filepath.Join(root, "examples", "python")}, string(os.PathListSeparator))
	s.handler = pythonHandler{s.host}
	s.runtime, err = s.host.StartRuntime(ctx, task, append(env, "PYTHONPATH="+path, "PYTHONDONTWRITEBYTECODE=1")...)
	return err
}

// logs is what the processes have to say when something went wrong.
func (s *sandbox) logs() string {
	var text strings.Builder
	for name, p := range map[string]*lambdatest.Process{"hearth": s.extension, "handler": s.runtime} {
		if p != nil {
			fmt.Fprintf(&text, "\n%s:\n%s", name, p.Log())
		}
	}
	return text.String()
}

// close ends the sandbox as Lambda does: SHUTDOWN to the extension, a signal to the runtime.
func (s *sandbox) close(ctx context.Context) (err error) {
	s.hearth.Close()
	if s.runtime != nil {
		_ = s.runtime.Signal(syscall.SIGTERM) // it may have ended
		<-s.runtime.Done()
	}
	if s.extension != nil {
		if err = s.extension.Stop(context.WithoutCancel(ctx)); ctx.Err() != nil {
			err = nil // it was killed with us
		}
	}
	s.host.Close()
	return err
}
