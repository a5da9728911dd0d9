package main

import (
	"context"
	"fmt"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"

	"hearth/internal/testing/lab"
)

// builds is what is run.
type builds struct {
	root    string   // of the repository
	zips    []string // the layers, this machine's first
	bare    string   // the extension to compare with
	handler string   // the sample in Go
	variant string   // the extension with what only tests may change; "": it is not wanted
}

func build(ctx context.Context, dir string, o options) (b builds, err error) {
	if b.root, err = lab.Root(ctx); err != nil {
		return b, err
	}
	b.bare, b.handler = filepath.Join(dir, bareName), filepath.Join(dir, "bootstrap")
	if err := lab.Build(ctx, filepath.Join(b.root, "internal", "testing", "lambdarun", "bare"), b.bare); err != nil {
		return b, err
	}
	if err := lab.BuildGoHandler(ctx, b.root, b.handler); err != nil {
		return b, err
	}
	if o.variants {
		b.variant = filepath.Join(dir, "hearth")
		if err := lab.BuildVariant(ctx, b.root, b.variant); err != nil {
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
	script := exec.CommandContext(ctx, filepath.Join(b.root, "layer.zip.sh"))
	if text, err := script.CombinedOutput(); err != nil {
		return b, fmt.Errorf("%s: %w\n%s", script, err, text)
	}
	return b, nil
}
