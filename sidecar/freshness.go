package sidecar

import (
	"math"
	"strconv"
	"time"

	"hearth/cache"
)

// setCacheStatus writes Cache-Status (RFC 9211) and Age: where a reply came from, and how old it is.
func (r *request) setCacheStatus(o cache.Origin) {
	r.verdicts.Set("", string(o.Served))
	line := append(r.scratch[:0], "hearth; "...)
	if o.Fwd == "" {
		line = strconv.AppendInt(append(line, "hit; ttl="...), seconds(o.TTL), 10)
	} else {
		line = append(append(line, "fwd="...), o.Fwd...)
		if o.Collapsed {
			line = append(line, "; collapsed"...)
		}
	}
	r.Response.Header.SetCanonical([]byte("Cache-Status"), line)
	line = strconv.AppendInt(line[:0], int64(o.Age/time.Second), 10)
	r.Response.Header.SetCanonical([]byte("Age"), line)
	r.scratch = line
}

// heldError marks an error that came from the cache: there is no such thing.
func (r *request) heldError(o cache.Origin) {
	if o.Served == cache.Hit && o.Fwd == "" {
		r.setCacheStatus(o)
	}
}

// seconds rounds down, so that every stale reply has a negative ttl.
func seconds(d time.Duration) int64 { return int64(math.Floor(d.Seconds())) }

// timing is how long one part of a reply took.
type timing struct {
	part string
	took time.Duration
}

// setServerTiming writes Server-Timing: how long the parts took, and the request as a whole.
func (r *request) setServerTiming(total time.Duration, parts ...timing) {
	line := r.scratch[:0]
	for _, t := range parts {
		line = append(t.append(line), ", "...)
	}
	line = timing{"total", total}.append(line)
	r.Response.Header.SetCanonical([]byte("Server-Timing"), line)
	r.scratch = line
}

func (t timing) append(line []byte) []byte {
	return appendMilliseconds(append(append(line, t.part...), ";dur="...), t.took)
}

// took is how long the request took. Its reply is ready.
func (r *request) took() time.Duration {
	r.ended = time.Now()
	return r.ended.Sub(r.started)
}

// timed writes Server-Timing of a reply with one part.
func (r *request) timed(part string) {
	took := r.took()
	r.setServerTiming(took, timing{part, took})
}

// appendMilliseconds writes a duration in milliseconds, with three places behind the point.
func appendMilliseconds(b []byte, d time.Duration) []byte {
	µs := max(0, d.Microseconds())
	b = strconv.AppendInt(b, µs/1000, 10)
	return append(b, '.', '0'+byte(µs/100%10), '0'+byte(µs/10%10), '0'+byte(µs%10))
}
