package pool

import (
	"sync"
	"time"

	"hearth/internal/clock"
)

// hedges is the budget of hedges: a tenth of the calls, and ten for each minute that the process was not frozen. At most mostSaved
// are saved up. It is safe for concurrent use.
type hedges struct {
	pulse *clock.Pulse

	mu      sync.Mutex
	saved   float64   // guarded by mu
	at      time.Time // guarded by mu; up to then the time is counted
	freezes uint64    // guarded by mu; as of then
}

const (
	hedgesPerCall   = 0.1
	hedgesPerMinute = 10
	mostSaved       = 10
)

func newHedges(pulse *clock.Pulse) *hedges {
	return &hedges{pulse: pulse, saved: mostSaved, at: time.Now(), freezes: pulse.Freezes()}
}

// earn is for one more call.
func (h *hedges) earn() {
	freezes := h.pulse.Freezes()
	h.mu.Lock()
	defer h.mu.Unlock()
	now := time.Now()
	if h.freezes == freezes { // otherwise the time contains a freeze
		h.saved += now.Sub(h.at).Minutes() * hedgesPerMinute
	}
	h.at, h.freezes = now, freezes
	h.saved = min(h.saved+hedgesPerCall, mostSaved)
}

// spend says whether there may be a hedge more.
func (h *hedges) spend() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.saved < 1 {
		return false
	}
	h.saved--
	return true
}

// mayHedge is rule 5 of [race], after a look at the connection of the newest try.
func (t *tries) mayHedge() bool {
	h := t.race.hedges
	if h == nil || t.hedged || t.proven || t.usual == 0 || t.running != 1 || t.race.pulse.Freezes() != t.line.freezes {
		return false
	}
	select {
	case <-t.dead:
		return false
	default:
		return h.spend()
	}
}
