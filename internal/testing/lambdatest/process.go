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
	"strconv"
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

// Process is an extension or a runtime in the sandbox.
type Process struct {
	cmd    *exec.Cmd
	name   string // Of the extension, or "runtime".
	host   *Host
	began  time.Time // Its first instruction.
	log    Log
	done   chan struct{} // Closed when the process has ended and its output is complete.
	killed string        // Why the host killed it, if it did. Guarded by the host's mu.
}

// StartExtension runs the binary at path as Lambda runs a file of /opt/extensions, with a clean environment plus env,
// and returns once it has registered: when Lambda starts the runtime. WaitReady waits for its first /next. The process
// is killed when ctx ends; its end before a shutdown crashes the sandbox, whatever the exit code.
func (h *Host) StartExtension(ctx context.Context, path string, env ...string) (*Process, error) {
	p, err := h.start(exec.CommandContext(ctx, path), filepath.Base(path), env)
	if err != nil {
		return nil, err
	}
	err = h.await(ctx, func() (bool, error) { return h.extensionLocked(p.name) != nil, h.failureLocked() })
	if err != nil {
		_ = p.cmd.Process.Kill()
		<-p.done
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
	cmd := exec.CommandContext(ctx, path, "-c", bootstrap)
	cmd.Dir = taskRoot
	defaults := []string{"LAMBDA_TASK_ROOT=" + taskRoot, "_HANDLER=" + h.cfg.Handler, "PYTHONUNBUFFERED=1"}
	if h.opt != "" {
		defaults = append(defaults, "PYTHONPATH="+h.Opt("python"))
	}
	return h.start(cmd, "runtime", append(defaults, env...))
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
	return h.start(exec.CommandContext(ctx, path), "runtime", append([]string{"_HANDLER=" + h.cfg.Handler}, env...))
}

func (h *Host) start(cmd *exec.Cmd, name string, env []string) (*Process, error) {
	p := &Process{cmd: cmd, name: name, host: h, done: make(chan struct{})}
	cmd.Env = append(h.environment(), env...)
	cmd.Stdout, cmd.Stderr = &p.log, &p.log
	cmd.WaitDelay = time.Second // A grandchild may hold the output open.
	cmd.Cancel = func() error { return errors.Join(h.setFrozen(false), cmd.Process.Kill()) }
	h.update(func() {
		if h.init.began.IsZero() {
			h.wg.Go(h.limitInit)
		}
		h.beginInitLocked(time.Now())
		h.runtimeKnown = h.runtimeKnown || name == "runtime"
	})
	began, err := h.cgroup.start(cmd)
	if err != nil {
		return nil, fmt.Errorf("lambdatest: %w", err)
	}
	p.began = began
	h.update(func() { h.processes = append(h.processes, p) })
	h.wg.Go(func() {
		defer close(p.done)
		_ = cmd.Wait() // ProcessState says it all.
		h.update(func() {
			if e := h.extensionLocked(name); e != nil {
				e.gone = true
			}
			if !h.stopping && !h.closed() {
				h.reports = append(h.reports, Report{From: name, Call: "crash", Type: cmd.ProcessState.String()})
			}
		})
	})
	return p, nil
}

func (h *Host) environment() []string {
	env := []string{
		"AWS_LAMBDA_RUNTIME_API=" + h.Addr(),
		"AWS_LAMBDA_FUNCTION_NAME=" + h.cfg.Function,
		"AWS_LAMBDA_FUNCTION_VERSION=$LATEST",
		"AWS_LAMBDA_FUNCTION_MEMORY_SIZE=" + strconv.Itoa(h.memoryMB()),
		"AWS_LAMBDA_INITIALIZATION_TYPE=" + string(h.cfg.Init),
		"AWS_REGION=eu-central-1",
		"LANG=en_US.UTF-8",
		"PATH=" + os.Getenv("PATH"),
		"TZ=:UTC",
	}
	if h.cfg.Init == ManagedInstances {
		env = append(env, "AWS_LAMBDA_MAX_CONCURRENCY="+strconv.Itoa(h.cfg.Concurrency))
	}
	if h.cfg.Init == SnapStart {
		return append(env, "AWS_CONTAINER_CREDENTIALS_FULL_URI=http://"+h.Addr()+credentials, "AWS_CONTAINER_AUTHORIZATION_TOKEN="+SessionToken)
	}
	return append(env, "AWS_ACCESS_KEY_ID="+accessKey, "AWS_SECRET_ACCESS_KEY="+secretKey, "AWS_SESSION_TOKEN="+SessionToken)
}

// Began is the time of the process's first instruction.
func (p *Process) Began() time.Time { return p.began }

// PID is the process's number.
func (p *Process) PID() int { return p.cmd.Process.Pid }

// Log is what the process has printed so far, on both of its outputs.
func (p *Process) Log() string { return p.log.String() }

// Signal sends a signal to the process alone. [Host.Freeze] stops all of them.
func (p *Process) Signal(sig os.Signal) error { return p.cmd.Process.Signal(sig) }

// Done is closed when the process has ended.
func (p *Process) Done() <-chan struct{} { return p.done }

// Stop shuts the sandbox down and returns when the process has ended. It is an error if that took a SIGKILL, or if the
// process is an extension and exits with another code than 0.
func (p *Process) Stop(ctx context.Context) error {
	err := p.host.Shutdown(ctx, "spindown")
	select {
	case <-p.done:
	case <-ctx.Done():
		_ = p.cmd.Process.Kill()
		<-p.done
		return context.Cause(ctx)
	}
	p.host.mu.Lock()
	defer p.host.mu.Unlock()
	if p.killed != "" {
		return errors.New("lambdatest: killed: " + p.killed)
	}
	if p.name != "runtime" && !p.cmd.ProcessState.Success() {
		return fmt.Errorf("lambdatest: %s", p.cmd.ProcessState)
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
