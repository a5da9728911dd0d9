// Package guard makes an error of a panic. A goroutine that nobody guards takes the process with it, and to Lambda that
// is a crash of the sandbox: whatever is started to serve a request runs in [Do].
package guard

import (
	"errors"
	"fmt"
	"runtime/debug"

	"golang.org/x/sync/errgroup"
)

// ErrPanic is what [Do] returns where f panicked. The text has the stack: it is for logs, not for callers.
var ErrPanic = errors.New("panic")

// Do calls f and returns its error.
func Do(f func() error) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("%w: %v\n%s", ErrPanic, p, debug.Stack()) // %v: what f threw decides nothing
		}
	}()
	return f()
}

// Get is [Do] for what has a result.
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
