// Command hearth is a caching sidecar with connection pooling for AWS Lambda. In Lambda it runs as an external
// extension; elsewhere it serves until it is told to stop.
//
//	hearth           serve
//	hearth check     validate the configuration, reach the upstreams, look at the classes
//	hearth schema    create the classes that are missing
//	hearth version   print the version
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/signal"
	"runtime/debug"
	"slices"
	"strings"
	"syscall"
	"time"

	"hearth/cache"
	"hearth/extension"
	"hearth/internal/clock"
	"hearth/pool"
	"hearth/pool/odoo"
	"hearth/pool/weaviate"
	"hearth/sidecar"
	"hearth/sidecar/chat"
)

// version is set by the linker.
var version = "dev"

// collectAt is by how many percent the heap grows before garbage is collected. It and [settings.memoryLimit] hold
// whatever GOGC and GOMEMLIMIT say: those of a function are meant for its handler.
const collectAt = 100

const usage = `hearth          serve; in Lambda as an extension
hearth check    say what is wrong with the configuration, the upstreams and the classes
hearth schema   create the classes that are missing
hearth version  print the version
`

func main() {
	keepHTTP2()
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	var err error
	switch command := strings.Join(os.Args[1:], " "); command {
	case "":
		signal.Ignore(syscall.SIGPIPE) // else a log that nobody reads any more ends the process
		err = serve(ctx, os.Environ())
	case "check":
		err = check(ctx, os.Environ(), os.Stdout)
	case "schema":
		err = createSchema(ctx, os.Environ(), os.Stdout)
	case "version", "--version":
		fmt.Println("hearth", version)
	case "help", "-h", "--help":
		fmt.Print(usage)
	default:
		err = fmt.Errorf("no command %q: try check, schema or version, or none to serve", command)
	}
	if err != nil {
		last := newLogQueue(os.Stderr)
		fmt.Fprintln(last, "hearth:", err)
		last.close()
		stop()
		os.Exit(1) //nolint:gocritic // stop was called
	}
}

// keepHTTP2 overrules a function's GODEBUG=http2client=0, which is meant for its handler: without HTTP/2 there is no gRPC.
func keepHTTP2() {
	if inherited := os.Getenv("GODEBUG"); inherited != "" {
		_ = os.Setenv("GODEBUG", inherited+",http2client=1") // of two the last one counts; it cannot fail
	}
}

// parts are what the settings make. An upstream that is not configured is nil.
type parts struct {
	log      *slog.Logger
	lab      lab
	pulse    *clock.Pulse
	pools    []*pool.Pool
	weaviate *weaviate.Client
	odoo     *odoo.Client

	upstreams []sidecar.Upstream
}

// build makes them by a pulse; nil: one that notices freezes, for as long as somebody runs it. They log to out.
func build(s settings, pulse *clock.Pulse, out io.Writer) (p parts, err error) {
	p.log = newLogger(out, s.LogLevel)
	l, err := newLab()
	if err != nil {
		return p, err
	}
	if pulse == nil {
		pulse = clock.NewPulse(l.now)
	}
	p.lab, p.pulse = l, pulse
	shared := pool.Config{
		MaxIdle: s.ConnMaxIdle, RootCAs: s.roots(), Pulse: p.pulse, Logger: p.log,
		KeepFrom: s.keepFrom(), Policy: pool.Policy{NoRace: l.noRace, NoReplay: l.noReplay}, UserAgent: "hearth/" + version,
	}
	if l.noIdleLimit {
		shared.MaxIdle = 24 * time.Hour
	}
	if s.WeaviateURL != "" {
		c := shared
		c.Name, c.Size, c.Timeout = "weaviate", s.WeaviateConnections, s.WeaviateTimeout
		c.Limit, c.Answers = pool.NewLimit(c.Size, 0, p.pulse), pool.NewAnswers(s.answerBytes(), s.answerBytes())
		rest, grpc := c, c
		rest.URL, rest.Variable = s.WeaviateURL, "HEARTH_WEAVIATE_URL"
		rest.FirstWarm = 2 // one for each class that is learned
		rest.Ping = pool.Request{Method: http.MethodGet, Path: "/v1/.well-known/live"}
		grpc.URL, grpc.Variable, grpc.GRPC = s.WeaviateGRPCURL, "HEARTH_WEAVIATE_GRPC_URL", true
		grpc.Ping = weaviate.Ping()
		pools, err := p.open(rest, grpc)
		if err != nil {
			return p, err
		}
		p.weaviate = weaviate.New(pools[0], pools[1], s.weaviate(p.log))
		p.upstreams = append(p.upstreams, sidecar.Upstream{
			Name: "weaviate", Pools: map[string]*pool.Pool{"rest": pools[0], "grpc": pools[1]}, Ask: p.weaviate.Ask,
		})
	}
	if s.OdooURL != "" {
		c := shared
		c.Name, c.URL, c.Size, c.Timeout = "odoo", s.OdooURL, s.OdooConnections, s.OdooTimeout
		c.Variable, c.Answers = "HEARTH_ODOO_URL", pool.NewAnswers(s.answerBytes(), s.answerBytes())
		c.Ping = pool.Request{Method: http.MethodGet, Path: "/web/version"}
		pools, err := p.open(c)
		if err != nil {
			return p, err
		}
		p.odoo = odoo.New(pools[0], s.odoo(p.log))
		p.upstreams = append(p.upstreams, sidecar.Upstream{Name: "odoo", Pools: map[string]*pool.Pool{"": pools[0]}, Ask: p.odoo.Ping})
	}
	return p, nil
}

// open makes pools, and keeps them to be closed.
func (p *parts) open(configs ...pool.Config) (pools []*pool.Pool, err error) {
	for _, cfg := range configs {
		made, err := pool.New(cfg)
		if err != nil {
			return nil, err
		}
		pools = append(pools, made)
	}
	p.pools = append(p.pools, pools...)
	return pools, nil
}

func (p parts) close() {
	for _, upstream := range p.pools {
		upstream.Close()
	}
	if p.weaviate != nil {
		p.weaviate.Close()
	}
}

// serve listens, registers where there is a Lambda, warms the upstreams while the runtime starts, and runs
// until it is told to end. In Lambda a fault does not end it, unless HEARTH_STRICT is set: the API answers 503 with
// the reason, and the function lives. To HEARTH_STRICT it is a fault too if one of two ways in cannot be opened.
func serve(ctx context.Context, environ []string) error {
	debug.SetGCPercent(-1) // INIT is billed, and there is no garbage worth collecting yet
	s, fault := readSettings(environ)
	debug.SetMemoryLimit(s.memoryLimit())
	out := newLogQueue(os.Stderr)
	defer out.close()
	log.SetOutput(out) // net/http's
	defer log.SetOutput(os.Stderr)
	p, err := build(s.without(fault), nil, out)
	if fault = errors.Join(fault, err); fault != nil && !s.inLambda() {
		return fault
	}
	memory, err := cache.New(cache.Config{Bytes: s.cacheBytes(), Window: s.TimelineWindow, LoadTimeout: s.PreprocessTimeout, Refresh: s.AfterInvokeBudget > 0, Pulse: p.pulse})
	if err != nil {
		return err
	}
	for _, name := range s.unknown {
		p.log.Warn("this variable means nothing", "variable", name)
	}
	if token, _ := s.token(); token == "" {
		p.log.Warn("no token is asked for: HEARTH_TOKEN is not set")
	}
	listeners, unheard := listen(ctx, s, p.log)
	api, err := p.api(s, memory, fault, unheard)
	if err != nil {
		return err
	}
	if len(listeners) == 0 || s.Strict {
		fault = errors.Join(fault, unheard)
	}
	var e *extension.Extension
	waiting, warmed := make(chan struct{}), make(chan struct{}) // closed when INIT may end, and when the upstreams are warm
	switch {
	case s.inLambda():
		e, err = register(ctx, s, p, memory, func() { close(waiting) })
		if err == nil && fault != nil && s.Strict {
			err = errors.Join(fault, e.InitError(ctx, "Hearth.Config", fault))
		}
		if err != nil {
			return err
		}
	case fault != nil:
		return fault
	}
	if fault != nil {
		p.log.Error("serving without what cannot work", "error", fault)
	}

	ctx, end := context.WithCancel(ctx)
	defer end()
	r, ctx := newRunning(ctx)
	r.start("API", func() error {
		err := api.Run(ctx, listeners...)
		if s.inLambda() && ctx.Err() == nil {
			p.log.Error("the API has ended", "error", err) // the function can do without; without us it could not
			return nil
		}
		return err
	})
	r.start("warming", func() error {
		defer close(warmed)
		s.untilWarming(ctx, waiting)
		debug.SetGCPercent(collectAt)
		if s.InitType != initSnapStart { // a snapshot must hold no connection
			p.warm(ctx)
		}
		return nil
	})
	r.start("warming after freezes", func() error { // the restore of a snapshot is the end of one too
		thawed, stop := oneAtATime(ctx, p.warm)
		defer stop()
		p.pulse.Run(ctx, thawed)
		return nil
	})
	if e != nil {
		r.start("extension", func() error {
			defer end()
			s.untilNext(ctx, warmed)
			return e.Run(ctx)
		})
	}
	p.log.Info("serving", "version", version, "addrs", addresses(listeners), "weaviate", p.weaviate != nil, "odoo", p.odoo != nil)
	return r.wait(ctx, p.log, step{"cache", memory.Close}, step{"pools", p.close})
}

// api is the API over what there is. What is wrong with the settings it tells whoever asks for what is not there.
func (p parts) api(s settings, memory *cache.Cache, fault, unheard error) (*sidecar.Server, error) {
	noWeaviate, noOdoo, wrong := "HEARTH_WEAVIATE_URL is not set", "HEARTH_ODOO_URL is not set", ""
	if fault != nil {
		noWeaviate, noOdoo = fault.Error(), fault.Error()
	}
	if e := errors.Join(fault, unheard); e != nil {
		wrong = e.Error()
	}
	upstreams := slices.Clone(p.upstreams)
	if p.weaviate == nil {
		upstreams = append(upstreams, sidecar.Upstream{Name: "weaviate", Missing: noWeaviate})
	}
	if p.odoo == nil {
		upstreams = append(upstreams, sidecar.Upstream{Name: "odoo", Missing: noOdoo})
	}
	service, err := chat.New(chat.Config{
		Weaviate: p.weaviate, Odoo: p.odoo, NoWeaviate: noWeaviate, NoOdoo: noOdoo, Cache: memory, Policies: s.policies(),
		OdooModels: s.OdooModels, OdooRoutes: s.OdooRoutes, Preview: s.HistoryPreview, Workers: s.Workers,
	})
	if err != nil {
		return nil, err
	}
	callers, idle := s.callers()
	token, tokenFrom := s.token()
	return sidecar.New(sidecar.Config{
		Token: token, TokenFrom: tokenFrom, Chat: service, Cache: memory, Upstreams: upstreams, Fault: wrong,
		MappedProperties: s.MessageFields, Timeout: s.PreprocessTimeout, MaxBody: int(s.MaxBody),
		Connections: callers, IdleTimeout: idle, Pulse: p.pulse, Logger: p.log,
	})
}

// listen opens both ways in. One is enough to serve; the error says what is wrong with the other.
func listen(ctx context.Context, s settings, log *slog.Logger) (open []net.Listener, err error) {
	var faults []error
	add := func(l net.Listener, err error) {
		if err != nil {
			log.Error("not listening", "error", err)
			faults = append(faults, err)
			return
		}
		open = append(open, l)
	}
	if isLoopback(s.Addr) { // else a fault that was reported
		add(sidecar.ListenTCP(ctx, s.Addr))
	}
	if s.Socket != "" && fitsSocket(s.Socket) {
		add(sidecar.ListenSocket(ctx, s.Socket))
	}
	return open, errors.Join(faults...)
}

func addresses(listeners []net.Listener) (list []string) {
	for _, l := range listeners {
		list = append(list, l.Addr().String())
	}
	return list
}
