package lambdatest

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// ErrReset is returned by an invocation that was under way when the sandbox was reset because of another one.
var ErrReset = errors.New("lambdatest: sandbox was reset")

// Resets returns how often the sandbox was reset.
func (h *Host) Resets() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.resets
}

// resetAfter resets the sandbox if an invocation has timed out, or if a process has ended or reported an error. It does nothing if the
// caller has left or the host has ended.
func (h *Host) resetAfter(ctx context.Context, err error) {
	h.mu.Lock()
	failed := len(h.reports) > h.forgiven
	h.mu.Unlock()
	switch {
	case !h.cfg.Reset:
	case errors.Is(err, ErrTimeout):
		h.reset(ctx, h.profile.reasons.timeout)
	case failed:
		h.reset(ctx, h.profile.reasons.failure)
	}
}

// reset ends every process as a shutdown does. After that nothing runs, until the next invocation starts the same processes again. What
// they have written to /tmp stays.
func (h *Host) reset(ctx context.Context, reason string) {
	first := false
	h.update(func() {
		if first = !h.stopped && h.phase == running; !first {
			return
		}
		h.phase = resetting
		for _, inv := range h.open {
			inv.cancel(ErrReset)
		}
	})
	if !first {
		return
	}
	// The caller of the invocation may have left, so its context does not count here. A process that ignores SHUTDOWN is killed before
	// this timeout.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 2*h.cfg.ShutdownTimeout)
	defer cancel()
	_ = h.end(ctx, reason)
	for _, r := range h.running() {
		<-r.done
	}
	h.update(func() {
		for _, e := range h.extensions {
			e.over = true
		}
		h.runtime.over = true
		h.extensions, h.runtime, h.runtimeInited = nil, &inbox{}, false
		h.init.began, h.init.ended = time.Time{}, time.Time{}
		h.forgiven, h.eventsBefore, h.subscriptions = len(h.reports), len(h.events), 0
		h.ending, h.phase = false, down
		h.resets++
	})
}

// claimStart waits until the sandbox is not being reset, and says whether the caller must start it again.
func (h *Host) claimStart(ctx context.Context) (claimed bool, err error) {
	if h.cfg.Reset {
		h.resetAfter(ctx, nil) // a process may have ended between two invocations
	}
	err = h.await(ctx, func() (bool, error) {
		if claimed = h.phase == down && !h.stopped; claimed {
			h.phase = running
		}
		return h.phase == running, nil
	})
	return claimed, err
}

// startAgain is INIT inside an invocation: it starts the extensions, and the runtime once they have registered.
func (h *Host) startAgain(ctx context.Context) error {
	h.mu.Lock()
	processes := h.processes
	h.mu.Unlock()
	for _, p := range processes {
		if p.name == runtimeName {
			continue
		}
		if err := h.run(p); err != nil {
			return err
		}
	}
	for _, p := range processes {
		if err := h.registered(ctx, p); err != nil {
			return fmt.Errorf("%w; its log:\n%s", err, p.Log())
		}
	}
	for _, p := range processes {
		if p.name == runtimeName {
			return h.run(p)
		}
	}
	return nil
}

// registered returns when an extension has registered. The runtime does not register.
func (h *Host) registered(ctx context.Context, p *Process) error {
	return h.await(ctx, func() (bool, error) {
		return p.name == runtimeName || h.extensionLocked(p.name) != nil, h.failureLocked()
	})
}
