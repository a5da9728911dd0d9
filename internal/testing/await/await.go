// Package await lets a test wait for what other goroutines or processes are about to do. Start at [That]. In a synctest bubble, synctest.Wait is better.
package await

import (
	"testing"
	"time"
)

// That asks until the answer is yes, and fails the test if it is not within half a minute. what ends the sentence "it is not so that …".
func That(t testing.TB, what string, ok func() bool) {
	t.Helper()
	ThatWithin(t, 30*time.Second, what, ok)
}

// ThatWithin is That for another time.
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
