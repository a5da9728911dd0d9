package main

import (
	"errors"
	"fmt"
	"sync"
	"time"
)

// What the oracle says of an answer that is not right.
var (
	errStale = errors.New("staler than its policy")
	errWrong = errors.New("wrong")
)

// oracle knows what was written where, by whom and when, and judges by it what Hearth answers. It stands outside the
// sandbox, and its clock is its own.
type oracle struct {
	mu   sync.Mutex
	logs map[string][]*write // guarded by mu; in the order in which the writes began
}

// write is a message, a mute or a contact. Its value is written once only.
type write struct {
	value   string
	place   time.Time // a message's created_at
	foreign bool      // by another sandbox
	acked   time.Time // zero until it is acknowledged
}

// due says whether the answer to a request that began then must know of the write: of one through the same Hearth at
// once, of another's when what was held before it is no longer fresh.
func (w *write) due(began time.Time, fresh time.Duration) bool {
	if w.foreign {
		began = began.Add(-fresh)
	}
	return !w.acked.IsZero() && w.acked.Before(began)
}

// begin is called before a write is sent, and acknowledged once it was. A write that failed may be seen or not.
func (o *oracle) begin(log string, w write) (acknowledged func()) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.logs == nil {
		o.logs = map[string][]*write{}
	}
	o.logs[log] = append(o.logs[log], &w)
	return func() {
		o.mu.Lock()
		defer o.mu.Unlock()
		w.acked = time.Now()
	}
}

// newest judges a list of the newest most values in order; most 0 is all.
func (o *oracle) newest(log string, got []write, most int, began time.Time, fresh time.Duration) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	known, seen := map[string]bool{}, map[string]bool{}
	for _, w := range o.logs[log] {
		known[w.value] = true
	}
	for i, g := range got {
		switch {
		case !known[g.value]:
			return fmt.Errorf("%w: %s shows %q, which was not written there", errWrong, log, g.value)
		case seen[g.value]:
			return fmt.Errorf("%w: %s shows %q twice", errWrong, log, g.value)
		case i > 0 && g.place.Before(got[i-1].place):
			return fmt.Errorf("%w: %s shows %q too late", errWrong, log, g.value)
		}
		seen[g.value] = true
	}
	for _, w := range o.logs[log] {
		older := most > 0 && len(got) >= most && !w.place.After(got[0].place)
		if w.due(began, fresh) && !seen[w.value] && !older {
			return w.missing(log, began)
		}
	}
	return nil
}

// latest judges a value that every write replaces.
func (o *oracle) latest(log string, is func(value string) bool, began time.Time, fresh time.Duration) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	writes := o.logs[log]
	for i := range writes {
		switch w := writes[len(writes)-1-i]; {
		case is(w.value):
			return nil
		case w.due(began, fresh):
			return w.missing(log, began)
		}
	}
	return fmt.Errorf("%w: %s shows what was never written", errWrong, log)
}

func (w *write) missing(log string, began time.Time) error {
	by := "through this Hearth"
	if w.foreign {
		by = "by another sandbox"
	}
	return fmt.Errorf("%w: %s does not show %q, acknowledged %v before, %s", errStale, log, w.value, began.Sub(w.acked).Round(time.Millisecond), by)
}

// once judges how often each value was written in truth: exactly once, or at most once where the write failed.
func (o *oracle) once(log string, times map[string]int) (faults []error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, w := range o.logs[log] {
		if n := times[w.value]; n > 1 || n == 0 && !w.acked.IsZero() {
			faults = append(faults, fmt.Errorf("%w: %s: %q was written %d times", errWrong, log, w.value, n))
		}
	}
	return faults
}
