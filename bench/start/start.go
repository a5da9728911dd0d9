// Package start measures how long Hearth takes from exec until it asks Lambda for its first event, beside two extensions that only
// register and wait: one that links the client of Weaviate (linked/), and one that links nothing (lambdarun's).
//
// Start at [Measure].
package start

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"time"

	"hearth/bench/result"
	"hearth/bench/rig"
	"hearth/internal/testing/lab"
	"hearth/internal/testing/lambdatest"
)

// function is the size of the function in MB: with so much Lambda gives it one whole CPU.
const function = 1769

// extension is one that is started in every round.
type extension struct {
	path string
	next []float64 // milliseconds from exec to the first /next, by round
}

// Measure starts the extensions in turn in a double of Lambda.
func Measure(ctx context.Context, r *rig.Rig) ([]result.Line, error) {
	hearth, linked, bare, err := build(ctx, r)
	if err != nil {
		return nil, err
	}
	return r.Again(func() ([]result.Line, error) {
		hearth.next, linked.next, bare.next = nil, nil, nil
		if err := compare(ctx, r, hearth, linked, bare); err != nil {
			return nil, err
		}
		lines := []result.Line{
			result.Ratio("start_vs_linked", hearth.next, linked.next), result.Ratio("start_vs_bare", hearth.next, bare.next),
			result.Median("start_ms", "ms", hearth.next),
		}
		answered, err := answer(ctx, r, hearth)
		return append(lines, answered...), err
	})
}

// build makes all programs in the same way. Each is a copy in a file of its own, because how a file came to be decides how the kernel maps it.
func build(ctx context.Context, r *rig.Rig) (hearth, linked, bare *extension, err error) {
	fromLinked, err := r.Build(ctx, "start/linked")
	if err != nil {
		return nil, nil, nil, err
	}
	fromBare := filepath.Join(r.Dir, "registers.bin")
	if err := lab.Build(ctx, filepath.Join(r.Root, "internal", "testing", "lambdarun", "bare"), fromBare); err != nil {
		return nil, nil, nil, err
	}
	var all []*extension
	for _, from := range []string{r.Hearth, fromLinked, fromBare} {
		program, err := os.ReadFile(from)
		if err != nil {
			return nil, nil, nil, err
		}
		e := &extension{path: from + ".extension"}
		if err := os.WriteFile(e.path, program, 0o755); err != nil { //nolint:gosec // a program
			return nil, nil, nil, err
		}
		all = append(all, e)
	}
	return all[0], all[1], all[2], nil
}

// compare starts every extension once per round, in an order that changes, and once before. All are told that this is SnapStart: then
// Hearth warms nothing up before its sandbox is frozen. On demand it does so as soon as it has sent /next, and would take the CPU from
// the double that has to note when /next came.
func compare(ctx context.Context, r *rig.Rig, all ...*extension) error {
	order := slices.Clone(all)
	for round := range 1 + r.Rounds() {
		rand.Shuffle(len(order), func(i, j int) { order[i], order[j] = order[j], order[i] })
		for _, e := range order {
			s, err := start(ctx, r, e, lambdatest.Config{Init: lambdatest.SnapStart})
			if err != nil {
				return err
			}
			if round > 0 { // the first start reads the files
				e.next = append(e.next, lab.MS(s.Host.Init().Extensions[0].Next))
			}
			if _, err := s.Close(ctx); err != nil {
				return err
			}
		}
	}
	return nil
}

// answer lets Hearth answer a request as soon as it has asked for its first event, and measures its memory after that.
func answer(ctx context.Context, r *rig.Rig, hearth *extension) ([]result.Line, error) {
	var took, resident []float64
	for range r.Rounds() {
		s, err := start(ctx, r, hearth, lambdatest.Config{MemoryMB: function})
		if err != nil {
			return nil, err
		}
		if _, err := s.Hearth.History(ctx, "a new chat", 10, 5); err != nil {
			return nil, fmt.Errorf("%w%s", err, s.Logs())
		}
		took = append(took, lab.MS(time.Since(s.Extension.Began())))
		rss, err := s.ResidentMiB()
		if err != nil {
			return nil, err
		}
		resident = append(resident, rss)
		if _, err := s.Close(ctx); err != nil {
			return nil, err
		}
	}
	return []result.Line{result.Median("first_answer_ms", "ms", took), result.Median("rss_idle_mib", "MiB", resident)}, nil
}

func start(ctx context.Context, r *rig.Rig, e *extension, cfg lambdatest.Config) (*lab.Sandbox, error) {
	cfg.Answer = func(_ context.Context, event []byte) ([]byte, error) { return event, nil }
	return lab.Start(ctx, lab.SandboxConfig{
		Host: cfg, Extension: e.path, Settings: append(r.Settings(), "HEARTH_LOG_LEVEL=info"), Socket: r.Socket(),
	})
}
