package rig

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"sync/atomic"
	"syscall"
	"time"
)

// Process is a started program. It ends with the process that started it. Stop it.
type Process struct {
	In  io.WriteCloser // its standard input
	Out io.ReadCloser  // its standard output
	PID int

	name   string
	log    string // the file with its standard error
	exited chan struct{}
	cmd    *exec.Cmd
}

// Start starts a program with the environment env. Its standard error is kept for the errors that [Process.Failed] makes.
func (r *Rig) Start(ctx context.Context, env []string, program string, args ...string) (*Process, error) {
	name := filepath.Base(program)
	log, err := os.Create(filepath.Join(r.Dir, fmt.Sprintf("%s.%d.log", name, r.started.Add(1))))
	if err != nil {
		return nil, fmt.Errorf("rig: %s: %w", name, err)
	}
	defer log.Close()
	p := &Process{name: name, log: log.Name(), exited: make(chan struct{}), cmd: exec.CommandContext(ctx, program, args...)}
	p.cmd.Env, p.cmd.Stderr = env, log
	p.cmd.SysProcAttr = attributes()
	p.cmd.Cancel = func() error { return p.cmd.Process.Signal(syscall.SIGTERM) } // a server that is killed may leave its workers behind
	in, inErr := p.cmd.StdinPipe()
	out, outErr := p.cmd.StdoutPipe()
	if err := errors.Join(inErr, outErr); err != nil {
		return nil, fmt.Errorf("rig: %s: %w", name, err)
	}
	p.In, p.Out = in, out
	started := make(chan error, 1)
	go func() {
		defer close(p.exited)
		runtime.LockOSThread() // the kernel ends the child when the thread that started it ends, so this thread waits for the child
		err := p.cmd.Start()
		started <- err
		if err == nil {
			_, _ = p.cmd.Process.Wait() // not cmd.Wait, which closes Out while it may still be read
		}
	}()
	if err := <-started; err != nil {
		return nil, fmt.Errorf("rig: start %s: %w", name, err)
	}
	p.PID = p.cmd.Process.Pid
	return p, nil
}

// Stop ends the process, and returns when it has ended.
func (p *Process) Stop() {
	_ = p.In.Close()
	_ = p.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-p.exited:
	case <-time.After(5 * time.Second):
		_ = p.cmd.Process.Kill()
		<-p.exited
	}
	_ = p.Out.Close()
}

// Failed adds what the process has written to its standard error to err, which must not be nil.
func (p *Process) Failed(err error) error {
	text, _ := os.ReadFile(p.log)
	return fmt.Errorf("%s: %w\n%s", p.name, err, text[max(0, len(text)-4000):])
}

// Ready waits until probe succeeds.
func (p *Process) Ready(ctx context.Context, probe func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for {
		err := probe(ctx)
		if err == nil {
			return nil
		}
		select {
		case <-tick.C:
		case <-p.exited:
			return p.Failed(errors.New("it ended before it was ready"))
		case <-ctx.Done():
			return p.Failed(fmt.Errorf("it is not ready: %w", err))
		}
	}
}

// Listens is a probe: somebody listens at the address.
func Listens(network, address string) func(context.Context) error {
	return func(ctx context.Context) error {
		conn, err := new(net.Dialer).DialContext(ctx, network, address)
		if err != nil {
			return err
		}
		return conn.Close()
	}
}

// FreeAddress is a loopback address at which nobody listens. Its port is below the range from which the kernel takes ports for
// connections, so that no connection takes the port before a server listens.
func (r *Rig) FreeAddress(ctx context.Context) (string, error) {
	for range 1000 {
		address := net.JoinHostPort("127.0.0.1", strconv.Itoa(20000+int(r.port.Add(1)+uint32(os.Getpid()))%12000))
		l, err := new(net.ListenConfig).Listen(ctx, "tcp", address)
		if err == nil {
			return address, l.Close()
		}
	}
	return "", errors.New("rig: no free port on 127.0.0.1")
}

// counter makes names and ports differ.
type counter = atomic.Uint32
