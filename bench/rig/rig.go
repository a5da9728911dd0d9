// Package rig has what the measurements share: the programs, built once; processes; stand-ins of the upstreams in a process of their
// own; and a running Hearth that holds a chat.
//
// Start at [New]. process.go starts programs, hearth.go starts Hearth, and chat.go is the chat that it holds and what a handler asks
// about it.
package rig

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"hearth/bench/load"
	"hearth/bench/result"
	"hearth/internal/testing/lab"
)

// Rig is what a run has. Close it.
type Rig struct {
	Root     string    // the folder of the repository
	Dir      string    // a new folder with a short path, which is removed in the end
	Short    bool      // shorter rounds, fewer for the handlers, and no nginx and Redis
	Progress io.Writer // where a run reports what it does

	Broken func([]result.Line) bool // says whether a number is beyond its floor

	Hearth    string // the real binary, built as the layer's is
	Upstreams Upstreams

	upstreams *Process
	started   counter
	port      counter
}

// Upstreams is where the stand-ins of Weaviate and Odoo listen, without TLS.
type Upstreams struct {
	WeaviateREST string `json:"weaviate_rest"` // base URLs
	WeaviateGRPC string `json:"weaviate_grpc"`
	Odoo         string `json:"odoo"`
}

// Config of a rig.
type Config struct {
	Dir      string
	Short    bool
	Progress io.Writer
	Broken   func([]result.Line) bool
}

// New builds Hearth, starts the upstreams, and stores the chat.
func New(ctx context.Context, cfg Config) (r *Rig, err error) {
	r = &Rig{Dir: cfg.Dir, Short: cfg.Short, Progress: cfg.Progress, Broken: cfg.Broken, Hearth: filepath.Join(cfg.Dir, "hearth")}
	if r.Root, err = lab.Root(ctx); err != nil {
		return nil, err
	}
	if err := lab.Build(ctx, r.Root, r.Hearth); err != nil {
		return nil, err
	}
	if err := r.startUpstreams(ctx); err != nil {
		return nil, err
	}
	err = lab.MakeClasses(ctx, r.Hearth, r.Settings())
	if err == nil {
		err = r.storeChat(ctx)
	}
	if err != nil {
		r.Close()
		return nil, err
	}
	return r, nil
}

// Close ends the upstreams.
func (r *Rig) Close() { r.upstreams.Stop() }

// Rounds is how many alternating rounds a comparison has.
func (r *Rig) Rounds() int { return 15 }

// Again measures, and as long as a number is beyond its floor measures again, up to twice: other work of the machine may be the
// reason. It returns what was measured last.
func (r *Rig) Again(measure func() ([]result.Line, error)) ([]result.Line, error) {
	lines, err := measure()
	for tries := 1; tries < 3 && err == nil && r.Broken(lines); tries++ {
		fmt.Fprintf(r.Progress, "measuring again, because a number is beyond its floor: %s and what belongs to it\n", lines[0].Name)
		lines, err = measure()
	}
	return lines, err
}

// Build builds the command in a folder of this module.
func (r *Rig) Build(ctx context.Context, folder string) (program string, err error) {
	program = filepath.Join(r.Dir, filepath.Base(folder)+".bin")
	return program, lab.Build(ctx, filepath.Join(r.Root, "bench", folder), program)
}

func (r *Rig) startUpstreams(ctx context.Context) error {
	program, err := r.Build(ctx, "cmd/upstreams")
	if err != nil {
		return err
	}
	if r.upstreams, err = r.Start(ctx, nil, program); err != nil {
		return err
	}
	if err := json.NewDecoder(r.upstreams.Out).Decode(&r.Upstreams); err != nil {
		r.upstreams.Stop()
		return r.upstreams.Failed(err)
	}
	return nil
}

// Generator starts a load generator in a process of its own. Stop the process.
func (r *Rig) Generator(ctx context.Context) (*load.Remote, *Process, error) {
	program, err := r.Build(ctx, "cmd/load")
	if err != nil {
		return nil, nil, err
	}
	p, err := r.Start(ctx, nil, program)
	if err != nil {
		return nil, nil, err
	}
	return load.NewRemote(p.In, p.Out), p, nil
}

// Socket is a new path for a Unix socket.
func (r *Rig) Socket() string { return filepath.Join(r.Dir, fmt.Sprintf("s%d", r.started.Add(1))) }

// Settings is the environment in which Hearth reaches the upstreams.
func (r *Rig) Settings() []string {
	return []string{
		"HEARTH_WEAVIATE_URL=" + r.Upstreams.WeaviateREST, "HEARTH_WEAVIATE_GRPC_URL=" + r.Upstreams.WeaviateGRPC,
		"HEARTH_ODOO_URL=" + r.Upstreams.Odoo, "HEARTH_ODOO_DB=" + lab.OdooDB, "HEARTH_ODOO_KEY=" + lab.OdooKey,
		"PATH=" + os.Getenv("PATH"), "HEARTH_LOG_LEVEL=warn",
	}
}
