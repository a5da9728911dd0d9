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
	"log/slog"
	"net"
	"os"
	"os/signal"
	"path/filepath"
	"runtime/debug"
	"syscall"
	"time"

	"golang.org/x/sync/errgroup"

	"hearth/cache"
	"hearth/extension"
	"hearth/internal/clock"
	"hearth/pool"
	"hearth/pool/odoo"
	"hearth/pool/weaviate"
	"hearth/sidecar"
)

// version is set by the linker.
var version = "dev"

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	var err error
	switch command := append(os.Args, "")[1]; command {
	case "":
		err = serve(ctx, os.Environ())
	case "check":
		err = check(ctx, os.Environ(), os.Stdout)
	case "schema":
		err = createSchema(ctx, os.Environ(), os.Stdout)
	case "version":
		fmt.Println("hearth", version)
	default:
		err = fmt.Errorf("no command %q: try check, schema or version, or none to serve", command)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "hearth:", err)
		stop()
		os.Exit(1) //nolint:gocritic // stop was called
	}
}

// provisionedWait is how long INIT waits for warm upstreams under provisioned concurrency; Lambda allows 10 s in all.
const provisionedWait = 5 * time.Second

// parts are what the settings make. An upstream that is not configured is nil.
type parts struct {
	log      *slog.Logger
	lab      lab
	pulse    *clock.Pulse
	pools    []*pool.Pool
	weaviate *weaviate.Client
	odoo     *odoo.Client
}

func build(s settings) (p parts, err error) {
	p.log = slog.New(slog.NewJSONHandler(os.Stderr, &slog.HandlerOptions{Level: s.LogLevel})).With("extension", "hearth")
	l, err := newLab()
	if err != nil {
		return p, err
	}
	p.lab, p.pulse = l, clock.NewPulse(l.now)
	roots, maxIdle := s.roots(), s.ConnMaxIdle
	if l.noIdleLimit {
		maxIdle = 24 * time.Hour
	}
	if s.WeaviateURL != "" {
		upstream, err := pool.New(pool.Config{
			Name: "weaviate", URL: s.WeaviateURL, Size: s.WeaviateConnections, Timeout: s.WeaviateTimeout,
			MaxIdle: maxIdle, RootCAs: roots, PingPath: "/v1/.well-known/live", Pulse: p.pulse, Logger: p.log,
			KeepFrom: s.keepFrom(), NoRace: l.noRace, NoReplay: l.noReplay,
		})
		if err != nil {
			return p, err
		}
		p.pools = append(p.pools, upstream)
		p.weaviate = weaviate.New(upstream, s.weaviate(p.log))
	}
	if s.OdooURL != "" {
		upstream, err := pool.New(pool.Config{
			Name: "odoo", URL: s.OdooURL, Size: s.OdooConnections, Timeout: s.OdooTimeout,
			MaxIdle: maxIdle, RootCAs: roots, PingPath: "/web/version", Pulse: p.pulse, Logger: p.log,
			KeepFrom: s.keepFrom(), NoRace: l.noRace, NoReplay: l.noReplay,
		})
		if err != nil {
			return p, err
		}
		p.pools = append(p.pools, upstream)
		p.odoo = odoo.New(upstream, s.odoo(p.log))
	}
	return p, nil
}

func (p parts) close() {
	for _, upstream := range p.pools {
		upstream.Close()
	}
}

// serve listens, registers where there is a Lambda, warms the upstreams while the runtime starts, and runs
// until it is told to end. In Lambda a fault of the settings does not end it, unless HEARTH_STRICT is set: the
// API answers 503 with the reason, and the function lives.
func serve(ctx context.Context, environ []string) error {
	collect := debug.SetGCPercent(-1) // INIT is billed, and there is no garbage worth collecting yet
	s, fault := readSettings(environ)
	lambda := s.RuntimeAPI != ""
	if fault != nil && !lambda {
		return fault
	}
	faulty := s
	if fault != nil {
		s.withoutFaulty(fault)
	}
	p, err := build(s)
	fault = errors.Join(fault, err)
	defer p.close()
	log := p.log
	for _, name := range s.unknown {
		log.Warn("this variable means nothing", "variable", name)
	}

	if limit := s.memoryLimit(); limit > 0 {
		debug.SetMemoryLimit(limit)
	}
	memory, err := cache.New(cache.Config{Bytes: s.cacheBytes(), Window: s.TimelineWindow, LoadTimeout: s.PreprocessTimeout, Refresh: s.AfterInvokeBudget > 0, Pulse: p.pulse})
	if err != nil {
		return err
	}
	defer memory.Close()
	noWeaviate, noOdoo := "HEARTH_WEAVIATE_URL is not set", "HEARTH_ODOO_URL is not set"
	if fault != nil {
		noWeaviate, noOdoo = fault.Error(), fault.Error()
	}
	if s.token() == "" {
		log.Warn("no token is asked for: HEARTH_TOKEN is not set")
	}
	listeners, err := listen(ctx, s, log)
	wrong := ""
	if e := errors.Join(fault, err); e != nil {
		wrong = e.Error()
	}
	if len(listeners) == 0 {
		if fault = errors.Join(fault, err); !lambda {
			return fault
		}
	}
	api := sidecar.New(sidecar.Config{
		Token: s.token(), Weaviate: p.weaviate, Odoo: p.odoo, NoWeaviate: noWeaviate, NoOdoo: noOdoo, Fault: wrong,
		Pools: p.pools, Cache: memory, Policies: s.policies(), MappedProperties: s.MessageFields,
		OdooModels: s.OdooModels, OdooRoutes: s.OdooRoutes,
		Preview: s.HistoryPreview, Workers: s.Workers, Timeout: s.PreprocessTimeout, MaxBody: int(s.MaxBody), Pulse: p.pulse, Logger: log,
	})

	if fault != nil && !faulty.Strict {
		log.Error("serving without what cannot work", "error", fault)
	}

	ctx, end := context.WithCancel(ctx)
	defer end()
	waiting := make(chan struct{}) // closed once the first event is asked for: INIT may end
	var registered *extension.Extension
	if lambda {
		life := extension.Config{
			RuntimeAPI: s.RuntimeAPI, Name: filepath.Base(os.Args[0]), Events: p.lab.events,
			DeadlineMargin: s.DeadlineMargin, OnWaiting: func() { close(waiting) }, Logger: log,
		}
		if s.AfterInvokeBudget > 0 && s.InitType != initManaged { // managed instances are never frozen and tell of no end
			life.Events = []string{"INVOKE"}
			life.Telemetry = new(extension.Telemetry)
			life.OnInvoke = extension.NewAfterInvoke(extension.AfterInvokeConfig{
				Telemetry: life.Telemetry, Budget: s.AfterInvokeBudget, Refresh: func(ctx context.Context) { memory.Refresh(ctx) }, Logger: log,
			}).OnInvoke
		}
		registered, err = extension.Register(ctx, life)
		if err != nil {
			return err
		}
		if fault != nil && faulty.Strict {
			return errors.Join(fault, registered.InitError(ctx, "Hearth.Config", fault))
		}
	}

	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error {
		err := api.Run(ctx, listeners...)
		if lambda && ctx.Err() == nil {
			log.Error("the API has ended", "error", err) // the function can do without; without us it could not
			return nil
		}
		return err
	})
	g.Go(func() error { // the restore of a snapshot is the end of a freeze too
		thawed, stop := oneAtATime(ctx, p.warm)
		defer stop()
		p.pulse.Run(ctx, thawed)
		return nil
	})
	warmed := make(chan struct{})
	g.Go(func() error {
		defer close(warmed)
		if lambda && s.InitType != initProvisioned { // which nobody waits for
			select {
			case <-waiting:
			case <-time.After(time.Second):
			case <-ctx.Done():
			}
		}
		debug.SetGCPercent(collect)
		if s.InitType != initSnapStart { // a snapshot must hold no connection
			p.warm(ctx)
		}
		return nil
	})
	if lambda {
		g.Go(func() error {
			defer end()
			if s.InitType == initProvisioned {
				select {
				case <-warmed:
				case <-time.After(provisionedWait):
				case <-ctx.Done():
				}
			}
			err := registered.Run(ctx)
			if errors.Is(err, context.Canceled) {
				return nil
			}
			return err
		})
	}
	log.Info("serving", "version", version, "addrs", addresses(listeners), "weaviate", s.WeaviateURL != "", "odoo", s.OdooURL != "")
	err = g.Wait()
	if errors.Is(err, context.Canceled) {
		return nil
	}
	return err
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
	if s.Socket != "" {
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
