// Package sidecar serves the localhost API.
//
// A request passes the door (door.go: who may ask, and what for; target.go), its route (routes.go, every call on one
// screen) and the operation behind it: history.go, relevant.go, mute.go, messages.go, preprocess.go, odoo.go and
// admin.go. Bodies are read by decode.go, which names the field at fault; cachecontrol.go and freshness.go translate
// between HTTP's caching headers and the cache; every error becomes a reply in problem.go.
//
// The package remembers nothing itself: that is in cache. It sends nothing itself: that is in pool/….
package sidecar

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"runtime/debug"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/valyala/fasthttp"
	"golang.org/x/sync/errgroup"
	"golang.org/x/sync/singleflight"

	"hearth/cache"
	"hearth/client/wire"
	"hearth/internal/clock"
	"hearth/pool"
	"hearth/pool/odoo"
	"hearth/pool/weaviate"
)

// Config of the API.
type Config struct {
	Token     string // every call but /healthz must bring it; empty: none is asked for
	TokenFrom string // the variable that Token is, or is derived from

	Weaviate *weaviate.Client // nil: its calls answer 503 with NoWeaviate
	Odoo     *odoo.Client     // nil: its calls answer 503 with NoOdoo
	// NoWeaviate and NoOdoo say which variables are missing.
	NoWeaviate, NoOdoo string
	Fault              string // what is wrong with the settings or the listeners, for /readyz; empty: nothing

	Upstreams []Upstream
	Cache     *cache.Cache
	Policies  map[cache.Resource]cache.Policy

	MappedProperties []string // of the message class: a message's own properties may not name them
	OdooModels       []string // asked for by default
	OdooRoutes       []string // routes of preprocess that want the models

	Preview int           // grapheme clusters of an older message in a prompt; default 200
	Workers int           // parts of one preprocess at the same time; default 5
	Timeout time.Duration // of any call; default 30s
	MaxBody int           // bytes; default 1 MiB

	Connections int           // at the same time, per listener; default 256: a function has 1024 file descriptors
	IdleTimeout time.Duration // of a connection; default 24h: one closed at a thaw could cross its next request

	Pulse  *clock.Pulse // every request looks for a freeze before it; nil: there are none
	Logger *slog.Logger // nil discards
}

func (c Config) withDefaults() Config {
	c.Preview = cmp.Or(c.Preview, 200)
	c.Workers = cmp.Or(c.Workers, 5)
	c.Timeout = cmp.Or(c.Timeout, 30*time.Second)
	c.MaxBody = cmp.Or(c.MaxBody, 1<<20)
	c.Connections = cmp.Or(c.Connections, 256)
	c.IdleTimeout = cmp.Or(c.IdleTimeout, 24*time.Hour)
	if c.Pulse == nil {
		c.Pulse = clock.Awake()
	}
	c.Logger = cmp.Or(c.Logger, slog.New(slog.DiscardHandler))
	return c
}

// Upstream is what readiness and statistics know of an upstream.
type Upstream struct {
	Name  string
	Pools map[string]*pool.Pool       // by protocol; a single one has no name
	Ask   func(context.Context) error // asks what requests will ask
}

// Server answers the API's calls.
type Server struct {
	cfg         Config
	muting      keyedLock     // one write of a chat's mute at a time
	reached     []atomic.Bool // of each upstream: it has answered a real question
	asking      singleflight.Group
	readTimeout time.Duration
	grace       time.Duration
	lastWords   time.Duration
}

// New makes a server. [Server.Run] starts it.
func New(cfg Config) *Server {
	return &Server{cfg: cfg.withDefaults(), muting: newKeyedLock(), reached: make([]atomic.Bool, len(cfg.Upstreams)), readTimeout: readTimeout, grace: grace, lastWords: lastWords}
}

const (
	headerBytes = 16 << 10         // request line and headers
	readTimeout = 30 * time.Second // of one request, from its first byte

	// The end takes as long as both at most.
	grace     = 100 * time.Millisecond // for requests under way to finish
	lastWords = 50 * time.Millisecond  // for those that were cancelled then to say so
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
		for _, wait := range []time.Duration{s.grace, s.lastWords} {
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

// patientListener waits where accepting fails for a while, as it does when file descriptors have run out:
// fasthttp would take that for the end.
type patientListener struct {
	net.Listener
	ctx    context.Context //nolint:containedctx // the server's life
	server *Server
}

func (l *patientListener) Accept() (net.Conn, error) {
	for wait := 5 * time.Millisecond; ; wait = min(2*wait, time.Second) {
		c, err := l.Listener.Accept()
		if err == nil {
			return &quietConn{Conn: c, server: l.server}, nil
		}
		if l.ctx.Err() != nil || errors.Is(err, net.ErrClosed) {
			return nil, err
		}
		l.server.cfg.Logger.Warn("not accepting", "error", err, "again_in", wait)
		select {
		case <-time.After(wait):
		case <-l.ctx.Done():
		}
	}
}

// quietConn may stay silent before its first request for as long as between two of them: clients keep connections that
// they have not used yet. fasthttp would count that silence as the request's time, and answer 408 to nobody's question.
type quietConn struct {
	net.Conn
	server *Server
	spoken bool // read and written by the goroutine that serves it
}

func (c *quietConn) SetReadDeadline(t time.Time) error {
	if !c.spoken {
		t = time.Now().Add(c.server.cfg.IdleTimeout)
	}
	return c.Conn.SetReadDeadline(t)
}

func (c *quietConn) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	if n > 0 && !c.spoken {
		c.spoken = true
		_ = c.SetReadDeadline(time.Now().Add(c.server.readTimeout)) // fasthttp does so from the second request on
	}
	return n, err
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

// request is one call on its way.
type request struct {
	*fasthttp.RequestCtx
	life       context.Context //nolint:containedctx // of the server, with the request's trace
	ctx        context.Context //nolint:containedctx // life until the call's timeout
	socket     bool
	chat       string // of the path
	query      fasthttp.Args
	body       []byte
	directives cache.Directives
	started    time.Time
}

// serve answers one request, also one that could not be read.
func (s *Server) serve(ctx context.Context, f *fasthttp.RequestCtx, socket bool, broken error) {
	s.cfg.Pulse.Thaws()
	r := &request{RequestCtx: f, socket: socket, started: time.Now()}
	defer func() {
		if p := recover(); p != nil {
			s.cfg.Logger.Error("panic in a request", "panic", p, "stack", string(debug.Stack()))
			s.refuse(r, problem(http.StatusInternalServerError, "internal", "the sidecar failed"))
		}
	}()
	handle, refusal := s.enter(r, broken)
	if refusal != nil {
		s.refuse(r, refusal)
		r.drain()
		return
	}
	r.life = pool.With(ctx, pool.Options{Header: traceHeaders(r)})
	var cancel context.CancelFunc
	r.ctx, cancel = s.cfg.Pulse.WithTimeout(r.life, s.cfg.Timeout)
	defer cancel()
	if err := handle(s, r); err != nil {
		if e, ok := errors.AsType[*cache.MayMissError](err); ok {
			r.Response.Header.Set("Retry-After", strconv.Itoa(retryAfter(e)))
		}
		s.refuse(r, s.problemOf(err))
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

// logger is what fasthttp logs to: connections that end early, mostly.
type logger struct{ *slog.Logger }

func (l logger) Printf(format string, args ...any) {
	l.Debug("http", "message", fmt.Sprintf(format, args...))
}
