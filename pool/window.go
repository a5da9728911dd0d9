package pool

import "time"

// outcome is how a request ended, and so what it says about its upstream.
type outcome int

const (
	noSign     outcome = iota // nothing: the caller left, or a freeze came
	well                      // it has an answer that reports no failure of the upstream
	broken                    // the answer says that the upstream has failed
	cut                       // it got no connection, or lost its connection
	overloaded                // the answer says that the upstream has too much to do
	silent                    // it had no answer in time
	tooLate                   // it takes far longer than usual; an answer may still come
)

// When the breaker opens.
const (
	windowSize   = 10               // last requests that count
	windowLength = 30 * time.Second // time awake for which a request counts
	// tooManyFailed is how many must have failed. Retries make good a few failures of one moment.
	tooManyFailed = 5
	// tooManySilent is how many without an answer in time are enough, if none was answered since. They are few, because each has cost its
	// caller all of its time.
	tooManySilent = 2
)

// window holds the outcomes of the last requests.
type window struct {
	last [windowSize]struct {
		at      time.Duration // time awake
		outcome outcome
	}
	count int // how many were added so far
}

func (w *window) add(at time.Duration, o outcome) {
	slot := &w.last[w.count%windowSize]
	slot.at, slot.outcome = at, o
	w.count++
}

// tooMany says whether so many of the last requests have failed that the breaker must open.
func (w *window) tooMany(now time.Duration) bool {
	all, failed, silentLast := 0, 0, 0
	for i := w.count - 1; i >= max(0, w.count-windowSize); i-- { // the last one first
		r := w.last[i%windowSize]
		if now-r.at > windowLength {
			break
		}
		all++
		if r.outcome != well {
			failed++
		}
		if r.outcome == silent && failed == all {
			silentLast++
		}
	}
	return silentLast >= tooManySilent || failed >= tooManyFailed && 2*failed >= all
}
