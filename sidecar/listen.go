package sidecar

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"syscall"
	"time"
)

// ListenTCP listens on a loopback address.
func ListenTCP(ctx context.Context, addr string) (net.Listener, error) {
	var lc net.ListenConfig
	lc.SetMultipathTCP(false) // loopback has one path, and Go would first ask the kernel whether it has MPTCP
	l, err := lc.Listen(ctx, "tcp", addr)
	if err != nil {
		return nil, fmt.Errorf("sidecar: %w", err)
	}
	return l, nil
}

// ListenSocket listens on a Unix socket that only our own user may open. A dead socket of our own user is replaced. Anything else at the
// path stays, and is an error.
func ListenSocket(ctx context.Context, path string) (net.Listener, error) {
	if err := removeDead(ctx, path, os.Getuid()); err != nil {
		return nil, fmt.Errorf("sidecar: socket %s: %w", path, err)
	}
	// The mode must be right before anybody can connect. This runs once, before other goroutines create files.
	old := syscall.Umask(0o177)
	defer syscall.Umask(old)
	var lc net.ListenConfig
	l, err := lc.Listen(ctx, "unix", path)
	if err != nil {
		return nil, fmt.Errorf("sidecar: %w", err)
	}
	return l, nil
}

// removeDead removes the file at a path if it is a socket of the user on which no process listens.
func removeDead(ctx context.Context, path string, user int) error {
	info, err := os.Lstat(path)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	if info.Mode()&os.ModeSocket == 0 {
		return errors.New("exists and is no socket")
	}
	if st, ok := info.Sys().(*syscall.Stat_t); !ok || int(st.Uid) != user {
		return errors.New("belongs to another user")
	}
	d := net.Dialer{Timeout: time.Second}
	c, err := d.DialContext(ctx, "unix", path)
	if err == nil {
		_ = c.Close() // its error does not matter: nothing was sent
		return errors.New("another process serves on it")
	}
	if !errors.Is(err, syscall.ECONNREFUSED) {
		return err
	}
	return os.Remove(path)
}

// slotListener gives each connection that it accepts a slot. It goes on after a failure to accept, for example because file descriptors
// have run out. fasthttp would end at the first failure.
type slotListener struct {
	net.Listener
	ctx    context.Context //nolint:containedctx // until the server ends
	server *Server
	slots  *slots
}

func (l *slotListener) Accept() (net.Conn, error) {
	for wait := 5 * time.Millisecond; ; wait = min(2*wait, time.Second) {
		c, err := l.Listener.Accept()
		if err == nil {
			return l.withSlot(l.server.newConn(c, l.slots))
		}
		if l.ctx.Err() != nil || errors.Is(err, net.ErrClosed) {
			return nil, err
		}
		l.server.cfg.Logger.Warn("a connection was not accepted", "error", err, "again_in", wait)
		if errors.Is(err, syscall.EMFILE) || errors.Is(err, syscall.ENFILE) {
			l.slots.free()
		}
		select {
		case <-time.After(wait):
		case <-l.ctx.Done():
		}
	}
}

// withSlot waits until the connection has a slot.
func (l *slotListener) withSlot(c *timedConn) (net.Conn, error) {
	for wait := l.slots.add(c); wait > 0; wait = l.slots.add(c) {
		select {
		case <-time.After(wait):
		case <-l.ctx.Done():
			_ = c.Conn.Close()
			return nil, net.ErrClosed
		}
	}
	return c, nil
}

func (s *Server) newConn(c net.Conn, slots *slots) *timedConn {
	t := &timedConn{Conn: c, slots: slots, idle: s.cfg.IdleTimeout, headers: min(s.headerTimeout, s.readTimeout), request: s.readTimeout, last: time.Now()}
	t.word.Store(uint64(standingAt(t.last)))
	return t
}
