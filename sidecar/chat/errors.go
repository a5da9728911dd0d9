package chat

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"hearth/pool"
)

// ErrNoMuteEnd occurs when a mute is to end and the class of mutes has no property for that.
var ErrNoMuteEnd = errors.New("chat: the class of mutes has no property for a mute's end")

// NotConfiguredError occurs when a call needs an upstream that the settings do not name.
type NotConfiguredError struct {
	Upstream string // weaviate or odoo
	Detail   string // which variables are missing
}

func (e *NotConfiguredError) Error() string { return e.Upstream + " is not configured: " + e.Detail }

// RepeatableError occurs when the outcome of a write is unknown and the caller may send it again, because it would write the same
// objects.
type RepeatableError struct{ Err error }

func (e *RepeatableError) Error() string { return e.Err.Error() }

// Unwrap returns what left the outcome unknown.
func (e *RepeatableError) Unwrap() error { return e.Err }

// PartialError occurs when some messages of a write are not known to be stored.
type PartialError struct {
	Items      []Item // of every message, in order
	Repeatable bool   // sending the write again writes the same objects
}

// Item is what became of one message of a write.
type Item struct {
	ID  string
	Err error // nil: it is stored; pool's unknown outcome: it may be
}

func (e *PartialError) Error() string {
	failed := 0
	for _, item := range e.Items {
		if item.Err != nil {
			failed++
		}
	}
	return fmt.Sprintf("chat: %d of %d messages are not known to be stored", failed, len(e.Items))
}

// Unknown says that some message may or may not be stored.
func (e *PartialError) Unknown() bool {
	return slices.ContainsFunc(e.Items, func(i Item) bool { return errors.Is(i.Err, pool.ErrUnknownOutcome) })
}

// ModelsError occurs when several models were asked for and none could be loaded.
type ModelsError struct {
	Names  []string // in the order of the request
	Failed map[string]error
}

func (e *ModelsError) Error() string {
	return fmt.Sprintf("chat: none of %d models came; %s: %v", len(e.Names), e.Names[0], e.Failed[e.Names[0]])
}

// waited is deferred by an operation that waits for an upstream. It reports an operation whose time is over to Config.OutOfTime, and
// completes the error (late).
func (s *Service) waited(ctx context.Context, upstream string, since time.Time, err *error) {
	if s.cfg.OutOfTime != nil && errors.Is(context.Cause(ctx), context.DeadlineExceeded) {
		s.cfg.OutOfTime(upstream, time.Since(since))
	}
	*err = late(upstream, *err)
}

// late adds the name of the upstream to an error that says only that the request's time is over.
func late(upstream string, err error) error {
	if _, named := errors.AsType[*pool.Error](err); named || !errors.Is(err, context.DeadlineExceeded) {
		return err
	}
	return &pool.Error{Upstream: upstream, Err: err}
}
