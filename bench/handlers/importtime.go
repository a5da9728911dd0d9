package handlers

import (
	"context"
	"fmt"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"

	"hearth/bench/result"
	"hearth/bench/rig"
)

// importTimes measures "import hearth" in a new interpreter: with its bytecode at hand, and compiled from its source, as in a layer,
// whose folder cannot be written.
func importTimes(ctx context.Context, r *rig.Rig, interpreter string) ([]result.Line, error) {
	ways := []struct {
		name    string
		env     string
		samples []float64
	}{
		{name: "python_import_ms", env: "PYTHONPYCACHEPREFIX=" + filepath.Join(r.Dir, "bytecode")},
		{name: "python_import_source_ms", env: "PYTHONDONTWRITEBYTECODE=1"},
	}
	for round := -1; round < r.Rounds(); round++ { // the first one writes the bytecode and does not count
		for i := range ways {
			ms, err := importTime(ctx, r, interpreter, ways[i].env)
			if err != nil {
				return nil, err
			}
			if round >= 0 {
				ways[i].samples = append(ways[i].samples, ms)
			}
		}
	}
	var lines []result.Line
	for _, w := range ways {
		lines = append(lines, result.Median(w.name, "ms", w.samples))
	}
	return lines, nil
}

func importTime(ctx context.Context, r *rig.Rig, interpreter, env string) (ms float64, err error) {
	cmd := exec.CommandContext(ctx, interpreter, "-X", "importtime", "-c", "import hearth")
	cmd.Env = []string{"PYTHONPATH=" + clientFolder(r), env}
	out, err := cmd.CombinedOutput()
	if err != nil {
		return 0, fmt.Errorf("import hearth: %w\n%s", err, out)
	}
	return readImportTime(string(out))
}

// readImportTime reads what Python says of the import of hearth and all that hearth imports.
func readImportTime(report string) (ms float64, err error) {
	found := regexp.MustCompile(`(?m)^import time: +\d+ \| +(\d+) \| hearth$`).FindStringSubmatch(report)
	if found == nil {
		return 0, fmt.Errorf("no time of the import of hearth in %q", report)
	}
	us, err := strconv.ParseFloat(found[1], 64)
	return us / 1000, err
}
