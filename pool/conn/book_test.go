package conn

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"hearth/internal/clock"
)

// sandbox plays everything around a book: requests, dials, connections that break, freezes, time. It has a picture of its
// own of how all of them stand, and checks after every event that what the book has done is right.
type sandbox struct {
	limits

	book  *book
	fault fault
	pick  func(label string, n int) int // one of 0 … n-1

	now      sight
	step     uint64 // of the event under way
	conns    map[uint64]*played
	requests map[uint64]*request // those that wait or have a connection
	dials    map[uint64]uint64   // freezes when it began, by dial
	warming  bool                // the event under way may dial for nobody
	shared   bool
	careful  bool
	warmed   bool
	peak     int
	sweeping bool
	shut     bool
	uses     int   // of connections so far
	reason   error // why requests may be turned away
	dialed   bool  // the event under way is a dial's end: what it cannot serve and turns away is not dialed for again
}

// played is a connection as the sandbox plays it.
type played struct {
	number   uint64
	proven   uint64
	used     clock.Instant
	turn     int // when it was used, in the order of all uses
	busy     int
	capacity int
	broken   bool
	lost     bool
	known    bool // the book has seen how it is broken or lost
	served   bool
	heard    uint64 // the step of its dial, or of its last answer
	doubt    bool
	givenUp  bool
	closed   bool
}

type request struct {
	id     uint64
	need   Need
	newest uint64
	hand   *hand // nil while it waits
	given  uint64
}

// fault is a mistake between the book and the world; its zero value is none.
type fault struct {
	sight func(sight) sight
	look  func(look) look
	need  func(Need) Need
	ended func(b *book, h hand, answered, silent bool) (hand, bool, bool)
	book  func(*book)
	todo  func(*sandbox, todo) todo
}

func newSandbox(pick func(string, int) int, f fault) *sandbox {
	s := &sandbox{pick: pick, fault: f, conns: map[uint64]*played{}, requests: map[uint64]*request{}, dials: map[uint64]uint64{}}
	s.limits = limits{size: 1 + pick("size", 4), keepFrom: uint64(max(0, pick("keep from", 4)-2)), maxIdle: time.Minute}
	s.firstWarm = 1 + pick("first warm", s.size)
	s.shared = pick("expected to be shared", 3) == 0
	s.book = &book{limits: s.limits, shared: s.shared}
	return s
}

// see begins an event, and is what can be seen in it.
func (s *sandbox) see() sight {
	s.step++
	s.now.look = func(number uint64) look {
		c := s.conns[number]
		c.known = c.broken || c.lost
		l := look{broken: c.broken, lost: c.lost, free: c.room(), streams: c.capacity}
		if s.fault.look != nil {
			return s.fault.look(l)
		}
		return l
	}
	if s.fault.sight != nil {
		return s.fault.sight(s.now)
	}
	return s.now
}

// seeAll begins an event in which every connection is to be looked at.
func (s *sandbox) seeAll() sight {
	for _, c := range s.conns {
		c.known = !c.givenUp && (c.broken || c.lost)
	}
	return s.see()
}

func (c *played) room() int {
	if c.broken {
		return 0
	}
	return c.capacity - c.busy
}

// suits says whether a request with this need may get the connection.
func (s *sandbox) suits(c *played, need Need) bool {
	return !c.closed && !c.broken && !c.lost && !c.givenUp && c.room() > 0 && c.number > need.After &&
		(!need.Proven || s.proven(c)) && (!s.careful || c.served || c.busy == 0) && !s.tooOld(c)
}

func (s *sandbox) proven(c *played) bool { return c.proven == s.now.freezes && !c.doubt }

func (s *sandbox) tooOld(c *played) bool {
	return c.busy == 0 && s.now.at.Since(c.used) > s.maxIdle
}

func (s *sandbox) waiting() (all []*request) {
	for _, id := range slices.Sorted(maps.Keys(s.requests)) {
		if r := s.requests[id]; r.hand == nil {
			all = append(all, r)
		}
	}
	return all
}

func (s *sandbox) dialing() (n int) {
	for _, began := range s.dials {
		if began == s.now.freezes {
			n++
		}
	}
	return n
}

func (s *sandbox) kept() int {
	switch {
	case s.now.freezes < s.keepFrom:
		return 0
	case s.shared:
		return min(s.size, max(s.peak, 1))
	}
	return s.size
}

func (s *sandbox) idle() (n int) {
	for _, c := range s.conns {
		if !c.closed && c.busy == 0 {
			n++
		}
	}
	return n
}

func (s *sandbox) open() (n int) {
	for _, c := range s.conns {
		if !c.closed && !c.givenUp {
			n++
		}
	}
	return n
}

// did checks what an event led to, plays it, and checks how everything stands then.
func (s *sandbox) did(do todo) error {
	if s.fault.todo != nil {
		do = s.fault.todo(s, do)
	}
	if err := s.play(do); err != nil {
		return err
	}
	for _, h := range do.hands { // some connections end before they are reserved
		if c := s.conns[h.conn]; s.pick("not taken", 12) == 0 && !c.broken {
			c.broken = true
			c.busy--
			s.requests[h.id].hand = nil
			s.reason, s.dialed = ErrClosedAtOnce, false
			if err := s.play(s.book.notTaken(s.see(), h)); err != nil {
				return fmt.Errorf("not taken: %w", err)
			}
			s.reason = nil
			return s.did(s.book.looked(s.seeAll())) // may start the dials that are missing now
		}
	}
	return s.check()
}

func (s *sandbox) play(do todo) error {
	if s.shut && (len(do.dials) > 0 || len(do.hands) > 0 || do.sweep) {
		return fmt.Errorf("after the end: %+v", do)
	}
	for _, f := range do.fails {
		r := s.requests[f.waiter]
		switch {
		case r == nil || r.hand != nil:
			return fmt.Errorf("request %d is turned away, but does not wait", f.waiter)
		case s.shut && !errors.Is(f.err, ErrClosed), !s.shut && (s.reason == nil || !errors.Is(f.err, s.reason)):
			return fmt.Errorf("request %d is turned away with %w", f.waiter, f.err)
		}
		delete(s.requests, f.waiter)
	}
	if s.dialed && !s.shut && len(do.fails) > 0 && s.dialing() > s.needed() {
		return fmt.Errorf("%d are turned away, though a dial is under way", len(do.fails))
	}
	for _, h := range do.hands {
		if err := s.playHand(h, do); err != nil {
			return err
		}
	}
	for _, number := range do.closes {
		c := s.conns[number]
		switch {
		case c == nil || c.closed:
			return fmt.Errorf("connection %d is closed, but is not open", number)
		case s.shut, c.broken, c.busy == 0 && (c.lost || c.givenUp || c.capacity == 0 || s.tooOld(c) || s.idle() > s.kept()):
			c.closed = true
		default:
			return fmt.Errorf("connection %d is closed for nothing: %+v", number, *c)
		}
	}
	for _, id := range do.dials {
		if _, ok := s.dials[id]; ok {
			return fmt.Errorf("dial %d is started twice", id)
		}
		s.dials[id] = s.now.freezes
	}
	if len(do.dials) > 0 && s.dialed && s.reason != nil {
		return fmt.Errorf("%d dials follow one that failed", len(do.dials))
	}
	if most := s.needed(); len(do.dials) > 0 && !s.warming && s.dialing() > most {
		return fmt.Errorf("%d dials are under way for %d", s.dialing(), most)
	}
	if do.sweep && s.sweeping {
		return errors.New("two sweeps are to come")
	}
	if do.sweep && s.open() == 0 {
		return errors.New("a sweep is to come, though nothing is open")
	}
	s.sweeping = s.sweeping || do.sweep
	return nil
}

// needed is how many dials are needed for those that wait.
func (s *sandbox) needed() int {
	if s.shared {
		return min(1, len(s.waiting()))
	}
	return len(s.waiting())
}

func (s *sandbox) playHand(h hand, do todo) error {
	r, c := s.requests[h.id], s.conns[h.conn]
	switch {
	case r == nil || r.hand != nil:
		return fmt.Errorf("request %d gets connection %d, but does not wait", h.id, h.conn)
	case c == nil || c.closed || slices.Contains(do.closes, h.conn):
		return fmt.Errorf("request %d gets connection %d, which is closed", h.id, h.conn)
	case !s.suits(c, r.need):
		return fmt.Errorf("request %d, which needs %+v, gets %+v after %d freezes", h.id, r.need, *c, s.now.freezes)
	case h.freezes != s.now.freezes, h.proven != s.proven(c), h.reused != (c.served || c.number <= r.newest):
		return fmt.Errorf("request %d is told %+v of %+v", h.id, h, *c)
	}
	for _, other := range s.waiting() {
		if other.id < h.id && s.suits(c, other.need) {
			return fmt.Errorf("request %d overtakes %d", h.id, other.id)
		}
	}
	rank := func(c *played) int {
		if s.proven(c) {
			return c.turn + 1<<30
		}
		return c.turn
	}
	for _, other := range s.conns {
		if s.suits(other, r.need) && rank(other) > rank(c) {
			return fmt.Errorf("request %d gets %+v in place of %+v", h.id, *c, *other)
		}
	}
	r.hand, r.given = &h, s.step
	c.busy++
	c.used = s.now.at
	if !r.need.Background {
		requests := 0
		for _, c := range s.conns {
			if !c.closed && !c.givenUp {
				requests += c.busy
			}
		}
		s.peak = max(s.peak, (requests+c.capacity-1)/c.capacity)
	}
	return nil
}

// check says what is wrong with how everything stands between two events.
func (s *sandbox) check() error {
	waiting := s.waiting()
	if s.shut {
		if len(waiting) > 0 || s.open() > 0 {
			return fmt.Errorf("after the end %d wait and %d are open", len(waiting), s.open())
		}
		for _, c := range s.conns {
			if !c.closed {
				return fmt.Errorf("after the end %+v is still open", *c)
			}
		}
		return nil
	}
	for _, r := range waiting {
		for _, c := range s.conns {
			if s.suits(c, r.need) {
				return fmt.Errorf("request %d waits, but could have %+v", r.id, *c)
			}
		}
	}
	if s.dialing() < s.needed() {
		return fmt.Errorf("%d wait, and %d dials are under way", len(waiting), s.dialing())
	}
	for _, c := range s.conns {
		if !c.closed && (c.known && c.broken || c.busy == 0 && (c.known && c.lost || c.givenUp || s.tooOld(c))) {
			return fmt.Errorf("%+v is still open", *c)
		}
	}
	if s.idle() > s.kept() {
		return fmt.Errorf("%d connections are idle, %d are to be kept", s.idle(), s.kept())
	}
	if s.open() > 0 && !s.sweeping {
		return errors.New("nothing closes what becomes idle for too long")
	}
	usual := s.firstWarm
	if s.warmed {
		usual = cmp.Or(s.peak, usual)
	}
	if got := s.book.warmTarget(); got != usual {
		return fmt.Errorf("%d connections are usual, want %d", got, usual)
	}
	return nil
}

// happens lets one thing happen.
func (s *sandbox) happens() error {
	if s.fault.book != nil {
		s.fault.book(s.book)
	}
	some := func(label string, ids []uint64) (uint64, bool) {
		if len(ids) == 0 {
			return 0, false
		}
		slices.Sort(ids)
		return ids[s.pick(label, len(ids))], true
	}
	var held, waits, open []uint64
	for id, r := range s.requests {
		if r.hand != nil {
			held = append(held, id)
		} else {
			waits = append(waits, id)
		}
	}
	for number, c := range s.conns {
		if !c.closed {
			open = append(open, number)
		}
	}
	switch s.pick("event", 16) {
	case 0, 1, 2:
		return s.want()
	case 3, 4, 5:
		if id, ok := some("dial", slices.Collect(maps.Keys(s.dials))); ok {
			return s.dialEnds(id)
		}
	case 6, 7, 8:
		if id, ok := some("request", held); ok {
			return s.ends(id)
		}
	case 9:
		if id, ok := some("waiter", waits); ok {
			delete(s.requests, id)
			late, do := s.book.giveUp(s.see(), id)
			if late {
				return fmt.Errorf("request %d is said to have had an answer", id)
			}
			return s.did(do)
		}
	case 10:
		if number, ok := some("connection", open); ok {
			c := s.conns[number]
			c.broken = s.pick("how", 2) == 0
			c.lost, c.known = !c.broken, false
			if s.pick("noticed", 2) == 0 { // else when it is looked at
				return s.did(s.book.looked(s.seeAll()))
			}
		}
	case 11:
		s.now.freezes++
		s.passes(time.Duration(1+s.pick("minutes", 3)) * 30 * time.Second)
		if s.pick("noticed", 2) == 0 { // else with the next event
			return s.did(s.book.looked(s.seeAll()))
		}
	case 12:
		s.passes(time.Duration(1+s.pick("seconds", 50)) * time.Second)
		if s.sweeping {
			s.sweeping = false
			return s.did(s.book.tick(s.seeAll()))
		}
		return s.did(s.book.looked(s.seeAll()))
	case 13:
		return s.warm()
	case 14:
		switch s.pick("rarely", 20) {
		case 0:
			s.shut = true
			return s.did(s.book.shut(s.see()))
		case 1:
			s.careful, s.book.careful = true, true
		}
	case 15:
		if id, ok := some("request", held); ok {
			return s.dies(id)
		}
	}
	return nil
}

// dies lets the connection of a request be found dead.
func (s *sandbox) dies(id uint64) error {
	r := s.requests[id]
	for _, c := range s.conns {
		c.doubt = c.doubt || c.heard < r.given
	}
	s.conns[r.hand.conn].givenUp = true
	return s.did(s.book.died(s.see(), *r.hand))
}

func (s *sandbox) passes(d time.Duration) {
	s.now.at.Mono += d
	s.now.at.Wall = s.now.at.Wall.Add(d)
}

func (s *sandbox) want() error {
	need := Need{Proven: s.pick("proven", 2) == 0, Background: s.pick("background", 4) == 0}
	if s.pick("new", 4) == 0 {
		need.After = s.book.lastConn
	}
	id := s.book.lastWaiter + 1
	s.requests[id] = &request{id: id, need: need, newest: s.book.lastConn}
	if s.fault.need != nil {
		need = s.fault.need(need)
	}
	_, do := s.book.want(s.see(), need)
	return s.did(do)
}

func (s *sandbox) dialEnds(id uint64) error {
	began := s.dials[id]
	delete(s.dials, id)
	if began == s.now.freezes {
		s.reason = errors.New("refused")
	}
	s.dialed = true
	defer func() { s.reason, s.dialed = nil, false }()
	capacity := []int{1, 1, 3, 0, -1}[s.pick("what comes", 5)]
	lost := capacity == 0 && s.pick("how it ended", 2) == 0
	if capacity < 0 {
		return s.did(s.book.dialFailed(s.see(), id, cmp.Or(s.reason, errors.New("no route"))))
	}
	if capacity == 0 && began == s.now.freezes {
		s.reason = ErrClosedAtOnce
	} else {
		s.reason = nil
	}
	if capacity > 0 && !s.shut {
		s.shared = capacity > 1
	}
	number := s.book.lastConn + 1
	seen := s.see()
	s.uses++
	s.conns[number] = &played{number: number, proven: began, used: s.now.at, turn: s.uses, heard: s.step, capacity: capacity}
	l := look{free: capacity, streams: capacity}
	if lost { // the kernel alone knows that it has ended
		l = look{free: 1, streams: 1, lost: true}
	}
	got, do := s.book.dialed(seen, id, l)
	if got != number {
		return fmt.Errorf("connection %d is called %d", number, got)
	}
	return s.did(do)
}

func (s *sandbox) ends(id uint64) error {
	h := *s.requests[id].hand
	delete(s.requests, id)
	c := s.conns[h.conn]
	seen := s.see()
	how := s.pick("how it ends", 4)
	answered, silent := how < 2 && !c.broken, how == 2
	c.busy--
	s.uses++
	c.turn = s.uses
	if h.freezes == s.now.freezes {
		c.used = s.now.at
	}
	if answered {
		c.served = true
		c.proven = max(c.proven, h.freezes)
		c.heard, c.doubt = s.step, false
	}
	c.givenUp = c.givenUp || !answered && (silent || !s.proven(c))
	if s.fault.ended != nil {
		h, answered, silent = s.fault.ended(s.book, h, answered, silent)
	}
	return s.did(s.book.ended(seen, h, answered, silent))
}

func (s *sandbox) warm() error {
	n, before := s.pick("how many", 6), s.dialing()
	allowed := !s.shut && s.now.freezes >= s.keepFrom
	s.warmed = s.warmed || allowed
	s.warming = true
	defer func() { s.warming = false }()
	see := s.see
	if allowed {
		see = s.seeAll
	}
	if err := s.did(s.book.warm(see(), n)); err != nil {
		return err
	}
	most := max(before, s.needed())
	if allowed {
		most = max(most, min(n, s.kept())-s.open())
	}
	if s.shut {
		most = before
	}
	if got := s.dialing(); got > most {
		return fmt.Errorf("a warm-up to %d leads to %d dials with %d open, want at most %d", n, got, s.open(), most)
	}
	if want := min(n, s.kept()); allowed && s.open()+s.dialing() < want {
		return fmt.Errorf("a warm-up to %d leads to %d open and %d dials", want, s.open(), s.dialing())
	}
	return nil
}

func TestTheBookKeepsItsRules(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := newSandbox(func(label string, n int) int { return rapid.IntRange(0, n-1).Draw(t, label) }, fault{})
		for range rapid.IntRange(1, 80).Draw(t, "events") {
			if err := s.happens(); err != nil {
				t.Fatal(err)
			}
		}
	})
}

// drive lets much happen by chance, from the same seed each time, and returns what is found to be wrong.
func drive(rounds int, f fault) error {
	chance := rand.New(rand.NewPCG(1, 2)) //nolint:gosec // a test's
	for round := range rounds {
		s := newSandbox(func(_ string, n int) int { return chance.IntN(n) }, f)
		for range 200 {
			if err := s.happens(); err != nil {
				return fmt.Errorf("round %d: %w", round, err)
			}
		}
	}
	return nil
}

// What checks the book is worth something only if it notices mistakes.
func TestTheCheckerNoticesMistakes(t *testing.T) {
	const rounds = 300
	if err := drive(rounds, fault{}); err != nil {
		t.Fatalf("without a mistake: %v", err)
	}
	first := func(all *[]uint64) {
		if len(*all) > 0 {
			*all = (*all)[1:]
		}
	}
	for name, f := range map[string]fault{
		"a request is forgotten": {todo: func(_ *sandbox, do todo) todo {
			if len(do.hands) > 0 {
				do.hands = do.hands[1:]
			}
			return do
		}},
		"a request is answered twice": {todo: func(_ *sandbox, do todo) todo {
			if len(do.hands) > 0 {
				do.hands = append(do.hands, do.hands[0])
			}
			return do
		}},
		"a request is turned away twice": {todo: func(_ *sandbox, do todo) todo {
			do.fails = append(do.fails, do.fails...)
			return do
		}},
		"a dial is forgotten":        {todo: func(_ *sandbox, do todo) todo { first(&do.dials); return do }},
		"a connection stays open":    {todo: func(_ *sandbox, do todo) todo { first(&do.closes); return do }},
		"a sweep is forgotten":       {todo: func(_ *sandbox, do todo) todo { do.sweep = false; return do }},
		"a dial too many":            {book: func(b *book) { b.shared = false }},
		"those that came last first": {book: func(b *book) { slices.Reverse(b.waiting) }},
		"used first, used next":      {book: func(b *book) { slices.Reverse(b.open) }},
		"more are kept":              {book: func(b *book) { b.keepFrom = 0 }},
		"proven does not matter":     {need: func(n Need) Need { n.Proven = false; return n }},
		"an old one passes for new":  {need: func(n Need) Need { n.After = 0; return n }},
		"own requests count":         {need: func(n Need) Need { n.Background = false; return n }},
		"a freeze is not noticed":    {sight: func(s sight) sight { s.freezes = min(s.freezes, 1); return s }},
		"time does not pass":         {sight: func(s sight) sight { s.at = clock.Instant{}; return s }},
		"a broken one looks whole":   {look: func(l look) look { return look{lost: l.lost, free: 1, streams: 3} }},
		"the kernel is not asked":    {look: func(l look) look { l.lost = false; return l }},
		"a full one looks free":      {look: func(l look) look { l.free, l.streams = 3, 3; return l }},
		"nothing is in doubt": {book: func(b *book) {
			for _, c := range b.open {
				c.doubt = false
			}
		}},
		"all are in doubt": {book: func(b *book) {
			for _, c := range b.open {
				c.heard = 0
			}
		}},
		"an answer proves after a freeze": {ended: func(b *book, h hand, answered, silent bool) (hand, bool, bool) {
			for _, d := range b.dials { // the freezes of the last dial: as far as the book knows
				h.freezes = max(h.freezes, d.began)
			}
			return h, answered, silent
		}},
		"silence is no sign": {ended: func(_ *book, h hand, answered, _ bool) (hand, bool, bool) { return h, answered, false }},
		"every end is an answer": {ended: func(_ *book, h hand, _, silent bool) (hand, bool, bool) {
			return h, true, silent
		}},
		"it goes on after the end": {book: func(b *book) { b.closed = false }},
		"nobody is careful":        {book: func(b *book) { b.careful = false }},
		"the peak is forgotten":    {book: func(b *book) { b.peak = 0 }},
	} {
		if err := drive(rounds, f); err == nil {
			t.Errorf("not noticed: %s", name)
		} else {
			t.Logf("%s: %v", name, err)
		}
	}
}
