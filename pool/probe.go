package pool

import (
	"context"
	"errors"
	"sync/atomic"
	"time"

	"hearth/internal/guard"
)

// Ask asks the upstream: as a probe if the breaker is not closed and none is under way. It is for questions about the upstream's
// health: an answer closes the breaker.
func (b *Breaker) Ask(ctx context.Context, ask func(context.Context) error) error {
	if !b.startAsking() {
		return ask(ctx)
	}
	return b.probe(ctx, ask)
}

func (b *Breaker) startAsking() bool {
	b.mu.Lock()
	defer b.unlock()
	b.noticeFreezeLocked()
	if b.closedLocked() || b.probing || b.shut {
		return false
	}
	b.probing = true
	return true
}

// probeAwake sends a probe, and another one in place of one that a freeze has interrupted: so the first request after the freeze need not
// wait for a later one to begin it.
func (b *Breaker) probeAwake(ask func(context.Context) error) {
	for before := b.cfg.Pulse.Freezes(); ; {
		_ = b.probe(b.ctx, ask)
		now := b.cfg.Pulse.Freezes()
		if now == before || !b.startAsking() {
			return
		}
		before = now
	}
}

// probe asks the upstream past the breaker and the limit, and closes the breaker if there is an answer. It needs probing to be set
// by its caller.
func (b *Breaker) probe(ctx context.Context, ask func(context.Context) error) error {
	p := new(probe)
	ctx = With(ctx, Options{Background: true, Proven: true, probe: p}) // Proven: an invocation may be too short to find a connection dead
	b.mu.Lock()
	ctx, b.endProbe = context.WithTimeout(ctx, doubled(leastProbe, b.failed, mostProbe))
	end := b.endProbe
	freezes, began := b.freezes, b.cfg.Pulse.TimeAwake()
	done, err := b.state.Allow()
	b.mu.Unlock()
	defer end()
	if err == nil { // always: gobreaker is half-open by now
		err = guard.Do(func() error { return ask(ctx) })
	}
	b.mu.Lock()
	defer b.unlock()
	b.probing = false
	b.probes++
	if done == nil || b.closedLocked() { // a trial has closed it
		return err
	}
	switch {
	case b.cfg.Pulse.Freezes() != freezes:
		done(errNoSign)
		b.starved = b.cfg.Pulse.TimeAwake()-began < trialTime
	case errors.Is(ctx.Err(), context.Canceled):
		done(errNoSign)
	case p.failed.Load(), ctx.Err() != nil:
		done(errFailed)
		b.postponeLocked()
	case p.answered.Load():
		done(nil)
		b.closeLocked()
	default: // it was not asked
		done(errNoSign)
		b.due = b.cfg.Pulse.Now().Mono + leastWait
	}
	return err
}

// mayTryLocked says whether a request can be a trial.
func (b *Breaker) mayTryLocked(o Options) bool {
	return b.starved && b.trial == nil && !b.shut && o.Repeatable && !o.Proven && !o.Background
}

// endTrialLocked ends a trial.
func (b *Breaker) endTrialLocked(t *pending, o outcome) {
	b.trial = nil
	switch {
	case b.closedLocked(): // a probe was faster
	case o == well:
		b.state = b.newState()
		b.closeLocked()
	case t.freezes != b.cfg.Pulse.Freezes(), o == noSign && !t.overdue: // the next read is another trial
	default:
		b.starved = false
		b.postponeLocked()
	}
}

// postponeLocked takes note of a probe or a trial that has failed: the next probe is due later.
func (b *Breaker) postponeLocked() {
	b.failed++
	b.due = b.cfg.Pulse.Now().Mono + doubled(leastWait, b.failed, mostWait)
}

// doubled is d, doubled so many times, but not more than most.
func doubled(d time.Duration, times int, most time.Duration) time.Duration {
	return min(d<<min(times, 10), most) // 10: so that it does not overflow
}

// probe is what a probe's requests say of the upstream.
type probe struct{ answered, failed atomic.Bool }

func (p *probe) learn(o outcome) {
	switch o {
	case noSign:
	case well:
		p.answered.Store(true)
	default:
		p.failed.Store(true)
	}
}
