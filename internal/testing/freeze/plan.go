package main

import (
	"fmt"
	"math/rand/v2"
	"time"
)

// gap is clock.Gap: a shorter freeze is not noticed.
const gap = time.Second

// idleLimits are for how long connections live idle, each in half of the sandboxes. With the shorter one, no connection
// outlives a freeze that is noticed; with the longer one it may, and is unproven then.
func idleLimits() []time.Duration { return []time.Duration{gap, 2 * gap} }

// sandboxLimits are the idle limits by the sandboxes' numbers.
func sandboxLimits() (limits []time.Duration) {
	for n := range sandboxes {
		limits = append(limits, idleLimits()[n*len(idleLimits())/sandboxes])
	}
	return limits
}

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

// faults are the faults that a freeze of that length may have. A connection dies in silence only if the freeze is noticed,
// because only then can a pool meet it; outside this test such a death takes minutes.
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

// shift is what a freeze does to the sandbox's clocks. One of them always shows that time has passed.
type shift string

const (
	both    shift = "both clocks go on"
	still   shift = "the monotonic clock stands still" // as in a microVM
	back    shift = "the wall clock is set back"
	forward shift = "the wall clock is set forward"
)

// cell is a first request over connections that have died in silence. These show whether a defence works.
type cell struct {
	first          string
	fault          fault
	weaviate, odoo bool
}

func cells() (list []cell) {
	for _, f := range []fault{blackHole, forget} {
		list = append(list, cell{"odoo write", f, false, true}, cell{"odoo read", f, false, true},
			cell{"messages", f, true, false}, cell{"history", f, true, false}, cell{"preprocess", f, true, true})
	}
	return list
}

// round is a freeze and the invocation after it.
type round struct {
	frozen         time.Duration
	outlives       bool // every connection: it is longer than the sandbox's idle limit
	fault          fault
	weaviate, odoo bool // what it hits
	shift          shift
	by             time.Duration // the wall clock is set
	first          string        // the kind of the first request
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

// plan draws the rounds of every sandbox, n in all, in random order. If a sandbox has the shorter idle limit, a quarter of its
// freezes are shorter than that limit; otherwise three quarters are. Two thirds of the freezes that are noticed are cells. The cells
// take turns, separately for freezes that outlive every connection and for the others.
func plan(random *rand.Rand, n int, limits []time.Duration, moving bool) [][]round {
	decisive := cells()
	random.Shuffle(len(decisive), func(i, j int) { decisive[i], decisive[j] = decisive[j], decisive[i] })
	noticed, dealt := map[bool]int{}, map[bool]int{} // by outlives
	plans := make([][]round, len(limits))
	for i, limit := range limits {
		rounds := draw(random, (n+i)/len(limits), limit, moving)
		for j := range rounds {
			r := &rounds[j]
			if r.frozen < gap {
				continue
			}
			if noticed[r.outlives]++; noticed[r.outlives]%3 == 0 {
				continue
			}
			c := decisive[dealt[r.outlives]%len(decisive)]
			r.first, r.fault, r.weaviate, r.odoo = c.first, c.fault, c.weaviate, c.odoo
			dealt[r.outlives]++
		}
		random.Shuffle(len(rounds), func(i, j int) { rounds[i], rounds[j] = rounds[j], rounds[i] })
		plans[i] = rounds
	}
	return plans
}

func draw(random *rand.Rand, n int, limit time.Duration, moving bool) []round {
	between := func(least, most time.Duration) time.Duration {
		return (least + time.Duration(random.Int64N(int64(most-least)))).Round(time.Millisecond)
	}
	const margin = 100 * time.Millisecond
	short, medium, long := [2]time.Duration{gap / 20, gap - margin}, [2]time.Duration{gap + margin, limit - 2*margin}, [2]time.Duration{limit + margin, limit + gap - margin}
	lengths := [][2]time.Duration{short, medium, medium, long}
	if limit == gap {
		lengths = [][2]time.Duration{short, long, long, long}
	}
	rounds, turn := make([]round, n), random.IntN(100)
	for i := range rounds {
		length := lengths[i%len(lengths)]
		r := round{
			frozen: between(length[0], length[1]), outlives: length == long,
			shift: []shift{still, still, both, back, forward}[random.IntN(5)],
			first: kinds()[random.IntN(len(kinds()))].name,
			chat:  random.IntN(chats), message: random.IntN(3) > 0, mute: random.IntN(3) == 0, contact: random.IntN(3) == 0,
		}
		list := faults(r.frozen, moving)
		r.fault = list[(turn+i/len(lengths))%len(list)]
		hit := random.IntN(3)
		r.weaviate, r.odoo = hit != 1, hit != 0
		if r.shift == back || r.shift == forward {
			r.by = between(time.Minute, 6*time.Hour).Round(time.Second)
		}
		rounds[i] = r
	}
	return rounds
}
