// Package load generates load: requests over connections that each have one request under way at any time. It does almost no
// work per request, so that what is measured is the server: one thread, one epoll, raw reads and writes.
//
// Start at [Generator.Run]. job.go is what to send and what came of it, reply.go reads replies, histogram.go counts latencies,
// and remote.go runs a generator in a process of its own, so that it shares no heap and no scheduler with anything else.
package load

import (
	"bytes"
	"errors"
	"fmt"
	"time"
)

// Protocol is how replies are framed.
type Protocol string

// The protocols.
const (
	HTTP Protocol = "http" // HTTP/1.1 with Content-Length
	RESP Protocol = "resp" // Redis: the reply is a bulk string
)

// Job is one round of load.
type Job struct {
	Network     string // tcp or unix
	Address     string
	Protocol    Protocol
	Request     []byte // sent again and again, as it is
	Body        []byte // of every reply; each is checked for its length, the first of each connection for its bytes
	Varies      Span   // of Body: its bytes, and how many they are, differ from reply to reply
	Connections int
	Duration    time.Duration // 0: until Requests are done
	Requests    int           // 0: until Duration is over
}

// Span is a part of a body. The zero value is no part.
type Span struct{ Begin, End int }

func (j Job) validate() error {
	var faults []error
	check := func(ok bool, fault string) {
		if !ok {
			faults = append(faults, errors.New("load: "+fault))
		}
	}
	check(j.Network == "tcp" || j.Network == "unix", "Network must be tcp or unix")
	check(j.Protocol == HTTP || j.Protocol == RESP, "Protocol must be http or resp")
	check(len(j.Request) > 0, "Request must not be empty")
	check(0 <= j.Varies.Begin && j.Varies.Begin <= j.Varies.End && j.Varies.End <= len(j.Body), "Varies must be a part of Body")
	check(j.Connections > 0, "Connections must be positive")
	check(j.Duration > 0 || j.Requests > 0, "Duration or Requests must be positive")
	return errors.Join(faults...)
}

// Report is what a round of load came to. Latencies are in microseconds.
type Report struct {
	Requests       int
	Seconds        float64
	P50, P99, P999 float64
	Busy           float64 // the share of the time that the generator's process was running; near 1 it was the limit, not the server
}

// PerSecond is the number of requests per second.
func (r Report) PerSecond() float64 { return float64(r.Requests) / r.Seconds }

func (r Report) String() string {
	return fmt.Sprintf("%.0f/s p50 %.0f µs p99 %.0f µs p99.9 %.0f µs, generator %.0f %% busy", r.PerSecond(), r.P50, r.P99, r.P999, 100*r.Busy)
}

// matches says whether body is the body of a reply. If whole, its bytes are compared too.
func (j Job) matches(body []byte, whole bool) bool {
	varies := j.Varies.End - j.Varies.Begin
	if off := len(body) - len(j.Body); off < -varies || off > varies {
		return false
	}
	return !whole || bytes.HasPrefix(body, j.Body[:j.Varies.Begin]) && bytes.HasSuffix(body[j.Varies.Begin:], j.Body[j.Varies.End:])
}
