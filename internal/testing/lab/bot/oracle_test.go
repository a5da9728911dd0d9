package bot

import (
	"errors"
	"testing"
	"testing/synctest"
	"time"
)

const fresh = 2 * time.Second

// past is a log of three messages, a second apart: the second is from elsewhere and the third was not acknowledged.
func past() *oracle {
	var o oracle
	start := time.Unix(0, 0)
	o.begin("log", write{value: "a", createdAt: start})()
	time.Sleep(time.Second)
	o.begin("log", write{value: "b", createdAt: start.Add(1), elsewhere: true})()
	time.Sleep(time.Second)
	o.begin("log", write{value: "c", createdAt: start.Add(2)})
	time.Sleep(time.Second)
	return &o
}

func TestTheNewestMessagesAreJudged(t *testing.T) {
	start := time.Unix(0, 0)
	a, b, c := write{value: "a", createdAt: start}, write{value: "b", createdAt: start.Add(1)}, write{value: "c", createdAt: start.Add(2)}
	for _, tc := range []struct {
		name string
		got  []write
		most int
		late time.Duration // after the last write
		want error
	}{
		{"all", []write{a, b, c}, 0, fresh, nil},
		{"without one that was not acknowledged", []write{a, b}, 0, fresh, nil},
		{"without one from elsewhere, while fresh", []write{a}, 0, 0, nil},
		{"without one from elsewhere, later", []write{a, c}, 0, fresh, ErrStale},
		{"without one of its own", []write{b, c}, 0, 0, ErrStale},
		{"as many as were asked for", []write{b, c}, 2, fresh, nil},
		{"as many as were asked for, but not the newest", []write{a, c}, 2, fresh, ErrStale},
		{"less than were asked for", []write{c}, 2, fresh, ErrStale},
		{"one twice", []write{a, b, b}, 0, 0, ErrWrong},
		{"another's", []write{a, b, {value: "d"}}, 0, 0, ErrWrong},
		{"in another order", []write{b, a}, 0, 0, ErrWrong},
	} {
		synctest.Test(t, func(t *testing.T) {
			o := past()
			time.Sleep(tc.late)
			if err := o.newest("log", tc.got, tc.most, time.Now(), fresh); !errors.Is(err, tc.want) || (err == nil) != (tc.want == nil) {
				t.Errorf("%s: %v, want %v", tc.name, err, tc.want)
			}
		})
	}
}

func TestTheLatestMuteIsJudged(t *testing.T) {
	for _, tc := range []struct {
		got  string
		late time.Duration
		want error
	}{
		{"c", 0, nil}, // it may have been stored
		{"b", 0, nil},
		{"a", 0, nil},
		{"a", fresh, ErrStale},
		{"b", fresh, nil},
		{"d", 0, ErrStale},
	} {
		synctest.Test(t, func(t *testing.T) {
			o := past()
			time.Sleep(tc.late)
			if err := o.latest("log", tc.got, time.Now(), fresh); !errors.Is(err, tc.want) || (err == nil) != (tc.want == nil) {
				t.Errorf("%s after %v: %v, want %v", tc.got, tc.late, err, tc.want)
			}
		})
	}
	var o oracle
	if err := o.latest("log", "a", time.Now(), fresh); !errors.Is(err, ErrWrong) {
		t.Errorf("never written: %v", err)
	}
}

func TestEveryWriteIsStoredOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := past()
		for _, tc := range []struct {
			times  map[string]int
			faults int
		}{
			{map[string]int{"a": 1, "b": 1, "c": 1}, 0},
			{map[string]int{"a": 1, "b": 1}, 0},
			{map[string]int{"a": 1, "b": 1, "c": 2}, 1},
			{map[string]int{"a": 2, "c": 1}, 2},
		} {
			if faults := o.once("log", tc.times); len(faults) != tc.faults {
				t.Errorf("%v: %v", tc.times, faults)
			}
		}
	})
}
