package sidecar

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math"
	"net/http"
	"strconv"
	"time"

	"hearth/cache"
)

// describe writes where a reply came from, as RFC 9211 says it.
func (r *request) describe(o cache.Origin) {
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

// seconds rounds down, so that whatever is stale has a negative ttl.
func seconds(d time.Duration) int { return int(math.Floor(d.Seconds())) }

// timing is how long one part of a reply took.
type timing struct {
	part string
	took time.Duration
}

func (r *request) timings(parts ...timing) {
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

func milliseconds(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

// reply sends a body as it is held. A GET whose caller has it already gets a 304.
func (r *request) reply(part string, got cache.Reply) error {
	r.describe(got.Origin)
	r.timings(timing{part, time.Since(r.started)})
	if r.IsGet() || r.IsHead() {
		r.Response.Header.Set("ETag", got.ETag)
		if matches(r.Request.Header.PeekAll("If-None-Match"), got.ETag) {
			r.SetStatusCode(http.StatusNotModified)
			return nil
		}
	}
	r.answer(http.StatusOK, got.Body)
	return nil
}

// send encodes a reply that is not held.
func (r *request) send(status int, v any) error {
	body, err := encode(v)
	if err != nil {
		return err
	}
	r.answer(status, body)
	return nil
}

// answer sends a body, which must not change any more.
func (r *request) answer(status int, body []byte) {
	r.SetStatusCode(status)
	r.SetContentType("application/json")
	r.Response.SetBodyRaw(body)
}

// encode writes JSON without escaping for HTML, and without a line's end.
func encode(v any) ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		return nil, err
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n")), nil
}
