// Package plot draws line charts as SVG: plain, on a light background, with a name at the end of each line and no script.
//
// Start at [Chart]. scale.go places the numbers.
package plot

import (
	"encoding/xml"
	"fmt"
	"math"
	"slices"
	"strings"
)

// Chart is a chart whose places on the x axis have names.
type Chart struct {
	Title, X, Y string
	Places      []string // of the x axis, from left to right
	Series      []Series
	Log         bool // the y axis is logarithmic
}

// Series is one line of a chart.
type Series struct {
	Name   string
	Points []Point // by place; a missing point is NaN
}

// Point is a value with its quartiles.
type Point struct{ Value, Low, High float64 }

// Missing is a point without a value.
func Missing() Point { return Point{math.NaN(), math.NaN(), math.NaN()} }

const (
	width, height            = 720, 380
	left, right, top, bottom = 76, 120, 44, 52
)

// color is one of six that color-blind readers can tell apart.
func color(i int) string {
	colors := []string{"#d55e00", "#0072b2", "#009e73", "#8a5a9e", "#56b4e9", "#6b6b6b"}
	return colors[i%len(colors)]
}

// SVG draws the chart.
func (c Chart) SVG() string {
	d := &drawing{y: newScale(c.values(), c.Log), places: len(c.Places)}
	d.add(`<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" width="%d" height="%d" role="img" font-family="sans-serif" font-size="12" fill="#333">`,
		width, height, width, height)
	d.add(`<title>%s</title>`, text(c.Title))
	d.add(`<rect width="%d" height="%d" fill="#fff"/>`, width, height)
	d.add(`<text x="%d" y="24" font-size="15" font-weight="bold">%s</text>`, left, text(c.Title))
	d.axes(c)
	labels := d.labels(c.Series)
	for i, s := range c.Series {
		d.series(i, s, labels[i])
	}
	d.add(`</svg>`)
	return d.String()
}

func (c Chart) values() (values []float64) {
	for _, s := range c.Series {
		for _, p := range s.Points {
			for _, v := range []float64{p.Value, p.Low, p.High} {
				if !math.IsNaN(v) {
					values = append(values, v)
				}
			}
		}
	}
	return values
}

// drawing is a chart that is being drawn.
type drawing struct {
	strings.Builder

	y      scale
	places int
}

func (d *drawing) add(format string, args ...any) { fmt.Fprintf(d, format+"\n", args...) }

func (d *drawing) xOf(place int) float64 {
	return left + (width-left-right)*(float64(place)+0.5)/float64(max(1, d.places))
}

func (d *drawing) yOf(value float64) float64 {
	return height - bottom - (height-top-bottom)*d.y.position(value)
}

func (d *drawing) axes(c Chart) {
	for _, tick := range d.y.ticks() {
		y := d.yOf(tick)
		d.add(`<path d="M%d %.1fH%d" stroke="#ddd"/>`, left, y, width-right)
		d.add(`<text x="%d" y="%.1f" text-anchor="end">%s</text>`, left-8, y+4, label(tick))
	}
	for i, place := range c.Places {
		d.add(`<text x="%.1f" y="%d" text-anchor="middle">%s</text>`, d.xOf(i), height-bottom+18, text(place))
	}
	d.add(`<text x="%d" y="%d" text-anchor="middle">%s</text>`, (left+width-right)/2, height-12, text(c.X))
	d.add(`<text transform="translate(16 %d) rotate(-90)" text-anchor="middle">%s</text>`, (top+height-bottom)/2, text(c.Y))
}

func (d *drawing) series(i int, s Series, labelY float64) {
	var path []string
	last := -1
	d.add(`<g stroke="%s" fill="none" stroke-width="2">`, color(i))
	for place, p := range s.Points {
		if math.IsNaN(p.Value) {
			continue
		}
		last = place
		path = append(path, fmt.Sprintf("%.1f %.1f", d.xOf(place), d.yOf(p.Value)))
		if p.Low < p.High {
			d.add(`<path d="M%.1f %.1fV%.1f" stroke-width="1"/>`, d.xOf(place), d.yOf(p.Low), d.yOf(p.High))
		}
	}
	if last < 0 {
		d.add(`</g>`)
		return
	}
	d.add(`<path d="M%s"/>`, strings.Join(path, "L"))
	for _, at := range path {
		x, y, _ := strings.Cut(at, " ")
		d.add(`<circle cx="%s" cy="%s" r="3.5" fill="%s" stroke="none"/>`, x, y, color(i))
	}
	d.add(`</g>`)
	d.add(`<text x="%.1f" y="%.1f" fill="%s">%s</text>`, d.xOf(last)+10, labelY+4, color(i), text(s.Name))
}

// labels are the heights of the names: beside the last point of each line, and at least a line of text apart.
func (d *drawing) labels(series []Series) []float64 {
	const apart = 15
	heights := make([]float64, len(series))
	var order []int
	for i, s := range series {
		for _, p := range slices.Backward(s.Points) {
			if !math.IsNaN(p.Value) {
				heights[i] = d.yOf(p.Value)
				order = append(order, i)
				break
			}
		}
	}
	slices.SortFunc(order, func(a, b int) int { return int(math.Copysign(1, heights[a]-heights[b])) })
	for i := 1; i < len(order); i++ {
		heights[order[i]] = max(heights[order[i]], heights[order[i-1]]+apart)
	}
	return heights
}

func text(s string) string {
	var escaped strings.Builder
	_ = xml.EscapeText(&escaped, []byte(s)) // a strings.Builder takes everything
	return escaped.String()
}
