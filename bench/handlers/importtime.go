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
// whose folder cannot be written. The lines with "own" leave out the modules of the standard library.
func importTimes(ctx context.Context, r *rig.Rig, interpreter string) ([]result.Line, error) {
	ways := []struct {
		name, env string
		all, own  []float64
	}{
		{name: "python_import", env: "PYTHONPYCACHEPREFIX=" + filepath.Join(r.Dir, "bytecode")},
		{name: "python_import_source", env: "PYTHONDONTWRITEBYTECODE=1"},
	}
	for round := -1; round < rounds(r); round++ { // the first one writes the bytecode and does not count
		for i := range ways {
			w := &ways[i]
			all, own, err := importTime(ctx, r, interpreter, w.env)
			if err != nil {
				return nil, err
			}
			if round >= 0 {
				w.all, w.own = append(w.all, all), append(w.own, own)
			}
		}
	}
	var lines []result.Line
	for _, w := range ways {
		lines = append(lines, result.Median(w.name+"_ms", "ms", w.all), result.Median(w.name+"_own_ms", "ms", w.own))
	}
	return lines, nil
}

func importTime(ctx context.Context, r *rig.Rig, interpreter, env string) (all, own float64, err error) {
	cmd := exec.CommandContext(ctx, interpreter, "-X", "importtime", "-c", "import hearth")
	cmd.Env = []string{"PYTHONPATH=" + clientFolder(r), env}
	out, err := cmd.CombinedOutput()
	if err != nil {
		return 0, 0, fmt.Errorf("import hearth: %w\n%s", err, out)
	}
	return readImportTimes(string(out))
}

// readImportTimes reads what Python says of the import of hearth and all that hearth imports: the milliseconds of all modules, and of
// hearth's own alone.
func readImportTimes(report string) (all, own float64, err error) {
	lines := regexp.MustCompile(`(?m)^import time: +(\d+) \| +(\d+) \| +(hearth(?:\.\w+)?)$`).FindAllStringSubmatch(report, -1)
	for _, line := range lines {
		self, selfErr := strconv.ParseFloat(line[1], 64)
		cumulative, err := strconv.ParseFloat(line[2], 64)
		if err != nil || selfErr != nil {
			return 0, 0, fmt.Errorf("unreadable: %q", line[0])
		}
		own += self / 1000
		if line[3] == "hearth" {
			all = cumulative / 1000
		}
	}
	if all == 0 {
		return 0, 0, fmt.Errorf("no time of the import of hearth in %q", report)
	}
	return all, own, nil
}
