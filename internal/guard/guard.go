// Package guard turns a panic into an error. A panic in a goroutine ends the process, and to Lambda that is a crash of the
// sandbox: every goroutine that works for a request calls [Do]. The package logs nothing: its callers do.
package guard

import (
	"errors"
	"fmt"
	"runtime/debug"

	"golang.org/x/sync/errgroup"
)

// ErrPanic is what [Do] returns if f panicked. The error's text has the stack: it is for logs, not for replies.
var ErrPanic = errors.New("panic")

// Do calls f and returns its error.
func Do(f func() error) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("%w: %v\n%s", ErrPanic, p, debug.Stack()) // %v, not %w: a panicked error must not match errors.Is
		}
	}()
	return f()
}

// Get is [Do] for a function with a result.
func Get[T any](f func() (T, error)) (v T, err error) {
	err = Do(func() (err error) { v, err = f(); return err })
	return v, err
}

// All calls every f at the same time, each in [Do], and returns the first error once all have returned.
func All(f ...func() error) error {
	var g errgroup.Group
	for _, f := range f {
		g.Go(func() error { return Do(f) })
	}
	return g.Wait()
}
