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
	"sync"
	"time"
)

// shutdownGrace is what Lambda leaves external extensions between SHUTDOWN and SIGKILL.
const shutdownGrace = 2 * time.Second

//go:embed bootstrap.py
var bootstrap string

// Process is an extension or a runtime in the sandbox.
type Process struct {
	cmd  *exec.Cmd
	host *Host
	log  logBuffer
	done chan struct{} // Closed when the process has ended and its output is complete.
}

// StartExtension runs the binary at path as Lambda runs a file of /opt/extensions, with a clean environment plus env,
// and returns once it has registered: when Lambda starts the runtime. WaitReady waits for its first /next. The process
// is killed when ctx ends; its end before a shutdown crashes the sandbox, whatever the exit code.
func (h *Host) StartExtension(ctx context.Context, path string, env ...string) (*Process, error) {
	name := filepath.Base(path)
	p, err := h.start(exec.CommandContext(ctx, path), env, func(p *Process) {
		h.update(func() {
			if e := h.extensionLocked(name); e != nil {
				e.gone = true
			}
			if !h.stopping {
				h.reports = append(h.reports, Report{From: name, Call: "crash", Type: p.cmd.ProcessState.String()})
			}
		})
	})
	if err != nil {
		return nil, err
	}
	err = h.await(ctx, func() (bool, error) { return h.extensionLocked(name) != nil, h.failureLocked() })
	if err != nil {
		_ = p.cmd.Process.Kill()
		<-p.done
		return nil, fmt.Errorf("%w; its log:\n%s", err, p.Log())
	}
	return p, nil
}

// StartRuntime runs python3 with a small runtime that calls the Config's handler, "module.function" of a file in the
// folder taskRoot. It is killed when ctx ends.
func (h *Host) StartRuntime(ctx context.Context, taskRoot string, env ...string) (*Process, error) {
	cmd := exec.CommandContext(ctx, "python3", "-c", bootstrap)
	cmd.Dir = taskRoot
	env = append([]string{"LAMBDA_TASK_ROOT=" + taskRoot, "_HANDLER=" + h.cfg.Handler, "PYTHONUNBUFFERED=1"}, env...)
	return h.start(cmd, env, func(*Process) {})
}

// StartBootstrap runs the binary at path as the runtime, with a clean environment plus env. It is killed when ctx ends.
func (h *Host) StartBootstrap(ctx context.Context, path string, env ...string) (*Process, error) {
	return h.start(exec.CommandContext(ctx, path), append([]string{"_HANDLER=" + h.cfg.Handler}, env...), func(*Process) {})
}

func (h *Host) start(cmd *exec.Cmd, env []string, ended func(*Process)) (*Process, error) {
	p := &Process{cmd: cmd, host: h, done: make(chan struct{})}
	cmd.Env = append([]string{
		"AWS_LAMBDA_RUNTIME_API=" + h.Addr(),
		"AWS_LAMBDA_FUNCTION_NAME=" + h.cfg.Function,
		"AWS_LAMBDA_FUNCTION_VERSION=$LATEST",
		"AWS_LAMBDA_FUNCTION_MEMORY_SIZE=128",
		"AWS_LAMBDA_INITIALIZATION_TYPE=on-demand",
		"AWS_REGION=eu-central-1",
		"AWS_SESSION_TOKEN=test-session-token",
		"LANG=en_US.UTF-8",
		"PATH=" + os.Getenv("PATH"),
		"TZ=:UTC",
	}, env...)
	cmd.Stdout, cmd.Stderr = &p.log, &p.log
	cmd.WaitDelay = time.Second // A grandchild may hold the output open.
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("lambdatest: %w", err)
	}
	go func() {
		defer close(p.done)
		_ = cmd.Wait() // ProcessState says it all.
		ended(p)
	}()
	return p, nil
}

// Log is what the process has printed so far, on both of its outputs.
func (p *Process) Log() string { return p.log.String() }

// Signal sends a signal: SIGSTOP and SIGCONT are the nearest to a freeze that a process can be given from here.
func (p *Process) Signal(sig os.Signal) error { return p.cmd.Process.Signal(sig) }

// Done is closed when the process has ended.
func (p *Process) Done() <-chan struct{} { return p.done }

// Stop shuts the sandbox down, gives the process Lambda's two seconds to end by itself, then kills it and reports that
// as an error, like an exit code other than 0. A runtime, which Lambda sends no event, gets SIGTERM from its caller.
func (p *Process) Stop(ctx context.Context) error {
	ctx, cancel := context.WithTimeoutCause(ctx, shutdownGrace, errors.New("lambdatest: killed: still running 2s after SHUTDOWN"))
	defer cancel()
	shutdownErr := p.host.Shutdown(ctx, "spindown")
	select {
	case <-p.done:
	case <-ctx.Done():
		_ = p.cmd.Process.Kill()
		<-p.done
		return context.Cause(ctx)
	}
	if !p.cmd.ProcessState.Success() {
		return fmt.Errorf("lambdatest: %s", p.cmd.ProcessState)
	}
	return shutdownErr
}

// logBuffer is a bytes.Buffer that may be read while it is written.
type logBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer // Guarded by mu.
}

func (b *logBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

func (b *logBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}
