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
	headerBytes = 16 << 10         // request line and headers
	readTimeout = 30 * time.Second // of one request, from its first byte

	// The end takes as long as both at most.
	grace       = 100 * time.Millisecond // for requests under way to finish
	cancelGrace = 50 * time.Millisecond  // for those that were cancelled then to be answered
)

// Run serves on the listeners until ctx ends, and returns when every connection is closed: at once if all are idle.
// Requests under way may finish within a grace, are cancelled after it, and left behind if even that does not end them.
func (s *Server) Run(ctx context.Context, listeners ...net.Listener) error {
	requests, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	waiting, giveUp := context.WithCancel(context.WithoutCancel(ctx))
	defer giveUp()
	var open atomic.Int64 // listeners and connections, and Run itself until it is told to end
	open.Add(1)
	closed := make(chan struct{})
	leave := func() {
		if open.Add(-1) == 0 {
			close(closed)
		}
	}
	g, running := errgroup.WithContext(ctx)
	for _, l := range listeners {
		f := s.fasthttpServer(requests, l.Addr().Network() == "unix")
		f.ConnState = func(_ net.Conn, state fasthttp.ConnState) {
			switch state {
			case fasthttp.StateNew: // before Serve returns
				open.Add(1)
			case fasthttp.StateClosed:
				leave()
			default:
			}
		}
		open.Add(1)
		g.Go(func() error {
			defer leave()
			err := f.Serve(&patientListener{Listener: l, ctx: running, server: s})
			if running.Err() == nil {
				return err
			}
			return nil // it was told to end
		})
		g.Go(func() error {
			<-running.Done()
			_ = l.Close()                      // also where Serve has not begun: Shutdown would not know of it
			_ = f.ShutdownWithContext(waiting) // looks every 100 ms only, so that it does not notice the end by itself
			return nil
		})
	}
	g.Go(func() error {
		<-running.Done()
		leave()
		defer giveUp()
		for _, wait := range []time.Duration{s.grace, s.cancelGrace} {
			select {
			case <-closed:
				return nil
			case <-time.After(wait):
				cancel()
			}
		}
		return nil
	})
	return g.Wait()
}

func (s *Server) fasthttpServer(ctx context.Context, socket bool) *fasthttp.Server {
	return &fasthttp.Server{
		Handler:                      func(f *fasthttp.RequestCtx) { s.serve(ctx, f, socket, nil) },
		ErrorHandler:                 func(f *fasthttp.RequestCtx, err error) { s.serve(ctx, f, socket, err) },
		Name:                         wire.ServerName,
		Concurrency:                  s.cfg.Connections,
		ReadBufferSize:               headerBytes,
		ReadTimeout:                  s.readTimeout,
		WriteTimeout:                 s.readTimeout,
		IdleTimeout:                  s.cfg.IdleTimeout,
		MaxRequestBodySize:           s.cfg.MaxBody,
		StreamRequestBody:            true, // the door reads bodies, once it has seen who asks
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
	l.Debug("http", "message", fmt.Sprintf(format, args...))
}
