package bot

import (
	"fmt"
	"slices"
	"sync"
	"time"
)

// oracle knows what was written to each log, when, and whether through this Hearth. A log is a chat's messages of one role, a chat's
// mutes, or the contacts. The zero value is ready.
type oracle struct {
	mu   sync.Mutex
	logs map[string][]*write // guarded by mu, their writes too; in the order in which the writes began
}

// write is a message, a mute or a contact.
type write struct {
	value        string
	createdAt    time.Time // of a message
	elsewhere    bool      // it was not written through this Hearth
	acknowledged time.Time // zero: it is not
	refused      bool      // it is certainly not stored
}

// Outcome is what a caller was told of its write.
type Outcome int

// The outcomes. A write without an outcome may or may not be stored.
const (
	Stored  Outcome = iota
	Refused         // the write has not been carried out, and will not be
)

// Settle tells the outcome of a write.
type Settle func(Outcome)

// due says whether the answer to a request must show the write. A write through this Hearth is due at once. A write from elsewhere is due
// when what was cached before it is no longer fresh.
func (w *write) due(asked time.Time, fresh time.Duration) bool {
	if w.elsewhere {
		asked = asked.Add(-fresh)
	}
	return !w.acknowledged.IsZero() && w.acknowledged.Before(asked)
}

// begin is called before a write is sent, and settle when its outcome is known. Until then an answer may or may not show the write.
func (o *oracle) begin(log string, w write) (settle Settle) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.logs == nil {
		o.logs = map[string][]*write{}
	}
	o.logs[log] = append(o.logs[log], &w)
	return func(outcome Outcome) {
		o.mu.Lock()
		defer o.mu.Unlock()
		if w.refused = outcome == Refused; !w.refused {
			w.acknowledged = time.Now()
		}
	}
}

// newest judges a list of the newest values, the oldest first. The list has at most most values; 0: it has all.
func (o *oracle) newest(log string, got []write, most int, asked time.Time, fresh time.Duration) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	known, refused, seen := map[string]bool{}, map[string]bool{}, map[string]bool{}
	for _, w := range o.logs[log] {
		known[w.value], refused[w.value] = true, w.refused
	}
	for i, g := range got {
		switch {
		case !known[g.value]:
			return fmt.Errorf("%w: %s shows %q, which was not written there", ErrWrong, log, g.value)
		case refused[g.value]:
			return fmt.Errorf("%w: %s shows %q, which was refused", ErrWrong, log, g.value)
		case seen[g.value]:
			return fmt.Errorf("%w: %s shows %q twice", ErrWrong, log, g.value)
		case i > 0 && g.createdAt.Before(got[i-1].createdAt):
			return fmt.Errorf("%w: %s shows %q after a later one", ErrWrong, log, g.value)
		}
		seen[g.value] = true
	}
	for _, w := range o.logs[log] {
		tooOld := most > 0 && len(got) >= most && !w.createdAt.After(got[0].createdAt)
		if w.due(asked, fresh) && !seen[w.value] && !tooOld {
			return w.missing(log, asked)
		}
	}
	return nil
}

// latest returns the values that an answer may show of a log whose writes replace each other: the newest value that is due, and all later
// ones. otherwise is the error of an answer that shows another value.
func (o *oracle) latest(log string, asked time.Time, fresh time.Duration) (values []string, otherwise error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, w := range slices.Backward(o.logs[log]) {
		if w.refused {
			continue
		}
		values = append(values, w.value)
		if w.due(asked, fresh) {
			return values, w.missing(log, asked)
		}
	}
	return values, fmt.Errorf("%w: %s shows what was never written", ErrWrong, log)
}

func (w *write) missing(log string, asked time.Time) error {
	ago := asked.Sub(w.acknowledged).Round(time.Millisecond)
	if w.elsewhere {
		return fmt.Errorf("%w: %s does not show %q, acknowledged %v before, by another sandbox", ErrStale, log, w.value, ago)
	}
	return fmt.Errorf("%w, %w: %s does not show %q, acknowledged %v before", ErrStale, ErrLost, log, w.value, ago)
}

// once judges how often each value was stored: exactly once if it was acknowledged, not at all if it was refused, and otherwise at most once.
func (o *oracle) once(log string, times map[string]int) (faults []error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, w := range o.logs[log] {
		switch n := times[w.value]; {
		case n == 0 && !w.acknowledged.IsZero():
			faults = append(faults, fmt.Errorf("%w, %w: %s: %q", ErrWrong, ErrLost, log, w.value))
		case n > 1:
			faults = append(faults, fmt.Errorf("%w: %s: %q was written %d times", ErrWrong, log, w.value, n))
		case n > 0 && w.refused:
			faults = append(faults, fmt.Errorf("%w: %s: %q was refused and is stored", ErrWrong, log, w.value))
		}
	}
	return faults
}
