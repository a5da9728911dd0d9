package conn

import (
	"cmp"
	"slices"
	"time"

	"hearth/internal/clock"
)

// book decides about the connections to one upstream: which request gets which connection, when one is dialed and when one is
// closed. The book only decides: every event returns a [todo], and [Conns] carries it out. The book has no lock, no clock and no
// goroutine. Conns has them, and passes a [sight] with every event. After the event, settle (settle.go) applies the rules. A
// connection is looked at only where its state matters: before a request gets it, and all of them when a sweep, a warm-up or a freeze comes.
//
// The rules:
//
//  1. Requests wait in the order in which they came. Each gets the first connection that suits it: one that is open, one
//     that is given back, or one that is dialed. A dial belongs to no request: a request that leaves leaves its dial to others.
//  2. A connection is proven if no freeze has passed since it was dialed, or since it was given to a request that it answered, and
//     if it is not in doubt (rule 8). An unproven connection may be dead without a sign of it. A request may ask for a proven one.
//  3. Proven connections are used before others, and among them the one that was used last. So the connections that nobody
//     needs stay idle, and are closed by rule 7.
//  4. For every request that waits a dial is under way. Where one connection carries many requests, one dial is enough for
//     all. A dial that began before the last freeze does not count: it may never end.
//  5. When a dial fails, the requests for which no other dial is under way fail with it. Where a freeze has passed since the
//     dial began, they get another dial instead.
//  6. A connection is given up when a request on it ended without an answer and either the connection is unproven or the
//     request had all its time. It is closed when no other request is on it: those may still be answered.
//  7. An idle connection is closed when its other end is gone, when it was idle for too long, or when more are idle than are
//     kept. Those that were not used for longest are closed first. Where one connection carries many requests, as many are kept as
//     callers have needed at once.
//  8. When a connection is found dead, it is given up. Whatever has broken it may have broken others: every connection that was dialed
//     before the dead one got its request, and has brought no answer since, is in doubt until it brings one.
type book struct {
	limits

	open    []*entry  // in the order of their use, the last one last
	retired []*entry  // given up or closed, and requests are still on them
	waiting []*waiter // in the order in which they came
	dials   []dial    // under way

	lastConn, lastWaiter, lastDial uint64

	event uint64 // number of the event under way

	shared   bool // the last connection dialed carries several requests: HTTP/2
	careful  bool // a connection of the upstream may carry fewer requests than a new one says
	warmed   bool // there was a warm-up
	sweeping bool // a sweep is to come
	closed   bool
	peak     int // most connections that callers needed at once

	do todo // collected for the event under way
}

type limits struct {
	size      int           // idle connections that are kept
	firstWarm int           // connections that the first warm-up opens
	keepFrom  uint64        // freezes from which on connections are kept at all
	maxIdle   time.Duration // after which an unused connection is closed
}

// todo is what [Conns] has to do after an event.
type todo struct {
	dials  []uint64  // to be started
	hands  []hand    // a request gets a connection
	fails  []failure // a request gets none
	closes []uint64  // connections to be closed
	sweep  bool      // tick is to be called after maxIdle
}

// hand gives a waiter a connection.
type hand struct {
	*waiter
	conn    uint64
	event   uint64 // in which it was given
	freezes uint64 // when it was given
	proven  bool   // then
	reused  bool   // it was open before the request came, or has carried an answer
}

type failure struct {
	waiter uint64
	err    error
}

// sight is what [Conns] sees when an event happens.
type sight struct {
	freezes uint64 // so far
	at      clock.Instant
	look    func(conn uint64) look // how an open connection looks now
}

// look is how a connection looks from outside.
type look struct {
	broken  bool // it says so itself
	lost    bool // the kernel says that its other end is gone; requests on it may still be answered
	free    int  // further requests that it takes now
	streams int  // requests that it takes at once
}

type entry struct {
	number uint64        // 1 is the first that was opened
	proven uint64        // freezes up to which it was known to be alive
	used   clock.Instant // when it was dialed, or last taken, or given back without a freeze between
	busy   int           // requests on it
	served bool          // it has carried an answer
	closed bool          // the order to close it was given
	heard  uint64        // the event in which it was dialed, or brought its last answer
	doubt  bool          // it is in doubt (rule 8)

	// How it looked in the event in which it was last looked at.
	seen         uint64
	broken, lost bool
	streams      int
	room         int // look.free, less the requests that it got since
}

// isProven is rule 2.
func (c *entry) isProven(s sight) bool { return c.proven == s.freezes && !c.doubt }

type waiter struct {
	Need

	id     uint64
	newest uint64 // number of the last connection when the request came
}

type dial struct{ id, began uint64 } // began: freezes when it was started

// want is the event that a request needs a connection.
func (b *book) want(s sight, need Need) (id uint64, _ todo) {
	b.lastWaiter++
	w := &waiter{need, b.lastWaiter, b.lastConn}
	if b.closed {
		b.fail(w, ErrClosed)
	} else {
		b.waiting = append(b.waiting, w)
	}
	return w.id, b.settle(s)
}

// giveUp is the event that a request no longer waits. late says that the request was given its connection, or its error, before.
func (b *book) giveUp(s sight, id uint64) (late bool, _ todo) {
	n := len(b.waiting)
	b.waiting = slices.DeleteFunc(b.waiting, func(w *waiter) bool { return w.id == id })
	return len(b.waiting) == n, b.settle(s)
}

// looked is the event that a freeze has passed: it brings nothing but a new [sight].
func (b *book) looked(s sight) todo {
	b.seeAll(s)
	return b.settle(s)
}

// tick is the event that a sweep is due.
func (b *book) tick(s sight) todo {
	b.sweeping = false
	b.seeAll(s)
	return b.settle(s)
}

// dialed is the event that a dial has brought a connection. The book knows the connection by the number that it returns.
func (b *book) dialed(s sight, id uint64, l look) (number uint64, _ todo) {
	began := b.endDial(id)
	b.lastConn++
	switch number = b.lastConn; {
	case b.closed:
		b.do.closes = append(b.do.closes, number)
	case l.broken || l.lost || l.free == 0:
		b.do.closes = append(b.do.closes, number)
		if began == s.freezes {
			b.turnAway(s, ErrClosedAtOnce)
		}
	default:
		b.shared = l.streams > 1
		b.open = append(b.open, &entry{number: number, proven: began, used: s.at, heard: b.event, seen: b.event, streams: l.streams, room: l.free})
	}
	return number, b.settle(s)
}

// dialFailed is the event that a dial has failed.
func (b *book) dialFailed(s sight, id uint64, err error) todo {
	if b.endDial(id) == s.freezes {
		b.turnAway(s, err)
	}
	return b.settle(s)
}

func (b *book) endDial(id uint64) (began uint64) {
	i := slices.IndexFunc(b.dials, func(d dial) bool { return d.id == id })
	began = b.dials[i].began
	b.dials = slices.Delete(b.dials, i, i+1)
	return began
}

// turnAway fails the waiting requests for which no dial is under way (rule 5).
func (b *book) turnAway(s sight, err error) {
	for len(b.waiting) > 0 && b.missing(s) > 0 {
		b.fail(b.waiting[0], err)
		b.waiting = b.waiting[1:]
	}
}

func (b *book) fail(w *waiter, err error) {
	b.do.fails = append(b.do.fails, failure{w.id, err})
}

// notTaken is the event that a connection did not take the request that it was given, because the connection has ended since
// [Conns] looked at it. The request waits again. If the connection was new, the request fails instead: otherwise the book would
// dial for ever while the upstream closes every connection at once.
func (b *book) notTaken(s sight, h hand) todo {
	c, _ := b.find(h.conn)
	c.busy--
	c.seen, c.room = b.event, 0
	if !c.served && c.busy == 0 {
		b.fail(h.waiter, ErrClosedAtOnce)
		return b.settle(s)
	}
	at, _ := slices.BinarySearchFunc(b.waiting, h.id, func(w *waiter, id uint64) int { return cmp.Compare(w.id, id) })
	b.waiting = slices.Insert(b.waiting, at, h.waiter)
	return b.settle(s)
}

// ended is the event that a request is no longer on its connection. silent says that it had no answer when its time was over.
func (b *book) ended(s sight, h hand, answered, silent bool) todo {
	c, open := b.find(h.conn)
	c.busy--
	if h.freezes == s.freezes { // after a freeze the connection counts as unused since before the freeze, even if an answer came
		c.used = s.at
	}
	if answered {
		c.served = true
		c.proven = max(c.proven, h.freezes)
		c.heard, c.doubt = b.event, false
	}
	switch {
	case open && (answered || c.isProven(s) && !silent):
		b.open = append(slices.DeleteFunc(b.open, func(o *entry) bool { return o == c }), c)
	case open:
		b.remove(c)
	case c.busy == 0:
		b.retired = slices.DeleteFunc(b.retired, func(o *entry) bool { return o == c })
		b.close(c)
	}
	return b.settle(s)
}

// died is the event that the connection of a request was found dead (rule 8).
func (b *book) died(s sight, h hand) todo {
	for _, c := range b.open {
		c.doubt = c.doubt || c.heard < h.event
	}
	if c, open := b.find(h.conn); open {
		b.remove(c)
	}
	return b.settle(s)
}

func (b *book) find(number uint64) (c *entry, open bool) {
	for _, c := range b.open {
		if c.number == number {
			return c, true
		}
	}
	for _, c := range b.retired {
		if c.number == number {
			return c, false
		}
	}
	return nil, false
}

// remove takes a connection out of the open ones. It stays in the book until nothing is on it, and is closed then.
func (b *book) remove(c *entry) {
	b.open = slices.DeleteFunc(b.open, func(o *entry) bool { return o == c })
	if c.busy > 0 {
		b.retired = append(b.retired, c)
	} else {
		b.close(c)
	}
}

func (b *book) close(c *entry) {
	if !c.closed {
		c.closed = true
		b.do.closes = append(b.do.closes, c.number)
	}
}

// warm starts dials until n connections, at most as many as are kept, are open or on their way.
func (b *book) warm(s sight, n int) todo {
	if b.closed || s.freezes < b.keepFrom {
		return b.settle(s)
	}
	b.warmed = true
	b.seeAll(s)
	b.prune(s)
	n = min(n, b.kept(s)) - len(b.open) - b.dialing(s)
	for range n {
		b.startDial(s)
	}
	return b.settle(s)
}

// warmTarget is how many connections a warm-up is to open: as many as callers have needed at once.
func (b *book) warmTarget() int {
	if !b.warmed {
		return b.firstWarm
	}
	return cmp.Or(b.peak, b.firstWarm)
}

// shut is the event that the pool closes. It closes every connection and fails every waiting request.
func (b *book) shut(s sight) todo {
	b.closed = true
	for _, w := range b.waiting {
		b.fail(w, ErrClosed)
	}
	for _, c := range slices.Concat(b.open, b.retired) {
		b.close(c)
	}
	b.retired = slices.DeleteFunc(append(b.retired, b.open...), func(c *entry) bool { return c.busy == 0 })
	b.waiting, b.open = nil, nil
	return b.settle(s)
}
