package extension

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"time"
)

const (
	firstBound = 5 * time.Second // for an end of which nothing is known yet
	leastBound = time.Second
	mostLost   = 3 // ends in a row
)

// AfterInvokeConfig of an [AfterInvoke].
type AfterInvokeConfig struct {
	Telemetry *Telemetry            // tells when the handler has ended; nil: nothing is done
	Budget    time.Duration         // what Refresh may take, which the user pays for; 0: nothing is done
	Refresh   func(context.Context) // is done after an invocation; it ends with its context
	Logger    *slog.Logger          // nil discards
}

// AfterInvoke refreshes after each invocation, before the sandbox may freeze. To learn when that is it waits for the
// event that the handler has ended, which may never come: the wait is bounded by what handlers took so far.
type AfterInvoke struct {
	cfg  AfterInvokeConfig
	lost int // ends in a row that were waited for in vain
	seen int // ends in all, when the last one was lost
}

// NewAfterInvoke makes the policy.
func NewAfterInvoke(cfg AfterInvokeConfig) *AfterInvoke {
	cfg.Logger = cmp.Or(cfg.Logger, slog.New(slog.DiscardHandler))
	return &AfterInvoke{cfg: cfg}
}

// OnInvoke is for [Config]: it takes one event at a time, and ends with ctx.
func (a *AfterInvoke) OnInvoke(ctx context.Context, event Event) {
	if a.cfg.Telemetry == nil || a.cfg.Budget <= 0 {
		return
	}
	slowest, seen := a.cfg.Telemetry.slowest()
	if a.lost >= mostLost && seen == a.seen {
		return // nothing comes anymore: until something does, no invocation pays for the wait
	}
	bound := firstBound
	if slowest > 0 {
		bound = max(leastBound, 2*slowest)
	}
	wait, cancel := context.WithTimeout(ctx, bound)
	defer cancel()
	done, err := a.cfg.Telemetry.Wait(wait, event.RequestID)
	switch {
	case errors.Is(err, context.DeadlineExceeded):
		a.lose(ctx, bound)
		return
	case err != nil: // there is no telemetry, or we are to end
		return
	}
	a.lost = 0
	if done.Status != "success" || ctx.Err() != nil {
		return // what failed may have the sandbox reset
	}
	refresh, cancel := context.WithTimeout(ctx, a.cfg.Budget)
	defer cancel()
	a.cfg.Refresh(refresh)
}

// lose notes that the end of an invocation was not seen in time: it is lost, or the handler takes longer than ever.
func (a *AfterInvoke) lose(ctx context.Context, bound time.Duration) {
	a.lost++
	_, a.seen = a.cfg.Telemetry.slowest()
	level := slog.LevelDebug
	if a.lost == mostLost {
		level = slog.LevelWarn
	}
	a.cfg.Logger.Log(ctx, level, "telemetry is lost: nothing is refreshed", "in_a_row", a.lost, "bound", bound)
}
