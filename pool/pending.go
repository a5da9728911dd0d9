package pool

import (
	"context"
	"time"
)

// patienceBounds of a request that waits for its answer.
const (
	leastPatience = 250 * time.Millisecond
	mostPatience  = time.Second
)

// patience is how long a request may wait for its answer before the missing answer is a failure: four times the usual, within bounds
// but at least twice the usual. If the usual is not known, it is 0.
func patience(usual time.Duration) time.Duration {
	if usual == 0 {
		return mostPatience
	}
	return max(min(max(4*usual, leastPatience), mostPatience), 2*usual)
}

// tooSlow is after what time a request counts as failed even if its answer comes later; 0: never. If the usual is not known, no time is
// slow: an upstream may need seconds for every answer.
func tooSlow(usual time.Duration) time.Duration {
	if usual == 0 {
		return 0
	}
	return max(10*usual, mostPatience)
}

// pending is a request under way whose outcome the breaker counts. Its fields are guarded by Breaker.mu.
type pending struct {
	breaker  *Breaker
	done     func(error) // gobreaker's
	freezes  uint64      // so far, when it began
	cuts     uint64      // counted so far, when it began
	patience time.Duration
	overdue  bool // it has had no answer for so long that its silence is a failure
	counted  bool
	heard    bool        // an answer has begun to come: it may be large, so it is not too late
	retry    bool        // the call has failed already: it fails once
	giveUp   func(error) // ends it; nil: it must go on
	timer    *time.Timer // of overdue, and after that of slow
}

// trialTime is how long a trial may wait for its answer.
const trialTime = 250 * time.Millisecond

// begin begins a request. It is refused if the breaker has opened since [Breaker.pass], or has another trial. giveUp ends a request that is overdue when the
// breaker opens: nobody gains by waiting on. It is nil for a request that must go on.
func (b *Breaker) begin(usual time.Duration, o Options, giveUp func(error)) (*pending, error) {
	b.mu.Lock()
	defer b.unlock()
	b.noticeFreezeLocked()
	if !b.closedLocked() && b.mayTryLocked(o) {
		b.trial = &pending{breaker: b, freezes: b.freezes, counted: true, giveUp: giveUp, patience: trialTime}
		t := b.trial
		t.timer = time.AfterFunc(trialTime, func() { t.late(0) })
		b.tries[t] = struct{}{}
		return t, nil
	}
	if !b.closedLocked() {
		b.refused++
		return nil, b.refusalLocked()
	}
	done, err := b.state.Allow()
	if err != nil { // never: the breaker is closed
		return nil, b.refusalLocked()
	}
	t := &pending{breaker: b, done: done, freezes: b.freezes, cuts: b.cuts, retry: o.retry, giveUp: giveUp, patience: patience(usual)}
	t.timer = time.AfterFunc(t.patience, func() { t.late(tooSlow(usual) - t.patience) })
	b.tries[t] = struct{}{}
	return t, nil
}

// late is called when a request is overdue, and once more when it is slow. more is the time between.
func (t *pending) late(more time.Duration) {
	b := t.breaker
	b.mu.Lock()
	defer b.unlock()
	b.noticeFreezeLocked()
	if _, ok := b.tries[t]; !ok {
		return
	}
	if t.overdue {
		if t.freezes == b.freezes && !t.heard {
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

// CallerLeft says that a caller has left because its time was over, after it had waited for so long. A request that it has waited for may
// serve later callers too, and so go on for longer. If one is overdue, that counts as a failure now: of that request, or, if it has
// counted already, of this caller. A caller that had less time than the request may take says nothing of the upstream.
func (b *Breaker) CallerLeft(waited time.Duration) {
	b.mu.Lock()
	defer b.unlock()
	b.noticeFreezeLocked()
	again := false
	for t := range b.tries {
		switch {
		case !t.overdue, waited < t.patience:
		case t.counted:
			again = true
		case t.freezes == b.freezes:
			b.countLocked(t, silent, context.DeadlineExceeded)
			return
		}
	}
	if !again || !b.closedLocked() {
		return
	}
	if done, err := b.state.Allow(); err == nil { // always: the breaker is closed
		b.countLocked(&pending{breaker: b, done: done}, silent, context.DeadlineExceeded)
	}
}

// excuse says that the silence of a request says nothing of the upstream. t is nil if no breaker counts.
func (t *pending) excuse() {
	if t == nil {
		return
	}
	b := t.breaker
	b.mu.Lock()
	defer b.unlock()
	delete(b.tries, t)
	b.countLocked(t, noSign, nil)
}

// hear says that an answer has begun to come.
func (t *pending) hear() {
	t.breaker.mu.Lock()
	defer t.breaker.mu.Unlock()
	t.heard = true
}

// giveUpLocked ends a request that is overdue.
func (b *Breaker) giveUpLocked(t *pending) {
	if t.overdue && t.giveUp != nil {
		err := b.refusalLocked()
		b.news = append(b.news, func() { t.giveUp(err) })
	}
}

// end ends a request.
func (t *pending) end(v verdict) {
	t.timer.Stop()
	b := t.breaker
	b.mu.Lock()
	defer b.unlock()
	delete(b.tries, t)
	if t == b.trial {
		b.endTrialLocked(t, v.outcome)
		return
	}
	b.countLocked(t, v.outcome, v.why)
}
