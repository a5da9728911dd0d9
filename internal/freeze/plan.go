package main

import (
	"fmt"
	"math/rand/v2"
	"time"
)

// The lengths of freezes. What is shorter than gap is not noticed as one, what is longer than idleLimit outlives every
// connection: half of the freezes are shorter than idleLimit, and half of those shorter than gap.
const (
	gap       = time.Second // clock.Gap
	idleLimit = 2 * time.Second
)

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
// cannot be noticed: in truth a connection dies in silence after minutes. The favorite is drawn more often.
func faults(frozen time.Duration, moving bool, favorite fault) []fault {
	list := []fault{none, fin, rst, restart}
	if moving {
		list = append(list, move)
	}
	if frozen > gap {
		list = append(list, blackHole, blackHole, forget, forget)
		if favorite != "" {
			list = append(list, favorite, favorite, favorite, favorite)
		}
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

// plan draws n rounds: every length and fault in its share, in any order.
func plan(random *rand.Rand, n int, moving bool, favorite fault) []round {
	between := func(least, most time.Duration) time.Duration {
		return (least + time.Duration(random.Int64N(int64(most-least)))).Round(time.Millisecond)
	}
	lengths := [][2]time.Duration{
		{50 * time.Millisecond, 900 * time.Millisecond},
		{gap + 100*time.Millisecond, idleLimit - 200*time.Millisecond},
		{idleLimit + 100*time.Millisecond, idleLimit + 900*time.Millisecond},
		{idleLimit + 100*time.Millisecond, idleLimit + 900*time.Millisecond},
	}
	rounds := make([]round, n)
	for i := range rounds {
		length := lengths[i%len(lengths)]
		r := round{
			frozen: between(length[0], length[1]),
			shift:  []shift{still, still, both, back, forward}[random.IntN(5)],
			first:  random.IntN(len(kinds())),
			chat:   random.IntN(chats), message: random.IntN(3) > 0, mute: random.IntN(3) == 0, contact: random.IntN(3) == 0,
		}
		list := faults(r.frozen, moving, favorite)
		r.fault = list[i/len(lengths)%len(list)]
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
