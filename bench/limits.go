package main

import (
	"bufio"
	_ "embed"
	"fmt"
	"math"
	"path"
	"strconv"
	"strings"

	"hearth/bench/result"
)

// limit is what the lines of some names are held to.
type limit struct {
	names string  // a pattern, as of path.Match
	op    string  // how a line compares with its limit if it holds: >=, >, <= or <
	limit float64 // what Hearth holds itself to
	floor float64 // a value that does not compare with this either fails the run; NaN: no value does
}

// limits are all limits. The first pattern that matches a name counts.
func limits() ([]limit, error) {
	none := math.NaN()
	all := []limit{
		{"hit_vs_bare_*", ">=", 0.9, 0.75},
		{"hit_p99_vs_bare_*", "<=", 1.5, 4}, // of few samples beyond the 99th percentile, on a machine with other work
		{"hit_vs_nginx*", ">", 1, none},
		{"hit_vs_redis*", ">=", 0.8, none},
		{"held_preprocess_vs_bare_*", ">=", 0.75, 0.4},
		{"miss*_overhead_us", "<=", 200, none},
		{"start_vs_linked", "<=", 1.2, none},
		{"python_import_ms", "<=", 15, none},
		{"rss_idle_mib", "<=", 25, none},
	}
	committed, err := readAllocs(allocsFile)
	for name, most := range committed {
		all = append(all, limit{name, "<", 0.01, most + 0.01})
	}
	return all, err
}

//go:embed allocs.txt
var allocsFile string

// readAllocs reads the numbers of allocations that are committed.
func readAllocs(text string) (map[string]float64, error) {
	committed := map[string]float64{}
	lines := bufio.NewScanner(strings.NewReader(text))
	for lines.Scan() {
		line := strings.TrimSpace(lines.Text())
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		name, number, _ := strings.Cut(line, " ")
		value, err := strconv.ParseFloat(number, 64)
		if err != nil {
			return nil, fmt.Errorf("allocs.txt: %s: %w", name, err)
		}
		committed[name] = value
	}
	return committed, lines.Err()
}

// of finds the limit of a line.
func of(all []limit, l result.Line) (limit, bool) {
	for _, each := range all {
		if ok, _ := path.Match(each.names, l.Name); ok {
			return each, true
		}
	}
	return limit{}, false
}

// holds says whether value compares with bound. A value that is not a number holds nothing.
func (l limit) holds(value, bound float64) bool {
	switch l.op {
	case ">=":
		return value >= bound
	case ">":
		return value > bound
	case "<=":
		return value <= bound
	}
	return value < bound
}

// verdict is what a limit says of a line.
type verdict string

// The verdicts.
const (
	kept   verdict = "kept"
	missed verdict = "MISSED"
	broken verdict = "BROKEN" // the floor too
)

// judge holds the median against the limit. A floor is broken only if the better quartile is more than 5 % beyond it: machines
// are noisy, and a process may be slower than another one of the same program for as long as it runs.
func (l limit) judge(line result.Line) verdict {
	const room = 1.05
	better := line.High * room
	if strings.HasPrefix(l.op, "<") {
		better = line.Low / room
	}
	switch {
	case l.holds(line.Value, l.limit):
		return kept
	case math.IsNaN(l.floor) || l.holds(better, l.floor):
		return missed
	}
	return broken
}

func (l limit) String() string {
	text := fmt.Sprintf("%s %g", l.op, l.limit)
	if !math.IsNaN(l.floor) {
		text += fmt.Sprintf(", floor %g", l.floor)
	}
	return text
}

// anyBroken says whether a line breaks its floor.
func anyBroken(all []limit, lines []result.Line) bool {
	for _, line := range lines {
		if l, ok := of(all, line); ok && l.judge(line) == broken {
			return true
		}
	}
	return false
}
