package plot

import (
	"encoding/xml"
	"errors"
	"io"
	"math"
	"slices"
	"strings"
	"testing"
)

func chart() Chart {
	return Chart{
		Title: "A & B", X: "connections", Y: "requests/s", Places: []string{"1", "10", "64"},
		Series: []Series{
			{"hearth", []Point{{50_000, 45_000, 55_000}, {90_000, 80_000, 95_000}, {100_000, 99_000, 101_000}}},
			{"<bare>", []Point{{60_000, 60_000, 60_000}, Missing(), {100_500, 90_000, 110_000}}},
			{"absent", []Point{Missing(), Missing(), Missing()}},
		},
	}
}

func TestAChartIsXML(t *testing.T) {
	for _, c := range []Chart{chart(), {}, {Log: true, Places: []string{"p50"}, Series: []Series{{"x", []Point{{12, 11, 13}}}}}} {
		svg := c.SVG()
		tokens := xml.NewDecoder(strings.NewReader(svg))
		for {
			if _, err := tokens.Token(); errors.Is(err, io.EOF) {
				break
			} else if err != nil {
				t.Fatalf("%v in\n%s", err, svg)
			}
		}
		if strings.Contains(svg, "NaN") || strings.Contains(svg, "Inf") {
			t.Errorf("a number is missing:\n%s", svg)
		}
	}
}

func TestEachSeriesHasItsPointsAndItsName(t *testing.T) {
	svg := chart().SVG()
	for what, want := range map[string]int{"<circle": 5, ">hearth</text>": 1, ">&lt;bare&gt;</text>": 1, ">absent</text>": 0, "A &amp; B": 2} {
		if got := strings.Count(svg, what); got != want {
			t.Errorf("%s is there %d times and not %d", what, got, want)
		}
	}
}

func TestNamesDoNotOverlap(t *testing.T) {
	c := chart()
	d := &drawing{y: newScale(c.values(), false), places: 3}
	heights := d.labels(c.Series[:2])
	if apart := math.Abs(heights[0] - heights[1]); apart < 15 {
		t.Errorf("two names are %.1f apart", apart)
	}
}

func TestScale(t *testing.T) {
	for _, c := range []struct {
		values []float64
		log    bool
		want   []float64
	}{
		{[]float64{95_000}, false, []float64{0, 20_000, 40_000, 60_000, 80_000, 100_000}},
		{[]float64{1, 3}, false, []float64{0, 0.5, 1, 1.5, 2, 2.5, 3}},
		{[]float64{0}, false, []float64{0, 0.2, 0.4, 0.6, 0.8, 1}},
		{[]float64{15, 2300}, true, []float64{10, 20, 50, 100, 200, 500, 1000, 2000, 5000}},
		{[]float64{10, 10}, true, []float64{10, 20}},
		{[]float64{0.3, 1}, true, []float64{0.2, 0.5, 1}},
		{nil, true, []float64{0, 0.2, 0.4, 0.6, 0.8, 1}},
	} {
		s := newScale(c.values, c.log)
		got := s.ticks()
		if !slices.EqualFunc(got, c.want, func(a, b float64) bool { return math.Abs(a-b) < 1e-9*max(1, b) }) {
			t.Errorf("%v: ticks at %v and not %v", c.values, got, c.want)
		}
		for _, v := range c.values {
			if p := s.position(v); len(got) > 1 && (p < -1e-9 || p > 1+1e-9) {
				t.Errorf("%v: %v is at %v, outside the chart", c.values, v, p)
			}
		}
	}
}
