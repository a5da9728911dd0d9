package lambdatest

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"syscall"
	"time"
)

// Shutdown sends SHUTDOWN with the reason ("spindown", "timeout", "failure") to the extensions that registered for it
// and SIGTERM to the runtime, and returns when the extensions have it. What still runs when Config.ShutdownTimeout has
// passed is killed.
func (h *Host) Shutdown(ctx context.Context, reason string) error {
	if err := h.setFrozen(false); err != nil {
		return err
	}
	first := false
	ev := event{EventType: "SHUTDOWN", DeadlineMs: time.Now().Add(h.cfg.ShutdownTimeout).UnixMilli(), ShutdownReason: reason}
	h.update(func() {
		if first = !h.stopping; !first {
			return
		}
		h.stopping = true
		for _, e := range h.listenersLocked("SHUTDOWN") {
			e.queue = append(e.queue, ev.delivery())
		}
	})
	if first {
		runtimes := slices.DeleteFunc(h.running(), func(p *Process) bool { return p.name != "runtime" })
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
	for _, p := range h.running() {
		select {
		case <-p.done:
		case <-h.done:
			return
		case <-timer.C:
			var late []string
			for _, p := range h.running() {
				late = append(late, p.name)
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
		h.stopping = true
		for _, name := range late {
			h.reports = append(h.reports, Report{From: name, Call: "killed", Type: why})
		}
		for _, p := range running {
			p.killed = fmt.Sprintf("%s: %s", strings.Join(late, ", "), why)
		}
	})
	_ = signal(syscall.SIGKILL, running)
}

// running are the processes that have not ended.
func (h *Host) running() []*Process {
	h.mu.Lock()
	defer h.mu.Unlock()
	return slices.DeleteFunc(slices.Clone(h.processes), func(p *Process) bool {
		select {
		case <-p.done:
			return true
		default:
			return false
		}
	})
}
