package lambdatest

import (
	"bytes"
	"context"
	_ "embed"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"time"
)

// Where Lambda's processes find their credentials.
const (
	accessKey = "ASIATEST"
	secretKey = "test-secret-key"
)

//go:embed bootstrap.py
var bootstrap string

// runtimeName is the name of the runtime's process; an extension's is that of its file.
const runtimeName = "runtime"

// Process is an extension or a runtime in the sandbox. If a reset ends the process and the next invocation starts it again, it is the
// same Process with one log.
type Process struct {
	name    string
	host    *Host
	command func() *exec.Cmd
	log     Log
	run     *run // The last one. Guarded by the host's mu.
}

// run is one process from its start to its end.
type run struct {
	name   string
	cmd    *exec.Cmd
	began  time.Time     // Its first instruction.
	done   chan struct{} // Closed when the process has ended and its output is complete.
	killed string        // Why the host killed it, if it did. Guarded by the host's mu.
}

// last is the last run.
func (p *Process) last() *run {
	p.host.mu.Lock()
	defer p.host.mu.Unlock()
	return p.run
}

// StartExtension runs the binary at path as Lambda runs a file of /opt/extensions, with a clean environment plus env,
// and returns once it has registered: when Lambda starts the runtime. WaitReady waits for its first /next. The process
// is killed when ctx ends; its end before a shutdown crashes the sandbox, whatever the exit code.
func (h *Host) StartExtension(ctx context.Context, path string, env ...string) (*Process, error) {
	p, err := h.start(filepath.Base(path), func() *exec.Cmd { return exec.CommandContext(ctx, path) }, env)
	if err != nil {
		return nil, err
	}
	if err := h.registered(ctx, p); err != nil {
		r := p.last()
		_ = r.cmd.Process.Kill()
		<-r.done
		return nil, fmt.Errorf("%w; its log:\n%s", err, p.Log())
	}
	return p, nil
}

// StartRuntime runs python3 with a small runtime that calls Config.Handler, "module.function", from the folder taskRoot. The
// handler can import the layer's modules. The process is killed when ctx ends.
func (h *Host) StartRuntime(ctx context.Context, taskRoot string, env ...string) (*Process, error) {
	path, err := python()
	if err != nil {
		return nil, err
	}
	defaults := []string{"LAMBDA_TASK_ROOT=" + taskRoot, "_HANDLER=" + h.cfg.Handler, "PYTHONUNBUFFERED=1"}
	if h.opt != "" {
		defaults = append(defaults, "PYTHONPATH="+h.Opt("python"))
	}
	return h.start(runtimeName, func() *exec.Cmd { return exec.CommandContext(ctx, path, "-c", bootstrap) }, append(defaults, env...))
}

// python is the interpreter behind python3, which may be the script of a version manager: Lambda has none, and in a small
// sandbox it would take longer than INIT may.
var python = sync.OnceValues(func() (string, error) { //nolint:gochecknoglobals // asked once
	out, err := exec.Command("python3", "-c", "import sys; print(sys.executable)").Output()
	if err != nil {
		return "", fmt.Errorf("lambdatest: python3: %w", err)
	}
	return strings.TrimSpace(string(out)), nil
})

// StartBootstrap runs the binary at path as the runtime, with a clean environment plus env. It is killed when ctx ends.
func (h *Host) StartBootstrap(ctx context.Context, path string, env ...string) (*Process, error) {
	return h.start(runtimeName, func() *exec.Cmd { return exec.CommandContext(ctx, path) }, append([]string{"_HANDLER=" + h.cfg.Handler}, env...))
}

// start starts a process that the host then knows how to start again.
func (h *Host) start(name string, command func() *exec.Cmd, env []string) (*Process, error) {
	p := &Process{name: name, host: h}
	p.command = func() *exec.Cmd {
		cmd := command()
		cmd.Env = append(h.environment(name), env...)
		cmd.Stdout, cmd.Stderr = &p.log, &p.log
		cmd.WaitDelay = time.Second // A grandchild may hold the output open.
		cmd.Cancel = func() error { return errors.Join(h.setFrozen(false), cmd.Process.Kill()) }
		return cmd
	}
	return p, h.run(p)
}

// run starts the process.
func (h *Host) run(p *Process) error {
	r := &run{name: p.name, cmd: p.command(), done: make(chan struct{})}
	h.update(func() {
		if h.init.began.IsZero() && h.resets == 0 {
			h.wg.Go(h.limitInit)
		}
		h.beginInitLocked(time.Now())
		h.runtimeKnown = h.runtimeKnown || p.name == runtimeName
	})
	var err error
	if r.began, err = h.cgroup.start(r.cmd, h.user()); err != nil {
		return fmt.Errorf("lambdatest: %w", err)
	}
	h.update(func() {
		if p.run == nil {
			h.processes = append(h.processes, p)
		}
		p.run = r
	})
	h.wg.Go(func() {
		defer close(r.done)
		_ = r.cmd.Wait() // ProcessState says it all.
		h.update(func() {
			if e := h.extensionLocked(p.name); e != nil {
				e.gone = true
			}
			if !h.ending && !h.closed() {
				h.reports = append(h.reports, Report{From: p.name, Call: "crash", Type: r.cmd.ProcessState.String()})
			}
		})
	})
	return nil
}

// Began is the time of the process's first instruction.
func (p *Process) Began() time.Time { return p.last().began }

// PID is the process's number.
func (p *Process) PID() int { return p.last().cmd.Process.Pid }

// Log is what the process has printed so far, on both of its outputs.
func (p *Process) Log() string { return p.log.String() }

// Signal sends a signal to the process alone. [Host.Freeze] stops all of them.
func (p *Process) Signal(sig os.Signal) error { return p.last().cmd.Process.Signal(sig) }

// Done is closed when the process has ended. It may be started again after that.
func (p *Process) Done() <-chan struct{} { return p.last().done }

// Stop shuts the sandbox down and returns when the process has ended. It is an error if that took a SIGKILL, or if the
// process is an extension and exits with another code than 0.
func (p *Process) Stop(ctx context.Context) error {
	err := p.host.Shutdown(ctx, p.host.profile.reasons.end)
	r := p.last()
	select {
	case <-r.done:
	case <-ctx.Done():
		_ = r.cmd.Process.Kill()
		<-r.done
		return context.Cause(ctx)
	}
	p.host.mu.Lock()
	defer p.host.mu.Unlock()
	if r.killed != "" {
		return errors.New("lambdatest: killed: " + r.killed)
	}
	if r.name != runtimeName && !r.cmd.ProcessState.Success() {
		return fmt.Errorf("lambdatest: %s", r.cmd.ProcessState)
	}
	return err
}

// Log is a bytes.Buffer that may be read while it is written.
type Log struct {
	mu  sync.Mutex
	buf bytes.Buffer // guarded by mu
}

func (l *Log) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.Write(p)
}

func (l *Log) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.String()
}
