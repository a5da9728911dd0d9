package document

import (
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

// cell is a line's value, or nothing if there is no such line.
func cell(l result.Line, ok bool) string {
	if !ok {
		return ""
	}
	return result.Number(l.Value)
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
			cells = append(cells, cell(find(lines, p)))
		}
		add("| %s |", strings.Join(cells, " | "))
	}
}

// grown is what the name of a line about many handlers says.
type grown struct {
	language, what string
	handlers       int
}

// grownOf reads a name as handlers_go_p99_us_256.
func grownOf(name string) (grown, bool) {
	m := regexp.MustCompile(`^handlers_([a-z]+)_(rate|p50_us|p99_us)_(\d+)$`).FindStringSubmatch(name)
	if m == nil {
		return grown{}, false
	}
	n, err := strconv.Atoi(m[3])
	return grown{m[1], m[2], n}, err == nil
}

// growth makes the table of how many calls handlers make, by their number.
func growth(add add, lines []result.Line) {
	found := map[grown]result.Line{}
	var rows []grown
	for _, l := range lines {
		g, ok := grownOf(l.Name)
		if !ok {
			continue
		}
		found[g] = l
		if g.what == "rate" {
			rows = append(rows, g)
		}
	}
	if len(rows) == 0 {
		return
	}
	add("\n### Many handlers\n")
	add("| handlers in | at once | calls/s | p50 µs | p99 µs |")
	add("|---|--:|--:|--:|--:|")
	for _, g := range rows {
		cells := []string{g.language, strconv.Itoa(g.handlers)}
		for _, g.what = range []string{"rate", "p50_us", "p99_us"} {
			l, ok := found[g]
			cells = append(cells, cell(l, ok))
		}
		add("| %s |", strings.Join(cells, " | "))
	}
}

// others makes the tables of the lines that are in no other.
func (r Run) others(add add) {
	var rest []result.Line
	for _, l := range r.Lines {
		_, server := placeOf(l.Name)
		_, handlers := grownOf(l.Name)
		judged := slices.ContainsFunc(r.Judged, func(j Judged) bool { return j.Name == l.Name })
		if !server && !handlers && !judged {
			rest = append(rest, l)
		}
	}
	for _, table := range []struct{ title, names string }{
		{"One handler", `^(go|python)_`}, {"A miss", `^miss_`}, {"Start", `^(start|first|rss)_`}, {"Other ratios", ``},
	} {
		names := regexp.MustCompile(table.names)
		ours := func(l result.Line) bool { return names.MatchString(l.Name) }
		if !slices.ContainsFunc(rest, ours) {
			continue
		}
		add("\n### %s\n", table.title)
		add("| number | measured | half of the rounds |")
		add("|---|--:|--:|")
		for _, l := range rest {
			if ours(l) {
				add("| `%s` | %s | %s |", l.Name, amount(l), quartiles(l))
			}
		}
		rest = slices.DeleteFunc(rest, ours)
	}
}
