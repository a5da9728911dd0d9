// Package app is the command: it makes all parts of Hearth from the settings, runs them, and ends them in order.
//
// Start at [Main]. app.go makes the pools and clients, serve.go runs them beside the API, and lambda.go has what is different inside
// Lambda; warm.go warms the upstreams, secrets.go finds the settings that name secrets, lifecycle.go joins all that runs, check.go,
// schema.go, compare.go and stats.go are commands, and logqueue.go keeps a log that nobody reads from holding anything up. The package has
// no rules of its own: what a setting means is in internal/settings.
package app

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"math"
	"net"
	"net/http"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"hearth/cache"
	"hearth/extension"
	"hearth/internal/clock"
	"hearth/internal/monitor"
	"hearth/internal/settings"
	"hearth/internal/sparse"
	"hearth/pool"
	"hearth/pool/odoo"
	"hearth/pool/secrets"
	"hearth/pool/weaviate"
	"hearth/pool/web"
	"hearth/sidecar"
	"hearth/sidecar/fetch"
)

// The linker sets both: see internal/buildtags/stamp.sh.
var (
	version = "dev"
	commit  = "unknown" //nolint:gochecknoglobals // the linker can set nothing else
)

const usage = `hearth          serve; in Lambda as an extension
hearth check    say what is wrong with the configuration, the upstreams and the classes
hearth schema   create the classes that are missing
hearth compare  time your upstreams without Hearth and with it: --chat <id> --text <text> [--rounds <n>]
hearth stats    show what a running Hearth does: --watch each second, --json as one JSON object
hearth version  print the version and the commit
`

// Options are what a program other than hearth may change. The zero value is what hearth itself has.
type Options struct {
	Clock       func() clock.Instant // default the machine's clocks
	Events      []string             // that the extension registers for besides those it needs
	Policy      pool.Policy          // of the pools: which defences they leave out
	NoDeadline  bool                 // ignore what a caller's invocation has left, and HEARTH_DEADLINE_MARGIN
	Queue       int                  // calls to an upstream that may wait; 0: as many as [pool.LimitConfig] has
	NoIdleLimit bool                 // keep idle connections for a day, whatever HEARTH_CONN_MAX_IDLE says

	freshConnections bool // each call to an upstream has a connection of its own, and as many go out at once as the settings allow
}

// Main runs the command that args name, args[0] being the program, and returns the exit code.
func Main(args, environ []string, stdout, stderr io.Writer, options Options) (code int) {
	var err error
	command := strings.Join(args[1:], " ")
	if len(args) > 1 && (args[1] == "compare" || args[1] == "stats") {
		command = args[1] // they have options
	}
	switch command {
	case "":
		signal.Ignore(syscall.SIGPIPE) // else a log that nobody reads any more ends the process
		err = serve(context.Background(), args[0], environ, stdout, stderr, options)
	case "check":
		ctx, stop := untilSignal(context.Background())
		defer stop()
		err = check(ctx, environ, stdout, stderr, options)
	case "schema":
		ctx, stop := untilSignal(context.Background())
		defer stop()
		err = createSchema(ctx, environ, stdout, stderr, options)
	case "compare":
		ctx, stop := untilSignal(context.Background())
		defer stop()
		err = compare(ctx, args[2:], environ, stdout, stderr, options)
	case "stats":
		ctx, stop := untilSignal(context.Background())
		defer stop()
		err = showStats(ctx, args[2:], environ, stdout)
	case "version", "--version":
		fmt.Fprintf(stdout, "hearth %s (commit %s)\n", version, commit)
	case "help", "-h", "--help":
		fmt.Fprint(stdout, usage)
	default:
		err = fmt.Errorf("no command %q: try check, schema, compare, stats or version, or none to serve", command)
	}
	if err != nil && !errors.Is(err, flag.ErrHelp) {
		last := newLogQueue(stderr, maxPending)
		fmt.Fprintln(last, "hearth:", err)
		last.close()
		return 1
	}
	return 0
}

// untilSignal returns a context that ends when the process is told to end.
func untilSignal(ctx context.Context) (context.Context, context.CancelFunc) {
	return signal.NotifyContext(ctx, syscall.SIGINT, syscall.SIGTERM)
}

// readSettings reads the settings, and overrules a function's GODEBUG=http2client=0, which is meant for its handler: without HTTP/2
// there is no gRPC.
func readSettings(environ []string) (settings.Settings, error) {
	s, err := settings.Read(environ)
	if s.GoDebug != "" {
		_ = os.Setenv("GODEBUG", s.GoDebug+",http2client=1") // of two the last one counts; it cannot fail
	}
	return s, err
}

// app is what the settings make: the upstreams that are configured, and what serves them.
type app struct {
	log     *slog.Logger
	options Options
	pulse   *clock.Pulse

	failures *sparse.Log // of warm-ups

	pools     []*pool.Pool
	weaviate  *weaviate.Client // nil: not configured
	odoo      *odoo.Client     // nil: not configured
	upstreams []sidecar.Upstream
	breakers  map[string]*pool.Breaker // by upstream
	readPools map[string]*pool.Pool    // by upstream: where its reads go
	secrets   *secrets.Store           // nil: no setting names a secret
	named     []namedSecret
	web       *web.Client // nil: no host may be fetched from

	// Only serve makes what follows.
	listeners []net.Listener
	memory    *cache.Cache
	jobs      *fetch.Jobs // nil: no host may be fetched from
	monitor   *monitor.Monitor
	api       *sidecar.Server
	ext       *extension.Extension // nil: this is not Lambda
}

// newApp makes an app without upstreams, which logs to out. A nil pulse means a new one; the caller must run it.
func newApp(s settings.Settings, pulse *clock.Pulse, out io.Writer, options Options) *app {
	if pulse == nil {
		pulse = clock.NewPulse(options.Clock)
	}
	log := newLogger(out, s.LogLevel)
	return &app{breakers: map[string]*pool.Breaker{}, readPools: map[string]*pool.Pool{}, log: log, options: options, pulse: pulse, failures: sparse.New(log)}
}

// addUpstreams makes the pools and clients that the settings name. After an error the app has what could be made, and must be closed all
// the same.
func (a *app) addUpstreams(s settings.Settings) error {
	var faults []error
	if s.WeaviateURL != "" {
		faults = append(faults, a.addWeaviate(s))
	}
	if s.OdooURL != "" {
		faults = append(faults, a.addOdoo(s))
	}
	if len(s.FetchAllow) > 0 {
		a.addWeb(s)
	}
	return errors.Join(faults...)
}

// addWeb makes the client of the hosts that may be fetched from. It uses no forward proxy.
func (a *app) addWeb(s settings.Settings) {
	cfg := a.poolConfig(s)
	cfg.Answers = pool.NewAnswers(s.FetchSize(), s.AnswerSize())
	cfg.Timeout, cfg.DialTimeout = 15*time.Minute, 3*time.Second // a request has a timeout of its own
	a.web = web.New(web.Config{Allow: s.FetchAllow, Pool: cfg, UserAgent: cfg.UserAgent})
}

// addWeaviate makes Weaviate's two pools, one for each protocol, which share a limit.
func (a *app) addWeaviate(s settings.Settings) error {
	shared := a.poolConfig(s)
	shared.Name, shared.Size, shared.Start, shared.Timeout = "weaviate", s.WeaviateConnections, s.WeaviateStart(), s.WeaviateTimeout
	a.guard(&shared, func(ctx context.Context) error { return a.weaviate.Ask(ctx) })
	shared.Hedges = pool.NewBudget(a.pulse) // Odoo's pool has none: a hedge would occupy one more of its few workers
	rest, grpc := shared, shared
	rest.Proxy, grpc.Proxy = s.ProxyFor(s.WeaviateURL), s.ProxyFor(s.WeaviateGRPCURL)
	rest.URL, rest.Variable = s.WeaviateURL, "HEARTH_WEAVIATE_URL"
	rest.FirstWarm = 2 // one for each class that is learned
	rest.Ping = pool.Request{Method: http.MethodGet, Path: "/v1/.well-known/live"}
	grpc.URL, grpc.Variable, grpc.GRPC = s.WeaviateGRPCURL, "HEARTH_WEAVIATE_GRPC_URL", true
	grpc.Ping = weaviate.Ping()
	pools, err := a.open(rest, grpc)
	if err != nil {
		return err
	}
	client := s.Weaviate(a.log)
	client.REST, client.GRPC = pools[0], pools[1]
	a.readPools[shared.Name] = client.GRPC
	if err := a.weaviateSecrets(s, &client); err != nil {
		return err
	}
	if a.weaviate, err = weaviate.New(client); err != nil {
		return err
	}
	a.upstreams = append(a.upstreams, sidecar.Upstream{
		Name: "weaviate", Pools: map[string]*pool.Pool{"rest": pools[0], "grpc": pools[1]}, Ask: asking(shared.Breaker, a.weaviate.Ask),
	})
	return nil
}

func (a *app) addOdoo(s settings.Settings) error {
	cfg := a.poolConfig(s)
	cfg.Name, cfg.URL, cfg.Timeout, cfg.Variable = "odoo", s.OdooURL, s.OdooTimeout, "HEARTH_ODOO_URL"
	cfg.OwnError = odoo.IsOwnError
	cfg.Size, cfg.Start = s.OdooConnections, s.OdooStart()
	a.guard(&cfg, func(ctx context.Context) error { return a.odoo.Ping(ctx) })
	cfg.Proxy = s.ProxyFor(s.OdooURL)
	cfg.Ping = pool.Request{Method: http.MethodGet, Path: "/web/version"}
	cfg.BusyIsSilent = true // a worker would have to answer the ping
	pools, err := a.open(cfg)
	if err != nil {
		return err
	}
	client := s.Odoo(a.log)
	client.Pool = pools[0]
	a.readPools[cfg.Name] = pools[0]
	if err := a.odooSecret(s, &client); err != nil {
		return err
	}
	if a.odoo, err = odoo.New(client); err != nil {
		return err
	}
	a.upstreams = append(a.upstreams, sidecar.Upstream{Name: "odoo", Pools: map[string]*pool.Pool{"": pools[0]}, Ask: asking(cfg.Breaker, a.odoo.Ping)})
	return nil
}

// guard sets the limit, budget and breaker that the pools of an upstream share. probe is a question like those of requests. It is called
// after the client was made, because only a request starts a probe.
func (a *app) guard(cfg *pool.Config, probe func(context.Context) error) {
	if a.options.freshConnections {
		cfg.Start = cfg.Size
	}
	cfg.Limit = pool.NewLimit(pool.LimitConfig{Start: cfg.Start, Most: cfg.Size, Queue: a.options.Queue, Pulse: a.pulse})
	cfg.Budget = pool.NewBudget(a.pulse)
	cfg.Breaker = pool.NewBreaker(pool.BreakerConfig{Name: cfg.Name, Probe: probe, Limit: cfg.Limit, Pulse: a.pulse, Logger: a.log})
	a.breakers[cfg.Name] = cfg.Breaker
}

// asking is the question of /readyz. An answer closes the breaker.
func asking(b *pool.Breaker, ask func(context.Context) error) func(context.Context) error {
	return func(ctx context.Context) error { return b.Ask(ctx, ask) }
}

// poolConfig is what the pools of all upstreams have in common. Each call makes answers of its own: one upstream does not use up the
// memory that another needs.
func (a *app) poolConfig(s settings.Settings) pool.Config {
	cfg := pool.Config{
		MaxIdle: s.ConnMaxIdle, RootCAs: s.Roots(), Pulse: a.pulse, Logger: a.log, Answers: pool.NewAnswers(s.AnswerSize(), s.AnswerSize()),
		KeepFrom: s.KeepFrom(), Policy: a.options.Policy, UserAgent: "hearth/" + version,
	}
	if a.options.freshConnections {
		cfg.KeepFrom = math.MaxUint64
	}
	if a.options.NoIdleLimit {
		cfg.MaxIdle = 24 * time.Hour
	}
	return cfg
}

// open makes the pools of one upstream. They are closed by [app.closeUpstreams].
func (a *app) open(configs ...pool.Config) (pools []*pool.Pool, err error) {
	for _, cfg := range configs {
		made, err := pool.New(cfg)
		if err != nil {
			return nil, err
		}
		pools, a.pools = append(pools, made), append(a.pools, made)
	}
	return pools, nil
}

// close closes what was made. Run has closed the listeners, if it ran.
func (a *app) close() {
	for _, l := range a.listeners {
		_ = l.Close()
	}
	a.closeJobs()
	if a.memory != nil {
		a.memory.Close()
	}
	a.closeUpstreams()
}

func (a *app) closeJobs() {
	if a.jobs != nil {
		a.jobs.Close()
	}
}

func (a *app) closeUpstreams() {
	a.failures.Close()
	for _, upstream := range a.pools {
		upstream.Close()
	}
	if a.web != nil {
		a.web.Close()
	}
	if a.weaviate != nil {
		a.weaviate.Close()
	}
	if a.secrets != nil {
		a.secrets.Close()
	}
}
