package handlers

import (
	"cmp"
	"context"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"hearth/bench/rig"
	"hearth/internal/testing/lab"
	"hearth/internal/testing/lab/direct"
)

//go:embed measure.py
var measurePy []byte

// python is measure.py in a process of its own.
type python struct {
	process *rig.Process
	job     job
	hasGRPC bool // by which handlers ask Weaviate

	jobs    *json.Encoder
	results *json.Decoder
}

// job is what measure.py reads.
type job struct {
	Way     string          `json:"way"`
	Chat    string          `json:"chat"`
	Text    string          `json:"text"`
	Route   string          `json:"route"`
	Calls   int             `json:"calls"`
	Seconds float64         `json:"seconds"`
	Stages  [][]direct.Call `json:"stages"`
	CAFile  string          `json:"ca_file"`
}

func (w *world) startPython(ctx context.Context, r *rig.Rig, interpreter string) (*python, error) {
	dir := filepath.Join(r.Dir, "python")
	script := filepath.Join(dir, "measure.py")
	err := errors.Join(os.MkdirAll(dir, 0o700), os.WriteFile(script, measurePy, 0o600),
		os.WriteFile(filepath.Join(dir, "direct.py"), direct.Python(), 0o600))
	if err != nil {
		return nil, err
	}
	p := &python{job: job{Chat: w.chat, Text: text, Route: lab.OdooRoute, Stages: w.stages, CAFile: w.upstreams.CAFile}}
	p.process, err = r.Start(ctx, []string{
		"HEARTH_SOCKET=" + w.hearth.Socket, "HEARTH_TOKEN=" + rig.Token, "PYTHONDONTWRITEBYTECODE=1",
		"PYTHONPATH=" + clientFolder(r),
	}, interpreter, script)
	if err != nil {
		return nil, err
	}
	p.jobs, p.results = json.NewEncoder(p.process.In), json.NewDecoder(p.process.Out)
	var hello struct {
		GRPC bool `json:"grpc"`
	}
	if err := p.results.Decode(&hello); err != nil {
		p.process.Stop()
		return nil, p.process.Failed(err)
	}
	p.hasGRPC = hello.GRPC
	return p, nil
}

// findPython finds the first python3 of PATH that has grpcio, or else the first one; "" if there is none. A version manager's python3
// is a script, so the interpreter that it starts is what counts.
func findPython(ctx context.Context) (found string) {
	const code = "import importlib.util, sys; print(importlib.util.find_spec('grpc') is not None, sys.executable)"
	for _, dir := range filepath.SplitList(os.Getenv("PATH")) {
		out, err := exec.CommandContext(ctx, filepath.Join(dir, "python3"), "-c", code).Output()
		if err != nil {
			continue
		}
		hasGRPC, interpreter, _ := strings.Cut(strings.TrimSpace(string(out)), " ")
		if hasGRPC == "True" {
			return interpreter
		}
		found = cmp.Or(found, interpreter)
	}
	return found
}

// clientFolder has the module hearth.
func clientFolder(r *rig.Rig) string { return filepath.Join(r.Root, "client", "python") }

func (p *python) way(name string) func(context.Context, int) ([]float64, error) {
	return func(_ context.Context, n int) ([]float64, error) {
		j := p.job
		j.Way, j.Calls = name, n
		return p.run(j)
	}
}

// begin makes calls for a while; end returns what each of them took.
func (p *python) begin(name string, d time.Duration) error {
	j := p.job
	j.Way, j.Seconds = name, d.Seconds()
	return p.jobs.Encode(j)
}

func (p *python) end() (samples []float64, err error) {
	if err := p.results.Decode(&samples); err != nil {
		return nil, p.process.Failed(fmt.Errorf("no result: %w", err))
	}
	return samples, nil
}

func (p *python) run(j job) ([]float64, error) {
	if err := p.jobs.Encode(j); err != nil {
		return nil, p.process.Failed(err)
	}
	return p.end()
}
