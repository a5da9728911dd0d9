package main

import (
	"fmt"
	"math/rand/v2"
	"time"
)

// gap is clock.Gap: what is shorter is not noticed as a freeze.
const gap = time.Second

// idleLimits are those of the sandboxes, half of them each. With the least, no connection is still open after a freeze
// that was noticed; with the other one it may be, and is unproven.
func idleLimits() []time.Duration { return []time.Duration{gap, 2 * gap} }

// fault is what happens to an upstream's connections during a freeze.
type fault string

const (
	none      fault = "nothing"
	fin       fault = "FIN"
	rst       fault = "RST"
	restart   fault = "restart"
	move      fault = "move"
	blackHole fault = "black hole"
	forget    fault = "forgotten" // reset once used
)

// faults are those that are drawn from. None that a pool can only meet if it knows of the freeze happens in one that
// cannot be noticed: in truth a connection dies in silence after minutes.
func faults(frozen time.Duration, moving bool) []fault {
	list := []fault{none, fin, rst, restart}
	if moving {
		list = append(list, move)
	}
	if frozen > gap {
		list = append(list, blackHole, blackHole, forget, forget)
	}
	return list
}

// shift is what the sandbox's clocks make of a freeze. One of them always tells that time has passed.
type shift string

const (
	both    shift = "both clocks go on"
	still   shift = "the monotonic clock stands still" // as in a microVM
	back    shift = "the wall clock is set back"
	forward shift = "the wall clock is set forward"
)

// round is a freeze and the invocation after it.
type round struct {
	frozen         time.Duration
	outlives       bool // every connection: it is longer than the sandbox's idle limit
	fault          fault
	weaviate, odoo bool // what it hits
	shift          shift
	by             time.Duration // the wall clock is set
	first          int           // the kind of the first request
	// What another sandbox writes meanwhile, and where.
	chat                   int
	message, mute, contact bool
}

func (r round) String() string {
	hit := map[[2]bool]string{{true, false}: " of Weaviate", {false, true}: " of Odoo", {true, true}: " of both"}[[2]bool{r.weaviate, r.odoo}]
	if r.fault == none {
		hit = ""
	}
	s := fmt.Sprintf("%v frozen, %s%s, %s", r.frozen, r.fault, hit, r.shift)
	if r.by != 0 {
		s += fmt.Sprintf(" by %v", r.by)
	}
	return s
}

// plan draws the n rounds of a sandbox: every length and fault in its share, in any order. Half of the freezes are
// shorter than its idle limit, and half of those shorter than the gap too if there is room between the two. A favorite
// fault gets half of the freezes that are noticed.
func plan(random *rand.Rand, n int, limit time.Duration, moving bool, favorite fault) []round {
	between := func(least, most time.Duration) time.Duration {
		return (least + time.Duration(random.Int64N(int64(most-least)))).Round(time.Millisecond)
	}
	const margin = 100 * time.Millisecond
	short, medium, long := [2]time.Duration{gap / 20, gap - margin}, [2]time.Duration{gap + margin, limit - 2*margin}, [2]time.Duration{limit + margin, limit + gap - margin}
	if limit == gap {
		medium = short
	}
	lengths := [][2]time.Duration{short, medium, long, long}
	rounds, turn := make([]round, n), random.IntN(100)
	for i := range rounds {
		length := lengths[i%len(lengths)]
		r := round{
			frozen: between(length[0], length[1]), outlives: length == long,
			shift: []shift{still, still, both, back, forward}[random.IntN(5)],
			first: random.IntN(len(kinds())),
			chat:  random.IntN(chats), message: random.IntN(3) > 0, mute: random.IntN(3) == 0, contact: random.IntN(3) == 0,
		}
		list := faults(r.frozen, moving)
		r.fault = list[(turn+i/len(lengths))%len(list)]
		if favorite != "" && r.frozen > gap && i/len(lengths)%2 == 0 {
			r.fault = favorite
		}
		hit := random.IntN(3)
		r.weaviate, r.odoo = hit != 1, hit != 0
		if r.shift == back || r.shift == forward {
			r.by = between(time.Minute, 6*time.Hour).Round(time.Second)
		}
		rounds[i] = r
	}
	random.Shuffle(n, func(i, j int) { rounds[i], rounds[j] = rounds[j], rounds[i] })
	return rounds
}
