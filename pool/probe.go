package pool

import (
	"context"
	"errors"
	"time"

	"hearth/internal/guard"
)

// probe is a question about the upstream's health that closes the breaker if it is answered. Breaker.mu guards answered and failed.
type probe struct {
	ctx     context.Context //nolint:containedctx // of its requests
	cancel  context.CancelFunc
	done    func(error)   // gobreaker's
	began   time.Duration // time awake
	freezes uint64        // how many freezes there had been when it began
	ended   chan struct{} // closed at its end

	answered, failed bool // at least one of its requests was answered, has failed
}

// Ask calls ask, which asks the upstream about its health. If the breaker is not closed and no probe is under way, the call is a probe:
// an answer closes the breaker.
func (b *Breaker) Ask(ctx context.Context, ask func(context.Context) error) error {
	if p := b.startProbe(ctx); p != nil {
		return b.run(p, ask)
	}
	return ask(ctx)
}

// startProbe starts a probe; nil: none may begin now. A call of run must follow.
func (b *Breaker) startProbe(ctx context.Context) *probe {
	b.mu.Lock()
	defer b.unlock()
	b.noticeFreezeLocked()
	return b.startProbeLocked(ctx)
}

func (b *Breaker) startProbeLocked(ctx context.Context) *probe {
	if b.closedLocked() || b.probe != nil || b.shut {
		return nil
	}
	done, err := b.state.Allow()
	if err != nil { // never: gobreaker is half-open by now, and no other probe is under way
		return nil
	}
	p := &probe{done: done, began: b.cfg.Pulse.TimeAwake(), freezes: b.freezes, ended: make(chan struct{})}
	// Proven, because an invocation may be too short to find a connection dead.
	ctx = With(ctx, Options{Background: true, Proven: true, probe: p})
	p.ctx, p.cancel = context.WithTimeout(ctx, doubled(leastProbe, b.failed, mostProbe))
	b.probe = p
	return p
}

// probeUntilNoFreeze runs a probe, and another one as long as a freeze has interrupted the last. So no request has to come after the
// freeze to start the next probe.
func (b *Breaker) probeUntilNoFreeze(p *probe, ask func(context.Context) error) {
	for p != nil {
		_ = b.run(p, ask)
		if b.cfg.Pulse.Freezes() == p.freezes {
			return
		}
		p = b.startProbe(b.ctx)
	}
}

// run asks the upstream past the breaker and the limit, and closes the breaker if there is an answer.
func (b *Breaker) run(p *probe, ask func(context.Context) error) error {
	defer p.cancel()
	err := guard.Do(func() error { return ask(p.ctx) })
	b.mu.Lock()
	defer b.unlock()
	b.noticeFreezeLocked()
	b.probe = nil
	b.probes++
	close(p.ended)
	switch {
	case b.freezes != p.freezes:
		p.done(errNoSign)
		return err // requests may wait for the next probe
	case errors.Is(p.ctx.Err(), context.Canceled):
		p.done(errNoSign)
	case p.failed, p.ctx.Err() != nil:
		p.done(errFailed)
		b.failed++
		b.due = b.cfg.Pulse.Now().Mono + doubled(leastWait, b.failed, mostWait)
	case p.answered:
		p.done(nil)
		b.closeLocked()
	default: // nothing was sent
		p.done(errNoSign)
		b.due = b.cfg.Pulse.Now().Mono + leastWait
	}
	b.awaited = 0
	return err
}

// learn notes how a request of a probe has ended.
func (b *Breaker) learn(p *probe, o outcome) {
	b.mu.Lock()
	defer b.mu.Unlock()
	switch o {
	case noSign:
	case well:
		p.answered = true
		b.awaited = b.cfg.Pulse.TimeAwake() + mostAwaited
	default:
		p.failed = true
	}
}

// doubled is d times two to the power of times, at most most.
func doubled(d time.Duration, times int, most time.Duration) time.Duration {
	return min(d<<min(times, 10), most) // the shift is bounded so that it does not overflow
}
