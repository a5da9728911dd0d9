package sidecar

import (
	"bytes"
	"fmt"
	"math"
	"strconv"
	"time"

	"hearth/cache"
)

// setCacheStatus writes Cache-Status (RFC 9211) and Age: where a reply came from, and how old it is.
func (r *request) setCacheStatus(o cache.Origin) {
	status := "hearth; "
	if o.Fwd == "" {
		status += "hit; ttl=" + strconv.Itoa(seconds(o.TTL))
	} else {
		status += "fwd=" + o.Fwd
		if o.Collapsed {
			status += "; collapsed"
		}
	}
	r.Response.Header.Set("Cache-Status", status)
	r.Response.Header.Set("Age", strconv.Itoa(int(o.Age/time.Second)))
}

// seconds rounds down, so that every stale reply has a negative ttl.
func seconds(d time.Duration) int { return int(math.Floor(d.Seconds())) }

// timing is how long one part of a reply took.
type timing struct {
	part string
	took time.Duration
}

// setServerTiming writes Server-Timing: how long the parts took, and the request as a whole until now.
func (r *request) setServerTiming(parts ...timing) {
	parts = append(parts, timing{"total", time.Since(r.started)})
	var b bytes.Buffer
	for i, t := range parts {
		if i > 0 {
			b.WriteString(", ")
		}
		fmt.Fprintf(&b, "%s;dur=%.3f", t.part, milliseconds(t.took))
	}
	r.Response.Header.SetBytesV("Server-Timing", b.Bytes())
}

// timed writes Server-Timing of a reply with one part.
func (r *request) timed(part string) { r.setServerTiming(timing{part, time.Since(r.started)}) }

// milliseconds keeps three places behind the point.
func milliseconds(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }
