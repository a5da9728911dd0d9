package sidecar

import (
	"bytes"
	"fmt"
	"net/http"
	"time"
	"unicode/utf8"

	"github.com/tidwall/gjson"

	"hearth/client/wire"
	"hearth/internal/monitor"
	"hearth/pool"
)

// timings takes what a handler has measured. Its answer says that the invocation's metrics have been written.
func (s *Server) timings(r *request) error {
	t, err := decodeTimings(r.object())
	if err != nil {
		return err
	}
	now := s.poolCounts()
	c := r.call()
	c.Ended, c.Pools = time.Now(), now
	r.ended = time.Time{} // it is not answered yet
	record := func() { s.cfg.Monitor.Timings(c, t) }
	if r.batchRead > 0 {
		r.afterwards = []func(){record} // the batch belongs to the invocation that this ends
	} else {
		record()
	}
	r.SetStatusCode(http.StatusNoContent)
	return nil
}

func decodeTimings(o *object) (t wire.Timings, err error) {
	const maxRequestID = 128
	t = wire.Timings{RequestID: characters(o, "request_id", maxRequestID), FunctionMS: duration(o, "function_ms"), Timings: []wire.Timing{}}
	list, ok := o.raw("timings")
	if !ok {
		o.wrong("timings", "is required")
	} else if list[0] != '[' {
		o.wrong("timings", "must be an array")
	}
	o.rejectUnknown()
	if err := o.err(); err != nil {
		return t, err
	}
	gjson.Parse(list).ForEach(func(_, item gjson.Result) bool {
		if len(t.Timings) == wire.MaxTimings {
			err = wire.BadField("timings", fmt.Sprintf("must have at most %d timings", wire.MaxTimings))
			return false
		}
		var one wire.Timing
		one, err = decodeTiming(decodeObject([]byte(item.Raw), fmt.Sprintf("timings[%d].", len(t.Timings)), nil))
		t.Timings = append(t.Timings, one)
		return err == nil
	})
	return t, err
}

func decodeTiming(o *object) (wire.Timing, error) {
	t := wire.Timing{Operation: characters(o, "operation", wire.MaxOperation), Error: reason(o)}
	if t.Operation == "" {
		o.wrong("operation", "is required")
	}
	if took := duration(o, "duration_ms"); took != nil {
		t.DurationMS = *took
	} else {
		o.wrong("duration_ms", "is required")
	}
	o.rejectUnknown()
	return t, o.err()
}

// characters reads a text of 1 to most characters; empty: the field is not there.
func characters(o *object, name string, most int) string {
	s, ok := o.stringOf(name)
	if n := utf8.RuneCountInString(s); ok && (n < 1 || n > most) {
		o.wrong(name, fmt.Sprintf("must have 1 to %d characters", most))
	}
	return s
}

// duration reads a number of milliseconds; nil: the field is not there.
func duration(o *object, name string) *float64 {
	var d float64
	if !o.field(name, &d, "a number from 0 on") {
		return nil
	}
	if d < 0 {
		o.wrong(name, "must be a number from 0 on")
	}
	return &d
}

// reason reads why an operation has failed: a text, of which the beginning is kept, or true or false.
func reason(o *object) any {
	const most = 200 // characters
	value, ok := o.value("error")
	switch {
	case !ok:
		return nil
	case value == "true" || value == "false":
		return value == "true"
	case value[0] != '"':
		o.wrong("error", "must be a string, true or false")
		return nil
	}
	text := []rune(gjson.Parse(value).Str)
	return string(text[:min(len(text), most)])
}

func (s *Server) invocations(r *request) error {
	return r.sendJSON(http.StatusOK, s.cfg.Monitor.Invocations())
}

// metrics answers in Prometheus's text format.
func (s *Server) metrics(r *request) error {
	var b bytes.Buffer
	s.cfg.Monitor.WritePrometheus(&b, s.cfg.Cache.Stats(), s.pools())
	r.SetStatusCode(http.StatusOK)
	r.SetContentType("text/plain; version=0.0.4; charset=utf-8")
	r.Response.SetBodyRaw(b.Bytes())
	return nil
}

// poolCounts are the counters of all pools together.
func (s *Server) poolCounts() *monitor.Pools {
	var c pool.Counts
	for _, u := range s.cfg.Upstreams {
		c.Add(u.Pools)
	}
	if s.cfg.Fetch != nil {
		for _, p := range s.cfg.Fetch.Pools() {
			c.Add(map[string]*pool.Pool{"": p})
		}
	}
	return &monitor.Pools{Dials: c.Dials, Reused: c.Reused, Retries: c.Retries, BreakerOpen: c.Refused, QueueWait: c.Waited}
}
