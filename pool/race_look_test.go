package pool

import (
	"errors"
	"slices"
	"testing"
	"time"

	"hearth/internal/clock"
)

// beats keeps the pulse from taking the time of the test for a freeze.
func (r *raced) beats(d time.Duration) {
	for range d / clock.Beat {
		time.Sleep(clock.Beat)
		r.race.pulse.Freezes()
	}
}

func TestAConnectionIsLookedAtAfterFourTimesTheUsual(t *testing.T) {
	for usual, want := range map[time.Duration][]time.Duration{
		0:           {250 * ms1, 500 * ms1, 1000 * ms1, 2000 * ms1, 3000 * ms1}, // not known
		time.Second: {1000 * ms1, 2000 * ms1, 3000 * ms1},
		10 * ms1:    {250 * ms1, 500 * ms1, 1000 * ms1, 2000 * ms1, 3000 * ms1},
		100 * ms1:   {400 * ms1, 800 * ms1, 1600 * ms1, 2600 * ms1},
	} {
		raceBubble(t, Policy{}, []try{{reused: true, takes: 3400 * ms1}}, func(r *raced) {
			if usual > 0 {
				r.race.stats.usuals.add("", usual)
			}
			r.race.tries.Go(func() { r.beats(4 * time.Second) })
			if err := r.do(repeatable()); err != nil {
				t.Error(err)
			}
			if got := r.lines[0].looks; !slices.Equal(got, want) {
				t.Errorf("usually it takes %v, and its connection is looked at after %v, want %v", usual, got, want)
			}
			r.wantTries(0)
		})
	}
}

func TestARequestOnADeadConnectionIsSentAgainOverANewOne(t *testing.T) {
	dead := try{reused: true, takes: time.Hour, dies: 1}
	raceBubble(t, Policy{}, []try{dead, dead, {takes: 10 * ms1}}, func(r *raced) {
		r.race.hedges = NewBudget(r.race.pulse)
		r.race.stats.usuals.add("", 10*ms1)
		if err := r.do(repeatable()); err != nil {
			t.Error(err)
		}
		r.wantTries(0, leastLook, 2*leastLook)
		for _, again := range r.tries[1:] {
			if !again.fresh || !again.Proven || !again.Background {
				t.Errorf("it is sent again with %+v", again)
			}
		}
		if h, n := r.race.stats.hedges.Load(), r.race.stats.replays.Load(); h != 0 || n != 2 {
			t.Errorf("%d hedges, %d replays", h, n)
		}
	})
}

func TestAConnectionThatAnotherRequestFindsDeadIsLeftAtOnce(t *testing.T) {
	for _, unproven := range []bool{false, true} {
		raceBubble(t, Policy{}, []try{{unproven: unproven, reused: true, takes: time.Hour}, {takes: 100 * ms1}}, func(r *raced) {
			time.AfterFunc(30*ms1, func() {
				r.mu.Lock()
				defer r.mu.Unlock()
				close(r.lines[0].dead)
			})
			if err := r.do(repeatable()); err != nil {
				t.Error(err)
			}
			r.wantTries(0, 30*ms1)
		})
	}
}

func TestIfTheNewConnectionCannotBeHadItIsTriedAgain(t *testing.T) {
	dead := try{reused: true, takes: time.Hour, dies: 1}
	raceBubble(t, Policy{}, []try{dead, {takes: 10 * ms1, err: errBroken}, {}}, func(r *raced) {
		if err := r.do(repeatable()); err != nil {
			t.Error(err)
		}
		r.wantTries(0, leastLook, leastLook+10*ms1+2*shortestWait)
	})
}

func TestASlowUpstreamIsHedgedOnce(t *testing.T) {
	slow := try{reused: true, takes: 900 * ms1}
	for name, c := range map[string]struct {
		policy Policy
		usual  time.Duration
		tries  []try
		o      Options
		want   []time.Duration
	}{
		"a slow call":                    {Policy{}, 80 * ms1, []try{slow, slow}, repeatable(), []time.Duration{0, 320 * ms1}},
		"whose hedge fails":              {Policy{}, 10 * ms1, []try{slow, {err: errBroken}}, repeatable(), []time.Duration{0, 250 * ms1}},
		"of a kind that is not known":    {Policy{}, 0, []try{slow}, repeatable(), []time.Duration{0}},
		"that is a write":                {Policy{}, 10 * ms1, []try{slow}, Options{Repeatable: true, Proven: true}, []time.Duration{0}},
		"that may not be repeated":       {Policy{}, 10 * ms1, []try{slow}, Options{}, []time.Duration{0}},
		"where the policy wants no look": {Policy{NoLook: true}, 10 * ms1, []try{slow}, repeatable(), []time.Duration{0}},
	} {
		raceBubble(t, c.policy, c.tries, func(r *raced) {
			r.race.hedges = NewBudget(r.race.pulse)
			if c.usual > 0 {
				r.race.stats.usuals.add("", c.usual)
			}
			if err := r.do(c.o); err != nil {
				t.Errorf("%s: %v", name, err)
			}
			r.wantTries(c.want...)
			if got := r.race.stats.hedges.Load(); int(got) != len(c.want)-1 {
				t.Errorf("%s: %d hedges", name, got)
			}
		})
	}
}

// A copy that got stuck in the older connection could arrive after the next write.
func TestBeforeAWriteIsSentAgainItsConnectionIsAborted(t *testing.T) {
	write := Options{Repeatable: true, Proven: true}
	for name, c := range map[string]struct {
		first  try
		freeze time.Duration
		want   []time.Duration
	}{
		"dead":             {try{reused: true, takes: time.Hour, dies: 1}, 0, []time.Duration{0, leastLook}},
		"silent in a thaw": {try{reused: true, takes: time.Hour}, 2 * clock.Gap, []time.Duration{0, 2*clock.Gap + shortestWait}},
		"alive":            {try{reused: true, takes: 900 * ms1}, 0, []time.Duration{0}},
	} {
		raceBubble(t, Policy{}, []try{c.first, {takes: 10 * ms1}}, func(r *raced) {
			if c.freeze > 0 {
				time.AfterFunc(c.freeze, func() { r.race.pulse.Freezes() })
			}
			if err := r.do(write); err != nil {
				t.Errorf("%s: %v", name, err)
			}
			r.wantTries(c.want...)
			aborted := false
			select {
			case <-r.lines[0].aborted:
				aborted = true
			default:
			}
			if aborted != (len(c.want) > 1) {
				t.Errorf("%s: aborted: %v", name, aborted)
			}
		})
	}
}

func TestWhatWasRefusedUnreadIsSentAgainAtOnce(t *testing.T) {
	refusal := try{reused: true, err: unreadError()}
	for _, o := range []Options{{}, repeatable(), {Repeatable: true, Proven: true}} {
		raceBubble(t, Policy{}, []try{refusal, refusal, {}}, func(r *raced) {
			if err := r.do(o); err != nil {
				t.Error(err)
			}
			r.wantTries(0, 0, 0)
		})
		raceBubble(t, Policy{}, []try{refusal}, func(r *raced) {
			if err := r.do(o); !unread(err) {
				t.Errorf("refused for ever: %v", err)
			}
			if n := len(r.tries); n < 1+mostUnread || n > 2+mostUnread {
				t.Errorf("%d tries", n)
			}
		})
	}
	if unread(errors.New("x")) {
		t.Error("any error counts as unread")
	}
}
