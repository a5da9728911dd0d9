package main

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"hearth/internal/testing/lab"
)

// offence is a kind of fault that a run of Hearth must not show.
type offence int

const (
	wrongs offence = iota
	overdue
	lostWrites
	amplified
	leakedGoroutines
	leakedConns
	leakedFiles
	kindsOfOffence
)

func (o offence) String() string {
	return [...]string{"wrong", "overdue", "lost_writes", "amplified", "leaked_goroutines", "leaked_conns", "leaked_fds"}[o]
}

// tally counts what a run saw. It is safe for concurrent use.
type tally struct {
	out  io.Writer
	most int // offences of each kind to print for each fault

	mu            sync.Mutex // guards what follows; lines are printed under it
	faults, calls int
	offences      [kindsOfOffence]int
}

// summary counts the replies under one fault. The tally's mutex guards it.
type summary struct {
	right, stale int
	errors       map[string]int
	worst        time.Duration
	sent, again  int // requests that have reached the upstreams, and how many of them were sent again
	recovered    time.Duration
	perSecond    float64 // tries that reached the upstreams in an outage
	offences     [kindsOfOffence]int
}

// judged counts a reply, and prints it if it offends.
func (t *tally) judged(c *course, r *reply, v verdict, late time.Duration) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.calls++
	if c.phase == underIt {
		switch v.what {
		case right:
			c.sum.right++
		case isStale:
			c.sum.stale++
		case failed:
			if c.sum.errors == nil {
				c.sum.errors = map[string]int{}
			}
			c.sum.errors[string(v.kind)]++
		case isWrong:
		}
		c.sum.worst = max(c.sum.worst, r.ended.Sub(r.asked))
	}
	if v.what == isWrong {
		kind, why := wrongs, v.why
		if text, lost := strings.CutPrefix(why, "LOST: "); lost {
			kind, why = lostWrites, text
		}
		t.offenceLocked(c, kind, 1, why+r.String())
	}
	if late > 0 {
		t.offenceLocked(c, overdue, 1, fmt.Sprintf("%.0f ms beyond the deadline%s", lab.MS(late), r))
	}
}

// String shows the request and its reply.
func (r *reply) String() string {
	body := r.body
	if len(body) > 600 {
		body = body[:600]
	}
	return fmt.Sprintf("\n      %s %s no-cache=%v after %.0f ms: %d %s %s", r.attempt.method, r.attempt.path, r.noCache, lab.MS(r.ended.Sub(r.asked)), r.status, r.header.Get("Cache-Status"), body)
}

func (t *tally) offence(c *course, kind offence, n int, format string, args ...any) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.offenceLocked(c, kind, n, fmt.Sprintf(format, args...))
}

func (t *tally) offenceLocked(c *course, kind offence, n int, what string) {
	if n <= 0 {
		return
	}
	t.offences[kind] += n
	if c.sum.offences[kind]++; c.sum.offences[kind] <= t.most {
		fmt.Fprintf(t.out, "  %s: %s, %s: %s\n", strings.ToUpper(kind.String()), c.fault.name, c.phase, what)
	}
}

func (t *tally) leak(c *course, goroutines, conns, files int, why string) {
	t.offence(c, leakedGoroutines, goroutines, "%d goroutines more than before:%s", goroutines, why)
	t.offence(c, leakedConns, conns, "%d connections or calls are left", conns)
	t.offence(c, leakedFiles, files, "%d descriptors more than before", files)
}

// ended prints the line of a fault.
func (t *tally) ended(c *course) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.faults++
	var errs []string
	for _, kind := range slices.Sorted(maps.Keys(c.sum.errors)) {
		errs = append(errs, fmt.Sprintf("%s %d", kind, c.sum.errors[kind]))
	}
	if errs == nil {
		errs = []string{"none"}
	}
	outage := ""
	if len(c.fault.outage) > 0 {
		outage = fmt.Sprintf("  then %.0f tries/s", c.sum.perSecond)
	}
	fmt.Fprintf(t.out, "%-44s right %3d  stale %2d  worst %5.0f ms  sent %3d and %2d again  well after %4.0f ms  errors: %s%s\n",
		c.fault.name, c.sum.right, c.sum.stale, lab.MS(c.sum.worst), c.sum.sent, c.sum.again, lab.MS(c.sum.recovered), strings.Join(errs, ", "), outage)
}

// String is the last line of a run.
func (t *tally) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	line := []string{fmt.Sprintf("faults=%d calls=%d", t.faults, t.calls)}
	for kind, n := range t.offences {
		line = append(line, fmt.Sprintf("%v=%d", offence(kind), n))
	}
	return strings.Join(line, " ")
}

// clean says whether there was no offence.
func (t *tally) clean() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.offences == [kindsOfOffence]int{}
}
