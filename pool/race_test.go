package pool

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"hearth/internal/clock"
	"hearth/pool/conn"
)

// raced is a race before a next link that a test plays, in a bubble where time passes only while all wait.
type raced struct {
	*testing.T
	race  *race
	begun time.Time

	mu    sync.Mutex
	tries []Options       // guarded by mu; those of each try
	at    []time.Duration // guarded by mu; when each began
	lost  []error         // guarded by mu; why tries that were cancelled were
	lines []*playedLine   // guarded by mu; that of each try
}

// try is what the next link makes of one try.
type try struct {
	unproven, reused bool // its connection
	takes            time.Duration
	err              error         // what comes then; nil: an answer
	dies             time.Duration // a look finds its connection dead from then on; 0: never
}

func (a try) answer() (*http.Response, error) {
	if a.err != nil {
		return nil, a.err
	}
	return answer(http.StatusOK, "", "")()
}

var errBroken = errors.New("broken")

// unreadError is what a request fails with that the upstream has refused unread.
func unreadError() error { return &conn.UnsentError{Err: errors.New("http2: client conn not usable")} }

// raceBubble runs test with a race whose next link answers the tries as they are given; the last of them stands for all that follow.
func raceBubble(t *testing.T, policy Policy, answers []try, test func(*raced)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		r := &raced{T: t, begun: time.Now()}
		r.race = &race{pulse: clock.NewPulse(nil), policy: policy, stats: new(counters)}
		r.race.next = roundTripperFunc(func(req *http.Request) (*http.Response, error) {
			ctx := req.Context()
			o := optionsOf(ctx)
			r.mu.Lock()
			r.tries, r.at = append(r.tries, o), append(r.at, time.Since(r.begun))
			n := len(r.tries)
			r.mu.Unlock()
			a := answers[min(n, len(answers))-1]
			line := &playedLine{raced: r, dies: a.dies, dead: make(chan struct{}), aborted: make(chan struct{})}
			r.mu.Lock()
			r.lines = append(r.lines, line)
			r.mu.Unlock()
			if o.taken != nil {
				o.taken(taken{freezes: r.race.pulse.Freezes(), proven: !a.unproven, reused: a.reused, line: line})
			}
			if a.takes == 0 {
				return a.answer()
			}
			select {
			case <-time.After(a.takes):
				return a.answer()
			case <-line.aborted:
				return nil, errBroken
			case <-ctx.Done():
				r.mu.Lock()
				defer r.mu.Unlock()
				r.lost = append(r.lost, context.Cause(ctx))
				return nil, context.Cause(ctx)
			}
		})
		test(r)
		r.race.tries.Wait()
	})
}

func (r *raced) do(o Options) error {
	r.Helper()
	req, err := http.NewRequestWithContext(With(r.Context(), o), http.MethodGet, "http://upstream/", nil)
	if err != nil {
		r.Fatal(err)
	}
	resp, err := r.race.RoundTrip(req)
	if (resp == nil) == (err == nil) {
		r.Errorf("got %v and %v", resp, err)
	}
	return err
}

// wantTries compares when tries began.
func (r *raced) wantTries(at ...time.Duration) {
	r.Helper()
	r.mu.Lock()
	defer r.mu.Unlock()
	if !slices.Equal(r.at, at) {
		r.Errorf("tries began at %v, want %v", r.at, at)
	}
}

// playedLine is the connection of a try.
type playedLine struct {
	raced   *raced
	dies    time.Duration
	dead    chan struct{}
	aborted chan struct{}
	looks   []time.Duration // when it was looked at
}

func (l *playedLine) look(context.Context, time.Duration) {
	l.looks = append(l.looks, time.Since(l.raced.begun))
	if l.dies > 0 && time.Since(l.raced.begun) >= l.dies {
		close(l.dead)
	}
}

func (l *playedLine) Dead() <-chan struct{} { return l.dead }
func (l *playedLine) Abort()                { close(l.aborted) }

const ms1 = time.Millisecond

func repeatable() Options { return Options{Repeatable: true} }

func TestARequestThatMayNotBeRepeatedGoesOutOnce(t *testing.T) {
	raceBubble(t, Policy{}, []try{{unproven: true, reused: true, takes: 10 * time.Second, err: errBroken}}, func(r *raced) {
		if err := r.do(Options{}); !errors.Is(err, errBroken) {
			t.Errorf("got %v", err)
		}
		r.wantTries(0)
	})
}

func TestOverAProvenConnectionTheUpstreamMayTakeItsTime(t *testing.T) {
	raceBubble(t, Policy{}, []try{{reused: true, takes: 900 * ms1}}, func(r *raced) {
		if err := r.do(repeatable()); err != nil {
			t.Error(err)
		}
		r.wantTries(0)
	})
}

func TestOverAnUnprovenOneItIsSentAgainAfterAShortWait(t *testing.T) {
	for usual, wait := range map[time.Duration]time.Duration{
		0: shortestWait, 10 * ms1: shortestWait, 100 * ms1: 200 * ms1, 400 * ms1: 800 * ms1, 10 * time.Second: longestWait,
	} {
		raceBubble(t, Policy{}, []try{{unproven: true, reused: true, takes: time.Hour}, {takes: 10 * ms1}}, func(r *raced) {
			if usual > 0 {
				r.race.stats.roundTrips.add(usual)
			}
			if err := r.do(repeatable()); err != nil {
				t.Error(err)
			}
			r.race.tries.Wait()
			r.wantTries(0, wait)
			if second := r.tries[1]; !second.Proven || !second.Background || second.fresh || !second.Repeatable {
				t.Errorf("the second try asks for %+v", second)
			}
			if len(r.lost) != 1 || !errors.Is(r.lost[0], errSlower) || r.race.stats.races.Load() != 1 || r.race.stats.replays.Load() != 0 {
				t.Errorf("lost: %v, %d races", r.lost, r.race.stats.races.Load())
			}
		})
	}
}

func TestWhenTheSecondTryFailsAThirdFollowsAfterTwiceTheWait(t *testing.T) {
	fails := try{takes: 10 * ms1, err: errBroken}
	for usual, waits := range map[time.Duration][]time.Duration{
		0:         {50 * ms1, 100 * ms1, 200 * ms1, 400 * ms1, 800 * ms1, time.Second},
		300 * ms1: {600 * ms1, time.Second},
	} {
		answers := []try{{unproven: true, takes: time.Hour}}
		at, want := time.Duration(0), []time.Duration{0}
		for i, wait := range waits {
			at += wait
			want = append(want, at)
			if i < len(waits)-1 {
				answers = append(answers, fails)
				at += fails.takes
			}
		}
		raceBubble(t, Policy{}, append(answers, try{}), func(r *raced) {
			if usual > 0 {
				r.race.stats.roundTrips.add(usual)
			}
			if err := r.do(repeatable()); err != nil {
				t.Error(err)
			}
			r.wantTries(want...)
		})
	}
}

func TestWhenTheFirstTryFailsTheSecondIsWaitedFor(t *testing.T) {
	raceBubble(t, Policy{}, []try{{unproven: true, reused: true, takes: 100 * ms1, err: errBroken}, {takes: 500 * ms1}}, func(r *raced) {
		if err := r.do(repeatable()); err != nil {
			t.Error(err)
		}
		r.wantTries(0, shortestWait)
	})
}

func TestARequestIsReplayedAtOnceOverANewConnection(t *testing.T) {
	raceBubble(t, Policy{}, []try{{reused: true, takes: 10 * ms1, err: errBroken}, {takes: time.Hour}}, func(r *raced) {
		if err := r.do(repeatable()); err != nil {
			t.Error(err)
		}
		r.wantTries(0, 10*ms1)
		if second := r.tries[1]; !second.Proven || !second.fresh || !second.Background {
			t.Errorf("the second try asks for %+v", second)
		}
		if n := r.race.stats.replays.Load(); n != 1 {
			t.Errorf("%d replays", n)
		}
	})
}

func TestAReplayIsNotRaced(t *testing.T) {
	raceBubble(t, Policy{}, []try{{unproven: true, reused: true, takes: 10 * ms1, err: errBroken}, {takes: time.Hour}}, func(r *raced) {
		if err := r.do(repeatable()); err != nil {
			t.Error(err)
		}
		r.wantTries(0, 10*ms1)
	})
}

func TestWhatIsNotReplayed(t *testing.T) {
	broken := []try{{reused: true, err: errBroken}}
	for name, c := range map[string]struct {
		policy Policy
		tries  []try
		want   int
	}{
		"what broke twice":                     {Policy{}, broken, 2},
		"what broke on a new connection":       {Policy{}, []try{{err: errBroken}}, 1},
		"what would be the same again":         {Policy{}, []try{{reused: true, err: &TooLargeError{}}}, 1},
		"anything where the policy forbids it": {Policy{NoReplay: true}, broken, 1},
	} {
		raceBubble(t, c.policy, c.tries, func(r *raced) {
			if err := r.do(repeatable()); err == nil {
				t.Errorf("%s succeeds", name)
			}
			if len(r.tries) != c.want {
				t.Errorf("%s: %d tries", name, len(r.tries))
			}
		})
	}
}

func TestAPanicInATryIsAnError(t *testing.T) {
	r := &race{pulse: clock.Awake(), stats: new(counters), next: roundTripperFunc(func(*http.Request) (*http.Response, error) { panic("on purpose") })}
	req, err := http.NewRequestWithContext(With(t.Context(), repeatable()), http.MethodGet, "http://upstream/", nil)
	if err != nil {
		t.Fatal(err)
	}
	if resp, err := r.RoundTrip(req); err == nil {
		t.Errorf("got %v", resp)
	}
	r.tries.Wait()
}

func TestAFreezeOnTheWayMakesTheConnectionUnproven(t *testing.T) {
	for _, policy := range []Policy{{}, {NoRace: true}} {
		raceBubble(t, policy, []try{{reused: true, takes: 5 * time.Second}, {takes: 10 * ms1}}, func(r *raced) {
			go func() {
				time.Sleep(2 * clock.Gap)
				r.race.pulse.Freezes() // notices that nothing was heard for so long
			}()
			if err := r.do(repeatable()); err != nil {
				t.Error(err)
			}
			if policy.NoRace {
				r.wantTries(0)
			} else {
				r.wantTries(0, 2*clock.Gap+shortestWait)
			}
		})
	}
}

func TestAWaitForAConnectionIsNotRaced(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := 0
		r := &race{pulse: clock.NewPulse(nil), stats: new(counters), next: roundTripperFunc(func(req *http.Request) (*http.Response, error) {
			n++
			time.Sleep(3 * clock.Gap) // for a dial
			return nil, &conn.UnsentError{Err: errBroken}
		})}
		go func() {
			time.Sleep(2 * clock.Gap)
			r.pulse.Freezes()
		}()
		req, err := http.NewRequestWithContext(With(t.Context(), repeatable()), http.MethodGet, "http://upstream/", nil)
		if err != nil {
			t.Fatal(err)
		}
		if resp, err := r.RoundTrip(req); !errors.Is(err, errBroken) || n != 1 {
			t.Errorf("after %d tries: %v, %v", n, resp, err)
		}
		r.tries.Wait()
	})
}

func TestARequestEndsWithItsCaller(t *testing.T) {
	raceBubble(t, Policy{}, []try{{unproven: true, takes: time.Hour}}, func(r *raced) {
		ctx, cancel := context.WithCancelCause(r.Context())
		time.AfterFunc(time.Second, func() { cancel(errBroken) })
		req, err := http.NewRequestWithContext(With(ctx, repeatable()), http.MethodGet, "http://upstream/", nil)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := r.race.RoundTrip(req); !errors.Is(err, errBroken) {
			t.Errorf("got %v", err)
		}
		if took := time.Since(r.begun); took != time.Second {
			t.Errorf("it took %v", took)
		}
	})
}

func TestWhatAFreezeBringsForwardAFailureDoesNotPutOff(t *testing.T) {
	const thaw = 2 * time.Second
	broken := try{takes: thaw + 20*ms1 - shortestWait, err: errBroken} // begins after the wait, fails 20 ms after the thaw
	raceBubble(t, Policy{}, []try{{unproven: true, takes: time.Hour}, broken, {}}, func(r *raced) {
		go func() {
			time.Sleep(thaw)
			r.race.pulse.Freezes()
		}()
		if err := r.do(repeatable()); err != nil {
			t.Error(err)
		}
		r.wantTries(0, shortestWait, thaw+shortestWait)
	})
}

func TestAFreezeDuringAReplayIsNoticed(t *testing.T) {
	for range 1000 { // of a try that fails at once, its connection and its end may be seen in either order
		raceBubble(t, Policy{}, []try{{reused: true, err: errBroken}, {takes: time.Hour}, {}}, func(r *raced) {
			time.AfterFunc(2*clock.Gap, func() { r.race.pulse.Freezes() })
			if err := r.do(repeatable()); err != nil {
				t.Error(err)
			}
			r.wantTries(0, 0, 2*clock.Gap+shortestWait)
		})
	}
}
