package growstack

import (
	"sync"
	"testing"
	"unsafe"
)

func TestCallsAfterGrowFindRoom(t *testing.T) {
	calls := func() { deep(20) }
	if !moves(func() {}, calls) {
		t.Error("the calls need no large stack, so they show nothing")
	}
	if moves(Grow, calls) {
		t.Error("the stack has grown again")
	}
}

// moves says whether the stack of a new goroutine grows during the calls: then it moves to another place.
func moves(before, calls func()) (yes bool) {
	var goroutine sync.WaitGroup
	goroutine.Go(func() {
		var here byte
		before()
		at := uintptr(unsafe.Pointer(&here))
		calls()
		yes = at != uintptr(unsafe.Pointer(&here))
	})
	goroutine.Wait()
	return yes
}
