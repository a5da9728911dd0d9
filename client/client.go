// Package client calls Hearth from a Lambda handler written in Go.
//
// Start with [New] and [FromEnv], once per sandbox, and with [Client.Preprocess]: one call to localhost fetches what a
// chatbot needs before it can answer. Every call of the API is a method: chats.go has those of a chat, odoo.go those of
// Odoo, fetch.go those of other hosts, admin.go those of the sidecar itself. The package wire holds the types of requests and replies; names.go gives
// them names here too. [Timed] measures what the handler does, and [Client.Invocation] sends what was measured to Hearth.
//
// If Hearth refuses a call or cannot answer it, the error is a *[Problem], whose Kind says what went wrong: wire's
// constants name the kinds. [ErrUnreachable] means that no Hearth listens; a handler should go on without it.
//
// The client talks to the sidecar alone and caches nothing. The sidecar talks to Weaviate and Odoo.
package client

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"time"
)

// Errors of a call without an answer. If a context ended, its own error is wrapped.
var (
	// ErrUnreachable occurs if nothing listens at Hearth's address, or another program does. Nothing was sent.
	ErrUnreachable = errors.New("hearth: not reached: is its layer attached to the function, and did the extension start?")
	// ErrUnknownOutcome occurs if a write was sent and no answer came. The write may have been done or not.
	ErrUnknownOutcome = errors.New("hearth: unknown outcome")
)

const (
	connectTimeout = time.Second     // for a connection and its greeting
	idleTimeout    = 5 * time.Minute // less than the sidecar's, which must not close a connection that takes a request
	maxConnections = 64              // connections at the same time; further calls wait
	maxReply       = 64 << 20        // bytes of a reply's body
	defaultTimeout = 31 * time.Second
)

// Config says where Hearth is. [FromEnv] fills it in.
type Config struct {
	// Socket is the path of Hearth's Unix socket. Default: none.
	Socket string
	// Addr is a loopback host and a port. If Socket is set too, Addr is tried only where the socket does not exist or has no
	// listener, and a wrong Addr is an error only then. Default: DefaultAddr if Socket is empty, else none.
	Addr string
	// Token is the value of the header X-Hearth-Token. Default: no such header.
	Token string
	// Timeout bounds a call whose context ends later or never. Default 31s: the sidecar gives up after 30s, and its answer says so.
	// The sidecar is told a shorter timeout, as it is told the end of the context. A preprocess asks the sidecar to answer a second
	// before the timeout, with the parts that it has.
	Timeout time.Duration
	// Output is where [Timed] prints its lines. It must be safe for concurrent use. Default: stdout.
	Output io.Writer
}

func (c Config) withDefaults() Config {
	if c.Socket == "" {
		c.Addr = cmp.Or(c.Addr, DefaultAddr)
	}
	c.Timeout = cmp.Or(c.Timeout, defaultTimeout)
	c.Output = cmp.Or[io.Writer](c.Output, os.Stdout)
	return c
}

func (c Config) validate() error {
	var faults []error
	if c.Socket == "" { // beside a socket a wrong Addr does no harm
		if err := checkAddr(c.Addr); err != nil {
			faults = append(faults, fmt.Errorf("hearth: %w", err))
		}
	}
	if c.Timeout < 0 {
		faults = append(faults, errors.New("hearth: Timeout must not be negative"))
	}
	return errors.Join(faults...)
}

// Client calls one Hearth over connections that it keeps open. It is safe for concurrent use.
type Client struct {
	cfg  Config
	http *http.Transport // used as a RoundTripper: no redirects, no cookies

	unsent unsent
}

// New makes a client. It opens no connection yet, so Hearth may start later. The error names everything that is wrong with cfg.
func New(cfg Config) (*Client, error) {
	cfg = cfg.withDefaults()
	if err := cfg.validate(); err != nil {
		return nil, err
	}
	c := &Client{cfg: cfg}
	c.http = &http.Transport{
		Proxy:               nil, // calls to localhost never go through a proxy
		DialContext:         func(ctx context.Context, _, _ string) (net.Conn, error) { return c.dial(ctx) },
		DisableCompression:  true,
		MaxIdleConnsPerHost: maxConnections, // all are kept, because handlers call in bursts
		MaxConnsPerHost:     maxConnections,
		IdleConnTimeout:     idleTimeout, // net/http looks at the wall clock, so a freeze counts
	}
	return c, nil
}

// Close closes the idle connections. The client can still be used.
func (c *Client) Close() { c.http.CloseIdleConnections() }

// Option changes one call.
type Option func(*call)

// WithHeader adds a header to the request: Cache-Control, such as "no-cache" or "max-stale=60", or a traceparent. With
// If-None-Match a reply that has not changed is a [Problem] of status 304.
func WithHeader(name, value string) Option {
	return func(c *call) { c.header.Set(name, value) }
}

// WithReply stores the reply's headers in h. Cache-Status says whether the reply came from the cache, Age how old it is in
// seconds, Server-Timing what took how many milliseconds. If no reply comes, h does not change.
func WithReply(h *http.Header) Option {
	return func(c *call) { c.headersInto = h }
}
