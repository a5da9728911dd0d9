package bot

import (
	"errors"
	"slices"
	"testing"
	"testing/synctest"
	"time"
)

const fresh = 2 * time.Second

// past is a log of three messages, a second apart: the second is from elsewhere and the third was not acknowledged.
func past() *oracle {
	var o oracle
	start := time.Unix(0, 0)
	o.begin("log", write{value: "a", createdAt: start})(Stored)
	time.Sleep(time.Second)
	o.begin("log", write{value: "b", createdAt: start.Add(1), elsewhere: true})(Stored)
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

func TestTheLatestMuteMayBeAnyBackToTheOneThatIsDue(t *testing.T) {
	for _, tc := range []struct {
		late   time.Duration
		values []string
		want   error
	}{
		{0, []string{"c", "b", "a"}, ErrStale}, // c may have been stored
		{fresh, []string{"c", "b"}, ErrStale},
	} {
		synctest.Test(t, func(t *testing.T) {
			o := past()
			time.Sleep(tc.late)
			values, err := o.latest("log", time.Now(), fresh)
			if !slices.Equal(values, tc.values) || !errors.Is(err, tc.want) {
				t.Errorf("after %v: %v, %v, want %v", tc.late, values, err, tc.values)
			}
		})
	}
	var o oracle
	if values, err := o.latest("log", time.Now(), fresh); values != nil || !errors.Is(err, ErrWrong) {
		t.Errorf("never written: %v, %v", values, err)
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
