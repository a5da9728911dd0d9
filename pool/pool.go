// Package pool asks one upstream over connections that it keeps warm, and hides from its callers that some of them broke
// while the sandbox was frozen.
//
// Start reading at [Pool.Do], a whole call, or [Pool.Client], the same path as an *http.Client for libraries that make their own
// requests. Every request goes through Pool.send and then through a chain of links, each an http.RoundTripper:
//
//	auth.go      adds the credentials, and sends the request again with newer ones if they are refused
//	retry.go     sends the request again, after a while, if that is safe and may help
//	redirect.go  turns a redirect into an error
//	breaker.go   refuses the request while too many of the last ones have failed
//	limit.go     takes a slot for each try
//	judge.go     tells the breaker and the limit how the try ended
//	race.go      sends the try over a second connection if the first may be broken or silent (look.go)
//	send.go      sends the request over one connection of package conn, and reads the whole answer (answer.go)
//
// options.go has what a caller may ask for, and stats.go what is counted.
//
// The connections are not those of net/http's pool, because that pool does not tell whether a connection has brought an answer since
// a freeze.
//
// The package knows nothing of the questions: they are in pool/weaviate and pool/odoo. It never repeats a request that may have
// changed something, unless the caller allows it ([Options]).
package pool

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"io"
	"maps"
	"net/http"
	"net/url"
	"strings"
	"sync"

	"hearth/pool/conn"
)

// ErrUnknownOutcome occurs when a write may have been carried out although no answer says so: it was sent, and the
// connection broke or the time was over. The pool itself says so by [Error.Sent]; the clients of the upstreams know what
// a write is, and wrap this error.
var ErrUnknownOutcome = errors.New("unknown outcome")

// Errors of a call that never reached the upstream.
var (
	// ErrOpen occurs while the [Breaker] is open: too many of the last calls have failed. [Error.RetryAfter] says how long to wait.
	ErrOpen = errors.New("circuit breaker open")
	// ErrQueueFull occurs when every slot is taken and Config.Queue callers wait already.
	ErrQueueFull = errors.New("queue full")
	// ErrClosed occurs after Close.
	ErrClosed = conn.ErrClosed
	// ErrNotAllowed occurs when Config.Control refuses every address of the upstream.
	ErrNotAllowed = errors.New("address not allowed")
	// ErrTooLarge occurs when an answer has more bytes than one may have: see [TooLargeError].
	ErrTooLarge = errors.New("answer too large")
)

// Pool asks one upstream. It is safe for concurrent use.
//
// mu guards closed, and that no call is added to calls once it is set. Nothing else happens under mu.
type Pool struct {
	cfg    Config
	base   string // URL without a trailing slash
	conns  *conn.Conns
	race   *race
	chain  http.RoundTripper // authorized → retry → redirects → breaking → limited → judged → race → sender
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
			URL: u, Proxy: cfg.Proxy, HTTP2: cfg.GRPC, Timeout: cfg.DialTimeout, RootCAs: cfg.RootCAs, Sessions: 2 * cfg.Size,
			Keep: func() bool { return cfg.Pulse.Freezes() >= cfg.KeepFrom }, Counts: &p.stats.dials,
			Resolver: cfg.Resolver, Control: cfg.Control,
		}),
		Pulse: cfg.Pulse, Size: cfg.Size, FirstWarm: cfg.FirstWarm, KeepFrom: cfg.KeepFrom, MaxIdle: cfg.MaxIdle, Shared: cfg.GRPC,
	})
	send := &sender{conns: p.conns, answers: cfg.Answers, grpc: cfg.GRPC, pulse: cfg.Pulse, stats: &p.stats, base: p.base, ping: cfg.ping(), busyIsSilent: cfg.BusyIsSilent}
	p.race = &race{next: send, pulse: cfg.Pulse, policy: cfg.Policy, stats: &p.stats, hedges: cfg.Hedges}
	p.chain = &authorized{newRetry(p.guarded(p.race), cfg, &p.stats)}
	return p, nil
}

// guarded is the chain between retries and race.
func (p *Pool) guarded(next http.RoundTripper) http.RoundTripper {
	cfg := p.cfg
	slots := &limited{limit: cfg.Limit, stats: &p.stats, next: &judged{
		next: next, breaker: cfg.Breaker, limit: cfg.Limit, pulse: cfg.Pulse, stats: &p.stats, address: p.Address(),
		ownError: cfg.OwnError, varied: cfg.Varied, timeout: cfg.Timeout, noBreaker: cfg.Policy.NoBreaker,
	}}
	if cfg.Policy.NoBreaker {
		return &redirects{next: slots, variable: cfg.Variable}
	}
	slots.breaker = cfg.Breaker
	return &redirects{next: &breaking{next: slots, breaker: cfg.Breaker, ping: p.ping}, variable: cfg.Variable}
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
	own := req.WithContext(req.Context())
	own.Header = make(http.Header, len(req.Header)+1)
	maps.Copy(own.Header, req.Header)
	if req.Body != nil && req.Body != http.NoBody {
		body, err := io.ReadAll(req.Body)
		_ = req.Body.Close()
		if err != nil {
			return nil, err
		}
		// Every try reads the body anew. A GetBody of the caller may return the same reader to two tries at once.
		own.GetBody = func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(body)), nil }
		own.Body = io.NopCloser(bytes.NewReader(body))
	}
	return p.send(own)
}

// send is RoundTrip for a request whose header may be changed, and whose GetBody returns readers that do not share anything.
func (p *Pool) send(req *http.Request) (*http.Response, error) {
	if !p.enter() {
		return nil, ErrClosed
	}
	defer p.calls.Done()
	ctx := req.Context()
	if optionsOf(ctx).probe == nil && p.rejects(ctx) { // the limit would find that out too, after more work
		return nil, ErrQueueFull
	}
	if req.Method == http.MethodGet || req.Method == http.MethodHead || p.cfg.Policy.NoWriteRule {
		ctx = With(ctx, Options{Repeatable: true})
	}
	ctx, cancel := p.cfg.Pulse.WithTimeout(ctx, p.cfg.Timeout)
	defer cancel()
	defer context.AfterFunc(p.ctx, cancel)() //nolint:contextcheck // a call ends with its pool too
	maps.Copy(req.Header, optionsOf(ctx).Header)
	if p.cfg.UserAgent != "" {
		req.Header.Set("User-Agent", p.cfg.UserAgent)
	}
	resp, err := p.chain.RoundTrip(req.WithContext(ctx))
	if secret, ok := errors.AsType[*SecretError](err); ok {
		return nil, &conn.UnsentError{Err: secret}
	}
	if err != nil {
		return nil, cmp.Or(context.Cause(p.ctx), context.Cause(ctx), err) //nolint:contextcheck // the pool's end explains it best
	}
	optionsOf(ctx).noteRetryAfter(resp)
	return resp, nil
}

// Refuse returns the error of a call that would find the queue full now; nil: the queue has room. It costs less than to begin the call.
func (p *Pool) Refuse(ctx context.Context) error {
	if p.rejects(ctx) {
		return p.Failed(false, ErrQueueFull)
	}
	return nil
}

// rejects says whether a call would find the queue full now, and if so, counts the call as rejected.
func (p *Pool) rejects(ctx context.Context) bool {
	full := p.cfg.Limit.full(optionsOf(ctx).Caller)
	if full {
		p.stats.rejected.Add(1)
	}
	return full
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

// Warm opens connections, all at the same time, until as many are open as callers have used at once so far. The first time,
// and while none was used, that is Config.FirstWarm. It returns when the dials have ended, with the errors of all, or when ctx
// ends; the dials go on then. If one connection carries all requests (HTTP/2), Warm sends a ping instead. While the breaker is open,
// Warm opens no connection, but starts a probe if one is due. After a freeze one is due.
func (p *Pool) Warm(ctx context.Context) error {
	if !p.cfg.Policy.NoBreaker {
		if err := p.cfg.Breaker.wake(p.ping); err != nil {
			return p.Failed(false, err)
		}
	}
	n, shared := p.conns.WarmTarget()
	if shared {
		return p.ping(With(ctx, Options{Background: true}))
	}
	if err := p.conns.Warm(ctx, n); err != nil {
		return p.Failed(false, err)
	}
	return nil
}

// ping sends Config.Ping.
func (p *Pool) ping(ctx context.Context) error {
	_, err := p.Do(ctx, p.cfg.Ping)
	if _, ok := errors.AsType[*RedirectError](err); ok {
		return nil // a redirect is an answer, so the connection works
	}
	return err
}

// Close refuses new calls, cancels those in flight, closes the connections and returns when all is done.
func (p *Pool) Close() {
	p.leave()
	p.cancel(ErrClosed)
	p.cfg.Breaker.Close()
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
