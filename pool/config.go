package pool

import (
	"cmp"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"net"
	"net/http"
	"net/url"
	"syscall"
	"time"

	"hearth/internal/clock"
)

// Config of one upstream.
type Config struct {
	Name        string                // of the upstream, in errors, logs and statistics
	URL         string                // http or https, with an optional path prefix
	Proxy       *url.URL              // http or https: the forward proxy of every connection, by CONNECT; nil: none
	GRPC        bool                  // speak HTTP/2 alone, without TLS too, and read answers as gRPC writes them
	Size        int                   // requests at the same time at most, and connections kept; default 5
	Start       int                   // requests at the same time in the beginning; default Size
	FirstWarm   int                   // connections that the first [Pool.Warm] opens; default Start
	Queue       int                   // callers that may wait for a slot; default as [LimitConfig] has it
	Limit       *Limit                // shared with other pools of the upstream; nil: one of its own, of Start, Size and Queue
	Breaker     *Breaker              // shared likewise; nil: one of its own, which asks Ping
	Budget      *Budget               // of retries, shared likewise; nil: one of its own
	Timeout     time.Duration         // of one call, retries and waiting included; default 5s
	DialTimeout time.Duration         // of one TCP connection, and of one TLS handshake; default 3s or Timeout
	MaxIdle     time.Duration         // after which an unused connection is closed; default 50s
	Answers     *Answers              // how much memory answers may take; nil: 32 MiB each
	Hedges      *Budget               // of safe calls that are sent a second time because the upstream is slow; nil: there are none
	Retries     int                   // of a repeatable call after its first try; default 2, negative none
	RootCAs     func() *x509.CertPool // called once, before the first dial; nil: the system's
	Ping        Request               // a cheap request that proves a connection, whatever its answer; default GET /
	// BusyIsSilent says that the upstream answers no Ping while it is busy. Then only the kernel can tell that a connection is dead.
	BusyIsSilent bool
	Pulse        *clock.Pulse  // notices freezes; nil: there are none
	KeepFrom     uint64        // freezes that must have passed before connections are kept; until then each is closed after its request
	UserAgent    string        // of every request, whatever library made it; empty: the request's own
	Variable     string        // environment variable that holds URL; it is named where the address is wrong
	Logger       *slog.Logger  // nil discards
	Resolver     *net.Resolver // of the URL's host; nil: the system's
	// Control is called before each connect to one of the addresses of the host's name. If it returns an error, there is no connection to
	// that address. An error that wraps [ErrNotAllowed] is not retried. nil allows every address.
	Control func(network, address string, c syscall.RawConn) error
	// OwnError says whether the body of a 500 means that the call was wrong and the upstream works. nil: a 500 is always a failure of
	// the upstream.
	OwnError func(body []byte) bool
	// Varied says that the upstream is asked for so many different things that the time of one answer says nothing about the next. Then no
	// answer is too slow, and a missing answer does not make the limit smaller.
	Varied bool

	Policy Policy // towards connections that broke unseen
}

// Policy says how far a pool goes to hide broken connections from callers. The zero Policy goes all the way. The fields leave
// out one part each: they are for measurements of what that part is good for.
type Policy struct {
	NoRace   bool // after a freeze a request waits for its connection, dead or alive, until its time is over
	NoReplay bool // a connection that breaks fails its request; there are no retries either, which would replay it later
	NoLook   bool // a connection that is silent is not looked at, and no request is hedged

	NoBreaker     bool // every call is sent, however many have failed
	NoRetryBudget bool // retries have no budget
	NoWriteRule   bool // every request counts as repeatable, writes too
}

func (c Config) withDefaults() Config {
	c.Size = cmp.Or(c.Size, 5)
	c.Timeout = cmp.Or(c.Timeout, 5*time.Second)
	c.DialTimeout = cmp.Or(c.DialTimeout, min(3*time.Second, c.Timeout))
	c.MaxIdle = cmp.Or(c.MaxIdle, 50*time.Second)
	c.Start = min(cmp.Or(c.Start, c.Size), c.Size)
	c.FirstWarm = min(cmp.Or(c.FirstWarm, c.Start), c.Size)
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
	c.Logger = cmp.Or(c.Logger, slog.New(slog.DiscardHandler))
	if c.Limit == nil {
		c.Limit = NewLimit(LimitConfig{Start: c.Start, Most: c.Size, Queue: c.Queue, Pulse: c.Pulse})
	}
	if c.Breaker == nil {
		c.Breaker = NewBreaker(BreakerConfig{Name: c.Name, Limit: c.Limit, Pulse: c.Pulse, Logger: c.Logger})
	}
	c.Budget = cmp.Or(c.Budget, NewBudget(c.Pulse))
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
	if c.Proxy != nil && (c.Proxy.Scheme != "http" && c.Proxy.Scheme != "https" || c.Proxy.Hostname() == "") {
		fault("the proxy must be http://host:port or https://host:port")
	}
	for _, n := range []struct {
		field string
		value int64
	}{
		{"Size", int64(c.Size)},
		{"Start", int64(c.Start)},
		{"FirstWarm", int64(c.FirstWarm)},
		{"Queue", int64(c.Queue)},
		{"Timeout", int64(c.Timeout)},
		{"DialTimeout", int64(c.DialTimeout)},
		{"MaxIdle", int64(c.MaxIdle)},
	} {
		if n.value < 0 {
			fault("%s must not be negative", n.field)
		}
	}
	return u, errors.Join(faults...)
}

// ping is Config.Ping as it is sent.
func (c Config) ping() Request {
	p := c.Ping
	p.Header = p.Header.Clone()
	if c.UserAgent != "" {
		if p.Header == nil {
			p.Header = http.Header{}
		}
		p.Header.Set("User-Agent", c.UserAgent)
	}
	return p
}
