package sidecar

import (
	"context"
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
	serverCtx  context.Context //nolint:containedctx // the server's life, with the request's trace
	ctx        context.Context //nolint:containedctx // serverCtx until the call's timeout
	socket     bool            // it came over the Unix socket
	chat       string          // of the path, as the caller spells it
	query      fasthttp.Args
	body       []byte
	directives cache.Directives
	started    time.Time
}

// serve answers one request. broken says why the request could not be read; nil: it could.
func (s *Server) serve(ctx context.Context, f *fasthttp.RequestCtx, socket bool, broken error) {
	s.cfg.Pulse.Thaws()
	r := &request{RequestCtx: f, socket: socket, started: time.Now()}
	defer func() {
		if p := recover(); p != nil {
			s.cfg.Logger.Error("panic in a request", "panic", p, "stack", string(debug.Stack()))
			r.refuse(wire.NewProblem(wire.KindInternal, "the sidecar failed"))
		}
	}()
	handle, refusal := s.enter(r, broken)
	if refusal != nil {
		r.refuse(refusal)
		r.drain()
		return
	}
	r.serverCtx = pool.With(ctx, pool.Options{Header: traceHeaders(r)})
	var cancel context.CancelFunc
	r.ctx, cancel = s.cfg.Pulse.WithTimeout(r.serverCtx, s.cfg.Timeout)
	defer cancel()
	if err := handle(s, r); err != nil {
		s.fail(r, err)
	}
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
