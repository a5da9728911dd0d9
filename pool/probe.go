package pool

import (
	"context"
	"errors"
	"sync/atomic"
	"time"

	"hearth/internal/guard"
)

// Ask calls ask, which asks the upstream about its health. If the breaker is not closed and no probe is under way, the call is a probe:
// an answer closes the breaker.
func (b *Breaker) Ask(ctx context.Context, ask func(context.Context) error) error {
	if !b.startProbe() {
		return ask(ctx)
	}
	return b.probe(ctx, ask)
}

// startProbe says whether a probe may begin now, and if so sets probing.
func (b *Breaker) startProbe() bool {
	b.mu.Lock()
	defer b.unlock()
	b.noticeFreezeLocked()
	return b.startProbeLocked()
}

func (b *Breaker) startProbeLocked() bool {
	if b.closedLocked() || b.probing || b.shut {
		return false
	}
	b.probing = true
	return true
}

// probeUntilNoFreeze sends a probe, and another one as long as a freeze has interrupted the last. So no request has to come after the
// freeze to start the next probe.
func (b *Breaker) probeUntilNoFreeze(ask func(context.Context) error) {
	for before := b.cfg.Pulse.Freezes(); ; {
		_ = b.probe(b.ctx, ask)
		now := b.cfg.Pulse.Freezes()
		if now == before || !b.startProbe() {
			return
		}
		before = now
	}
}

// probe asks the upstream past the breaker and the limit, and closes the breaker if there is an answer. The caller has set probing.
func (b *Breaker) probe(ctx context.Context, ask func(context.Context) error) error {
	p := new(probe)
	// Proven, because an invocation may be too short to find a connection dead.
	ctx = With(ctx, Options{Background: true, Proven: true, probe: p})
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
		b.trialDue = b.cfg.Pulse.TimeAwake()-began < trialTime
	case errors.Is(ctx.Err(), context.Canceled):
		done(errNoSign)
	case p.failed.Load(), ctx.Err() != nil:
		done(errFailed)
		b.postponeLocked()
	case p.answered.Load():
		done(nil)
		b.closeLocked()
	default: // nothing was sent
		done(errNoSign)
		b.due = b.cfg.Pulse.Now().Mono + leastWait
	}
	return err
}

// mayBeTrialLocked says whether a request can be a trial.
func (b *Breaker) mayBeTrialLocked(o Options) bool {
	return b.trialDue && b.trial == nil && !b.shut && o.Repeatable && !o.Proven && !o.Background
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
		b.trialDue = false
		b.postponeLocked()
	}
}

// postponeLocked counts a probe or a trial that has failed: the next probe is due later.
func (b *Breaker) postponeLocked() {
	b.failed++
	b.due = b.cfg.Pulse.Now().Mono + doubled(leastWait, b.failed, mostWait)
}

// doubled is d times two to the power of times, at most most.
func doubled(d time.Duration, times int, most time.Duration) time.Duration {
	return min(d<<min(times, 10), most) // the shift is bounded so that it does not overflow
}

// probe collects what the requests of a probe say about the upstream.
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
