// Package growstack gives a new goroutine a large stack at once. It is for goroutines with deep calls.
package growstack

// A new goroutine has a small stack. Each time its calls need more, the runtime doubles the stack, copies it and adjusts all frames on it.
// That costs less while there are few frames: see BenchmarkGrow.
const size = 12 << 10 // bytes; what a call to an upstream needs

// Grow makes room on the stack of the calling goroutine.
//
//go:noinline
func Grow() {
	var room [size]byte
	use(&room)
}

//go:noinline
func use(*[size]byte) {}
