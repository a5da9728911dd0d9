// Package clock tells the time on both clocks and notices when the process stood still.
//
// Lambda freezes a sandbox between invocations, and a snapshot may be restored years later. Over that the monotonic
// clock may stand still and the wall clock may be set, so neither is to be trusted alone. Start at [Pulse].
package clock

import (
	"context"
	"math"
	"sync"
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

// Since is the time that passed, by the clock that says more.
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

// Pulse counts the freezes that the process has lived through: the gaps between one beat and the next. While
// [Pulse.Run] runs it beats by itself; without it only who asks it beats, and a long silence passes for a freeze.
// It is safe for concurrent use.
type Pulse struct {
	now func() Instant
	gap time.Duration

	mu     sync.Mutex
	last   Instant       // guarded by mu; what the clocks said last
	passed time.Duration // guarded by mu; in all, by the clock that said more at each reading
	thaws  uint64        // guarded by mu
	thawed chan struct{} // guarded by mu; closed by the next freeze noticed
}

// NewPulse makes a pulse by the clocks of now; nil: those of the machine.
func NewPulse(now func() Instant) *Pulse {
	if now == nil {
		now = System()
	}
	return &Pulse{now: now, gap: Gap, last: now(), thawed: make(chan struct{})}
}

// Awake makes a pulse of a process that is never frozen.
func Awake() *Pulse {
	p := NewPulse(nil)
	p.gap = math.MaxInt64
	return p
}

// Now is the moment by the wall clock, and how much time has passed by whichever clock said more from one reading to
// the next. So a clock set back, and later the other one standing still, make nothing younger than it is.
func (p *Pulse) Now() Instant {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.readLocked()
}

// Thaws is the number of freezes so far, one noticed by this very call included.
func (p *Pulse) Thaws() uint64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.readLocked()
	return p.thaws
}

// After is closed once more than so many freezes were noticed, by whomever: by itself only while [Pulse.Run] runs.
func (p *Pulse) After(thaws uint64) <-chan struct{} {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.thaws == thaws {
		return p.thawed
	}
	past := make(chan struct{})
	close(past)
	return past
}

func (p *Pulse) readLocked() Instant {
	now := p.now()
	since := max(0, now.Since(p.last))
	if since >= p.gap {
		p.thaws++
		close(p.thawed)
		p.thawed = make(chan struct{})
	}
	p.last = now
	p.passed += since
	return Instant{Wall: now.Wall, Mono: p.passed}
}

// Run beats until ctx ends and calls thawed, one call at a time, after each freeze since the pulse was made, whoever
// noticed it. Freezes during a call are told once.
func (p *Pulse) Run(ctx context.Context, thawed func()) {
	beat := time.NewTicker(Beat)
	defer beat.Stop()
	told := uint64(0)
	for {
		select {
		case <-beat.C:
			p.Thaws()
		case <-p.After(told):
			told = p.Thaws()
			thawed()
		case <-ctx.Done():
			return
		}
	}
}

// WithTimeout is context.WithTimeout for a process that freezes: the context ends after d without a freeze. What is left
// of the time when a freeze began says nothing afterwards, so the whole time begins again, but not more often than
// mostBeginnings in all: what never ends would go on for ever.
func (p *Pulse) WithTimeout(ctx context.Context, d time.Duration) (context.Context, context.CancelFunc) {
	const mostBeginnings = 3
	ctx, cancel := context.WithCancelCause(ctx)
	thaws, begun := p.Thaws(), 1
	var timer *time.Timer
	ready := make(chan struct{})
	timer = time.AfterFunc(d, func() {
		<-ready
		if now := p.Thaws(); now != thaws && begun < mostBeginnings {
			thaws = now
			begun++
			timer.Reset(d)
			return
		}
		cancel(context.DeadlineExceeded)
	})
	close(ready)
	return ctx, func() { timer.Stop(); cancel(nil) }
}
