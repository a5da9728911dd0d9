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

// How long an open breaker waits before a probe, and how long the probe may take. Both times double with each probe that fails: the
// upstream may be slow rather than gone.
const (
	leastWait  = 200 * time.Millisecond
	mostWait   = 5 * time.Second
	leastProbe = time.Second
	mostProbe  = 8 * time.Second
)

// mostAwaited is how long requests wait for the next answer to a probe (rule 5 of [Breaker]). A probe's first answer takes about three round
// trips, because the connection is new.
const mostAwaited = 200 * time.Millisecond

// BreakerConfig of a [Breaker].
type BreakerConfig struct {
	Name string // of the upstream, in logs
	// Probe sends the upstream a question like those of requests. nil: it sends Config.Ping of the pool whose request was refused.
	Probe  func(context.Context) error
	Limit  *Limit       // restarted when the breaker closes; nil: none
	Pulse  *clock.Pulse // nil: the process is never frozen
	Logger *slog.Logger // nil discards
}

// Breaker refuses requests to an upstream while too many of the last ones have failed. The pools of one upstream share a Breaker. It is
// safe for concurrent use.
//
//  1. Closed: every request is sent. Its outcome counts once it is known (judge.go, pending.go). The breaker opens when half of the last
//     requests have failed (window.go). A request that is retried fails once. The end of one connection is one failure.
//  2. Open: every request is refused with [ErrOpen], also one that waits for a slot. A read that has waited too long for its answer
//     ends with that error too.
//  3. Half-open: after a while, or after a freeze, a probe (probe.go) is due. The next request starts the probe and is refused itself. A
//     probe is a question of Hearth's own. It goes past the breaker and the limit, and is not retried.
//  4. If a probe is answered, the breaker closes. If it fails, the next probe is due later.
//  5. Requests wait for the end of a probe in two cases. In the first, one of the probe's requests has an answer: the upstream may be back.
//     In the second, a freeze has interrupted the probe soon after it began, and the next probe has begun. Without this wait, the breaker
//     would never close if all invocations were that short. Requests wait no longer than mostAwaited after the answer or the freeze. They
//     are not sent meanwhile.
//
// gobreaker keeps the state, so that a request which began in an earlier state does not count in a later one. Its own clock does not
// know freezes: the Breaker decides when a probe is due and what the last requests are.
type Breaker struct {
	cfg      BreakerConfig
	failures *sparse.Log // of requests

	ctx    context.Context //nolint:containedctx // of the probes that requests start: a probe does not end with its request
	cancel context.CancelFunc
	asking sync.WaitGroup // probes; Add happens under mu, and not after shut

	// mu guards what follows. It is held during every call of state, so state's own lock is always taken under mu. The only other lock
	// that is taken under mu is the pulse's.
	mu       sync.Mutex
	state    *gobreaker.TwoStepCircuitBreaker[struct{}]
	last     window
	underWay map[*pending]struct{} // requests
	freezes  uint64                // that were noticed
	answered time.Duration         // time awake when the latest request began that was answered
	cuts     uint64                // failures of connections and dials that were counted
	opening  chan struct{}         // closed when the breaker opens; a new one is made when it closes
	why      error                 // of the last failure
	since    clock.Instant         // when the breaker opened
	due      time.Duration         // when a probe is due, by [clock.Pulse.Now]: time frozen counts
	failed   int                   // probes that have failed since the breaker opened
	probe    *probe                // under way; nil: none is
	awaited  time.Duration         // time awake until which requests wait for a probe
	shut     bool                  // Close was called
	unlocked []func()              // to be called once mu is unlocked

	opened, refused, probes int64 // so far
}

// NewBreaker makes a Breaker that is closed.
func NewBreaker(cfg BreakerConfig) *Breaker {
	cfg.Logger = cmp.Or(cfg.Logger, slog.New(slog.DiscardHandler))
	if cfg.Pulse == nil {
		cfg.Pulse = clock.Awake()
	}
	b := &Breaker{cfg: cfg, failures: sparse.New(cfg.Logger), underWay: map[*pending]struct{}{}, opening: make(chan struct{}), freezes: cfg.Pulse.Freezes()}
	b.ctx, b.cancel = context.WithCancel(context.Background())
	b.state = gobreaker.NewTwoStepCircuitBreaker[struct{}](gobreaker.Settings{
		Timeout:      time.Nanosecond, // gobreaker is half-open at once; the Breaker decides when a probe goes out
		ReadyToTrip:  func(gobreaker.Counts) bool { return b.last.tooMany(b.cfg.Pulse.TimeAwake()) },
		IsExcluded:   func(err error) bool { return errors.Is(err, errNoSign) },
		IsSuccessful: func(err error) bool { return err == nil },
	})
	return b
}

// What the breaker tells gobreaker of a request or a probe without success.
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

// RoundTrip sends req to the next link unless the breaker is open. A request that ends with [ErrOpen] was not sent.
func (l *breaking) RoundTrip(req *http.Request) (*http.Response, error) {
	if optionsOf(req.Context()).probe == nil {
		if err := l.breaker.pass(req.Context(), l.ping); err != nil {
			return nil, err
		}
	}
	return l.next.RoundTrip(req)
}

// pass refuses a request while the breaker is open. The request may wait for a probe first.
func (b *Breaker) pass(ctx context.Context, ping func(context.Context) error) error {
	b.mu.Lock()
	defer b.unlock()
	for {
		err := b.wakeLocked(ping)
		left := b.awaited - b.cfg.Pulse.TimeAwake()
		switch {
		case err == nil:
			return nil
		case b.probe == nil, left <= 0, ctx.Err() != nil:
			b.refused++
			return err
		}
		ended := b.probe.ended
		b.unlock()
		select {
		case <-ended:
		case <-time.After(left):
		case <-ctx.Done():
		}
		b.mu.Lock()
	}
}

// wake returns the error of requests that are refused because the breaker is open, nil if it is closed. If a probe is due, wake starts
// it: the config's, or else ping.
func (b *Breaker) wake(ping func(context.Context) error) error {
	b.mu.Lock()
	defer b.unlock()
	return b.wakeLocked(ping)
}

func (b *Breaker) wakeLocked(ping func(context.Context) error) error {
	b.noticeFreezeLocked()
	if b.closedLocked() {
		return nil
	}
	if b.dueLocked() {
		if p := b.startProbeLocked(b.ctx); p != nil {
			ask := b.cfg.Probe
			if ask == nil {
				ask = ping
			}
			b.asking.Go(func() { b.probeUntilNoFreeze(p, ask) })
		}
	}
	return b.refusalLocked()
}

func (b *Breaker) closedLocked() bool { return b.state.State() == gobreaker.StateClosed }

func (b *Breaker) dueLocked() bool { return b.cfg.Pulse.Now().Mono >= b.due }

// refusal counts a request that is refused now, unsent, and returns its error.
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

// noticeFreezeLocked notices a freeze that has passed. A request that had already waited too long before the freeze counts as failed,
// however it ends. A probe is due at once, and one that the freeze has interrupted is cancelled.
func (b *Breaker) noticeFreezeLocked() {
	before, now := b.freezes, b.cfg.Pulse.Freezes()
	if now == before {
		return
	}
	b.freezes = now
	b.due = 0
	if b.probe != nil {
		b.unlocked = append(b.unlocked, b.probe.cancel)
		if now := b.cfg.Pulse.TimeAwake(); now-b.probe.began < mostAwaited {
			b.awaited = now + mostAwaited
		}
	}
	for t := range b.underWay {
		if t.overdue && t.freezes == before {
			b.countLocked(t, silent, context.DeadlineExceeded)
		}
	}
}

// whenOpen returns a channel that is closed once the breaker is open.
func (b *Breaker) whenOpen() <-chan struct{} {
	if b == nil {
		return nil
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.opening
}

// countLocked counts the outcome of a request, once. why is the reason of a failure.
func (b *Breaker) countLocked(t *pending, o outcome, why error) {
	if t.counted {
		return
	}
	t.counted = true
	// Many requests share a connection, or wait for the same dial. They all fail with it, and that counts once. What was sent before the
	// breaker opened says nothing of the upstream after that.
	sameCut := o == cut && t.cuts != b.cuts && !t.overdue
	if o == noSign || sameCut || t.retry && o != well || t.opened != b.opened || !b.closedLocked() {
		t.done(errNoSign)
		return
	}
	switch {
	case o == cut:
		b.cuts++
	case o == well:
		b.answered = max(b.answered, t.began)
	case o == silent && t.began < b.answered: // the upstream is not silent: it has answered a later request
		o = tooLate
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

// openLocked is called when the breaker has opened.
func (b *Breaker) openLocked() {
	b.since = b.cfg.Pulse.Now()
	b.due = b.since.Mono + leastWait
	b.failed = 0
	b.opened++
	close(b.opening)
	for t := range b.underWay {
		b.giveUpLocked(t)
	}
	why := b.why
	b.unlocked = append(b.unlocked, func() {
		b.cfg.Logger.Warn("breaker opened: too many of the last calls have failed", "upstream", b.cfg.Name, "last", why)
	})
}

// closeLocked is called when the breaker has closed.
func (b *Breaker) closeLocked() {
	b.last = window{}
	b.opening = make(chan struct{})
	took := b.cfg.Pulse.Now().Since(b.since)
	b.unlocked = append(b.unlocked, func() {
		if b.cfg.Limit != nil {
			b.cfg.Limit.restart()
		}
		b.cfg.Logger.Info("breaker closed: the upstream answers again", "upstream", b.cfg.Name, "after", took.Round(time.Millisecond))
	})
}

// unlock unlocks mu, and then calls what must not be called under it.
func (b *Breaker) unlock() {
	calls := b.unlocked
	b.unlocked = nil
	b.mu.Unlock()
	for _, do := range calls {
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

// stats returns the statistics, as the API shows them.
func (b *Breaker) stats() wire.BreakerStats {
	b.mu.Lock()
	defer b.unlock()
	b.noticeFreezeLocked()
	s := wire.BreakerStats{State: wire.BreakerOpen, Opened: b.opened, Refused: b.refused, Probes: b.probes}
	switch {
	case b.closedLocked():
		s.State = wire.BreakerClosed
	case b.probe != nil || b.dueLocked():
		s.State = wire.BreakerHalfOpen
	}
	return s
}
