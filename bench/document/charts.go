package document

import (
	"slices"
	"strconv"

	"hearth/bench/plot"
	"hearth/bench/result"
)

// chart is a chart and the name of its file.
type chart struct {
	plot.Chart

	file string
}

// charts draws what the lines have numbers for.
func charts(lines []result.Line) (drawn []chart) {
	title := map[string]string{"hit": "A hit", "held_preprocess": "A held preprocess"}
	network := map[string]string{"tcp": "TCP", "unix": "the Unix socket"}
	for _, reply := range []string{"hit", "held_preprocess"} {
		for _, by := range []string{"tcp", "unix"} {
			c := rates(lines, reply, by)
			c.Title = title[reply] + " by " + network[by] + ": requests per second"
			drawn = append(drawn, chart{c, reply + "-" + by + ".svg"})
		}
		for _, n := range connections(lines) {
			c := latencies(lines, reply, "tcp", n)
			c.Title = title[reply] + " by TCP: latency with " + strconv.Itoa(n) + " at once"
			drawn = append(drawn, chart{c, reply + "-latency-" + strconv.Itoa(n) + ".svg"})
		}
	}
	c := handlers(lines)
	c.Title = "Held preprocesses by many handlers: calls per second"
	drawn = append(drawn, chart{c, "handlers.svg"})
	return slices.DeleteFunc(drawn, func(c chart) bool { return len(c.Series) == 0 })
}

// connections are the numbers of connections that the lines are about.
func connections(lines []result.Line) (list []int) {
	for _, l := range lines {
		if p, ok := placeOf(l.Name); ok {
			list = append(list, p.connections)
		}
	}
	slices.Sort(list)
	return slices.Compact(list)
}

// names are the servers that answer a reply by a network, in the order of the lines.
func names(lines []result.Line, reply, network string) (list []string) {
	for _, p := range places(lines, reply) {
		if p.network == network && !slices.Contains(list, p.server) {
			list = append(list, p.server)
		}
	}
	return list
}

func rates(lines []result.Line, reply, network string) plot.Chart {
	c := plot.Chart{X: "connections", Y: "requests/s"}
	all := connections(lines)
	for _, n := range all {
		c.Places = append(c.Places, strconv.Itoa(n))
	}
	for _, server := range names(lines, reply, network) {
		s := plot.Series{Name: server}
		for _, n := range all {
			s.Points = append(s.Points, pointOf(find(lines, place{server, reply, "rate", network, n})))
		}
		c.Series = append(c.Series, s)
	}
	return c
}

func latencies(lines []result.Line, reply, network string, n int) plot.Chart {
	c := plot.Chart{X: "percentile", Y: "µs", Log: true, Places: []string{"50", "99", "99.9"}}
	for _, server := range names(lines, reply, network) {
		s := plot.Series{Name: server}
		for _, what := range []string{"p50", "p99", "p999"} {
			s.Points = append(s.Points, pointOf(find(lines, place{server, reply, what, network, n})))
		}
		c.Series = append(c.Series, s)
	}
	return c
}

// handlers is the chart of how many calls handlers make, by their number.
func handlers(lines []result.Line) plot.Chart {
	c := plot.Chart{X: "handlers at once", Y: "calls/s"}
	found := map[grown]result.Line{}
	var languages []string
	var numbers []int
	for _, l := range lines {
		g, ok := grownOf(l.Name)
		if !ok || g.what != "rate" {
			continue
		}
		found[g] = l
		if !slices.Contains(languages, g.language) {
			languages = append(languages, g.language)
		}
		numbers = append(numbers, g.handlers)
	}
	slices.Sort(numbers)
	numbers = slices.Compact(numbers)
	for _, n := range numbers {
		c.Places = append(c.Places, strconv.Itoa(n))
	}
	for _, language := range languages {
		s := plot.Series{Name: language}
		for _, n := range numbers {
			l, ok := found[grown{language, "rate", n}]
			s.Points = append(s.Points, pointOf(l, ok))
		}
		c.Series = append(c.Series, s)
	}
	return c
}

func pointOf(l result.Line, ok bool) plot.Point {
	if !ok {
		return plot.Missing()
	}
	return plot.Point{Value: l.Value, Low: l.Low, High: l.High}
}
