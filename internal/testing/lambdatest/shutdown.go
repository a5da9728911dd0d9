package lambdatest

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"syscall"
	"time"
)

// Shutdown ends the sandbox for good. It sends SHUTDOWN with the reason, which each platform spells in its own way, to the extensions
// that registered for it and SIGTERM to the runtime, and returns when the extensions have it. What still runs when
// Config.ShutdownTimeout has passed is killed.
func (h *Host) Shutdown(ctx context.Context, reason string) error {
	h.update(func() { h.stopped = true })
	if err := h.await(ctx, func() (bool, error) { return h.phase != resetting, nil }); err != nil {
		return err
	}
	return h.end(ctx, reason)
}

// end sends SHUTDOWN once.
func (h *Host) end(ctx context.Context, reason string) error {
	if err := h.setFrozen(false); err != nil {
		return err
	}
	first := false
	h.update(func() {
		if first = !h.ending; !first {
			return
		}
		h.ending = true
		for _, e := range h.listenersLocked("SHUTDOWN") {
			e.queue = append(e.queue, h.shutdownEvent(reason))
		}
	})
	if first {
		runtimes := slices.DeleteFunc(h.running(), func(r *run) bool { return r.name != runtimeName })
		if err := signal(syscall.SIGTERM, runtimes); err != nil {
			return err
		}
		h.wg.Go(h.limitShutdown)
	}
	return h.await(ctx, func() (bool, error) {
		return !slices.ContainsFunc(h.extensions, func(e *extension) bool { return len(e.queue) > 0 && !e.gone }), nil
	})
}

// limitShutdown kills the processes that still run after Config.ShutdownTimeout.
func (h *Host) limitShutdown() {
	timer := time.NewTimer(h.cfg.ShutdownTimeout)
	defer timer.Stop()
	for _, r := range h.running() {
		select {
		case <-r.done:
		case <-h.done:
			return
		case <-timer.C:
			var late []string
			for _, r := range h.running() {
				late = append(late, r.name)
			}
			h.kill(late, fmt.Sprintf("still running %v after SHUTDOWN", h.cfg.ShutdownTimeout))
			return
		}
	}
}

// kill kills every process, and reports those that were late.
func (h *Host) kill(late []string, why string) {
	_ = h.setFrozen(false) // What is frozen in a cgroup cannot be killed.
	running := h.running()
	h.update(func() {
		h.ending = true
		for _, name := range late {
			h.reports = append(h.reports, Report{From: name, Call: "killed", Type: why})
		}
		for _, r := range running {
			r.killed = fmt.Sprintf("%s: %s", strings.Join(late, ", "), why)
		}
	})
	_ = signal(syscall.SIGKILL, running)
}

// running are the processes that have not ended.
func (h *Host) running() (runs []*run) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, p := range h.processes {
		select {
		case <-p.run.done:
		default:
			runs = append(runs, p.run)
		}
	}
	return runs
}
