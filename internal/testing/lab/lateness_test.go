package lab

import (
	"testing"
	"testing/synctest"
	"time"
)

func TestLatenessCountsWhatFallsInto(t *testing.T) {
	var l Lateness
	start := time.Now()
	at := func(ms int) time.Time { return start.Add(time.Duration(ms) * time.Millisecond) }
	l.add(delay{at(0), at(10)})
	l.add(delay{at(20), at(30)})
	l.add(delay{at(40), at(50)})
	for _, tc := range []struct{ from, to, want int }{
		{0, 50, 30}, {5, 45, 20}, {10, 20, 0}, {22, 25, 3}, {50, 60, 0}, {-10, 0, 0},
	} {
		if got := l.Within(at(tc.from), at(tc.to)); got != time.Duration(tc.want)*time.Millisecond {
			t.Errorf("from %d to %d: %v, want %dms", tc.from, tc.to, got, tc.want)
		}
	}
}

func TestAMachineWithNothingElseToDoIsNotLate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var l Lateness
		start := time.Now()
		go l.Record(t.Context())
		time.Sleep(time.Second)
		synctest.Wait()
		if got := l.Within(start, time.Now()); got != 0 {
			t.Errorf("late by %v", got)
		}
	})
}
