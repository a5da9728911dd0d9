package sidecar

import (
	"errors"
	"math"
	"strconv"
	"strings"
	"time"

	"hearth/cache"
	"hearth/client/wire"
)

// parseCacheControl reads the request's Cache-Control lines. Unknown directives are ignored (RFC 9111). If a directive is given
// more than once, the strictest value counts.
func parseCacheControl(headers [][]byte) (d cache.Directives, refusal *wire.Problem) {
	for _, h := range headers {
		for name, value := range directives(string(h)) {
			switch name {
			case "no-cache":
				d.NoCache = true
			case "no-store":
				d.NoStore = true
			case "only-if-cached":
				d.OnlyIfCached = true
			case "max-age", "min-fresh", "max-stale":
				if name == "max-stale" && value == nil {
					if d.MaxStale == nil {
						d.MaxStale = new(time.Duration(-1)) // however stale
					}
					continue
				}
				seconds, ok := deltaSeconds(value)
				if !ok {
					return d, wire.BadField("Cache-Control", name+" must be a number of seconds")
				}
				switch {
				case name == "max-age" && (d.MaxAge == nil || seconds < *d.MaxAge):
					d.MaxAge = &seconds
				case name == "min-fresh" && (d.MinFresh == nil || seconds > *d.MinFresh):
					d.MinFresh = &seconds
				case name == "max-stale" && (d.MaxStale == nil || *d.MaxStale < 0 || seconds < *d.MaxStale):
					d.MaxStale = &seconds
				}
			}
		}
	}
	return d, nil
}

// deltaSeconds reads a number of seconds. A number that is too large counts as 2^31 - 1, the largest (RFC 9111).
func deltaSeconds(value *string) (time.Duration, bool) {
	if value == nil {
		return 0, false
	}
	n, err := strconv.ParseUint(*value, 10, 63)
	if err != nil && !errors.Is(err, strconv.ErrRange) {
		return 0, false
	}
	return time.Duration(min(n, math.MaxInt32)) * time.Second, true //nolint:gosec // bounded
}

// directives yields the directives of a Cache-Control line: the name in lower case, and the value or nil. A value may be quoted,
// and then hold commas.
func directives(line string) func(yield func(name string, value *string) bool) {
	return func(yield func(string, *string) bool) {
		for line != "" {
			end := strings.IndexAny(line, ",=")
			if end < 0 {
				end = len(line)
			}
			name, rest := strings.ToLower(strings.TrimSpace(line[:end])), line[end:]
			var value *string
			if strings.HasPrefix(rest, "=") {
				text, after := directiveValue(rest[1:])
				value, rest = &text, after
			}
			line = strings.TrimPrefix(rest, ",")
			if name != "" && !yield(name, value) {
				return
			}
		}
	}
}

// directiveValue reads a token or a quoted string, and returns what follows the value: a comma, or nothing.
func directiveValue(text string) (value, rest string) {
	text = strings.TrimLeft(text, " \t")
	if !strings.HasPrefix(text, `"`) {
		end := strings.IndexByte(text, ',')
		if end < 0 {
			end = len(text)
		}
		return strings.TrimRight(text[:end], " \t"), text[end:]
	}
	var b strings.Builder
	i := 1
	for ; i < len(text) && text[i] != '"'; i++ {
		if text[i] == '\\' && i+1 < len(text) {
			i++
		}
		b.WriteByte(text[i])
	}
	rest = text[min(i+1, len(text)):]
	next := strings.IndexByte(rest, ',')
	if next < 0 {
		next = len(rest)
	}
	if after := strings.TrimSpace(rest[:next]); after != "" {
		b.WriteString(`"` + after) // text behind the closing quote makes the value invalid, so it must not pass for a number
	}
	return b.String(), rest[next:]
}

// matchesETag says whether one of the If-None-Match lines names the ETag. The comparison is weak (RFC 9110).
func matchesETag(lines [][]byte, etag string) bool {
	for _, line := range lines {
		if len(lines) == 1 && strings.TrimSpace(string(line)) == "*" {
			return true
		}
		for rest := string(line); ; {
			rest = strings.TrimPrefix(strings.TrimLeft(rest, ", \t"), "W/")
			if !strings.HasPrefix(rest, `"`) {
				break // the end, or no tag
			}
			end := strings.IndexByte(rest[1:], '"')
			if end < 0 {
				break
			}
			if rest[:end+2] == etag {
				return true
			}
			rest = rest[end+2:]
		}
	}
	return false
}
