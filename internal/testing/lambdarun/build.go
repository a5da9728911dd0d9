package main

import (
	"context"
	"fmt"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"

	"hearth/internal/buildtags"
)

// builds is what is run.
type builds struct {
	root    string   // Of the repository.
	zips    []string // The layers, this machine's first.
	bare    string   // The extension to compare with.
	handler string   // The sample in Go.
	lab     string   // The extension with what only tests may change. "": it is not wanted.
}

func build(ctx context.Context, dir string, o options) (b builds, err error) {
	out, err := exec.CommandContext(ctx, "go", "list", "-m", "-f", "{{.Dir}}", "hearth").Output()
	if err != nil {
		return b, fmt.Errorf("where is the module? %w", err)
	}
	b.root = strings.TrimSpace(string(out))
	command := func(name string, args ...string) error {
		cmd := exec.CommandContext(ctx, name, args...)
		cmd.Dir = b.root
		cmd.Env = append(cmd.Environ(), "CGO_ENABLED=0")
		if out, err := cmd.CombinedOutput(); err != nil {
			return fmt.Errorf("%s: %w\n%s", strings.Join(cmd.Args, " "), err, out)
		}
		return nil
	}
	binary := func(name, pkg string, flags ...string) (string, error) { // As layer.zip.sh builds the extension.
		path := filepath.Join(dir, name)
		args := append([]string{"-C", pkg, "build", "-trimpath", "-buildvcs=false", "-ldflags", "-s -w -buildid=", "-o", path}, flags...)
		return path, command("go", append(args, ".")...)
	}
	if b.bare, err = binary("bare", "./internal/testing/lambdarun/bare"); err != nil {
		return b, err
	}
	if b.handler, err = binary("bootstrap", "./examples/go"); err != nil {
		return b, err
	}
	if o.variants {
		if b.lab, err = binary("hearth", ".", buildtags.Flag("hearthtest")); err != nil {
			return b, err
		}
	}
	if o.layer != "" {
		b.zips = []string{o.layer}
		return b, nil
	}
	b.zips = []string{filepath.Join(b.root, "dist", "hearth-layer-x86_64.zip"), filepath.Join(b.root, "dist", "hearth-layer-arm64.zip")}
	if runtime.GOARCH == "arm64" {
		slices.Reverse(b.zips)
	}
	return b, command("./layer.zip.sh")
}
