// Package sidecar serves the localhost API: HTTP, and nothing else.
//
// Start at [Server.Run] (run.go). A request passes [Server.serve] (request.go), the door (door.go: who may ask, and for what;
// target.go), its route (routes.go, every call on one screen) and its handler: chats.go, preprocess.go, odoo.go, fetch.go, admin.go,
// timings.go, page.go (the page of /debug/, whose script is in page.html). request.go tells internal/monitor of each answered request.
// A handler reads the request by bodies.go, messages.go and decode.go, which name the field at fault, asks sidecar/chat, and replies by
// reply.go. deadline.go says how long a request may take; listen.go makes the listeners, conn.go sets the deadlines of their connections.
// cachecontrol.go and freshness.go translate between HTTP's caching headers and the cache. Every error becomes a problem in
// problem.go, and only there.
//
// What a bot asks and how that is answered is in sidecar/chat, and what other hosts are asked in sidecar/fetch. This package remembers nothing and asks no upstream itself.
package sidecar

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/singleflight"

	"hearth/cache"
	"hearth/internal/clock"
	"hearth/internal/executor"
	"hearth/internal/monitor"
	"hearth/internal/monitor/advice"
	"hearth/pool"
	"hearth/sidecar/chat"
	"hearth/sidecar/fetch"
)

// Config of the API.
type Config struct {
	Token     string // every call that needs one must bring it (needsNoToken in page.go); empty: none is asked for
	TokenFrom string // the variable that Token is, or is derived from

	Chat      *chat.Service
	Cache     *cache.Cache             // for its statistics
	Fetch     *fetch.Service           // asks other hosts; nil: calls that need it fail
	Jobs      *fetch.Jobs              // of Fetch
	Monitor   *monitor.Monitor         // remembers the requests; nil: a new one, which writes no documents
	NoFetch   string                   // why Fetch is nil
	Advice    advice.Settings          // what /debug/advice may advise to change
	Waits     *executor.Waits          // counts the requests of batches that wait for one of Workers, as Chat does its parts; nil: nobody wants to know
	Mixing    func() map[string]string // as [weaviate.Client.Mixing]; nil: there is no Weaviate
	Upstreams []Upstream
	Fault     string // what is wrong with the settings or the listeners, for /readyz; empty: nothing

	MappedProperties []string // of the message class: a message's own properties may not name them

	Timeout        time.Duration // of any call whose caller gives it none; default 30s
	DeadlineMargin time.Duration // what is kept of the time that a caller's invocation has left, at most a tenth of that time
	NoDeadline     bool          // ignore what a caller's invocation has left: for measurements
	MaxBody        int           // bytes; default 1 MiB

	Workers       int // calls of one batch at the same time, unless the batch says otherwise; default 5
	MaxBatchReply int // bytes of the answers of one batch together; default 4 MiB

	Connections int           // of admitted callers at the same time, per listener: see slots; default 256: a function has 1024 file descriptors
	IdleTimeout time.Duration // of a connection; default 24h: a shorter one could end just when the caller sends its next request

	Pulse  *clock.Pulse // every request reads it before it does anything, so that a freeze is noticed; nil: there are no freezes
	Logger *slog.Logger // nil discards
}

// withDefaults also replaces numbers that are not positive, so that Hearth serves with a faulty setting.
func (c Config) withDefaults() Config {
	c.Timeout = positive(c.Timeout, 30*time.Second)
	c.MaxBody = positive(c.MaxBody, 1<<20)
	c.Workers = positive(c.Workers, 5)
	c.MaxBatchReply = positive(c.MaxBatchReply, 4<<20)
	c.Connections = positive(c.Connections, 256)
	c.IdleTimeout = positive(c.IdleTimeout, 24*time.Hour)
	if c.Pulse == nil {
		c.Pulse = clock.Awake()
	}
	if c.Monitor == nil {
		c.Monitor = monitor.New(monitor.Config{})
	}
	c.Waits = cmp.Or(c.Waits, &executor.Waits{})
	if c.Mixing == nil {
		c.Mixing = func() map[string]string { return nil }
	}
	c.Logger = cmp.Or(c.Logger, slog.New(slog.DiscardHandler))
	return c
}

func positive[T cmp.Ordered](v, byDefault T) T {
	var zero T
	if v <= zero {
		return byDefault
	}
	return v
}

func (c Config) validate() error {
	var faults []error
	if c.Chat == nil {
		faults = append(faults, errors.New("sidecar: Config.Chat must be set"))
	}
	if c.Cache == nil {
		faults = append(faults, errors.New("sidecar: Config.Cache must be set"))
	}
	if c.Fetch != nil && c.Jobs == nil {
		faults = append(faults, errors.New("sidecar: Config.Jobs must be set with Fetch"))
	}
	for i, u := range c.Upstreams {
		if u.Name == "" || u.Missing == "" && u.Ask == nil {
			faults = append(faults, fmt.Errorf("sidecar: Config.Upstreams[%d] must have a Name, and Ask or Missing", i))
		}
	}
	return errors.Join(faults...)
}

// Upstream is what readiness and statistics know of an upstream.
type Upstream struct {
	Name    string
	Missing string                      // which variables are missing; empty: it is configured
	Pools   map[string]*pool.Pool       // by protocol; a single one has no name
	Ask     func(context.Context) error // asks what requests will ask
}

// Server answers the API's calls. It is safe for concurrent use.
type Server struct {
	cfg      Config
	router   router
	requests sync.Pool          // of *request
	callers  atomic.Uint64      // requests that had to wait for something, so far
	reached  []atomic.Bool      // of each upstream: it has answered a real question
	asking   singleflight.Group // questions of /readyz

	headerTimeout, readTimeout, grace, cancelGrace time.Duration
}

// New makes a server. It starts nothing: [Server.Run] does.
func New(cfg Config) (*Server, error) {
	if err := cfg.validate(); err != nil {
		return nil, err
	}
	cfg = cfg.withDefaults()
	all := routes()
	for i, r := range all {
		all[i].seen = cfg.Monitor.NewRoute(r.method+" "+r.path, r.operation)
	}
	return &Server{
		cfg: cfg, router: newRouter(all), reached: make([]atomic.Bool, len(cfg.Upstreams)),
		headerTimeout: headerTimeout, readTimeout: readTimeout, grace: grace, cancelGrace: cancelGrace,
	}, nil
}
