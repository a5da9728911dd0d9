package pool

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"sync"
	"time"

	"github.com/sony/gobreaker/v2"

	"hearth/client/wire"
	"hearth/internal/clock"
	"hearth/internal/sparse"
)

// How a breaker that is open waits. The wait is doubled with each probe that fails.
const (
	leastWait = 200 * time.Millisecond // before the first probe
	mostWait  = 5 * time.Second
	// leastProbe is how long the first probe may take. That is doubled too, because an upstream may have become slow.
	leastProbe = time.Second
	mostProbe  = 8 * time.Second
)

// BreakerConfig of a [Breaker].
type BreakerConfig struct {
	Name string // of the upstream, in logs
	// Probe asks the upstream what requests ask. nil: Config.Ping of the pool whose request was refused.
	Probe  func(context.Context) error
	Limit  *Limit       // restarted when the breaker closes; nil: none
	Pulse  *clock.Pulse // nil: the process is never frozen
	Logger *slog.Logger // nil discards
}

// Breaker keeps requests from an upstream that has failed too many of the last ones. The pools of one upstream share a Breaker. It is
// safe for concurrent use.
//
//  1. Closed: every request is sent. Its outcome counts once it is known (judge.go, pending.go). The breaker opens when half of the last
//     requests have failed (window.go). A request that is retried fails once. The end of one connection is one failure.
//  2. Open: every request is refused with [ErrOpen], those too that wait for a slot. Reads that have waited for their answer for too
//     long end so as well.
//  3. After a while, or after a freeze, a probe (probe.go) is due: half-open. The next request starts it and is refused itself. A probe is a
//     question of Hearth's own, so no request waits for one. It goes past the breaker and the limit, and is not retried.
//  4. A probe that is answered closes the breaker. After one that fails the next one is due later.
//  5. An invocation may be too short for a probe: a freeze interrupts the probe soon after it began. Then the next read is a trial: it is
//     sent, has trialTime for its answer, and closes the breaker if the answer comes. Otherwise the breaker would stay open for as long as
//     invocations are short.
//
// gobreaker keeps the state, so that a request which began in an earlier state does not count in a later one. Its own clock does not
// know freezes: the Breaker decides when a probe is due and what the last requests are.
type Breaker struct {
	cfg      BreakerConfig
	failures *sparse.Log // of requests

	ctx    context.Context //nolint:containedctx // of the probes: no request waits for one
	cancel context.CancelFunc
	asking sync.WaitGroup // probes; Add happens under mu, and not after shut

	// mu guards what follows. It is held around every call of state, so that state's own lock is always taken under it.
	// Besides only the pulse's is.
	mu       sync.Mutex
	state    *gobreaker.TwoStepCircuitBreaker[struct{}]
	last     window
	tries    map[*pending]struct{} // under way
	freezes  uint64                // that were noticed
	cuts     uint64                // failures of connections and dials that were counted
	open     chan struct{}         // closed while the breaker is not closed
	why      error                 // of the last failure
	since    clock.Instant         // when the breaker opened
	due      time.Duration         // when a probe is due, by [clock.Pulse.Now]: time frozen counts
	failed   int                   // probes that have failed since the breaker opened
	probing  bool                  // a probe is under way
	starved  bool                  // a freeze came soon after the last probe began: the next read is a trial
	trial    *pending              // the read that is one; nil: none is
	endProbe context.CancelFunc    // of the last probe
	shut     bool
	news     []func() // to be done once mu is unlocked

	opened, refused, probes int64 // so far
}

// NewBreaker makes a Breaker that is closed.
func NewBreaker(cfg BreakerConfig) *Breaker {
	cfg.Logger = cmp.Or(cfg.Logger, slog.New(slog.DiscardHandler))
	if cfg.Pulse == nil {
		cfg.Pulse = clock.Awake()
	}
	b := &Breaker{cfg: cfg, failures: sparse.New(cfg.Logger), tries: map[*pending]struct{}{}, open: make(chan struct{}), freezes: cfg.Pulse.Freezes()}
	b.ctx, b.cancel = context.WithCancel(context.Background())
	b.state = b.newState()
	return b
}

// newState makes a state that is closed.
func (b *Breaker) newState() *gobreaker.TwoStepCircuitBreaker[struct{}] {
	return gobreaker.NewTwoStepCircuitBreaker[struct{}](gobreaker.Settings{
		Timeout:      time.Nanosecond, // its half-open is this one's open: whether a probe may go out is decided here
		ReadyToTrip:  func(gobreaker.Counts) bool { return b.last.tooMany(b.cfg.Pulse.TimeAwake()) },
		IsExcluded:   func(err error) bool { return errors.Is(err, errNoSign) },
		IsSuccessful: func(err error) bool { return err == nil },
	})
}

// What the breaker tells gobreaker of a request or a probe, if that was no success.
var (
	errNoSign = errors.New("says nothing of the upstream")
	errFailed = errors.New("failed")
)

// openError is a request that was refused because the breaker is open.
type openError struct {
	wait time.Duration // until a request may pass
	why  error         // of the last failure before the breaker opened
}

func (e *openError) Error() string {
	return fmt.Sprintf("%v: the last failure was: %v", ErrOpen, e.why)
}

// Unwrap says that it is an [ErrOpen].
func (e *openError) Unwrap() error { return ErrOpen }

// breaking is the link that refuses requests while the breaker is open.
type breaking struct {
	next    http.RoundTripper
	breaker *Breaker
	ping    func(context.Context) error
}

// RoundTrip sends req to the next link unless the breaker is open. An [ErrOpen] was not sent.
func (l *breaking) RoundTrip(req *http.Request) (*http.Response, error) {
	if o := optionsOf(req.Context()); o.probe == nil {
		if err := l.breaker.pass(o, l.ping); err != nil {
			return nil, err
		}
	}
	return l.next.RoundTrip(req)
}

// pass refuses a request while the breaker is open, unless it can be a trial.
func (b *Breaker) pass(o Options, ping func(context.Context) error) error {
	if b.wake(ping) == nil || b.mayTry(o) {
		return nil
	}
	return b.refusal()
}

func (b *Breaker) mayTry(o Options) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.mayTryLocked(o)
}

// wake returns the reason to refuse requests while the breaker is open. If a probe is due, wake starts it. It asks ping if the config has
// no probe.
func (b *Breaker) wake(ping func(context.Context) error) error {
	b.mu.Lock()
	defer b.unlock()
	b.noticeFreezeLocked()
	if b.closedLocked() {
		return nil
	}
	if b.dueLocked() && !b.probing && !b.shut {
		ask := b.cfg.Probe
		if ask == nil {
			ask = ping
		}
		b.probing = true
		b.asking.Go(func() { b.probeAwake(ask) })
	}
	return b.refusalLocked()
}

func (b *Breaker) closedLocked() bool { return b.state.State() == gobreaker.StateClosed }

func (b *Breaker) dueLocked() bool { return b.cfg.Pulse.Now().Mono >= b.due }

// refusal is the error of a request that is refused now, unsent.
func (b *Breaker) refusal() error {
	b.mu.Lock()
	defer b.unlock()
	b.refused++
	return b.refusalLocked()
}

// refusalLocked is the error of a request that ends now because the breaker is open.
func (b *Breaker) refusalLocked() error {
	return &openError{wait: max(b.due-b.cfg.Pulse.Now().Mono, leastWait), why: b.why}
}

// noticeFreezeLocked takes note of a freeze that has passed. A request that had waited too long for its answer before the freeze has
// failed, whatever becomes of it later. A probe is due at once, in place of one that the freeze has interrupted.
func (b *Breaker) noticeFreezeLocked() {
	before, now := b.freezes, b.cfg.Pulse.Freezes()
	if now == before {
		return
	}
	b.freezes = now
	b.due = 0
	if b.probing && b.endProbe != nil {
		b.news = append(b.news, b.endProbe)
	}
	for t := range b.tries {
		if t.overdue && t.freezes == before {
			b.countLocked(t, silent, context.DeadlineExceeded)
		}
	}
}

// whenOpen returns a channel that is closed while the breaker is not closed.
func (b *Breaker) whenOpen() <-chan struct{} {
	if b == nil {
		return nil
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.open
}

// countLocked counts the outcome of a request, once. why is the reason of a failure.
func (b *Breaker) countLocked(t *pending, o outcome, why error) {
	if t.counted {
		return
	}
	t.counted = true
	// Many requests share a connection, or wait for the same dial. What fails one of them fails all of them, and counts once.
	sameCut := o == cut && t.cuts != b.cuts && !t.overdue
	if o == noSign || sameCut || t.retry && o != well || !b.closedLocked() {
		t.done(errNoSign)
		return
	}
	if o == cut {
		b.cuts++
	}
	b.last.add(b.cfg.Pulse.TimeAwake(), o)
	if o == well {
		t.done(nil)
		return
	}
	b.why = why
	if t.done(errFailed); !b.closedLocked() {
		b.openLocked()
	}
}

// openLocked does what the opening of the breaker brings.
func (b *Breaker) openLocked() {
	b.since = b.cfg.Pulse.Now()
	b.due = b.since.Mono + leastWait
	b.failed, b.starved = 0, false
	b.opened++
	close(b.open)
	for t := range b.tries {
		b.giveUpLocked(t)
	}
	why := b.why
	b.news = append(b.news, func() {
		b.cfg.Logger.Warn("breaker opened: too many of the last calls have failed", "upstream", b.cfg.Name, "last", why)
	})
}

// closeLocked does what the closing of the breaker brings.
func (b *Breaker) closeLocked() {
	b.last, b.starved = window{}, false
	b.open = make(chan struct{})
	took := b.cfg.Pulse.Now().Since(b.since)
	b.news = append(b.news, func() {
		if b.cfg.Limit != nil {
			b.cfg.Limit.restart()
		}
		b.cfg.Logger.Info("breaker closed: the upstream answers again", "upstream", b.cfg.Name, "after", took.Round(time.Millisecond))
	})
}

// unlock unlocks mu, and then does what must not be done under it.
func (b *Breaker) unlock() {
	news := b.news
	b.news = nil
	b.mu.Unlock()
	for _, do := range news {
		do()
	}
}

// Close ends a probe that is under way, and logs the failures that are not logged yet. The pools that share a Breaker close together.
func (b *Breaker) Close() {
	b.mu.Lock()
	b.shut = true
	b.mu.Unlock()
	b.cancel()
	b.asking.Wait()
	b.failures.Close()
}

// stats are what the API shows.
func (b *Breaker) stats() wire.BreakerStats {
	b.mu.Lock()
	defer b.unlock()
	b.noticeFreezeLocked()
	s := wire.BreakerStats{State: wire.BreakerOpen, Opened: b.opened, Refused: b.refused, Probes: b.probes}
	switch {
	case b.closedLocked():
		s.State = wire.BreakerClosed
	case b.probing || b.dueLocked():
		s.State = wire.BreakerHalfOpen
	}
	return s
}
