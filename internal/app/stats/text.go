package stats

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"hearth/client"
)

// Look says how a snapshot is written.
type Look struct {
	Width  int // characters of a line at most; 0: 80
	Styled bool
}

// How much of the lists is shown.
const (
	shownInvocations = 10
	shownOperations  = 12
)

// Text is the snapshot for people.
func (s Snapshot) Text(l Look) string {
	p := page{width: cmp.Or(l.Width, 80), styled: l.Styled}
	s.cache(&p)
	s.pools(&p)
	s.invocations(&p)
	s.operations(&p)
	s.advice(&p)
	return p.String()
}

func (s Snapshot) cache(p *page) {
	c := s.Cache
	p.heading(fmt.Sprintf("Cache: %s of %s reads from memory", share(c.CacheCounts), number(reads(c.CacheCounts))))
	p.line(fmt.Sprintf("%s of %s used, %s evicted, %s not let in", bytes(c.Bytes), bytes(c.MaxBytes), number(c.Evictions), number(c.Rejected)))
	rows := [][]string{{"", "hit rate", "hits", "stale", "misses", "errors", "entries", "size"}}
	for _, name := range slices.Sorted(maps.Keys(c.Resources)) {
		r := c.Resources[name]
		rows = append(rows, []string{
			name, share(r), number(r.Hits), number(r.Stale), number(r.Misses), number(r.Errors), number(r.Entries), bytes(r.Bytes),
		})
	}
	p.table(rows)
}

func (s Snapshot) pools(p *page) {
	p.heading("Upstreams")
	if len(s.Pools) == 0 {
		p.line("none is configured")
		return
	}
	rows := [][]string{{"", "breaker", "in use", "open", "tries", "failed", "retries", "p50", "p99"}}
	also := [][]string{{"", "waiting", "waits", "waited", "ceiling", "dials", "reused", "opened", "refused"}}
	for _, name := range slices.Sorted(maps.Keys(s.Pools)) {
		u := s.Pools[name]
		rows = append(rows, []string{
			name, u.Breaker.State, fmt.Sprintf("%d/%d", u.InUse, u.Limit), strconv.Itoa(u.Open), number(u.Requests), number(u.Failures),
			number(u.Retries), millis(u.RoundTrip.P50), millis(u.RoundTrip.P99),
		})
		also = append(also, []string{
			name, strconv.Itoa(u.Queue), number(u.Waits), millis(u.WaitMS), strconv.Itoa(u.Size), number(u.Dials), number(u.Reused),
			number(u.Breaker.Opened), number(u.Breaker.Refused),
		})
	}
	p.table(rows)
	p.line("")
	p.table(also)
}

func (s Snapshot) invocations(p *page) {
	p.heading("Last invocations")
	if len(s.Invocations) == 0 {
		p.line("none yet")
		return
	}
	rows := [][]string{{"", "start", "Hearth", "function", "hits", "stale", "misses", "dials", "waited", "calls"}}
	for _, inv := range s.Invocations[:min(len(s.Invocations), shownInvocations)] {
		began := inv.Began
		if t, err := time.Parse(time.RFC3339, began); err == nil {
			began = t.Local().Format(time.TimeOnly)
		}
		start, function := "warm", "-"
		switch {
		case inv.Cold:
			start = "cold"
		case inv.FrozenMS > 0:
			start = "thawed"
		}
		if inv.FunctionMS != nil {
			function = millis(*inv.FunctionMS)
		}
		rows = append(rows, []string{
			began, start, millis(inv.DurationMS), function, number(inv.Hits), number(inv.Stale), number(inv.Misses), number(inv.Dials), millis(inv.QueueWaitMS),
			strconv.Itoa(len(inv.Operations) + inv.DroppedOperations),
		})
	}
	p.table(rows)
	p.more(len(s.Invocations)-shownInvocations, "invocations")
}

// operations shows those that took the most time together.
func (s Snapshot) operations(p *page) {
	if len(s.Operations) == 0 {
		return
	}
	p.heading(fmt.Sprintf("Operations of the last invocations (%d)", len(s.Invocations)))
	names := slices.SortedFunc(maps.Keys(s.Operations), func(a, b string) int {
		total := func(name string) float64 { o := s.Operations[name]; return float64(o.Count) * o.P50MS }
		return cmp.Or(cmp.Compare(total(b), total(a)), cmp.Compare(a, b))
	})
	rows := [][]string{{"", "count", "p50", "p90", "p99", "most"}}
	for _, name := range names[:min(len(names), shownOperations)] {
		o := s.Operations[name]
		rows = append(rows, []string{name, number(int64(o.Count)), millis(o.P50MS), millis(o.P90MS), millis(o.P99MS), millis(o.MaxMS)})
	}
	p.table(rows)
	p.more(len(names)-shownOperations, "operations")
}

func (s Snapshot) advice(p *page) {
	p.heading("Advice")
	if len(s.Advice) == 0 {
		p.line("none")
	}
	for _, a := range s.Advice {
		p.paragraph(a.Text)
	}
}

func reads(c client.CacheCounts) int64 { return c.Hits + c.Stale + c.Misses }

// share is a hit rate; without reads there is none.
func share(c client.CacheCounts) string {
	if reads(c) == 0 {
		return "-"
	}
	return strconv.FormatFloat(100*c.HitRatio, 'f', 1, 64) + " %"
}

// number shortens a count that would need more than six digits.
func number(n int64) string {
	switch {
	case n >= 1e12:
		return strconv.FormatFloat(float64(n), 'g', 3, 64)
	case n >= 10_000_000:
		return strconv.FormatInt(n/1_000_000, 10) + "M"
	case n >= 1_000_000:
		return strconv.FormatInt(n/1000, 10) + "k"
	}
	return strconv.FormatInt(n, 10)
}

func bytes(n int64) string {
	switch {
	case n >= 1<<20:
		return strconv.FormatFloat(float64(n)/(1<<20), 'f', 1, 64) + "MiB"
	case n >= 1<<10:
		return strconv.FormatInt(n>>10, 10) + "KiB"
	}
	return strconv.FormatInt(n, 10) + "B"
}

// millis is a number of milliseconds, in another unit if that is shorter.
func millis(ms float64) string {
	switch {
	case ms >= 1e12:
		return strconv.FormatFloat(ms/3_600_000, 'g', 2, 64) + "h"
	case ms >= 3_600_000:
		return strconv.FormatFloat(ms/3_600_000, 'f', 1, 64) + "h"
	case ms >= 10_000:
		return strconv.FormatFloat(ms/1000, 'f', 0, 64) + "s"
	case ms >= 100:
		return strconv.FormatFloat(ms, 'f', 0, 64) + "ms"
	case ms == 0:
		return "0"
	}
	return strconv.FormatFloat(ms, 'f', 1, 64) + "ms"
}

// page collects lines that are no longer than its width.
type page struct {
	strings.Builder

	width  int
	styled bool
}

// line adds a line. What does not fit is cut.
func (p *page) line(text string) {
	p.WriteString(cut(text, p.width))
	p.WriteByte('\n')
}

func (p *page) heading(text string) {
	if p.Len() > 0 {
		p.WriteByte('\n')
	}
	if text = cut(text, p.width); p.styled {
		text = "\x1b[1m" + text + "\x1b[0m"
	}
	p.WriteString(text + "\n")
}

// more says how many lines are left out.
func (p *page) more(n int, what string) {
	if n > 0 {
		p.line(fmt.Sprintf("and %d more %s", n, what))
	}
}

// table adds rows of columns: the first column begins at the left, the others end at the right. If a row is too wide, the first column is
// cut.
func (p *page) table(rows [][]string) {
	const gap = 2
	widths := make([]int, len(rows[0]))
	others := 0
	for i := range widths {
		for _, row := range rows {
			row[i] = printable(row[i])
			widths[i] = max(widths[i], utf8.RuneCountInString(row[i]))
		}
		if i > 0 {
			others += gap + widths[i]
		}
	}
	const least = 8 // of the first column
	widths[0] = min(widths[0], max(p.width-others, least))
	for _, row := range rows {
		var b strings.Builder
		fmt.Fprintf(&b, "%-*s", widths[0], cut(row[0], widths[0]))
		for i, cell := range row[1:] {
			fmt.Fprintf(&b, "%*s", gap+widths[i+1], cell)
		}
		p.line(b.String())
	}
}

// paragraph adds a text that is wrapped between words.
func (p *page) paragraph(text string) {
	line := "-"
	for word := range strings.FieldsSeq(printable(text)) {
		if utf8.RuneCountInString(line)+1+utf8.RuneCountInString(word) > p.width {
			p.line(line)
			line = " "
		}
		line += " " + word
	}
	p.line(line)
}

// printable replaces what could change a terminal: names of operations are the handler's.
func printable(text string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsPrint(r) {
			return r
		}
		return '?'
	}, text)
}

// cut shortens a text to so many characters.
func cut(text string, width int) string {
	if utf8.RuneCountInString(text) <= width {
		return text
	}
	return string([]rune(text)[:max(width-1, 0)]) + "…"
}
