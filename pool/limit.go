package pool

import (
	"cmp"
	"context"
	"errors"
	"net/http"
	"slices"
	"sync"
	"time"

	"hearth/internal/clock"
)

// LimitConfig says how many requests may be under way at once.
type LimitConfig struct {
	Start int          // in the beginning; default Most
	Most  int          // however many callers wait; default 5
	Queue int          // requests that may wait for a slot; default 1024
	Pulse *clock.Pulse // nil: the process is never frozen
}

// Limit has as many slots as requests may be under way at once, and each request takes one. A bounded number of requests may wait for a
// slot, and those of one caller get one in the order in which they came. The pools of one upstream share a Limit.
//
// The number of slots follows the demand:
//
//  1. It grows while requests wait and answers are fast: with each answer, so that it doubles within a round trip.
//  2. It falls to half, once per round trip, when the upstream says that it is overloaded, or does not answer in time. It is one at least.
//  3. For ten seconds after it has fallen it grows by one in a round trip.
//  4. While answers are slow, the upstream works on fewer requests at once than it gets. So the number falls in proportion, once per
//     round trip, but not below the start.
//  5. Fast and slow are in proportion to what a request of the same kind takes while few are under way. The time by which
//     this process itself was late does not count (delays.go).
//
// Once per round trip means: the request began after the last change. While there are as many slots as there may be, the requests that wait
// do not get free slots all at once, but with a pause between two (pace.go).
//
// One caller ([Options.Caller]) never keeps another one from having a slot, unless there is only one. While the number of slots may grow,
// the other caller gets an additional slot. If it may not, one caller gets at most one slot less than there are.
type Limit struct {
	cfg LimitConfig

	// mu guards what follows. Nothing waits and nothing but the pulse is locked under it.
	mu        sync.Mutex
	size      int            // slots
	inUse     int            // of them, those that are taken
	held      map[uint64]int // of them, those of each caller
	queue     []*waiter
	base      map[string]time.Duration // what a request of a kind takes while few are under way
	changed   time.Duration            // time awake at the last change that may happen once per round trip
	slowUntil time.Duration            // time awake until which rule 3 holds
	late      int                      // raised by each slow answer, lowered by each other one
	stuck     int                      // requests that have lent their slots
	delays    delays
	pace      pace
	crowd     Crowd
}

// Crowd is what requests have waited for because there were as many slots as there may be.
type Crowd struct {
	Waits  int64         // requests that have waited
	Waited time.Duration // in all, without waits that contain a freeze
	Most   int           // requests at once that had a slot or waited for one
}

// waiter is a request that waits for a slot.
type waiter struct {
	ctx    context.Context //nolint:containedctx // tells whether the request has given up
	caller uint64
	got    chan struct{} // closed once the request has its slot
	crowd  bool          // there were as many slots as there may be when it came
}

// NewLimit makes a Limit.
func NewLimit(cfg LimitConfig) *Limit {
	cfg.Most = cmp.Or(cfg.Most, 5)
	cfg.Start = min(cmp.Or(cfg.Start, cfg.Most), cfg.Most)
	cfg.Queue = cmp.Or(cfg.Queue, 1024)
	if cfg.Pulse == nil {
		cfg.Pulse = clock.Awake()
	}
	return &Limit{cfg: cfg, size: cfg.Start, held: map[uint64]int{}, base: map[string]time.Duration{}, changed: -1}
}

// limited is the link that takes a slot for each try of a request. While the request waits to be tried again, it holds no slot.
type limited struct {
	next    http.RoundTripper
	limit   *Limit
	breaker *Breaker // refuses the requests that wait when it opens; nil: none does
	stats   *counters
}

// RoundTrip waits for a slot, sends req to the next link and gives the slot back. A request that ends with [ErrQueueFull] was not sent.
func (l *limited) RoundTrip(req *http.Request) (*http.Response, error) {
	o := optionsOf(req.Context())
	if o.probe != nil {
		return l.next.RoundTrip(req)
	}
	switch err := l.limit.acquire(req.Context(), o.Caller, l.breaker.whenOpen(), l.stats); {
	case errors.Is(err, ErrOpen):
		return nil, l.breaker.refusal()
	case err != nil:
		return nil, err
	}
	if o.Repeatable {
		defer l.limit.release(o.Caller)
		return l.next.RoundTrip(req)
	}
	s := &slot{limit: l.limit, caller: o.Caller}
	defer s.release()
	return l.next.RoundTrip(req.WithContext(With(req.Context(), Options{stuck: s.lend})))
}

// slot is the slot of a request that must not be repeated. If its connection is dead, the request goes on until its time is over, but the
// upstream does not work on it. So another request may have the slot meanwhile.
type slot struct {
	limit  *Limit
	caller uint64
	lent   bool // guarded by Limit.mu
	over   bool // guarded by Limit.mu: the request has ended
}

// lend gives the slot back before the request has ended. At most LimitConfig.Most requests have lent their slots at a time.
func (s *slot) lend() {
	l := s.limit
	l.mu.Lock()
	defer l.mu.Unlock()
	if s.lent || s.over || l.stuck >= l.cfg.Most {
		return
	}
	s.lent = true
	l.stuck++
	l.releaseLocked(s.caller)
}

// release gives the slot back when the request has ended.
func (s *slot) release() {
	l := s.limit
	l.mu.Lock()
	defer l.mu.Unlock()
	if s.over = true; s.lent {
		l.stuck--
		return
	}
	l.releaseLocked(s.caller)
}

// acquire waits for a slot of the caller. It ends without one when ctx ends or open is closed.
func (l *Limit) acquire(ctx context.Context, caller uint64, open <-chan struct{}, s *counters) error {
	w := &waiter{ctx: ctx, caller: caller, got: make(chan struct{})}
	switch got, full := l.enter(w); {
	case got:
		return nil
	case full:
		s.rejected.Add(1)
		return ErrQueueFull
	}
	s.waits.Add(1)
	start, freezes := time.Now(), l.cfg.Pulse.Freezes()
	defer func() {
		if l.cfg.Pulse.Freezes() == freezes { // otherwise the wait contains a freeze
			took := time.Since(start)
			s.waited.Add(int64(took))
			l.waited(w, took)
		}
	}()
	var err error
	select {
	case <-w.got:
		return nil
	case <-ctx.Done():
		err = context.Cause(ctx)
	case <-open:
		err = ErrOpen
	}
	if !l.leave(w) {
		l.release(caller) // it got the slot at the same time
	}
	return err
}

// enter takes a slot at once, or joins the queue unless that is full.
func (l *Limit) enter(w *waiter) (got, full bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	hasSlot := l.hasSlotLocked(w.caller)
	if hasSlot && (len(l.queue) == 0 || l.onlyOtherLocked(w.caller)) {
		l.takeLocked(w.caller)
		return true, false
	}
	if l.fullLocked(w.caller) {
		return false, true
	}
	l.queue = append(l.queue, w)
	if hasSlot {
		l.serveLocked()
		select {
		case <-w.got:
			return true, false
		default:
		}
		if len(l.queue) <= l.size-l.inUse { // there is a slot for each that waits: they wait for the pace only
			return false, false
		}
	}
	if w.crowd = l.size >= l.cfg.Most; w.crowd {
		l.crowd.Waits++
		l.crowd.Most = max(l.crowd.Most, l.inUse+len(l.queue))
	}
	return false, false
}

// waited counts how long a request has waited.
func (l *Limit) waited(w *waiter, took time.Duration) {
	if !w.crowd {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.crowd.Waited += took
}

// full says that a request of the caller would be refused now.
func (l *Limit) full(caller uint64) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.fullLocked(caller)
}

// fullLocked says that a request of the caller is refused. A full queue still takes one more for each free slot: those wait for the pace only.
func (l *Limit) fullLocked(caller uint64) bool {
	over := len(l.queue) - l.cfg.Queue
	if over < 0 {
		return false
	}
	return !l.hasSlotLocked(caller) || l.inUse+over >= l.cfg.Most && !l.onlyOtherLocked(caller)
}

// leave leaves the queue, and says whether the waiter was in it.
func (l *Limit) leave(w *waiter) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	i := slices.Index(l.queue, w)
	if i < 0 {
		return false
	}
	l.queue = slices.Delete(l.queue, i, i+1)
	return true
}

// hasSlotLocked says whether a caller can have a slot now.
func (l *Limit) hasSlotLocked(caller uint64) bool {
	held := l.held[caller]
	if caller != 0 && held > 0 && held >= min(l.size, l.cfg.Most-1) {
		return false
	}
	return l.inUse < l.size || l.sharedLocked(caller)
}

// sharedLocked says whether a caller without a slot gets an additional one, because another caller has all slots.
func (l *Limit) sharedLocked(caller uint64) bool {
	return l.size > 1 && l.inUse < l.cfg.Most && l.onlyOtherLocked(caller)
}

// onlyOtherLocked says that the caller has no slot, and that at most one other caller has any.
func (l *Limit) onlyOtherLocked(caller uint64) bool {
	if caller == 0 || l.held[caller] > 0 || len(l.held) > 1 {
		return false
	}
	others := 0
	for _, n := range l.held {
		others = n
	}
	return others == l.inUse // no request without a caller has one either
}

func (l *Limit) takeLocked(caller uint64) {
	l.inUse++
	if caller != 0 {
		l.held[caller]++
	}
}

// release gives a slot back.
func (l *Limit) release(caller uint64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.releaseLocked(caller)
}

func (l *Limit) releaseLocked(caller uint64) {
	l.inUse--
	if caller != 0 {
		if l.held[caller]--; l.held[caller] == 0 {
			delete(l.held, caller)
		}
	}
	l.serveLocked()
}

// serveLocked gives the free slots to the requests that wait.
func (l *Limit) serveLocked() {
	left := l.queue[:0]
	for i, w := range l.queue {
		free := l.hasSlotLocked(w.caller)
		switch {
		case w.ctx.Err() != nil: // it leaves the queue itself
		case free && (l.onlyOtherLocked(w.caller) || l.inPaceLocked()):
			l.takeLocked(w.caller)
			close(w.got)
			continue
		case l.inUse >= l.size && len(l.held) != 1, free && len(l.held) > 1: // no other one can have a slot now
			left = append(left, l.queue[i:]...)
			clear(l.queue[len(left):])
			l.queue = left
			return
		}
		left = append(left, w)
	}
	clear(l.queue[len(left):])
	l.queue = left
}

// How answers change the limit.
const (
	slowGrowth  = 10 * time.Second      // rule 3
	noise       = 10 * time.Millisecond // by which an answer may be late without being slow
	unloadedFor = 8                     // answers after which base has mostly followed a change
)

// origin is when a request began, and how busy the upstream was then.
type origin struct {
	at      time.Duration // time awake
	quiet   bool          // so few requests were under way that none slowed down another
	delayed time.Duration // delays.sum at that time
}

// begin returns the origin of a request that begins now.
func (l *Limit) begin() origin {
	now := l.cfg.Pulse.TimeAwake()
	l.mu.Lock()
	defer l.mu.Unlock()
	l.watchLocked(now)
	return origin{now, l.quietLocked(), l.delays.sum}
}

// learn changes the number of slots by how a request has ended.
func (l *Limit) learn(o outcome, kind string, began origin) {
	now := l.cfg.Pulse.TimeAwake()
	l.mu.Lock()
	defer l.mu.Unlock()
	current := began.at > l.changed
	switch {
	case (o == overloaded || o == silent) && current:
		l.size, l.changed, l.slowUntil = max(1, l.size/2), now, now+slowGrowth
	case o == well:
		l.answeredLocked(kind, current, began, now)
	}
}

func (l *Limit) answeredLocked(kind string, current bool, began origin, now time.Duration) {
	took := now - began.at
	base, known := l.base[kind]
	if !known {
		if len(l.base) >= 2*mostKinds { // two pools share the limit
			return
		}
		base = took
	}
	fast := base + base/2 + noise
	upstreamTook := took - (l.delays.sum - began.delayed)
	if upstreamTook > 2*base+noise {
		l.late++
	} else {
		l.late = max(0, l.late-1)
	}
	switch {
	case l.late > l.size/4 && l.size > l.cfg.Start:
		if current {
			less := int(int64(l.size) * int64(fast) / int64(max(fast, upstreamTook))) // so many slots that answers would be fast
			l.size = max(min(l.size-1, less), l.cfg.Start)
			l.late, l.changed, l.slowUntil = 0, now, now+slowGrowth
		}
	case upstreamTook <= fast && len(l.queue) > 0 && l.size < l.cfg.Most && (now >= l.slowUntil || current):
		l.size++
		if now < l.slowUntil {
			l.changed = now
		}
		l.serveLocked()
	}
	if took < base || began.quiet {
		base += (took - base) / unloadedFor
	}
	l.base[kind] = base
	l.pace.learn(base, l.cfg.Most)
}

// restart makes the limit at least as large as it was in the beginning: the upstream answers again.
func (l *Limit) restart() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.size = max(l.size, l.cfg.Start)
	l.serveLocked()
}

// now returns how many slots there are, how many of them are taken, and how many requests wait.
func (l *Limit) now() (size, inUse, waiting int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.size, l.inUse, len(l.queue)
}

// crowded returns what requests have waited for because there were as many slots as there may be.
func (l *Limit) crowded() Crowd {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.crowd
}
