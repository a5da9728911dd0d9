// Package document writes what a run has measured into docs/benchmarks.md, between two marks, and draws its charts. What stands outside
// the marks is written by hand, and kept.
//
// Start at [Write]. tables.go makes the tables, charts.go the charts.
package document

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"hearth/bench/result"
)

// Run is what is written.
type Run struct {
	Command  string   // that makes the run
	Commit   string   // of the repository
	Machine  []string // what describes it, without its name
	Versions []string
	Judged   []Judged
	Lines    []result.Line
}

// Judged is a line that has a limit.
type Judged struct {
	result.Line

	Limit, Verdict string
}

// The marks.
const (
	beginMark = "<!-- make bench BENCH=-doc writes what follows -->"
	endMark   = "<!-- make bench BENCH=-doc has written this -->"
)

// Write writes the run into the file at path, which must have the marks, and its charts into a folder beside the file.
func Write(path string, r Run) error {
	old, err := os.ReadFile(path)
	if err != nil {
		return fmt.Errorf("document: %w", err)
	}
	before, rest, begins := strings.Cut(string(old), beginMark)
	_, after, ends := strings.Cut(rest, endMark)
	if !begins || !ends {
		return fmt.Errorf("document: %s has no place for the run: it must have the lines %s and %s", path, beginMark, endMark)
	}
	folder := strings.TrimSuffix(path, filepath.Ext(path))
	if err := errors.Join(os.RemoveAll(folder), os.Mkdir(folder, 0o755)); err != nil {
		return fmt.Errorf("document: %w", err)
	}
	drawn := charts(r.Lines)
	for _, c := range drawn {
		if err := os.WriteFile(filepath.Join(folder, c.file), []byte(c.SVG()), 0o644); err != nil {
			return fmt.Errorf("document: %w", err)
		}
	}
	text := before + beginMark + "\n" + r.text(drawn, filepath.Base(folder)) + "\n" + endMark + after
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		return fmt.Errorf("document: %w", err)
	}
	return nil
}

func (r Run) text(drawn []chart, folder string) string {
	var b strings.Builder
	add := func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) }
	add("\nCommit `%s`, by `%s`, on %s. Versions: %s.\n", r.Commit, r.Command, strings.Join(r.Machine, ", "), strings.Join(r.Versions, ", "))
	add("### Limits\n")
	r.limits(add)
	for _, c := range drawn {
		add("\n![%s](%s/%s)", c.Title, folder, c.file)
	}
	for _, title := range []string{"hit", "held_preprocess"} {
		servers(add, r.Lines, title)
	}
	growth(add, r.Lines)
	r.others(add)
	return b.String()
}
