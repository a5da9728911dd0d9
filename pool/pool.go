// Package pool keeps warm connections to one upstream and says who may use them when.
//
// Start reading at [Pool.Do], a whole call, or [Pool.Client], the same path as an *http.Client for libraries
// that bring their own requests. Either way a request takes a slot (limit.go), is tried again where that is
// safe (retry.go; never a redirect, redirect.go), and each try goes over a connection (exchange.go) out of those that are open (conns.go) or are
// opened (transport.go). What happens is counted (stats.go).
//
// The connections are the package's own, not net/http's pool: a sandbox freezes between invocations, and only who
// owns a connection can know whether it has proved itself since.
//
// The package knows nothing of what is asked: that is in pool/weaviate and pool/odoo. It never retries a
// request that may have changed something unless the caller said that it may ([Options]).
package pool

import (
	"cmp"
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"math"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"hearth/internal/clock"
	"hearth/pool/conn"
)

// ErrUnknownOutcome occurs when a write may have been carried out although no answer says so: it was sent, and the
// connection broke or the time was over. The pool itself says so by [Error.Sent]; the clients of the upstreams know what
// a write is, and wrap this error.
var ErrUnknownOutcome = errors.New("unknown outcome")

// Errors of a call that never reached the upstream.
var (
	// ErrQueueFull occurs when every slot is taken and Config.Queue callers wait already.
	ErrQueueFull = errors.New("queue full")
	// ErrClosed occurs after Close.
	ErrClosed = conn.ErrClosed
	// ErrTooLarge is what a [TooLargeError] wraps.
	ErrTooLarge = errors.New("answer too large")
)

// Config of one upstream.
type Config struct {
	Name        string                // of the upstream, in errors, logs and statistics
	URL         string                // http or https, with an optional path prefix
	GRPC        bool                  // speak HTTP/2 alone, without TLS too, and read answers as gRPC writes them
	Size        int                   // requests at the same time and connections kept; default 5
	FirstWarm   int                   // connections that the first [Pool.Warm] opens; default Size
	Queue       int                   // callers that may wait for a slot; default as [NewLimit] has it
	Limit       *Limit                // shared with other pools of the upstream; nil: one of its own, of Size and Queue
	Timeout     time.Duration         // of one call, retries and waiting included; default 5s
	DialTimeout time.Duration         // of one TCP connection, and of one TLS handshake; default 3s or Timeout
	MaxIdle     time.Duration         // after which an unused connection is closed; default 50s
	Answers     *Answers              // how much memory answers may take; nil: 32 MiB each
	Retries     int                   // of a repeatable call after its first try; default 2, negative none
	RootCAs     func() *x509.CertPool // called once, before the first dial; nil: the system's
	Ping        Request               // a cheap request that proves a connection, whatever its answer; default GET /
	Pulse       *clock.Pulse          // notices freezes; nil: there are none
	KeepFrom    uint64                // freezes from which on connections are kept: before, each ends with its request
	UserAgent   string                // of every request, whatever library made it; empty: the request's own
	Variable    string                // that holds URL, to be named where the address is wrong
	Logger      *slog.Logger          // nil discards

	Policy Policy // what the pool does about connections that broke unseen; the zero value does all of it
}

// Policy says what a pool leaves out of that which hides broken connections from callers. Who measures what a part of it
// is good for leaves that part out; nobody else should.
type Policy struct {
	NoRace   bool // after a freeze a request waits for its connection, dead or alive, until its time is over
	NoReplay bool // a connection that breaks fails its request; there are no retries either: they would send it again, only later
}

func (c Config) withDefaults() Config {
	c.Size = cmp.Or(c.Size, 5)
	c.Timeout = cmp.Or(c.Timeout, 5*time.Second)
	c.DialTimeout = cmp.Or(c.DialTimeout, min(3*time.Second, c.Timeout))
	c.MaxIdle = cmp.Or(c.MaxIdle, 50*time.Second)
	c.FirstWarm = min(cmp.Or(c.FirstWarm, c.Size), c.Size)
	if c.Answers == nil {
		c.Answers = NewAnswers(32<<20, math.MaxInt64)
	}
	c.Retries = max(0, cmp.Or(c.Retries, 2))
	if c.Policy.NoReplay {
		c.Retries = 0
	}
	if c.Ping.Method == "" {
		c.Ping = Request{Method: http.MethodGet, Path: "/"}
	}
	if c.Pulse == nil {
		c.Pulse = clock.Awake()
	}
	if c.Limit == nil {
		c.Limit = NewLimit(c.Size, c.Queue, c.Pulse)
	}
	c.Logger = cmp.Or(c.Logger, slog.New(slog.DiscardHandler))
	return c
}

// validate returns the URL, or all that is wrong.
func (c Config) validate() (*url.URL, error) {
	var faults []error
	fault := func(format string, args ...any) {
		faults = append(faults, fmt.Errorf("pool %s: "+format, append([]any{c.Name}, args...)...))
	}
	name := cmp.Or(c.Variable, "the URL")
	u, err := url.Parse(c.URL)
	switch {
	case err != nil:
		fault("%s cannot be parsed", name) // url.Error repeats the URL, and with it a password
	case u.Scheme != "http" && u.Scheme != "https", u.Host == "":
		fault("%s must be http://host or https://host", name)
	case u.User != nil, u.RawQuery != "", u.ForceQuery, u.Fragment != "":
		fault("%s must hold no user, query or fragment", name)
	}
	for _, n := range []struct {
		field string
		value int64
	}{
		{"Size", int64(c.Size)}, {"FirstWarm", int64(c.FirstWarm)}, {"Queue", int64(c.Queue)},
		{"Timeout", int64(c.Timeout)}, {"DialTimeout", int64(c.DialTimeout)}, {"MaxIdle", int64(c.MaxIdle)},
	} {
		if n.value < 0 {
			fault("%s must not be negative", n.field)
		}
	}
	return u, errors.Join(faults...)
}

// Pool asks one upstream. It is safe for concurrent use.
//
// mu guards closed, and that no call is added to calls once it is set. Nothing else happens under mu.
type Pool struct {
	cfg    Config
	base   string // URL without a trailing slash
	conns  *conn.Conns
	race   *race
	chain  http.RoundTripper // retry → redirects → limited → race → sender
	stats  counters
	client *http.Client

	ctx    context.Context //nolint:containedctx // the pool's own life: Close ends it, and with it what is in flight
	cancel context.CancelCauseFunc

	mu     sync.Mutex
	closed bool
	calls  sync.WaitGroup // calls under way
}

// New makes a pool. It opens no connection: see [Pool.Warm].
func New(cfg Config) (*Pool, error) { return build(cfg, conn.NewDial) }

func build(cfg Config, newDial func(conn.DialConfig) conn.Dial) (*Pool, error) {
	u, err := cfg.validate()
	if err != nil {
		return nil, err
	}
	cfg = cfg.withDefaults()
	p := &Pool{cfg: cfg, base: strings.TrimSuffix(u.String(), "/")}
	p.ctx, p.cancel = context.WithCancelCause(context.Background())
	p.client = &http.Client{
		Transport:     p,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	p.conns = conn.New(p.ctx, conn.Config{
		Dial: newDial(conn.DialConfig{
			URL: u, HTTP2: cfg.GRPC, Timeout: cfg.DialTimeout, RootCAs: cfg.RootCAs, Sessions: 2 * cfg.Size,
			Keep: func() bool { return cfg.Pulse.Thaws() >= cfg.KeepFrom }, Counts: &p.stats.dials,
		}),
		Pulse: cfg.Pulse, Size: cfg.Size, FirstWarm: cfg.FirstWarm, KeepFrom: cfg.KeepFrom, MaxIdle: cfg.MaxIdle, Shared: cfg.GRPC,
	})
	send := &sender{conns: p.conns, answers: cfg.Answers, grpc: cfg.GRPC, pulse: cfg.Pulse, stats: &p.stats}
	p.race = &race{next: send, pulse: cfg.Pulse, policy: cfg.Policy, stats: &p.stats}
	slots := &limited{next: p.race, limit: cfg.Limit, stats: &p.stats}
	p.chain = newRetry(&redirects{next: slots, variable: cfg.Variable}, cfg, &p.stats)
	return p, nil
}

// Name of the upstream.
func (p *Pool) Name() string { return p.cfg.Name }

// BaseURL is the upstream's address without a trailing slash.
func (p *Pool) BaseURL() string { return p.base }

// MaxAnswer is how many bytes one answer may have.
func (p *Pool) MaxAnswer() int64 { return p.cfg.Answers.Each() }

// Client sends its requests through the pool: for libraries that want an *http.Client.
func (p *Pool) Client() *http.Client { return p.client }

// RoundTrip sends req through the chain of links, and ends with Config.Timeout or with the pool. The answer is read whole.
func (p *Pool) RoundTrip(req *http.Request) (*http.Response, error) {
	if !p.enter() {
		return nil, ErrClosed
	}
	defer p.calls.Done()
	ctx := req.Context()
	if req.Method == http.MethodGet || req.Method == http.MethodHead {
		ctx = With(ctx, Options{Repeatable: true})
	}
	ctx, cancel := p.cfg.Pulse.WithTimeout(ctx, p.cfg.Timeout)
	defer cancel()
	defer context.AfterFunc(p.ctx, cancel)() //nolint:contextcheck // a call ends with its pool too
	out := req.Clone(ctx)
	maps.Copy(out.Header, optionsOf(ctx).Header)
	if p.cfg.UserAgent != "" {
		out.Header.Set("User-Agent", p.cfg.UserAgent)
	}
	resp, err := p.chain.RoundTrip(out)
	if err != nil {
		return nil, cmp.Or(context.Cause(p.ctx), context.Cause(ctx), err) //nolint:contextcheck // the pool's end explains it best
	}
	return resp, nil
}

// enter begins a call, unless the pool is closed. It ends with calls.Done.
func (p *Pool) enter() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return false
	}
	p.calls.Add(1)
	return true
}

// Warm opens as many connections as callers have had in use at once so far, or Config.FirstWarm the first time and before the
// first of them, all at the same time, and closes those that were idle for too long. It returns when the dials have ended, with
// the errors of all, or when ctx ends; the dials go on then. An HTTP/2 connection serves all requests: it gets a
// ping instead.
func (p *Pool) Warm(ctx context.Context) error {
	n, shared := p.conns.Usual()
	if shared {
		_, err := p.Do(With(ctx, Options{Background: true}), p.cfg.Ping)
		if _, ok := errors.AsType[*RedirectError](err); ok {
			return nil // an answer, whatever it says
		}
		return err
	}
	if err := p.conns.Warm(ctx, n); err != nil {
		return &Error{Upstream: p.cfg.Name, Address: p.Address(), Err: err}
	}
	return nil
}

// Close refuses new calls, cancels those in flight, closes the connections and returns when all is done.
func (p *Pool) Close() {
	p.leave()
	p.cancel(ErrClosed)
	p.conns.Close()
	p.calls.Wait()
	p.race.tries.Wait()
}

func (p *Pool) leave() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.closed = true
}

// unwrapURLError drops the method and URL that net/http puts before an error: the URL says nothing that the
// upstream's name does not say.
func unwrapURLError(err error) error {
	if u, ok := errors.AsType[*url.Error](err); ok {
		return u.Err
	}
	return err
}
