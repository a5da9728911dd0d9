// Package await lets a test wait for what other goroutines or processes are about to do. Start at [That]. In a synctest bubble use
// synctest.Wait instead.
package await

import (
	"testing"
	"time"
)

// That calls ok until it returns true. The test fails if that takes longer than half a minute. The failure says "after 30s it is not so
// that", followed by what.
func That(t testing.TB, what string, ok func() bool) {
	t.Helper()
	ThatWithin(t, 30*time.Second, what, ok)
}

// ThatWithin is That with another time than half a minute.
func ThatWithin(t testing.TB, most time.Duration, what string, ok func() bool) {
	t.Helper()
	deadline := time.NewTimer(most)
	defer deadline.Stop()
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for !ok() {
		select {
		case <-tick.C:
		case <-deadline.C:
			t.Fatalf("after %v it is not so that %s", most, what)
		}
	}
}
