package sidecar

import (
	"bytes"
	"context"
	"io"
	"log/slog"
	"runtime/debug"
	"time"

	"github.com/valyala/fasthttp"

	"hearth/cache"
	"hearth/client/wire"
	"hearth/internal/clock"
	"hearth/internal/monitor"
	"hearth/sidecar/chat"
)

// request is one call on its way. Server.serve uses it again for later calls, so nothing of it may be kept when the call is
// answered.
type request struct {
	*fasthttp.RequestCtx
	server      *Server
	serverCtx   context.Context    //nolint:containedctx // until the server ends
	cancel      context.CancelFunc // of the context that was made for the call; nil: none was needed
	conn        *timedConn         // nil: the request is part of a batch
	socket      bool               // the request came over the Unix socket
	headers     headers
	route       *route // nil until it is known
	chat        []byte // of the path, as the caller spells it
	query       []parameter
	body        bytes.Buffer
	members     []member         // of the body
	limited     io.LimitedReader // of the body's stream
	directives  cache.Directives
	started     time.Time
	left        time.Duration   // what the caller's invocation has left when the request comes; 0: not told
	timeout     time.Duration   // that the caller gives this request, from when it comes; 0: none
	batchRead   time.Duration   // what its batch leaves for a read, from when it comes; 0: it is in no batch
	batchWrite  time.Duration   // what its batch leaves for a write
	batchLeft   context.Context //nolint:containedctx // ends when the caller of its batch leaves; nil: it is in no batch
	ended       time.Time       // when its reply was ready; zero: not yet
	now         clock.Instant   // when the whole request had come, by the clocks that tell how old something is
	partsMemory []chat.Part
	scratch     []byte           // for the value of a header of the reply
	onLeft      func(whole bool) // for the call of a batch: to be called once its answer has left, or cannot leave; nil: nothing is

	reading  clock.Reading    // when the headers had come
	tally    *cache.Tally     // of the request's reads
	verdicts monitor.Verdicts // where the reply came from
	evicted  bool             // nobody reads an answer

	afterwards []func() // to be called once the request is counted, or if it is part of a batch, once that is
}

// serve answers one request. broken says why the request could not be read; nil: it could.
func (s *Server) serve(ctx context.Context, f *fasthttp.RequestCtx, socket bool, broken error) {
	r := s.newRequest(ctx, f, socket)
	r.read()
	if broken != nil {
		r.started = time.Now() // fasthttp has not noted when it came
	}
	defer s.end(ctx, r)
	if r.evicted = r.conn != nil && !r.conn.enter(answering); r.evicted {
		return
	}
	s.answer(r, s.admit(r, broken))
	if r.conn != nil && r.conn.pipelined && !r.conn.admitted {
		r.SetConnectionClose() // so that one such caller cannot keep its slot with many requests sent at once
	}
}

// answer answers a request that is refused, or else has its call's handler answer it.
func (s *Server) answer(r *request, refusal *wire.Problem) {
	if refusal != nil {
		r.refuse(refusal)
		r.drain()
		return
	}
	if err := r.route.handle(s, r); err != nil {
		s.fail(r, err)
	}
}

// end is deferred by serve and handleCall. It answers for a handler that panicked, logs the request and releases it.
func (s *Server) end(ctx context.Context, r *request) {
	if p := recover(); p != nil {
		s.cfg.Logger.Error("a request's handler panicked", "panic", p, "stack", string(debug.Stack()))
		r.refuse(wire.NewProblem(wire.KindInternal, "the sidecar failed"))
	}
	s.logAccess(ctx, r)
	if !r.evicted {
		s.cfg.Monitor.Done(r.call())
	}
	if r.batchRead == 0 {
		for _, f := range r.afterwards {
			f()
		}
	}
	s.release(r)
}

// read reads the clocks. It notices a freeze that has just ended.
func (r *request) read() {
	r.reading = r.server.cfg.Pulse.Read()
	r.now = r.reading.Instant
}

// call is what the monitor wants to know of the request, whose reply is ready.
func (r *request) call() monitor.Call {
	if r.ended.IsZero() {
		r.ended = time.Now()
	}
	c := monitor.Call{
		Trace: r.headers.trace, Began: r.started, Ended: r.ended, Clock: r.reading, Status: r.Response.StatusCode(), Verdicts: r.verdicts,
	}
	c.Hits, c.Misses, c.Stale = r.tally.Counts()
	if r.route != nil {
		c.Route = r.route.seen
	}
	if r.cancel != nil {
		c.Pools = r.server.poolCounts()
	}
	return c
}

func (s *Server) newRequest(ctx context.Context, f *fasthttp.RequestCtx, socket bool) *request {
	r, used := s.requests.Get().(*request)
	if !used {
		r = &request{}
	}
	r.conn, _ = f.Conn().(*timedConn)
	r.RequestCtx, r.server, r.serverCtx, r.socket, r.started = f, s, ctx, socket, f.Time()
	if r.started.IsZero() { // fasthttp has not noted when the request came
		r.started = time.Now()
	}
	if r.tally == nil {
		r.tally = &cache.Tally{}
	}
	return r
}

// release ends the request's context, and keeps its memory for another request.
func (s *Server) release(r *request) {
	const mostBody, mostMembers = 16 << 10, 64 // bytes, and fields of a body, whose memory is kept
	if r.cancel != nil {
		r.cancel()
	}
	if r.conn != nil {
		if r.ended.IsZero() {
			r.ended = time.Now()
		}
		r.conn.answered(r.ended)
	}
	kept := request{chat: r.chat[:0], query: r.query[:0], scratch: r.scratch[:0], partsMemory: r.partsMemory[:0]}
	if r.cancel == nil { // else what the request has waited for may still count
		r.tally.Reset()
		kept.tally = r.tally
	}
	clear(r.query)
	clear(r.partsMemory)
	if cap(r.members) <= mostMembers {
		clear(r.members)
		kept.members = r.members[:0]
	}
	if r.body.Cap() <= mostBody {
		kept.body = r.body
		kept.body.Reset()
	}
	*r = kept
	s.requests.Put(r)
}

// whenLeft calls f once the answer has left whole, or cannot leave whole.
func (r *request) whenLeft(f func(whole bool)) {
	if r.conn != nil {
		r.conn.whenLeft(f)
	} else {
		r.onLeft = f
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
