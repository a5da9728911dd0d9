package pool

import (
	"testing"
	"testing/synctest"
	"time"

	"hearth/internal/clock"
)

func TestHedgesAreATenthOfTheCallsAndTenAMinute(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		pulse := clock.NewPulse(nil) // a gap without a call is a freeze
		h := newHedges(pulse)
		spent := func() (n int) {
			for h.spend() {
				n++
			}
			return n
		}
		if n := spent(); n != mostSaved {
			t.Errorf("at first there are %d hedges", n)
		}
		for range 55 {
			h.earn()
		}
		if n := spent(); n != 5 {
			t.Errorf("55 calls bring %d hedges", n)
		}
		time.Sleep(time.Hour) // frozen
		for range 10 {
			h.earn()
		}
		if n := spent(); n != 1 {
			t.Errorf("a freeze and 10 calls bring %d hedges", n)
		}
		for range 120 {
			time.Sleep(clock.Gap / 2)
			h.earn()
		}
		if n := spent(); n != mostSaved { // 10 for the minute and 12 for the calls
			t.Errorf("at most %d are saved, and there are %d", mostSaved, n)
		}
		for range 12 {
			time.Sleep(clock.Gap / 2)
			pulse.Freezes()
			h.earn()
		}
		if n := spent(); n != 2 { // 1 for 6 s, 1.2 for the calls
			t.Errorf("six seconds and 12 calls bring %d hedges", n)
		}
	})
}
