// Package profile shows what Hearth spends its time on while it answers from what it holds.
package profile

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"hearth/bench/rig"
)

// Write writes a CPU profile of each call to the folder, and its largest lines to out.
func Write(ctx context.Context, r *rig.Rig, folder string, out io.Writer) error {
	if err := os.MkdirAll(folder, 0o755); err != nil {
		return err
	}
	hearth, err := r.StartObserved(ctx)
	if err != nil {
		return err
	}
	defer hearth.Stop()
	generator, process, err := r.Generator(ctx)
	if err != nil {
		return err
	}
	defer process.Stop()
	for _, c := range rig.Calls() {
		reply, err := hearth.Ask(ctx, c.Call)
		if err != nil {
			return hearth.Failed(err)
		}
		job := hearth.Job("tcp", c.Call, reply)
		job.Connections, job.Duration = 10, 5*time.Second
		file := filepath.Join(folder, c.Name+".pprof")
		err = hearth.Profile(file, func() error {
			report, err := generator.Run(job)
			fmt.Fprintf(out, "%s: %v\n", c.Name, report)
			return err
		})
		if err != nil {
			return err
		}
		if err := top(ctx, file, out); err != nil {
			return err
		}
	}
	return nil
}

// top prints the functions in which most time is spent, with what they call.
func top(ctx context.Context, file string, out io.Writer) error {
	cmd := exec.CommandContext(ctx, "go", "tool", "pprof", "-top", "-cum", "-nodecount=40", file)
	text, err := cmd.Output()
	if err != nil {
		return fmt.Errorf("%s: %w", cmd, err)
	}
	_, err = fmt.Fprintf(out, "%s\n", text)
	return err
}
