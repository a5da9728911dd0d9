package sidecar

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"sync/atomic"
	"time"

	"github.com/valyala/fasthttp"
	"golang.org/x/sync/errgroup"

	"hearth/client/wire"
)

const (
	headerBytes = 16 << 10            // request line and headers
	writeBytes  = 1<<10 + maxKeptBody // headers and a usual reply leave in one write
	readTimeout = 30 * time.Second    // of one request, from its first byte

	headerTimeout = 10 * time.Second // readTimeout of a caller that is not admitted: see slots

	// The end takes as long as both at most.
	grace       = 100 * time.Millisecond // for requests under way to finish
	cancelGrace = 50 * time.Millisecond  // for cancelled requests to be answered
)

// Run serves on the listeners until ctx ends or one of them fails. Then it
//
//  1. accepts no new connection, and closes the idle connections;
//  2. waits for the requests under way to finish, for at most grace;
//  3. cancels the others, and waits for their answers, for at most cancelGrace;
//  4. returns, even if a handler does not end with its context.
//
// It returns as soon as the last connection is closed.
func (s *Server) Run(ctx context.Context, listeners ...net.Listener) error {
	requests, cancelRequests := context.WithCancel(context.WithoutCancel(ctx))
	defer cancelRequests()
	shutdowns, abandonShutdowns := context.WithCancel(context.WithoutCancel(ctx))
	defer abandonShutdowns()

	open := newUses() // one use for each listener and each connection, and one for Run itself until ctx ends
	open.add()
	g, running := errgroup.WithContext(ctx)
	for _, l := range listeners {
		f := s.fasthttpServer(requests, l.Addr().Network() == "unix")
		f.ConnState = func(c net.Conn, state fasthttp.ConnState) {
			switch state {
			case fasthttp.StateNew: // before Serve returns
				open.add()
			case fasthttp.StateActive:
				c.(*timedConn).begins() //nolint:forcetypeassert // slotListener accepts no other
			case fasthttp.StateClosed:
				open.done()
			default:
			}
		}
		open.add()
		g.Go(func() error {
			defer open.done()
			err := f.Serve(&slotListener{Listener: l, ctx: running, server: s, slots: newSlots(s.cfg.Connections, s.cfg.Token == "", s.cfg.Logger)})
			if running.Err() != nil {
				return nil // it was told to end
			}
			return err
		})
		g.Go(func() error {
			<-running.Done()
			_ = l.Close()                        // Shutdown closes the listener only if Serve has begun
			_ = f.ShutdownWithContext(shutdowns) // it polls every 100 ms whether all is closed; open tells that at once
			return nil
		})
	}
	g.Go(func() error {
		defer abandonShutdowns()
		<-running.Done()
		open.done()
		if !open.end(s.grace) {
			cancelRequests()
			open.end(s.cancelGrace)
		}
		return nil
	})
	return g.Wait()
}

// uses counts the uses of something. When the last use is done, ended is closed; no use may be added after that.
type uses struct {
	n     atomic.Int64
	ended chan struct{}
}

func newUses() *uses { return &uses{ended: make(chan struct{})} }

func (u *uses) add() { u.n.Add(1) }

func (u *uses) done() {
	if u.n.Add(-1) == 0 {
		close(u.ended)
	}
}

// end waits until the last use is done, for at most d, and says whether it is done.
func (u *uses) end(d time.Duration) bool {
	select {
	case <-u.ended:
		return true
	case <-time.After(d):
		return false
	}
}

func (s *Server) fasthttpServer(ctx context.Context, socket bool) *fasthttp.Server {
	return &fasthttp.Server{ // its timeouts are those of timedConn, and slots bound its connections
		Handler:                      func(f *fasthttp.RequestCtx) { s.serve(ctx, f, socket, nil) },
		ErrorHandler:                 func(f *fasthttp.RequestCtx, err error) { s.serve(ctx, f, socket, err) },
		HeaderReceived:               s.headReceived,
		Name:                         wire.ServerName,
		ReadBufferSize:               headerBytes,
		WriteBufferSize:              writeBytes,
		MaxRequestBodySize:           s.cfg.MaxBody,
		StreamRequestBody:            true, // the door reads the body after it has checked the token
		CloseOnShutdown:              true,
		SecureErrorLogMessage:        true,
		NoDefaultDate:                true,
		Logger:                       logger{s.cfg.Logger},
		DisablePreParseMultipartForm: true,
	}
}

// logger is what fasthttp logs to: connections that end early, mostly.
type logger struct{ *slog.Logger }

func (l logger) Printf(format string, args ...any) {
	l.Debug("HTTP server", "message", fmt.Sprintf(format, args...))
}
