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
	"hearth/internal/guard"
)

// noConnectionError is a request that never had a connection: it was certainly not sent.
type noConnectionError struct{ err error }

func (e *noConnectionError) Error() string { return e.err.Error() }
func (e *noConnectionError) Unwrap() error { return e.err }

// conns are the open connections to one upstream, those being dialed, and the requests that wait for one.
//
// A connection is proven while no freeze has passed since it was dialed or last carried an answer. After a
// freeze it may be dead without a sign of it. Who may not take that risk waits for a proven one.
//
// A dial belongs to nobody: whoever waits first takes what comes first, a connection dialed or one given back,
// and a caller that gives up leaves its dial to the next.
type conns struct {
	dial    func(context.Context) (*dialed, error)
	pulse   *clock.Pulse
	size    int    // idle connections kept
	first   int    // connections that the first warm-up opens
	from    uint64 // freezes from which on they are kept at all
	maxIdle time.Duration

	ctx     context.Context //nolint:containedctx // of dials: they outlive who asked for them
	cancel  context.CancelFunc
	dialing sync.WaitGroup // Add is guarded by mu

	mu      sync.Mutex  // the pulse is asked under it
	open    []*conn     // guarded by mu; the most recently used last
	last    uint64      // guarded by mu; number of the last connection opened
	waiting []*waiter   // guarded by mu; who came first first
	dials   []uint64    // guarded by mu; of each dial under way, the freezes when it began
	shares  bool        // guarded by mu; the last connection dialed carries several requests (HTTP/2)
	limited bool        // guarded by mu; a connection has refused a request for want of a stream
	peak    int         // guarded by mu; most connections that callers used at once
	warmed  bool        // guarded by mu; there was a warm-up
	sweep   *time.Timer // guarded by mu; closes idle connections, nil before the first
	closed  bool        // guarded by mu
}

// dialed is a connection as a dial brings it.
type dialed struct {
	*http.ClientConn
	lost func() bool // whether the kernel knows that its other end is gone, though nobody may have told ClientConn yet
}

// conn is one open connection.
type conn struct {
	*dialed
	number uint64        // 1 is the first that was opened
	proven uint64        // guarded by conns.mu; the freezes up to when it was known to be alive
	used   clock.Instant // guarded by conns.mu; when it was dialed, or last taken or given back without a freeze between
	busy   int           // guarded by conns.mu; requests on it
	served bool          // guarded by conns.mu; it has carried an answer
	given  bool          // guarded by conns.mu; given up: it is closed when nothing is on it
}

// want is what a request asks of its connection.
type want struct {
	proven bool
	after  uint64 // number that the connection's is to be greater than: 0 is any
}

// lease is the right to send one request over a connection. It ends with conns.put.
type lease struct {
	*conn
	thaws  uint64 // freezes when it was taken
	proven bool   // then
	reused bool   // it was open before the request came
	silent bool   // the request's time ended without an answer
}

type waiter struct {
	want
	uses bool            // it counts as use
	got  chan waitResult // has room for one
}

type waitResult struct {
	lease lease
	err   error
}

func newConns(ctx context.Context, cfg Config, dial func(context.Context) (*dialed, error)) *conns {
	cs := &conns{
		dial: dial, pulse: cfg.Pulse, size: cfg.Size, first: cfg.FirstWarm, from: cfg.KeepFrom, maxIdle: cfg.MaxIdle, shares: cfg.GRPC,
	}
	cs.ctx, cs.cancel = context.WithCancel(ctx)
	return cs
}

// get takes a connection as it is wanted: the most recently used one, proven before unproven, or else the first that is
// dialed or given back.
func (cs *conns) get(ctx context.Context, wanted want) (lease, error) {
	if cs.ctx.Err() != nil { // the pool closes, though its connections may still be open
		return lease{}, &noConnectionError{ErrClosed}
	}
	if ctx.Err() != nil {
		return lease{}, &noConnectionError{context.Cause(ctx)}
	}
	cs.mu.Lock()
	if cs.closed {
		cs.mu.Unlock()
		return lease{}, &noConnectionError{ErrClosed}
	}
	thaws := cs.pulse.Thaws()
	dead := cs.pruneLocked()
	w := &waiter{want: wanted, uses: !optionsOf(ctx).Background, got: make(chan waitResult, 1)}
	l, ok := cs.takeLocked(thaws, w)
	l.reused = true
	if !ok {
		cs.waiting = append(cs.waiting, w)
		cs.dialLocked(ctx, thaws)
	}
	cs.mu.Unlock()
	closeAll(dead)
	if ok {
		return l, nil
	}
	for {
		select {
		case r := <-w.got:
			return r.lease, r.err
		case <-cs.pulse.After(thaws): // a dial that spans a freeze may never end
			cs.mu.Lock()
			thaws = cs.pulse.Thaws()
			cs.dialLocked(ctx, thaws)
			cs.mu.Unlock()
		case <-ctx.Done():
			cs.mu.Lock()
			cs.waiting = slices.DeleteFunc(cs.waiting, func(o *waiter) bool { return o == w })
			cs.mu.Unlock()
			select {
			case r := <-w.got: // it came meanwhile
				if r.err == nil {
					r.lease.Release()
					cs.put(r.lease, false)
				}
			default:
			}
			return lease{}, &noConnectionError{context.Cause(ctx)}
		}
	}
}

func (cs *conns) takeLocked(thaws uint64, w *waiter) (lease, bool) {
	for _, proven := range []bool{true, false} {
		for _, c := range slices.Backward(cs.open) {
			if (c.proven == thaws) == proven && c.number > w.after && !cs.fullLocked(c) && !c.lost() && c.Reserve() == nil {
				return cs.leaseLocked(c, thaws, w.uses), true
			}
		}
		if w.proven {
			break
		}
	}
	return lease{}, false
}

// fullLocked says of a connection whose limit nobody knows that it has a request.
func (cs *conns) fullLocked(c *conn) bool { return cs.limited && !c.served && c.busy > 0 }

func (cs *conns) leaseLocked(c *conn, thaws uint64, uses bool) lease {
	c.busy++
	c.used = cs.pulse.Now()
	if uses {
		inUse := 0
		for _, o := range cs.open {
			if o.busy > 0 {
				inUse++
			}
		}
		cs.peak = max(cs.peak, inUse)
	}
	return lease{conn: c, thaws: thaws, proven: c.proven == thaws, reused: c.served}
}

// newest is the number of the last connection opened: one with a greater number is opened after the call.
func (cs *conns) newest() uint64 {
	cs.mu.Lock()
	defer cs.mu.Unlock()
	return cs.last
}

// dialLocked starts a dial if too few are under way for those who wait.
func (cs *conns) dialLocked(ctx context.Context, thaws uint64) {
	if !cs.closed && cs.missingLocked(thaws) > 0 {
		cs.startLocked(ctx, thaws, nil)
	}
}

// missingLocked is how many dials more those who wait need. Where a connection is shared one is enough for all.
func (cs *conns) missingLocked(thaws uint64) int {
	need := len(cs.waiting)
	if cs.shares {
		need = min(need, 1)
	}
	return need - cs.dialingLocked(thaws)
}

// dialingLocked is how many dials are under way, without those that began before the last freeze: they may never end.
func (cs *conns) dialingLocked(thaws uint64) (n int) {
	for _, began := range cs.dials {
		if began == thaws {
			n++
		}
	}
	return n
}

// startLocked starts a dial. done, if any, has room for its result.
func (cs *conns) startLocked(ctx context.Context, thaws uint64, done chan<- error) {
	cs.dials = append(cs.dials, thaws)
	ctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	stop := context.AfterFunc(cs.ctx, cancel) //nolint:contextcheck // a dial ends with its pool
	cs.dialing.Go(func() {
		defer cancel()
		defer stop()
		d, err := guard.Get(func() (*dialed, error) { return cs.dial(ctx) })
		cs.arrived(d, thaws, err)
		if done != nil {
			done <- err
		}
	})
}

// arrived takes the result of a dial that began when there had been so many freezes.
func (cs *conns) arrived(d *dialed, began uint64, err error) {
	cs.mu.Lock()
	now := cs.pulse.Thaws()
	i := slices.Index(cs.dials, began)
	cs.dials = slices.Delete(cs.dials, i, i+1)
	var surplus []*conn
	switch {
	case err != nil && began != now: // the freeze's fault: who waits has another dial, or is about to start it
	case err != nil:
		cs.refuseLocked(now, err)
	case cs.closed:
		surplus = []*conn{{dialed: d}}
	default:
		cs.shares = d.Available() > 1
		cs.last++
		c := &conn{dialed: d, number: cs.last, proven: began, used: cs.pulse.Now()}
		cs.open = append(cs.open, c)
		cs.serveLocked(now)
		switch {
		case began != now: // as above
		case c.busy == 0: // nobody can use it: it is closed already
			cs.refuseLocked(now, errClosedAtOnce)
		default:
			for cs.missingLocked(now) > 0 { // it takes fewer requests than those before it
				cs.startLocked(cs.ctx, now, nil)
			}
		}
		surplus = cs.trimLocked(now)
	}
	cs.mu.Unlock()
	closeAll(surplus)
}

var errClosedAtOnce = errors.New("the upstream closed the connection at once")

// refuseLocked turns away those for whom no dial is under way.
func (cs *conns) refuseLocked(thaws uint64, err error) {
	for len(cs.waiting) > 0 && cs.missingLocked(thaws) > 0 {
		w := cs.waiting[0]
		cs.waiting = cs.waiting[1:]
		w.got <- waitResult{err: &noConnectionError{err}}
	}
}

// put ends a lease. An answer proves the connection; without one, a connection is given up that is unproven or was silent
// until the request's time was over. A connection that a freeze has passed over has been idle since before it, whatever its kernel had in store.
func (cs *conns) put(l lease, answered bool) {
	cs.mu.Lock()
	now := cs.pulse.Thaws()
	c := l.conn
	c.busy--
	if l.thaws == now {
		c.used = cs.pulse.Now()
	}
	var dead []*conn
	if answered {
		c.served = true
		c.proven = max(c.proven, l.thaws)
	}
	if i := slices.Index(cs.open, c); i >= 0 {
		cs.open = slices.Delete(cs.open, i, i+1)
		if c.Err() != nil || !answered && (c.proven != now || l.silent) {
			c.given = true
		} else {
			cs.open = append(cs.open, c)
		}
	}
	if c.given && c.busy == 0 { // what else is on it may yet be answered
		dead = append(dead, c)
	}
	dead = append(dead, cs.pruneLocked()...)
	cs.serveLocked(now)
	dead = append(dead, cs.trimLocked(now)...)
	cs.mu.Unlock()
	closeAll(dead)
}

// serveLocked gives the waiters what is there.
func (cs *conns) serveLocked(thaws uint64) {
	cs.waiting = slices.DeleteFunc(cs.waiting, func(w *waiter) bool {
		l, ok := cs.takeLocked(thaws, w)
		if ok {
			w.got <- waitResult{lease: l}
		}
		return ok
	})
}

// trimLocked takes out the connections that are too many: idle ones beyond the size, where one carries all requests
// other idle ones, and all of them before any is to be kept.
func (cs *conns) trimLocked(thaws uint64) (surplus []*conn) {
	idle, keep := 0, cs.size
	if cs.shares {
		keep = 1
	}
	if thaws < cs.from {
		keep = 0
	}
	for _, c := range cs.open {
		if c.busy == 0 {
			idle++
		}
	}
	cs.open = slices.DeleteFunc(cs.open, func(c *conn) bool {
		if c.busy > 0 || idle <= keep {
			return false
		}
		idle--
		surplus = append(surplus, c)
		return true
	})
	if idle > 0 && cs.sweep == nil && !cs.closed {
		cs.sweep = time.AfterFunc(cs.maxIdle, cs.swept)
	}
	return surplus
}

// pruneLocked takes out the connections that are broken, and those that were idle for too long.
func (cs *conns) pruneLocked() (dead []*conn) {
	now := cs.pulse.Now()
	cs.open = slices.DeleteFunc(cs.open, func(c *conn) bool {
		if c.Err() != nil || c.busy == 0 && (c.lost() || now.Since(c.used) > cs.maxIdle) {
			dead = append(dead, c)
			return true
		}
		return false
	})
	return dead
}

func (cs *conns) swept() {
	cs.mu.Lock()
	dead := cs.pruneLocked()
	if cs.closed || len(cs.open) == 0 {
		cs.sweep = nil
	} else {
		cs.sweep.Reset(cs.maxIdle)
	}
	cs.mu.Unlock()
	closeAll(dead)
}

// warm dials until n connections, at most the size, are open, and returns when those dials have ended.
func (cs *conns) warm(ctx context.Context, n int) error {
	cs.mu.Lock()
	thaws := cs.pulse.Thaws()
	dead := cs.pruneLocked()
	n = min(n, cs.size)
	if cs.shares {
		n = min(n, 1)
	}
	n -= len(cs.open) + cs.dialingLocked(thaws)
	if cs.closed || thaws < cs.from {
		n = 0
	} else {
		cs.warmed = true
	}
	done := make(chan error, max(0, n))
	for range n {
		cs.startLocked(ctx, thaws, done)
	}
	cs.mu.Unlock()
	closeAll(dead)
	var errs []error
	for range n {
		select {
		case err := <-done:
			errs = append(errs, err)
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	return errors.Join(errs...)
}

// usual is how many connections a warm-up is to open: as many as have been in use at once, or Config.FirstWarm if none was yet or
// there was no warm-up before. And whether requests share one.
func (cs *conns) usual() (n int, shared bool) {
	cs.mu.Lock()
	defer cs.mu.Unlock()
	if !cs.warmed {
		return cs.first, cs.shares
	}
	return cmp.Or(cs.peak, cs.first), cs.shares
}

// counts says how many connections are open, and how many of them idle.
func (cs *conns) counts() (open, idle int) {
	cs.mu.Lock()
	defer cs.mu.Unlock()
	for _, c := range cs.open {
		if c.Err() == nil {
			open++
			if c.busy == 0 {
				idle++
			}
		}
	}
	return open, idle
}

// close closes every connection and turns away who waits for one.
func (cs *conns) close() {
	cs.mu.Lock()
	cs.closed = true
	open, waiting := cs.open, cs.waiting
	cs.open, cs.waiting = nil, nil
	if cs.sweep != nil {
		cs.sweep.Stop()
	}
	cs.mu.Unlock()
	for _, w := range waiting {
		w.got <- waitResult{err: ErrClosed}
	}
	closeAll(open)
	cs.cancel()
	cs.dialing.Wait()
}

func closeAll(dead []*conn) {
	for _, c := range dead {
		_ = c.Close() // nobody waits for it
	}
}
