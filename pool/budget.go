package pool

import (
	"sync"
	"time"

	"hearth/internal/clock"
)

// Budget bounds the requests that are sent in addition to the calls themselves (retries or hedges), so that they do not make an outage
// worse: a tenth of the calls, and ten a minute besides. Time frozen does not count. The pools of one upstream share a Budget. It is safe for concurrent use.
type Budget struct {
	pulse *clock.Pulse

	mu     sync.Mutex
	credit int                          // guarded by mu: calls that no additional request has used up
	free   [freePerMinute]time.Duration // guarded by mu: a ring of the times awake at which a request was sent without credit
	next   int                          // guarded by mu: where the oldest time of the ring is
	taken  int                          // guarded by mu: how many times the ring holds
}

const (
	freePerMinute = 10
	callsPerOne   = 10
	mostCredit    = 2 * callsPerOne // so that a long time without failures does not allow a flood
)

// NewBudget makes a Budget. A nil pulse means that the process is never frozen.
func NewBudget(pulse *clock.Pulse) *Budget {
	if pulse == nil {
		pulse = clock.Awake()
	}
	return &Budget{pulse: pulse}
}

// call takes note of a call.
func (b *Budget) call() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.credit = min(b.credit+1, mostCredit)
}

// take says whether one more request may be sent, and counts that request.
func (b *Budget) take() bool {
	now := b.pulse.TimeAwake()
	b.mu.Lock()
	defer b.mu.Unlock()
	switch {
	case b.credit >= callsPerOne:
		b.credit -= callsPerOne
		return true
	case b.taken < freePerMinute:
		b.taken++
	case now-b.free[b.next] < time.Minute:
		return false
	}
	b.free[b.next] = now
	b.next = (b.next + 1) % freePerMinute
	return true
}
