package extension

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"time"
)

const (
	firstBound = 5 * time.Second // bound of the wait for a handler's end, while no handler's duration is known
	leastBound = time.Second     // least bound of every other wait
	maxMissed  = 3               // after this many missed ends in a row OnInvoke no longer waits
)

// AfterInvokeConfig of an [AfterInvoke].
type AfterInvokeConfig struct {
	Telemetry *Telemetry            // tells when the handler has ended; nil: nothing is done
	Budget    time.Duration         // how long Refresh may take; the user pays for this time; 0: nothing is done
	Refresh   func(context.Context) // is called after an invocation; it must end with its context
	Logger    *slog.Logger          // nil discards
}

// AfterInvoke calls Refresh after each invocation, before the sandbox may freeze. First it waits for the event that the handler has ended. That
// event may be lost, so the wait has a bound: twice the duration of the slowest handler that Telemetry remembers.
type AfterInvoke struct {
	cfg    AfterInvokeConfig
	missed int // how many ends in a row were missed: their event did not come in time
	seen   int // how many ends Telemetry had received when the last one was missed
}

// NewAfterInvoke makes an AfterInvoke. Its zero config is valid, and does nothing.
func NewAfterInvoke(cfg AfterInvokeConfig) *AfterInvoke {
	cfg.Logger = cmp.Or(cfg.Logger, slog.New(slog.DiscardHandler))
	return &AfterInvoke{cfg: cfg}
}

// OnInvoke is for [Config]. It takes one event at a time, and ends with ctx.
func (a *AfterInvoke) OnInvoke(ctx context.Context, event Event) {
	if a.cfg.Telemetry == nil || a.cfg.Budget <= 0 {
		return
	}
	slowest, seen := a.cfg.Telemetry.slowest()
	if a.missed >= maxMissed && seen == a.seen {
		return // events no longer come: no invocation pays for a wait until one comes again
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
		a.noteMissed(ctx, bound)
		return
	case err != nil: // there is no telemetry, or ctx has ended
		return
	}
	a.missed = 0
	if done.Status != "success" || ctx.Err() != nil {
		return // Lambda may reset the sandbox after a failure
	}
	refresh, cancel := context.WithTimeout(ctx, a.cfg.Budget)
	defer cancel()
	a.cfg.Refresh(refresh)
}

// noteMissed takes note that the event of a handler's end did not come in time: it is lost, or the handler takes longer than those before.
func (a *AfterInvoke) noteMissed(ctx context.Context, bound time.Duration) {
	a.missed++
	_, a.seen = a.cfg.Telemetry.slowest()
	level := slog.LevelDebug
	if a.missed == maxMissed {
		level = slog.LevelWarn
	}
	a.cfg.Logger.Log(ctx, level, "no event of the handler's end came in time: nothing is refreshed", "in_a_row", a.missed, "bound", bound)
}
