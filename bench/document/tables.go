package document

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"hearth/bench/result"
)

// add adds a line to the document.
type add = func(format string, args ...any)

func (r Run) limits(add add) {
	add("| number | measured | half of the rounds | limit | |")
	add("|---|--:|--:|---|---|")
	for _, j := range r.Judged {
		add("| `%s` | %s | %s | %s | %s |", j.Name, amount(j.Line), quartiles(j.Line), j.Limit, j.Verdict)
	}
}

func amount(l result.Line) string {
	if l.Unit == "ratio" {
		return result.Number(l.Value)
	}
	return result.Number(l.Value) + " " + l.Unit
}

func quartiles(l result.Line) string {
	if l.Low == l.High {
		return ""
	}
	return result.Number(l.Low) + " to " + result.Number(l.High)
}

// place is what the name of a line about one server says.
type place struct {
	server, reply, what, network string
	connections                  int
}

// placeOf reads a name as hearth_hit_rate_tcp_64.
func placeOf(name string) (place, bool) {
	m := regexp.MustCompile(`^([a-z]+)_(hit|held_preprocess)_(rate|p50|p99|p999)_(tcp|unix)_(\d+)$`).FindStringSubmatch(name)
	if m == nil {
		return place{}, false
	}
	n, err := strconv.Atoi(m[5])
	return place{m[1], m[2], m[3], m[4], n}, err == nil
}

// find is the line about a place.
func find(lines []result.Line, p place) (result.Line, bool) {
	i := slices.IndexFunc(lines, func(l result.Line) bool {
		of, ok := placeOf(l.Name)
		return ok && of == p
	})
	if i < 0 {
		return result.Line{}, false
	}
	return lines[i], true
}

// places are the places of a reply's rates, in the order of the lines.
func places(lines []result.Line, reply string) (list []place) {
	for _, l := range lines {
		if p, ok := placeOf(l.Name); ok && p.reply == reply && p.what == "rate" {
			list = append(list, p)
		}
	}
	return list
}

// servers makes the table of what each server does with a reply.
func servers(add add, lines []result.Line, reply string) {
	list := places(lines, reply)
	if len(list) == 0 {
		return
	}
	add("\n### %s\n", map[string]string{"hit": "A hit", "held_preprocess": "A held preprocess"}[reply])
	add("| by | connections | server | requests/s | half of the rounds | p50 µs | p99 µs | p99.9 µs |")
	add("|---|--:|---|--:|--:|--:|--:|--:|")
	for _, p := range list {
		rate, _ := find(lines, p)
		cells := []string{p.network, strconv.Itoa(p.connections), p.server, result.Number(rate.Value), quartiles(rate)}
		for _, p.what = range []string{"p50", "p99", "p999"} {
			cell := ""
			if l, ok := find(lines, p); ok {
				cell = result.Number(l.Value)
			}
			cells = append(cells, cell)
		}
		add("| %s |", strings.Join(cells, " | "))
	}
}

// rest makes the table of the lines that are in no other.
func (r Run) rest(add add) {
	var others []result.Line
	for _, l := range r.Lines {
		judged := slices.ContainsFunc(r.Judged, func(j Judged) bool { return j.Name == l.Name })
		if _, ok := placeOf(l.Name); !ok && !judged {
			others = append(others, l)
		}
	}
	if len(others) == 0 {
		return
	}
	add("\n### All other numbers\n")
	add("| number | measured | half of the rounds |")
	add("|---|--:|--:|")
	for _, l := range others {
		add("| `%s` | %s | %s |", l.Name, fmt.Sprint(result.Number(l.Value), " ", l.Unit), quartiles(l))
	}
}
