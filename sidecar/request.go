package sidecar

import (
	"context"
	"log/slog"
	"net/http"
	"runtime/debug"
	"time"

	"github.com/valyala/fasthttp"

	"hearth/cache"
	"hearth/client/wire"
	"hearth/pool"
)

// request is one call on its way.
type request struct {
	*fasthttp.RequestCtx
	serverCtx  context.Context //nolint:containedctx // until the server ends, with the request's trace
	ctx        context.Context //nolint:containedctx // serverCtx until the call's timeout
	socket     bool            // the request came over the Unix socket
	route      *route          // nil until it is known
	chat       string          // of the path, as the caller spells it
	query      fasthttp.Args
	body       []byte
	directives cache.Directives
	started    time.Time
}

// serve answers one request. broken says why the request could not be read; nil: it could.
func (s *Server) serve(ctx context.Context, f *fasthttp.RequestCtx, socket bool, broken error) {
	s.cfg.Pulse.Freezes() // notices a freeze that has just ended
	r := &request{RequestCtx: f, socket: socket, started: time.Now()}
	defer s.logAccess(ctx, r)
	defer func() {
		if p := recover(); p != nil {
			s.cfg.Logger.Error("a request's handler panicked", "panic", p, "stack", string(debug.Stack()))
			r.refuse(wire.NewProblem(wire.KindInternal, "the sidecar failed"))
		}
	}()
	if refusal := s.admit(r, broken); refusal != nil {
		r.refuse(refusal)
		r.drain()
		return
	}
	r.serverCtx = pool.With(ctx, pool.Options{Header: traceHeaders(r)})
	var cancel context.CancelFunc
	r.ctx, cancel = s.cfg.Pulse.WithTimeout(r.serverCtx, s.cfg.Timeout)
	defer cancel()
	if err := r.route.handle(s, r); err != nil {
		s.fail(r, err)
	}
}

// logAccess logs an answered request. The route's pattern stands for the path: the log must not hold a chat's id.
func (s *Server) logAccess(ctx context.Context, r *request) {
	if !s.cfg.Logger.Enabled(ctx, slog.LevelDebug) {
		return
	}
	route := ""
	if r.route != nil {
		route = r.route.path
	}
	s.cfg.Logger.LogAttrs(ctx, slog.LevelDebug, "request answered",
		slog.String("method", string(r.Method())), slog.String("route", route), slog.Int("status", r.Response.StatusCode()),
		slog.Duration("duration", time.Since(r.started)), slog.Int("bytes", len(r.Response.Body())))
}

// traceHeaders are the request's headers that go on to the upstreams.
func traceHeaders(r *request) http.Header {
	var h http.Header
	for _, name := range []string{"Traceparent", "Tracestate", "X-Amzn-Trace-Id"} {
		if v := r.Request.Header.Peek(name); len(v) > 0 {
			if h == nil {
				h = http.Header{}
			}
			h[name] = []string{string(v)}
		}
	}
	return h
}
