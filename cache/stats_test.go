package cache

import (
	"slices"
	"testing"
	"testing/synctest"
	"time"

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

func TestReadsOfWhatIsNoLongerFreshAreCountedByItsAge(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		x := newTester(t, Config{})
		p := Policy{Fresh: time.Second}
		read := func(d Directives) {
			t.Helper()
			_, err := x.c.History(t.Context(), HistoryRequest{
				Chat: "a", View: View{Messages: 1}, Policy: p, Directives: d, Load: newChatOfUser(1, 1).load,
				Render: func(_, _ []wire.Message) ([]byte, error) { return []byte("x"), nil },
			})
			if err != nil {
				t.Fatal(err)
			}
		}
		read(Directives{}) // nothing is held
		for _, age := range []time.Duration{999, 1000, 1999, 2000, 3999, 4000, 8000, 86_400_000} {
			time.Sleep(age * time.Millisecond)
			read(Directives{})
		}
		time.Sleep(time.Millisecond)
		read(Directives{NoCache: true}) // it is fresh
		if got, want := x.c.Lapsed()[History], (Lapsed{2, 2, 1, 2}); got != want {
			t.Errorf("%v, want %v", got, want)
		}
	})
}

func TestHistoriesThatWantMoreThanTheWindowAreCounted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		x := newTester(t, Config{Window: 50})
		chat := newChatOfUser(200, 10)
		for _, n := range []int{60, 10, 50, 60, 90, 90} { // of a new chat; held; held; held; too few; held
			if _, err := x.history("a", n, chat.load); err != nil {
				t.Fatal(err)
			}
			time.Sleep(time.Millisecond)
		}
		if _, err := x.history("b", 10, chat.load); err != nil { // brings 10
			t.Fatal(err)
		}
		time.Sleep(time.Millisecond)
		if _, err := x.history("b", 50, chat.load); err != nil { // the window is large enough
			t.Fatal(err)
		}
		reads, most := x.c.ShortReads()
		if got := []int64{reads, most}; !slices.Equal(got, []int64{1, 90}) {
			t.Errorf("%v, want 1 read of 90", got)
		}
	})
}
