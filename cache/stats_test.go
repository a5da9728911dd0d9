package cache

import (
	"testing"

	"hearth/client/wire"
)

func TestTheHitRatioCountsWhatIsStaleAsHits(t *testing.T) {
	for want, counts := range map[float64]wire.CacheCounts{
		0:    {},
		0.75: {Hits: 2, Stale: 4, Misses: 2},
		1:    {Stale: 1},
	} {
		if got := hitRatio(counts); got != want {
			t.Errorf("%+v: got %v, want %v", counts, got, want)
		}
	}
}
