// Package guard turns a panic into an error.
package guard

import (
	"fmt"
	"runtime/debug"
)

// Do does what it is given; a panic is an error with its stack.
func Do(do func() error) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("panic: %v\n%s", p, debug.Stack())
		}
	}()
	return do()
}
