package growstack

import (
	"sync"
	"testing"
)

// BenchmarkGrow runs new goroutines whose calls are as deep as those to an upstream, with and without Grow.
func BenchmarkGrow(b *testing.B) {
	for name, grow := range map[string]func(){"grown at once": Grow, "grown by the calls": func() {}} {
		b.Run(name, func(b *testing.B) {
			var goroutine sync.WaitGroup
			for b.Loop() {
				goroutine.Go(func() {
					grow()
					deep(40)
				})
				goroutine.Wait()
			}
		})
	}
}

// deep makes calls within calls, each with 256 bytes of its own.
//
//go:noinline
func deep(calls int) byte {
	var frame [256]byte
	if calls > 0 {
		frame[calls] = deep(calls - 1)
	}
	return frame[calls/2]
}
