// Package clock tells the time by both clocks and notices when the process stood still.
//
// Lambda freezes a sandbox between invocations, and a snapshot may be restored years later. Meanwhile the monotonic
// clock may stand still, and the wall clock may be set: neither can be trusted alone. Start at [Pulse].
package clock

import (
	"context"
	"math"
	"sync"
	"sync/atomic"
	"time"
)

const (
	// Gap is the least time without a beat that counts as a freeze.
	Gap = time.Second
	// Beat is the time between two beats of [Pulse.Run].
	Beat = 250 * time.Millisecond
)

// Instant is a moment on both clocks.
type Instant struct {
	Wall time.Time     // without a monotonic reading
	Mono time.Duration // since an arbitrary beginning; never goes back
}

// Since is the time that passed since then, by the clock that says more.
func (i Instant) Since(then Instant) time.Duration {
	return max(i.Mono-then.Mono, i.Wall.Sub(then.Wall))
}

// System reads the clocks of the machine.
func System() func() Instant {
	start := time.Now()
	return func() Instant {
		now := time.Now()
		return Instant{Wall: now.Round(0), Mono: now.Sub(start)}
	}
}

// Pulse counts the freezes of the process: the gaps between one beat and the next. [Pulse.Run] beats regularly. Every call
// of another method is a beat too; without Run a long time between two calls counts as a freeze. A Pulse is safe for
// concurrent use.
//
// Every request reads it many times, and many requests do at once. So a reading within soon after one that was kept takes no lock and is not
// kept itself. The gap before the next reading then seems longer than it was, by up to soon.
type Pulse struct {
	now func() Instant
	gap time.Duration

	// mu guards the changes of last. The clocks are read under it then, so that the changes have an order. mu is the last in the
	// order of the locks: callers may hold a lock of their own, and nothing is locked under mu.
	mu   sync.Mutex
	last atomic.Pointer[reading]
}

// reading is what a pulse knows once it has read the clocks. It does not change.
type reading struct {
	clocks  Instant       // what they said
	elapsed time.Duration // in all, by the clock that said more from each reading to the next
	awake   time.Duration // what was no freeze, and soon for each freeze
	frozen  time.Duration // in all freezes
	freezes uint64        // freezes noticed
	thawed  chan struct{} // closed when the next freeze is noticed
}

// instant is the time as [Pulse.Now] returns it.
func (r reading) instant() Instant { return Instant{Wall: r.clocks.Wall, Mono: r.elapsed} }

// While less than soon has passed since the last reading that was kept, and the clocks differ by no more than slightly since then, the
// monotonic clock tells the time.
const (
	soon     = 10 * time.Millisecond
	slightly = 10 * time.Microsecond
)

// NewPulse makes a pulse by the given clocks. nil means those of the machine. now must be safe for concurrent use.
func NewPulse(now func() Instant) *Pulse {
	if now == nil {
		now = System()
	}
	p := &Pulse{now: now, gap: Gap}
	p.last.Store(&reading{clocks: now(), thawed: make(chan struct{})})
	return p
}

// Awake makes a pulse for a process that is never frozen: it counts no freeze.
func Awake() *Pulse {
	p := NewPulse(nil)
	p.gap = math.MaxInt64
	return p
}

// Now returns the time by the wall clock, and the time that has passed since the pulse was made. Between two readings, the clock
// that has moved further counts. So nothing seems younger than it is, even if one clock is set back and the other one stands
// still later.
func (p *Pulse) Now() Instant { return p.read().instant() }

// Reading is what a pulse says at one moment.
type Reading struct {
	Instant

	Freezes uint64        // so far
	Frozen  time.Duration // in all
}

// Read returns what Now and Freezes return, and how long the freezes took.
func (p *Pulse) Read() Reading {
	r := p.read()
	return Reading{Instant: r.instant(), Freezes: r.freezes, Frozen: r.frozen}
}

// TimeAwake is the time that has passed since the pulse was made, without the freezes.
func (p *Pulse) TimeAwake() time.Duration { return p.read().awake }

// Freezes returns the number of freezes so far. A freeze that this call notices is included.
func (p *Pulse) Freezes() uint64 { return p.read().freezes }

// After returns a channel that is closed at the next freeze after the count that Freezes has returned. The next
// call of any method notices the freeze and closes the channel. While [Pulse.Run] runs, that is at most a [Beat] after the freeze.
func (p *Pulse) After(freezes uint64) <-chan struct{} {
	if r := p.last.Load(); r.freezes == freezes {
		return r.thawed
	}
	past := make(chan struct{})
	close(past)
	return past
}

// read reads the clocks. It keeps what they say if too much has passed since the last reading that was kept.
func (p *Pulse) read() reading {
	r := *p.last.Load() // before the clocks, so that they do not say less than in r
	now := p.now()
	since := now.Mono - r.clocks.Mono
	if ahead := now.Wall.Sub(r.clocks.Wall) - since; since < 0 || since >= soon || ahead.Abs() > slightly {
		return p.keep()
	}
	r.clocks = now
	r.elapsed += since
	r.awake += since
	return r
}

// keep reads the clocks and keeps what they say.
func (p *Pulse) keep() reading {
	p.mu.Lock()
	defer p.mu.Unlock()
	r, now := *p.last.Load(), p.now()
	since := max(0, now.Since(r.clocks))
	r.clocks = now
	r.elapsed += since
	if since < p.gap {
		r.awake += since
		p.last.Store(&r)
		return r
	}
	thawed := r.thawed
	r.frozen += since
	r.awake += soon // readings that were not kept may have told of as much, and TimeAwake must not go back
	r.freezes++
	r.thawed = make(chan struct{})
	p.last.Store(&r)
	close(thawed)
	return r
}

// Run beats until ctx ends. It calls thawed after each freeze since the pulse was made, whichever call noticed it. There is one call
// at a time: several freezes during a call bring one more call.
func (p *Pulse) Run(ctx context.Context, thawed func()) {
	beat := time.NewTicker(Beat)
	defer beat.Stop()
	told := uint64(0)
	for {
		select {
		case <-beat.C:
			p.Freezes()
		case <-p.After(told):
			told = p.Freezes()
			thawed()
		case <-ctx.Done():
			return
		}
	}
}

// WithTimeout is context.WithTimeout for a process that freezes. A freeze breaks what was under way, so work that a freeze has
// interrupted gets more time: when d is over and there was a freeze meanwhile, d begins again. d begins at most three times in
// all, because work that never ends must not go on for ever. The context's Deadline is the one that counts now.
func (p *Pulse) WithTimeout(ctx context.Context, d time.Duration) (context.Context, context.CancelFunc) {
	return p.WithTimeoutIn(ctx, d, 0)
}

// WithTimeoutIn is WithTimeout for work of an invocation that has left until its deadline. Before the deadline d does not begin again: the
// invocation may still wait for the work, and what looks like a freeze may be a starved process. After a freeze that lasted beyond the
// deadline, the invocation is over. Then its deadline no longer counts, and d begins again as in WithTimeout.
func (p *Pulse) WithTimeoutIn(parent context.Context, d, left time.Duration) (context.Context, context.CancelFunc) {
	const maxBeginnings = 3
	inner, cancel := context.WithCancelCause(parent)
	ctx := &timeout{Context: inner}
	ctx.beginAgain(d)
	if d <= 0 {
		cancel(context.DeadlineExceeded)
		return ctx, func() {}
	}
	freezes, start, begun := p.Freezes(), p.Now(), 1
	var timer *time.Timer
	ready := make(chan struct{})
	timer = time.AfterFunc(d, func() {
		<-ready
		if now := p.Freezes(); now != freezes && begun < maxBeginnings && p.Now().Since(start) >= left {
			freezes = now
			begun++
			ctx.beginAgain(d)
			timer.Reset(d)
			return
		}
		cancel(context.DeadlineExceeded)
	})
	close(ready)
	return ctx, func() { timer.Stop(); cancel(nil) }
}

// timeout is a context that [Pulse.WithTimeout] has made.
type timeout struct {
	context.Context //nolint:containedctx // timeout is a context itself

	end atomic.Pointer[time.Time]
}

func (t *timeout) beginAgain(d time.Duration) { t.end.Store(new(time.Now().Add(d))) }

// Deadline is when the context ends, unless a freeze comes before that.
func (t *timeout) Deadline() (time.Time, bool) {
	end := *t.end.Load()
	if outer, ok := t.Context.Deadline(); ok && outer.Before(end) {
		end = outer
	}
	return end, true
}
