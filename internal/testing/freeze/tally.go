package main

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"time"

	"hearth/internal/testing/lab"
)

// tally counts what a run saw. It is safe for concurrent use.
type tally struct {
	lateness *lab.Lateness
	out      io.Writer
	most     int // faults of each kind to print

	mu                                        sync.Mutex // guards what follows, and keeps what is printed apart
	freezes, requests, failures, stale, dials int
	firsts, warms                             []sample
	beyond                                    []string
}

// sample is the time of one request.
type sample struct {
	span
	kind   string
	round  round
	queues bool // it may wait behind a refresh that the freeze interrupted
}

func (s sample) ms() float64 { return lab.MS(s.to.Sub(s.from)) }

func (t *tally) froze()     { t.add(&t.freezes, 1) }
func (t *tally) requested() { t.add(&t.requests, 1) }

func (t *tally) add(counter *int, n int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	*counter += n
}

func (t *tally) first(r round, kind string, queues bool, took span) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if r.frozen > 0 { // else it is the first of all
		t.firsts = append(t.firsts, sample{took, kind, r, queues})
	}
}

func (t *tally) warm(r round, kind string, took span) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.warms = append(t.warms, sample{took, kind, r, false})
}

// failed counts a failure, and prints it with the last lines of the extension's log.
func (t *tally) failed(s *sandbox, request string, err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.failures++; t.failures > t.most {
		return
	}
	fmt.Fprintf(t.out, "FAILED %s: %s: %v\n", s, request, err)
	const last = 12
	lines := strings.Split(strings.TrimSpace(s.Extension.Log()), "\n")
	for _, line := range lines[max(0, len(lines)-last):] {
		fmt.Fprintln(t.out, "    ", line)
	}
}

// staler counts a stale answer, and prints it.
func (t *tally) staler(s *sandbox, request string, err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.stale++; t.stale <= t.most {
		fmt.Fprintf(t.out, "STALE %s: %s: %v\n", s, request, err)
	}
}

func (t *tally) progress(n int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	fmt.Fprintf(t.out, "%d of %d freezes, %d requests, %d failed, %d stale\n", t.freezes, n, t.requests, t.failures, t.stale)
}

// How much longer a first request may take than a warm one of its kind.
const (
	fresh     = 2*rtt + 5*time.Millisecond      // for a new connection: TCP, TLS and the CPU they take
	shortWait = max(50*time.Millisecond, 2*rtt) // for an answer over a connection that may be dead
	room      = 20 * time.Millisecond           // for the other sandboxes, which work on the same CPUs
	hard      = 200 * time.Millisecond          // more than that beyond its bound is not the machine's fault
)

// bound is how long a first request may take: as long as a warm one, and for a new connection, and as long as the machine was
// late. Unless the freeze outlived every connection, it may also wait for an answer over one that is dead. Behind a refresh,
// the refresh waits for that, and then for its answer.
func (t *tally) bound(s sample, warm float64) float64 {
	more := fresh + room + t.lateness.Within(s.from, s.to)
	switch {
	case s.queues:
		more += shortWait + rtt
	case !s.round.outlives:
		more += shortWait
	}
	return warm + lab.MS(more)
}

// result is what a run comes to.
type result struct {
	freezes, requests, failures, stale, dials int
	worst, warm                               float64
	firsts, beyond, hopeless                  int      // first requests, those beyond their bounds, and those far beyond
	cold                                      []string // kinds whose warm requests took as long as cold ones
}

func (r result) String() string {
	return fmt.Sprintf("freezes=%d requests=%d failed=%d stale_beyond_policy=%d worst_first_request_ms=%.1f warm_request_ms=%.1f dials=%d",
		r.freezes, r.requests, r.failures, r.stale, r.worst, r.warm, r.dials)
}

// slow says whether first requests were later, or more often late, than a busy machine explains.
func (r result) slow() bool {
	const few, noise = 5, 0.02 // in a short run a few are too
	return r.hopeless > 0 || float64(r.beyond) > max(few, noise*float64(r.firsts))
}

// worse says whether requests failed or were late more often than in control, a run of the same plan with every defence.
func (r result) worse(control result) bool {
	rate := func(r result) float64 { return float64(r.failures+r.beyond) / float64(r.freezes) }
	return (r.failures > 0 || r.slow()) && rate(r) > rate(control)
}

// mostDials is for each freeze: the connections of both pools, and those of second tries.
const mostDials = 8

// pooled is an error if connections are not reused.
func (r result) pooled() error {
	var errs []error
	if len(r.cold) > 0 {
		errs = append(errs, fmt.Errorf("warm requests took as long as over fresh connections: %s", strings.Join(r.cold, ", ")))
	}
	if r.dials > mostDials*r.freezes {
		errs = append(errs, fmt.Errorf("%d dials in %d freezes, not %d each", r.dials, r.freezes, mostDials))
	}
	return errors.Join(errs...)
}

func (r result) firstRequests() string {
	return fmt.Sprintf("%d of %d first requests took longer than their bounds, %d of them by more than %v", r.beyond, r.firsts, r.hopeless, hard)
}

// result prints how long first requests took, by their kinds, and sums up.
func (t *tally) result() (result, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	r := result{
		freezes: t.freezes, requests: t.requests, failures: t.failures, stale: t.stale, dials: t.dials,
		firsts: len(t.firsts), warm: times(t.warms).Median(),
	}
	table := lab.NewTable(t.out, "first request\tcount\tmedian ms\tp95\tworst\tbeyond\twarm: median ms\tp99\t")
	for _, k := range kinds() {
		other := func(s sample) bool { return s.kind != k.name }
		firsts, warms := slices.DeleteFunc(slices.Clone(t.firsts), other), times(slices.DeleteFunc(slices.Clone(t.warms), other))
		warm, beyond := warms.Median(), 0
		if most := lab.MS(time.Duration(k.calls) * (rtt*3/2 + 5*time.Millisecond)); !(warm <= most) { // not a number: there was none
			r.cold = append(r.cold, fmt.Sprintf("%s %.1f ms, not %.1f", k.name, warm, most))
		}
		for _, s := range firsts {
			r.worst = max(r.worst, s.ms())
			bound := t.bound(s, warm)
			if s.ms() <= bound {
				continue
			}
			beyond++
			if s.ms() > bound+lab.MS(hard) {
				r.hopeless++
			}
			t.beyond = append(t.beyond, fmt.Sprintf("%s took %.1f ms, not %.1f: %v", k.name, s.ms(), bound, s.round))
		}
		r.beyond += beyond
		took := times(firsts)
		table.Row("%s\t%d\t%.1f\t%.1f\t%.1f\t%d\t%.1f\t%.1f\t", k.name,
			len(took), took.Median(), took.Percentile(0.95), took.Max(), beyond, warm, warms.Percentile(0.99))
	}
	if err := table.Flush(); err != nil {
		return r, err
	}
	for _, line := range t.beyond[:min(t.most, len(t.beyond))] {
		fmt.Fprintln(t.out, "BEYOND its bound:", line)
	}
	fmt.Fprintln(t.out, r.firstRequests())
	return r, nil
}

func times(samples []sample) (list lab.Samples) {
	for _, s := range samples {
		list = append(list, s.ms())
	}
	return list
}
