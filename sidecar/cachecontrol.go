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

// parseCacheControl reads what the request says of freshness. Unknown directives are ignored, as RFC 9111 wants; of one
// that is given more than once the strictest counts.
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

// deltaSeconds reads a number of seconds. RFC 9111: an overflow counts as 2^31.
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

// directives are the names, in lower case, and values of a Cache-Control line; a value is nil if there is none. Values may
// be quoted, and hold commas then.
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
		b.WriteString(`"` + after) // is no part of a quoted string: no number may come of it
	}
	return b.String(), rest[next:]
}

// matches says whether If-None-Match, of all its lines, names an ETag, weakly compared as RFC 9110 wants.
func matches(lines [][]byte, etag string) bool {
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
