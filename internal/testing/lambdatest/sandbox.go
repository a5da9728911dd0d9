package lambdatest

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"
	"syscall"
	"time"
)

const (
	vCPU      = 1769   // MB of memory for each.
	cpuPeriod = 20_000 // Microseconds over which the share of the CPU is counted.

	youngestSnapshot = 1100 * time.Millisecond // Lambda takes minutes to make one.
)

// Limits says which limits of a sandbox are in force.
type Limits struct {
	CPU, Memory bool     // Those of Config.MemoryMB.
	Freezer     bool     // The cgroup freezer. Without it a freeze is a SIGSTOP.
	Missing     []string // Which are not in force, and why.
}

// note says whether a limit is in force, and keeps the error if it is not.
func (l *Limits) note(what string, err error) bool {
	if err != nil {
		l.Missing = append(l.Missing, fmt.Sprintf("no %s: %v", what, err))
	}
	return err == nil
}

// String is one line for people.
func (l Limits) String() string {
	var held []string
	for _, limit := range []struct {
		name string
		held bool
	}{{"CPU", l.CPU}, {"memory", l.Memory}, {"cgroup freezer", l.Freezer}, {"SIGSTOP", !l.Freezer}} {
		if limit.held {
			held = append(held, limit.name)
		}
	}
	return strings.Join(append([]string{strings.Join(held, ", ")}, l.Missing...), "; ")
}

// Limits says which limits are in force.
func (h *Host) Limits() Limits { return h.limits }

// memoryMB is the function's size, or the smallest that there is.
func (h *Host) memoryMB() int {
	smallest := 128
	if h.cfg.Init == ManagedInstances {
		smallest = 2048
	}
	return cmp.Or(h.cfg.MemoryMB, smallest)
}

// Freeze stops every process of the sandbox, as Lambda does between invocations, and returns when they stand still. The
// host's APIs go on, and so do the processes' clocks, and their sockets in the kernel.
func (h *Host) Freeze() error {
	if h.cfg.Init == ManagedInstances {
		return errors.New("lambdatest: Managed Instances are never frozen")
	}
	return h.setFrozen(true)
}

// Thaw lets the processes go on.
func (h *Host) Thaw() error { return h.setFrozen(false) }

func (h *Host) setFrozen(frozen bool) (err error) {
	switch {
	case h.limits.Freezer:
		err = h.cgroup.freezer.set(frozen)
	case frozen:
		running := h.running()
		err = errors.Join(signal(syscall.SIGSTOP, running), standStill(running))
	default:
		err = signal(syscall.SIGCONT, h.running())
	}
	if err != nil {
		return fmt.Errorf("lambdatest: %w", err)
	}
	h.mu.Lock()
	h.frozen = frozen
	h.mu.Unlock()
	return nil
}

// restore thaws the sandbox for an invocation. Before the first one, SnapStart freezes it: that is the snapshot.
func (h *Host) restore() error {
	h.mu.Lock()
	frozen, snapshot := h.frozen, h.cfg.Init == SnapStart && !h.restored
	h.restored = true
	h.mu.Unlock()
	if snapshot && !frozen {
		if err := h.Freeze(); err != nil {
			return err
		}
		time.Sleep(youngestSnapshot)
	}
	if frozen || snapshot {
		return h.Thaw()
	}
	return nil
}

// standStill returns once the processes have stopped: kill returns before that.
func standStill(processes []*run) error {
	const step, most = time.Millisecond, 10 * time.Second
	tick := time.NewTicker(step)
	defer tick.Stop()
	for range most / step {
		if !slices.ContainsFunc(processes, (*run).moves) {
			return nil
		}
		<-tick.C
	}
	return fmt.Errorf("processes still run %v after SIGSTOP", most)
}

// signal sends a signal to processes and to all that they started.
func signal(sig syscall.Signal, processes []*run) error {
	var errs error
	for _, r := range processes {
		if err := syscall.Kill(-r.cmd.Process.Pid, sig); err != nil && !errors.Is(err, syscall.ESRCH) { // It may just have ended.
			errs = errors.Join(errs, fmt.Errorf("%s: %w", r.name, err))
		}
	}
	return errs
}
