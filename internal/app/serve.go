package app

import (
	"context"
	"errors"
	"io"
	"log"
	"log/slog"
	"net"
	"runtime/debug"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"

	"hearth/cache"
	"hearth/internal/executor"
	"hearth/internal/monitor"
	"hearth/internal/settings"
	"hearth/sidecar"
	"hearth/sidecar/chat"
	"hearth/sidecar/fetch"
)

// serve listens, registers the extension if this is Lambda, and runs until it is told to end. In Lambda a fault does not end it, unless
// HEARTH_STRICT is set: the API answers 503 with the reason, and the function lives. With HEARTH_STRICT, failing to open either
// listener is a fault too.
func serve(ctx context.Context, program string, environ []string, stdout, stderr io.Writer, options Options) error {
	debug.SetGCPercent(-1) // no garbage collection until warming begins: the user pays for INIT, and there is little garbage yet
	s, fault := readSettings(environ)
	if fault != nil && !s.InLambda() {
		return fault
	}
	debug.SetMemoryLimit(s.MemoryLimit())
	out := newLogQueue(stderr, maxPending)
	defer out.close()
	log.SetOutput(out) // net/http's
	defer log.SetOutput(stderr)
	documents := newLogQueue(stdout, maxMetrics)
	defer documents.close()
	a := newApp(s, nil, out, options)
	a.monitor = monitor.New(monitor.Config{FunctionName: s.FunctionName, Out: documents, Concurrent: s.InitType == settings.InitManaged})
	asked := make(chan struct{}) // closed when the extension has asked for its first event
	if err := a.prepare(ctx, program, s.DropFaultyUpstreams(fault), fault, func() { close(asked) }); err != nil {
		a.close()
		return err
	}
	return a.run(ctx, s, asked)
}

// prepare makes all that run needs. In Lambda the user pays for the time until the first event is asked for. So the extension registers as
// soon as Hearth listens, and what serves is made while Lambda answers.
func (a *app) prepare(ctx context.Context, program string, s settings.Settings, fault error, onWaiting func()) error {
	listeners, listenErr := listen(ctx, s, a.log)
	a.listeners = listeners
	var making errgroup.Group
	making.Go(func() error {
		fault = errors.Join(fault, a.addUpstreams(s))
		return a.addAPI(s, fault, listenErr)
	})
	registerErr, err := a.register(ctx, program, s, onWaiting), making.Wait()
	if registerErr != nil || err != nil && a.ext == nil {
		return errors.Join(registerErr, err)
	}
	if err != nil {
		return errors.Join(err, a.ext.InitError(ctx, "Hearth.Config", err))
	}
	if len(listeners) == 0 || s.Strict {
		fault = errors.Join(fault, listenErr)
	}
	switch {
	case fault == nil:
		return nil
	case !s.InLambda():
		return fault
	case s.Strict: // Lambda is told, and ends INIT
		return errors.Join(fault, a.ext.InitError(ctx, "Hearth.Config", fault))
	}
	a.log.Error("serving degraded", "error", fault)
	return nil
}

// run runs all parts until ctx or the extension ends, or the process is told to end. After that it closes the cache and the pools.
func (a *app) run(ctx context.Context, s settings.Settings, asked <-chan struct{}) error {
	ctx, end := context.WithCancel(ctx)
	defer end()
	parts, ctx := newLifecycle(ctx)
	warmDone := make(chan struct{})
	if a.ext != nil { // the first part, because the user pays until it has asked
		parts.start("extension", func() error {
			defer end()
			waitBeforeNext(ctx, s, warmDone)
			return a.ext.Run(ctx)
		})
	}
	parts.start("API", func() error { return apiError(ctx, s.InLambda(), a.api.Run(ctx, a.listeners...), a.log) })
	parts.start("warming", func() error {
		defer close(warmDone)
		waitBeforeWarming(ctx, s, asked)
		debug.SetGCPercent(gcPercentFor(s))
		if s.InitType != settings.InitSnapStart { // a snapshot must hold no connection
			a.warm(ctx)
		}
		return nil
	})
	parts.start("warming after freezes", func() error { // the restore of a snapshot is the end of a freeze too
		restart, stop := restartable(ctx, a.warm)
		defer stop()
		a.pulse.Run(ctx, restart)
		return nil
	})
	told, stop := untilSignal(ctx) // after the parts have begun: it takes a while, because the runtime starts threads for it
	defer stop()
	defer context.AfterFunc(told, end)()
	a.logStart(s)
	return parts.wait(ctx, a.log, closer{"metrics", a.monitor.Close}, closer{"jobs", a.closeJobs}, closer{"cache", a.memory.Close}, closer{"pools", a.closeUpstreams})
}

// logStart logs what runs, and what may be wrong with the settings without being a fault.
func (a *app) logStart(s settings.Settings) {
	for _, name := range s.Unknown {
		a.log.Warn("unknown variable", "variable", name)
	}
	if token, _ := s.CallersToken(); token == "" {
		a.log.Warn("authentication is off: HEARTH_TOKEN is not set")
	}
	a.log.Info("serving", "version", version, "commit", commit, "addrs", addresses(a.listeners), "weaviate", a.weaviate != nil, "odoo", a.odoo != nil)
}

// addAPI makes the cache and the API. If an upstream is not configured, calls that need it answer with what is wrong with the settings.
func (a *app) addAPI(s settings.Settings, fault, listenErr error) (err error) {
	a.memory, err = cache.New(cache.Config{
		Bytes: s.CacheSize(), Window: s.TimelineWindow, LoadTimeout: s.PreprocessTimeout, Refresh: s.AfterInvokeBudget > 0, Pulse: a.pulse,
		Failure: chat.FailureOf, Refuse: a.refuse,
	})
	if err != nil {
		return err
	}
	noWeaviate, noOdoo, noFetch, reasons := "HEARTH_WEAVIATE_URL is not set", "HEARTH_ODOO_URL is not set", "HEARTH_FETCH_ALLOW is not set", ""
	if fault != nil {
		noWeaviate, noOdoo, noFetch = fault.Error(), fault.Error(), fault.Error()
	}
	if err := errors.Join(fault, listenErr); err != nil {
		reasons = err.Error()
	}
	waits := &executor.Waits{}
	service, err := chat.New(chat.Config{
		Weaviate: a.weaviate, Odoo: a.odoo, NoWeaviate: noWeaviate, NoOdoo: noOdoo, Cache: a.memory, Policies: s.Policies(),
		OutOfTime:  func(upstream string, waited time.Duration) { a.breakers[upstream].CallerLeft(waited) },
		OdooModels: s.OdooModels, OdooRoutes: s.OdooRoutes, Preview: s.HistoryPreview, Workers: s.Workers, Waits: waits,
	})
	if err != nil {
		return err
	}
	cfg := a.apiConfig(s)
	cfg.NoFetch, cfg.Monitor, cfg.Waits = noFetch, a.monitor, waits
	if a.weaviate != nil {
		cfg.Mixing = a.weaviate.Mixing
	}
	if a.web != nil {
		a.jobs = fetch.NewJobs(s.AnswerSize(), a.pulse)
		cfg.Fetch, cfg.Jobs = fetch.New(a.web, a.memory), a.jobs
	}
	cfg.Chat, cfg.Cache, cfg.Fault, cfg.Upstreams = service, a.memory, reasons, slices.Clone(a.upstreams)
	if a.weaviate == nil {
		cfg.Upstreams = append(cfg.Upstreams, sidecar.Upstream{Name: "weaviate", Missing: noWeaviate})
	}
	if a.odoo == nil {
		cfg.Upstreams = append(cfg.Upstreams, sidecar.Upstream{Name: "odoo", Missing: noOdoo})
	}
	a.api, err = sidecar.New(cfg)
	return err
}

// refuse returns the error with which the pool of a resource would refuse a load now.
func (a *app) refuse(ctx context.Context, r cache.Resource) error {
	upstream := "weaviate"
	switch r {
	case cache.OdooRead, cache.OdooModels:
		upstream = "odoo"
	case cache.Fetched: // each host has a pool
		return nil
	}
	if p := a.readPools[upstream]; p != nil {
		return p.Refuse(ctx)
	}
	return nil
}

// apiConfig is what the settings alone say about the API.
func (a *app) apiConfig(s settings.Settings) sidecar.Config {
	connections, idle := s.ConnLimits()
	token, tokenFrom := s.CallersToken()
	return sidecar.Config{
		Token: token, TokenFrom: tokenFrom, MappedProperties: s.MessageFields,
		Timeout: s.PreprocessTimeout, DeadlineMargin: s.DeadlineMargin, NoDeadline: a.options.NoDeadline, MaxBody: int(s.MaxBody),
		Workers: s.Workers, MaxBatchReply: int(min(s.AnswerSize(), 32<<20)), Connections: connections, IdleTimeout: idle,
		Pulse: a.pulse, Logger: a.log, Advice: s.Advice(),
	}
}

// listen opens the TCP port and the socket. One of them is enough to serve; the error says what is wrong with the other.
func listen(ctx context.Context, s settings.Settings, log *slog.Logger) (open []net.Listener, err error) {
	var faults []error
	add := func(l net.Listener, err error) {
		if err != nil {
			log.Error("not listening", "error", err)
			faults = append(faults, err)
			return
		}
		open = append(open, l)
	}
	addr, socket := s.Listen()
	if addr != "" {
		add(sidecar.ListenTCP(ctx, addr))
	}
	if socket != "" {
		add(sidecar.ListenSocket(ctx, socket))
	}
	return open, errors.Join(faults...)
}

func addresses(listeners []net.Listener) (list []string) {
	for _, l := range listeners {
		list = append(list, l.Addr().String())
	}
	return list
}
