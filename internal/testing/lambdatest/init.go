package lambdatest

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// Init is what the last INIT cost.
type Init struct {
	Duration   time.Duration   // From the first process's start to its end. 0: it has not ended.
	Extensions []ExtensionInit // In the order they registered.
}

// ExtensionInit is how long an extension took to get ready, from its first instruction; from the begin of INIT if the host
// did not start it.
type ExtensionInit struct {
	Name           string
	Register, Next time.Duration // To its registration, and to its first /next. 0: not yet.
}

// Init says what INIT cost so far.
func (h *Host) Init() Init {
	h.mu.Lock()
	defer h.mu.Unlock()
	var report Init
	if !h.init.ended.IsZero() {
		report.Duration = h.init.ended.Sub(h.init.began)
	}
	for _, e := range h.extensions {
		began := h.init.began
		for _, p := range h.processes {
			if p.name == e.name {
				began = p.run.began
			}
		}
		init := ExtensionInit{Name: e.name, Register: e.registered.Sub(began)}
		if !e.firstNext.IsZero() {
			init.Next = e.firstNext.Sub(began)
		}
		report.Extensions = append(report.Extensions, init)
	}
	return report
}

func (h *Host) beginInitLocked(at time.Time) {
	if h.init.began.IsZero() {
		h.init.began = at
		h.emitInitLocked("platform.initStart", map[string]any{
			"functionName": h.cfg.Function, "functionVersion": "$LATEST", "instanceMaxMemory": h.memoryMB() << 20,
		})
	}
}

// runtimeInitLocked emits once that the runtime is ready, or that INIT has ended without it.
func (h *Host) runtimeInitLocked(status string) {
	if !h.runtimeInited {
		h.runtimeInited = true
		h.emitInitLocked("platform.initRuntimeDone", map[string]any{"status": status})
	}
}

func (h *Host) endInitLocked(at time.Time, status string) {
	if h.init.ended.IsZero() && !h.init.began.IsZero() {
		h.runtimeInitLocked(status)
		h.init.ended = at
		h.emitInitLocked("platform.initReport", map[string]any{
			"status": status, "metrics": map[string]any{"durationMs": ms(at.Sub(h.init.began))},
		})
	}
}

// limitInit kills the sandbox if its processes are not ready in time. INIT inside an invocation has that invocation's time. It does not wait for a runtime that was not started.
func (h *Host) limitInit() {
	ctx, cancel := context.WithTimeout(context.Background(), h.cfg.InitTimeout)
	defer cancel()
	err := h.await(ctx, func() (bool, error) { return !h.init.ended.IsZero() || h.resets > 0, h.failureLocked() })
	if !errors.Is(err, context.DeadlineExceeded) {
		return
	}
	var late []string
	h.update(func() {
		for _, name := range h.cfg.Extensions {
			if e := h.extensionLocked(name); e == nil || !e.idle() {
				late = append(late, name)
			}
		}
		if h.runtimeKnown && !h.runtimeReadyLocked() {
			late = append(late, runtimeName)
		}
		if len(late) > 0 {
			h.endInitLocked(time.Now(), "timeout")
		}
	})
	if len(late) > 0 {
		h.kill(late, fmt.Sprintf("INIT took more than %v", h.cfg.InitTimeout))
	}
}
