// Package client calls Hearth from a Lambda handler written in Go.
//
// Start at [New] with [FromEnv], once per sandbox, and at [Client.Preprocess]: all that a chatbot needs before it
// can answer, in one call to localhost. Every call of the API is a method: those of a chat are in chats.go, Odoo's
// in odoo.go, those of the sidecar itself in admin.go. The types that travel are in the package wire; names.go has them here too.
//
// What Hearth refuses or cannot do is a *[Problem]; [ErrUnreachable] says that there is no Hearth, which a handler
// should survive. Nothing here speaks to Weaviate, to Odoo or to any other host, and nothing is cached: the sidecar
// does that, for all handlers alike.
package client

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"time"
)

// Errors of a call that brought no answer. A context that ended shows as its own error.
var (
	// ErrUnreachable occurs when nobody listens where Hearth should, or somebody else does. Nothing was sent.
	ErrUnreachable = errors.New("hearth: not reached: is its layer attached to the function, and did the extension start?")
	// ErrUnknownOutcome occurs when a write was sent and no answer came: it may have happened or not.
	ErrUnknownOutcome = errors.New("hearth: unknown outcome")
)

const (
	connectTimeout = time.Second     // of a connection and its greeting
	idleTimeout    = 5 * time.Minute // less than the sidecar's, so that no connection ends under a request
	maxIdle        = 16              // connections kept
	maxConnections = 64              // at the same time; more calls than that wait
	maxReply       = 64 << 20        // bytes of a reply's body
)

// Config says where Hearth is. [FromEnv] fills it in.
type Config struct {
	// Socket is the path of Hearth's Unix socket. Where Addr is set as well, it stands in for a socket that does
	// not exist or that nobody listens on.
	Socket string
	Addr   string // host and port, loopback only; DefaultAddr if Socket is empty too. Beside a socket a wrong one is left out

	Token string // what X-Hearth-Token says; empty: the header is left out

	// Timeout of a call whose context ends later or never. Default 31s: the sidecar gives up after 30s and says so.
	// A preprocess asks the sidecar to answer with what it has a second before that.
	Timeout time.Duration
}

func (c Config) withDefaults() Config {
	if c.Socket == "" {
		c.Addr = cmp.Or(c.Addr, DefaultAddr)
	}
	c.Timeout = cmp.Or(c.Timeout, 31*time.Second)
	return c
}

func (c Config) validate() error {
	var faults []error
	if c.Socket == "" { // else an Addr where nobody can be found does not stand in the socket's way
		if err := checkAddr(c.Addr); err != nil {
			faults = append(faults, fmt.Errorf("hearth: %w", err))
		}
	}
	if c.Timeout < 0 {
		faults = append(faults, errors.New("hearth: Timeout must not be negative"))
	}
	return errors.Join(faults...)
}

// Client calls one Hearth over connections that it keeps. It is safe for concurrent use.
type Client struct {
	cfg  Config
	http *http.Transport // used as a RoundTripper: no redirects, no cookies
}

// New makes a client. It opens no connection, and Hearth may start later.
func New(cfg Config) (*Client, error) {
	cfg = cfg.withDefaults()
	if err := cfg.validate(); err != nil {
		return nil, err
	}
	c := &Client{cfg: cfg}
	c.http = &http.Transport{
		Proxy:               nil, // whatever HTTP_PROXY says, localhost is here
		DialContext:         func(ctx context.Context, _, _ string) (net.Conn, error) { return c.dial(ctx) },
		DisableCompression:  true,
		MaxIdleConns:        maxIdle,
		MaxIdleConnsPerHost: maxIdle,
		MaxConnsPerHost:     maxConnections,
		IdleConnTimeout:     idleTimeout, // measured by the wall clock too, so that a freeze counts
	}
	return c, nil
}

// Close closes the idle connections. The client stays usable.
func (c *Client) Close() { c.http.CloseIdleConnections() }

// Option changes one call.
type Option func(*call)

// WithHeader sends a header along: Cache-Control, such as "no-cache" or "max-stale=60", or a traceparent. With
// If-None-Match, "nothing has changed" is a [Problem] of status 304.
func WithHeader(name, value string) Option {
	return func(c *call) { c.header.Set(name, value) }
}

// WithReply stores the reply's headers in h: Cache-Status says where it came from, Age how old it is, Server-Timing
// what took how long. If no reply came, h is left as it was.
func WithReply(h *http.Header) Option {
	return func(c *call) { c.reply = h }
}
