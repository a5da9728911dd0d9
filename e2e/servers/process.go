package servers

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"runtime"
	"syscall"
	"time"
)

// process is a started server. It ends with the process that started it.
type process struct {
	name   string
	log    string // the file with its output
	cmd    *exec.Cmd
	exited chan struct{}
}

// start starts cmd with its output in the file log. If isolated, cmd is pid 1 in namespaces of its own, and all that it starts
// ends with it.
func start(name string, cmd *exec.Cmd, log string, isolated bool) (*process, error) {
	out, err := os.Create(log)
	if err != nil {
		return nil, fmt.Errorf("servers: %s: %w", name, err)
	}
	defer out.Close()
	cmd.Stdout, cmd.Stderr = out, out
	cmd.SysProcAttr = attributes(isolated)

	p := &process{name: name, log: log, cmd: cmd, exited: make(chan struct{})}
	started := make(chan error, 1)
	go func() {
		defer close(p.exited)
		// The kernel kills the child when the thread that started it ends, so this thread waits for the child.
		runtime.LockOSThread()
		err := cmd.Start()
		started <- err
		if err == nil {
			_ = cmd.Wait() // its log says why it ended
		}
	}()
	err = <-started
	if isolated && errors.Is(err, syscall.EPERM) {
		err = fmt.Errorf("%w: %w", ErrUnsupported, err)
	}
	if err != nil {
		return nil, fmt.Errorf("servers: start %s: %w", name, err)
	}
	return p, nil
}

// ready polls probe until it succeeds. If the process ends first, or is not ready in time, it is stopped.
func (p *process) ready(ctx context.Context, probe func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Minute)
	defer cancel()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		err := probe(ctx)
		if err == nil {
			return nil
		}
		select {
		case <-tick.C:
		case <-p.exited:
			return fmt.Errorf("servers: %s ended before it was ready; its log ends:\n%s", p.name, tail(p.log))
		case <-ctx.Done():
			p.stop(0)
			return fmt.Errorf("servers: %s is not ready: %w: %w, its log ends:\n%s", p.name, ctx.Err(), err, tail(p.log))
		}
	}
}

// stop ends the process and returns when it has ended: with SIGTERM first if there is a grace, and then with SIGKILL.
func (p *process) stop(grace time.Duration) {
	if grace > 0 {
		_ = p.cmd.Process.Signal(syscall.SIGTERM)
		select {
		case <-p.exited:
		case <-time.After(grace):
		}
	}
	_ = p.cmd.Process.Kill()
	<-p.exited
}

// restartable is a server that may be killed and started again at its address.
type restartable struct {
	*process
	start func(context.Context) (*process, error) // returns once it is ready
}

func startRestartable(ctx context.Context, start func(context.Context) (*process, error)) (r restartable, err error) {
	r.start = start
	r.process, err = start(ctx)
	return r, err
}

// Kill is kill -9. It returns when the server has ended.
func (r *restartable) Kill() error {
	r.stop(0)
	return nil
}

// Restart starts the server again, on the same ports and with the data that it keeps.
func (r *restartable) Restart(ctx context.Context) error {
	p, err := r.start(ctx)
	if err == nil {
		r.process = p
	}
	return err
}

// run starts cmd and waits until it ends, or kills it when ctx is done.
func run(ctx context.Context, name string, cmd *exec.Cmd, log string, isolated bool) error {
	p, err := start(name, cmd, log, isolated)
	if err != nil {
		return err
	}
	select {
	case <-p.exited:
	case <-ctx.Done():
		p.stop(0)
		return fmt.Errorf("servers: %s: %w", name, ctx.Err())
	}
	if !cmd.ProcessState.Success() {
		return fmt.Errorf("servers: %s: %s, its log ends:\n%s", name, cmd.ProcessState, tail(log))
	}
	return nil
}

// get is a probe: it succeeds if the answer is a 200.
func get(client *http.Client, req *http.Request) error {
	res, err := client.Do(req)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		return fmt.Errorf("%s: %s", req.URL, res.Status)
	}
	return nil
}

func tail(log string) []byte {
	text, _ := os.ReadFile(log)
	lines := bytes.SplitAfter(text, []byte("\n"))
	return bytes.Join(lines[max(0, len(lines)-15):], nil)
}
