package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"

	"hearth/client/wire"
	"hearth/internal/testing/testnet"
	"hearth/internal/testing/weaviatetest"
)

// each calls do with the proxy in front of every upstream.
func (g *rig) each(do func(*testnet.Proxy)) {
	for _, s := range g.servers() {
		do(s.Wire)
	}
}

// wires is a fault that do begins and undo ends, both at every proxy. A nil undo means that the fault ends by itself.
func wires(do, undo func(*testnet.Proxy)) strike {
	return func(_ context.Context, g *rig) (func() error, error) {
		g.each(do)
		if undo == nil {
			return nil, nil
		}
		return func() error { g.each(undo); return nil }, nil
	}
}

// dropped drops the flow of every open connection.
func dropped(_ context.Context, g *rig) (func() error, error) {
	var errs []error
	g.each(func(p *testnet.Proxy) { errs = append(errs, p.Drop()) })
	return func() error {
		g.each(func(p *testnet.Proxy) { p.Cut(testnet.RST) }) // a FIN of the sidecar never arrived
		return nil
	}, errors.Join(errs...)
}

// often calls do at every proxy, ten times a second.
func often(do func(*testnet.Proxy)) strike {
	return func(ctx context.Context, g *rig) (func() error, error) {
		ctx, cancel := context.WithCancel(ctx)
		var doing sync.WaitGroup
		doing.Go(func() {
			for ctx.Err() == nil {
				g.each(do)
				_ = pause(ctx, 100*time.Millisecond) // an error means that ctx has ended
			}
		})
		return func() error { cancel(); doing.Wait(); return nil }, nil
	}
}

// frozen calls do at every proxy while the sandbox is frozen. The freeze is long enough for the sidecar to notice it.
func frozen(do func(*testnet.Proxy)) strike {
	return func(ctx context.Context, g *rig) (func() error, error) {
		if err := g.sandbox.Host.Freeze(); err != nil {
			return nil, err
		}
		g.each(do)
		err := pause(ctx, 1200*time.Millisecond)
		return nil, errors.Join(err, g.sandbox.Host.Thaw())
	}
}

// silence makes old and new connections silent.
func silence(of ...upstream) strike {
	return func(_ context.Context, g *rig) (func() error, error) {
		for _, u := range of {
			g.server(u).Wire.Swallow(true)
			g.server(u).Wire.BlackHole()
		}
		return func() error {
			for _, u := range of {
				g.server(u).Wire.Swallow(false)
			}
			return nil
		}, nil
	}
}

// restart ends the upstreams, and starts them again after a while.
func restart(down time.Duration) strike {
	return func(_ context.Context, g *rig) (func() error, error) {
		var restarts errgroup.Group
		g.each(func(p *testnet.Proxy) { restarts.Go(func() error { return p.Restart(down) }) }) //nolint:contextcheck // the proxy's listener lives as long as the proxy
		return restarts.Wait, nil
	}
}

// resolving changes what the name server does, and closes all connections.
func resolving(mode testnet.Resolving) strike {
	return func(_ context.Context, g *rig) (func() error, error) {
		g.names.Set(mode)
		g.each(func(p *testnet.Proxy) { p.Cut(testnet.FIN) })
		return func() error { g.names.Set(testnet.Answer); return nil }, nil
	}
}

// presenting changes the certificates, and closes all connections.
func presenting(which testnet.Certificate) strike {
	return func(_ context.Context, g *rig) (func() error, error) {
		for _, s := range g.servers() {
			s.Present(which)
			s.Wire.Cut(testnet.FIN)
		}
		return func() error {
			for _, s := range g.servers() {
				s.Present(testnet.Good)
			}
			return nil
		}, nil
	}
}

// speaking replaces the upstreams by a server that sends the words on every connection, and closes it.
func speaking(words string) strike {
	return func(ctx context.Context, g *rig) (func() error, error) {
		l, err := new(net.ListenConfig).Listen(ctx, "tcp", "127.0.0.1:0")
		if err != nil {
			return nil, err
		}
		var serving sync.WaitGroup
		serving.Go(func() {
			for {
				c, err := l.Accept()
				if err != nil {
					return
				}
				_, _ = c.Write([]byte(words)) // an error means that the client has left
				_ = c.Close()
			}
		})
		g.each(func(p *testnet.Proxy) { p.Detour(l.Addr().String()); p.Cut(testnet.FIN) })
		return func() error {
			g.each(func(p *testnet.Proxy) { p.Detour("") })
			err := l.Close()
			serving.Wait()
			return err
		}, nil
	}
}

// forASecond ends a fault after a second.
func forASecond(s strike) strike {
	return func(ctx context.Context, g *rig) (func() error, error) {
		lift, err := s(ctx, g)
		if err != nil {
			return nil, err
		}
		var lifting errgroup.Group
		lifting.Go(func() error { return errors.Join(pause(ctx, time.Second), lift()) })
		return lifting.Wait, nil
	}
}

// failingObjects makes Weaviate refuse every message of the assistant, and every mute.
func failingObjects(_ context.Context, g *rig) (func() error, error) {
	g.upstreams.Weaviate.SetFailBatch(func(o weaviatetest.Object) error {
		if o.Class == "Message" && o.Properties["role"] == wire.RoleUser {
			return nil
		}
		return errors.New("no space left on device")
	})
	return func() error { g.upstreams.Weaviate.SetFailBatch(nil); return nil }, nil
}

// loaded makes each request cost an upstream some time.
func loaded(d time.Duration) strike {
	return func(_ context.Context, g *rig) (func() error, error) {
		set := func(d time.Duration) { g.upstreams.Weaviate.SetLatency(d); g.upstreams.Odoo.SetLatency(d) }
		set(d)
		return func() error { set(0); return nil }, nil
	}
}

// outOfFiles leaves the sidecar no file descriptor for a new connection. The connections of its callers are open already.
func outOfFiles(ctx context.Context, g *rig) (func() error, error) {
	var callers sync.WaitGroup
	for range 3 * len(calls()) {
		callers.Go(func() {
			g.send(ctx, &reply{attempt: attempt{method: http.MethodGet, path: wire.PathReady}})
		})
	}
	callers.Wait()
	var usual unix.Rlimit
	pid := g.sandbox.Extension.PID()
	if err := unix.Prlimit(pid, unix.RLIMIT_NOFILE, nil, &usual); err != nil {
		return nil, fmt.Errorf("prlimit: %w", err)
	}
	limit := unix.Rlimit{Cur: 1, Max: usual.Max}
	if err := unix.Prlimit(pid, unix.RLIMIT_NOFILE, &limit, nil); err != nil {
		return nil, fmt.Errorf("prlimit: %w", err)
	}
	g.each(func(p *testnet.Proxy) { p.Cut(testnet.RST) })
	// A caller that connects now gets no descriptor either. It must be served once there is one again.
	var caller errgroup.Group
	caller.Go(func() error {
		fresh := *g.http
		fresh.Transport = g.transport()
		defer fresh.CloseIdleConnections()
		r := &reply{attempt: attempt{method: http.MethodGet, path: wire.PathHealth}}
		sendBy(ctx, &fresh, g.token, r)
		if r.err != nil {
			return fmt.Errorf("a caller that came while there was no descriptor: %w", r.err)
		}
		return nil
	})
	return func() error {
		return errors.Join(unix.Prlimit(pid, unix.RLIMIT_NOFILE, &usual, nil), caller.Wait())
	}, nil
}
