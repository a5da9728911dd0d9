package pool

import (
	"context"
	"sync/atomic"
	"time"
)

// Bounds of [patience].
const (
	leastPatience = 250 * time.Millisecond
	mostPatience  = time.Second
)

// patience is how long a request may wait before the missing answer is a failure: four times the usual within the bounds, and twice the
// usual at least. If the usual is not known, it is 0, and patience is the upper bound.
func patience(usual time.Duration) time.Duration {
	if usual == 0 {
		return mostPatience
	}
	return max(min(max(4*usual, leastPatience), mostPatience), 2*usual)
}

// tooSlow is the time after which a request has failed even if its answer comes later; 0: there is none. If the usual is not known, no
// time is too slow: an upstream may need seconds for every answer.
func tooSlow(usual time.Duration) time.Duration {
	if usual == 0 {
		return 0
	}
	return max(10*usual, mostPatience)
}

// pending is a request under way whose outcome the breaker counts. Its fields but heard are guarded by Breaker.mu.
type pending struct {
	breaker  *Breaker
	done     func(error)   // gobreaker's
	began    time.Duration // time awake
	opened   int64         // how often the breaker had opened when it began
	freezes  uint64        // so far, when it began
	cuts     uint64        // counted so far, when it began
	patience time.Duration
	overdue  bool // it has waited for longer than patience
	counted  bool
	heard    atomic.Bool // its answer has begun to come: that may be large, so it is not too late
	retry    bool        // an earlier try of the call has failed and was counted
	giveUp   func(error) // ends it; nil: it must go on
	timer    *time.Timer // calls late
}

// begin begins a request. The request is refused if the breaker has opened since [Breaker.pass]. giveUp ends a request that is overdue
// when the breaker opens. It is nil for a request that must go on.
func (b *Breaker) begin(usual, patience time.Duration, o Options, giveUp func(error)) (*pending, error) {
	b.mu.Lock()
	defer b.unlock()
	b.noticeFreezeLocked()
	if !b.closedLocked() {
		b.refused++
		return nil, b.refusalLocked()
	}
	done, err := b.state.Allow()
	if err != nil { // never: the breaker is closed
		return nil, b.refusalLocked()
	}
	t := &pending{
		breaker: b, done: done, began: b.cfg.Pulse.TimeAwake(), opened: b.opened, freezes: b.freezes, cuts: b.cuts,
		retry: o.retry, giveUp: giveUp, patience: patience,
	}
	t.timer = time.AfterFunc(t.patience, func() { t.late(tooSlow(usual) - t.patience) })
	b.underWay[t] = struct{}{}
	return t, nil
}

// late is called when a request has waited for longer than patience, and once more when it is too slow. more is the time between the
// two calls; not above 0: there is no second one.
func (t *pending) late(more time.Duration) {
	b := t.breaker
	b.mu.Lock()
	defer b.unlock()
	b.noticeFreezeLocked()
	if _, ok := b.underWay[t]; !ok {
		return
	}
	if t.overdue {
		if t.freezes == b.freezes && !t.heard.Load() {
			b.countLocked(t, tooLate, errTooSlow)
		}
		return
	}
	t.overdue = true
	if !b.closedLocked() {
		b.giveUpLocked(t)
	} else if more > 0 {
		t.timer.Reset(more)
	}
}

// CallerLeft says that a caller's time ended after it had waited for so long. The request that the caller waited for may go on, for
// later callers. If a request is overdue, it counts as failed now. If all that are overdue have counted already, the caller counts as
// one more failure. A caller that waited for less than the request's patience does not count.
func (b *Breaker) CallerLeft(waited time.Duration) {
	b.mu.Lock()
	defer b.unlock()
	b.noticeFreezeLocked()
	var again *pending
	for t := range b.underWay {
		switch {
		case !t.overdue, waited < t.patience:
		case t.counted:
			again = t
		case t.freezes == b.freezes:
			b.countLocked(t, silent, context.DeadlineExceeded)
			return
		}
	}
	if again == nil || !b.closedLocked() {
		return
	}
	if done, err := b.state.Allow(); err == nil { // always: the breaker is closed
		b.countLocked(&pending{breaker: b, done: done, began: again.began, opened: again.opened}, silent, context.DeadlineExceeded)
	}
}

// excuse makes a request count neither as answered nor as failed. t is nil if no breaker counts.
func (t *pending) excuse() {
	if t == nil {
		return
	}
	b := t.breaker
	b.mu.Lock()
	defer b.unlock()
	delete(b.underWay, t)
	b.countLocked(t, noSign, nil)
}

// hear notes that the answer has begun to come.
func (t *pending) hear() { t.heard.Store(true) }

// giveUpLocked ends a request that is overdue.
func (b *Breaker) giveUpLocked(t *pending) {
	if t.overdue && t.giveUp != nil {
		err := b.refusalLocked()
		b.unlocked = append(b.unlocked, func() { t.giveUp(err) })
	}
}

// end counts how a request has ended.
func (t *pending) end(v verdict) {
	t.timer.Stop()
	b := t.breaker
	b.mu.Lock()
	defer b.unlock()
	delete(b.underWay, t)
	b.countLocked(t, v.outcome, v.why)
}
