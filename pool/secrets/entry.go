package secrets

import (
	"context"
	"errors"
	"sync"
	"time"

	"hearth/internal/guard"
)

// entry is what is known of one ARN.
//
//  1. One request for it is under way at a time. Callers share it, and it goes on when they leave.
//  2. After an answer with the same value as before there is no request until quiet has passed, even if an upstream refuses the value.
//  3. After a failure there is no request during a pause that doubles from leastPause to quiet. Callers get the failure again.
//
// mu guards the fields below it. The locks of the store and of the pulse may be taken under mu.
type entry struct {
	store *Store
	arn   arn

	mu       sync.Mutex
	text     string        // the whole secret
	known    bool          // whether text is
	err      error         // of the last request
	failures int           // in a row
	until    time.Duration // when the next request may begin
	running  *flight       // nil: no request is under way
}

// now is the time since the start, frozen time included.
func (e *entry) now() time.Duration { return e.store.cfg.Pulse.Now().Mono }

const (
	leastPause = time.Second
	quiet      = 10 * time.Second
)

// flight is one request.
type flight struct {
	done chan struct{} // closed once text and err are set
	text string
	err  error
}

// get returns the text.
func (e *entry) get(ctx context.Context) (string, error) {
	e.mu.Lock()
	if e.known {
		defer e.mu.Unlock()
		return e.text, nil
	}
	return e.askAndUnlock(ctx)
}

// renew returns a text that is newer than the refused one, as isNewer says. If there is none, it returns the one that is known.
func (e *entry) renew(ctx context.Context, isNewer func(string) bool) (string, error) {
	e.mu.Lock()
	if e.known && (isNewer(e.text) || e.running == nil && e.now() < e.until) {
		defer e.mu.Unlock()
		return e.text, nil
	}
	return e.askAndUnlock(ctx)
}

// askAndUnlock joins the request under way, or begins one if the rules allow that. It is called with mu held, and unlocks mu.
func (e *entry) askAndUnlock(ctx context.Context) (string, error) {
	switch {
	case e.store.cfg.Pulse.Freezes() < e.store.cfg.KeepFrom: // no pause after this failure: the restore may come at once
		defer e.mu.Unlock()
		return "", &refusal{text: e.arn.text + " is not asked for before the snapshot is restored", retryable: true}
	case e.running == nil && e.now() < e.until:
		defer e.mu.Unlock()
		return e.text, e.err
	case e.running == nil:
		f := &flight{done: make(chan struct{})}
		if !e.store.start(func() { e.run(f) }) {
			defer e.mu.Unlock()
			return "", &refusal{text: "Hearth is shutting down", retryable: true}
		}
		e.running = f
	}
	f := e.running
	e.mu.Unlock()
	select {
	case <-f.done:
		return f.text, f.err
	case <-ctx.Done():
		return "", &refusal{text: e.arn.text + " was not answered in time", retryable: true}
	}
}

// run asks for the secret and keeps the answer.
func (e *entry) run(f *flight) {
	defer close(f.done)
	f.text, f.err = guard.Get(func() (string, error) { return e.store.asks(e.arn) })
	log := e.store.cfg.Logger
	if errors.Is(f.err, guard.ErrPanic) {
		log.Error("unexpected error", "error", f.err) // callers do not get the text of a panic
		f.err = &refusal{text: "Hearth failed: its log says why"}
	}
	switch renewed, again := e.keep(f); {
	case renewed:
		log.Info("a secret has a new value", "arn", e.arn.text)
	case f.err != nil && !again:
		log.Warn("a secret was not resolved", "arn", e.arn.text, "error", f.err)
	}
}

// keep stores the result of a request. It says whether that is a newer text, and whether the request failed as the last one did.
func (e *entry) keep(f *flight) (renewed, again bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.running = nil
	again = e.err != nil && f.err != nil && e.err.Error() == f.err.Error()
	pause := time.Duration(0)
	switch {
	case f.err != nil:
		pause = min(leastPause<<e.failures, quiet)
		e.failures = min(e.failures+1, 10)
	case e.known && f.text == e.text:
		pause = quiet
		e.failures = 0
	default:
		renewed = e.known
		e.text, e.known, e.failures = f.text, true, 0
	}
	e.err, e.until = f.err, e.now()+pause
	return renewed, again
}
