// Package lab has what the harnesses share. A harness is a program that runs the real extension in a sandbox, beside stand-ins
// of its upstreams, and measures or judges it: demo, freeze and lambdarun are.
//
// Start at the example, which is a whole harness. [Main] runs it. [StartUpstreams] starts doubles of Weaviate and Odoo, as far away as
// the harness wants and with wires that it can break, and [ReachUpstreams] puts such wires before real servers. [Start] starts a sandbox with the extension and a handler in it. [Samples]
// and [Table] print what was measured, and [Lateness] tells how much of it was the machine's own delay. The package bot makes
// the calls of a chatbot and knows the right answers.
//
// The lab itself has no limits and judges nothing: each harness does.
package lab

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"

	"hearth/internal/buildtags"
)

// Main runs a harness and ends the process, with 1 if the run failed. The context of the run ends with SIGINT or
// SIGTERM. Its folder is new, has a short path, and is removed in the end.
func Main(name string, run func(ctx context.Context, dir string) error) {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	err := runIn(ctx, name, run)
	stop()
	if err != nil {
		fmt.Fprintf(os.Stderr, "%s: %v\n", name, err)
		os.Exit(1)
	}
	os.Exit(0)
}

func runIn(ctx context.Context, name string, run func(context.Context, string) error) (err error) {
	dir, err := os.MkdirTemp("", "hearth-"+name)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	return run(ctx, dir)
}

// Root is the folder of the repository.
func Root(ctx context.Context) (string, error) {
	out, err := exec.CommandContext(ctx, "go", "list", "-m", "-f", "{{.Dir}}", "hearth").Output()
	if err != nil {
		return "", fmt.Errorf("find the folder of the module hearth: %w", err)
	}
	return strings.TrimSpace(string(out)), nil
}

// Build compiles the command in a folder to the file out, as layer.zip.sh compiles the extension.
func Build(ctx context.Context, folder, out string) error {
	cmd := exec.CommandContext(ctx, "go", "build", buildtags.Flag(), "-trimpath", "-buildvcs=false", "-ldflags=-s -w -buildid=", "-o", out, ".")
	cmd.Dir = folder
	cmd.Env = append(cmd.Environ(), "CGO_ENABLED=0")
	if text, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("go build in %s: %w\n%s", folder, err, text)
	}
	return nil
}

// BuildGoHandler compiles the sample handler in Go to the file out.
func BuildGoHandler(ctx context.Context, root, out string) error {
	return Build(ctx, filepath.Join(root, "examples", "go"), out)
}

// BuildVariant compiles the extension that takes options from its environment (internal/testing/lab/hearth) to the file out.
func BuildVariant(ctx context.Context, root, out string) error {
	return Build(ctx, filepath.Join(root, "internal", "testing", "lab", "hearth"), out)
}

// MakeClasses runs "hearth schema" with the settings.
func MakeClasses(ctx context.Context, hearth string, settings []string) error {
	cmd := exec.CommandContext(ctx, hearth, "schema")
	cmd.Env = settings
	if text, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("hearth schema: %w\n%s", err, text)
	}
	return nil
}
