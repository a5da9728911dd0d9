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

	"hearth/cache"
	"hearth/extension"
	"hearth/internal/settings"
	"hearth/sidecar"
	"hearth/sidecar/chat"
)

// collectAt is by how many percent the heap grows before garbage is collected. It and [settings.memoryLimit] hold
// whatever GOGC and GOMEMLIMIT say: those of a function are meant for its handler.
const collectAt = 100

// serve listens, registers where there is a Lambda, warms the upstreams while the runtime starts, and runs
// until it is told to end. In Lambda a fault does not end it, unless HEARTH_STRICT is set: the API answers 503 with
// the reason, and the function lives. To HEARTH_STRICT it is a fault too if one of two ways in cannot be opened.
func serve(ctx context.Context, program string, environ []string, stderr io.Writer) error {
	debug.SetGCPercent(-1) // INIT is billed, and there is no garbage worth collecting yet
	s, fault := settings.Read(environ)
	debug.SetMemoryLimit(s.MemoryLimit())
	out := newLogQueue(stderr)
	defer out.close()
	log.SetOutput(out) // net/http's
	defer log.SetOutput(stderr)
	a, err := newApp(s.WithoutFaulty(fault), nil, out)
	if fault = errors.Join(fault, err); fault != nil && !s.InLambda() {
		return fault
	}
	memory, err := cache.New(cache.Config{Bytes: s.CacheSize(), Window: s.TimelineWindow, LoadTimeout: s.PreprocessTimeout, Refresh: s.AfterInvokeBudget > 0, Pulse: a.pulse})
	if err != nil {
		return err
	}
	for _, name := range s.Unknown {
		a.log.Warn("this variable means nothing", "variable", name)
	}
	if token, _ := s.CallersToken(); token == "" {
		a.log.Warn("no token is asked for: HEARTH_TOKEN is not set")
	}
	listeners, unheard := listen(ctx, s, a.log)
	api, err := a.api(s, memory, fault, unheard)
	if err != nil {
		return err
	}
	if len(listeners) == 0 || s.Strict {
		fault = errors.Join(fault, unheard)
	}
	var e *extension.Extension
	waiting, warmed := make(chan struct{}), make(chan struct{}) // closed when INIT may end, and when the upstreams are warm
	switch {
	case s.InLambda():
		e, err = register(ctx, program, s, a, memory, func() { close(waiting) })
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
		a.log.Error("serving without what cannot work", "error", fault)
	}

	ctx, end := context.WithCancel(ctx)
	defer end()
	r, ctx := newRunning(ctx)
	r.start("API", func() error { return apiError(ctx, s.InLambda(), api.Run(ctx, listeners...), a.log) })
	r.start("warming", func() error {
		defer close(warmed)
		untilWarming(ctx, s, waiting)
		debug.SetGCPercent(collectAt)
		if s.InitType != settings.InitSnapStart { // a snapshot must hold no connection
			a.warm(ctx)
		}
		return nil
	})
	r.start("warming after freezes", func() error { // the restore of a snapshot is the end of one too
		thawed, stop := oneAtATime(ctx, a.warm)
		defer stop()
		a.pulse.Run(ctx, thawed)
		return nil
	})
	if e != nil {
		r.start("extension", func() error {
			defer end()
			untilNext(ctx, s, warmed)
			return e.Run(ctx)
		})
	}
	a.log.Info("serving", "version", version, "addrs", addresses(listeners), "weaviate", a.weaviate != nil, "odoo", a.odoo != nil)
	return r.wait(ctx, a.log, step{"cache", memory.Close}, step{"pools", a.close})
}

// api is the API over what there is. What is wrong with the settings it tells whoever asks for what is not there.
func (a *app) api(s settings.Settings, memory *cache.Cache, fault, unheard error) (*sidecar.Server, error) {
	noWeaviate, noOdoo, wrong := "HEARTH_WEAVIATE_URL is not set", "HEARTH_ODOO_URL is not set", ""
	if fault != nil {
		noWeaviate, noOdoo = fault.Error(), fault.Error()
	}
	if e := errors.Join(fault, unheard); e != nil {
		wrong = e.Error()
	}
	upstreams := slices.Clone(a.upstreams)
	if a.weaviate == nil {
		upstreams = append(upstreams, sidecar.Upstream{Name: "weaviate", Missing: noWeaviate})
	}
	if a.odoo == nil {
		upstreams = append(upstreams, sidecar.Upstream{Name: "odoo", Missing: noOdoo})
	}
	service, err := chat.New(chat.Config{
		Weaviate: a.weaviate, Odoo: a.odoo, NoWeaviate: noWeaviate, NoOdoo: noOdoo, Cache: memory, Policies: s.Policies(),
		OdooModels: s.OdooModels, OdooRoutes: s.OdooRoutes, Preview: s.HistoryPreview, Workers: s.Workers,
	})
	if err != nil {
		return nil, err
	}
	callers, idle := s.ConnLimits()
	token, tokenFrom := s.CallersToken()
	return sidecar.New(sidecar.Config{
		Token: token, TokenFrom: tokenFrom, Chat: service, Cache: memory, Upstreams: upstreams, Fault: wrong,
		MappedProperties: s.MessageFields, Timeout: s.PreprocessTimeout, MaxBody: int(s.MaxBody),
		Connections: callers, IdleTimeout: idle, Pulse: a.pulse, Logger: a.log,
	})
}

// listen opens both ways in. One is enough to serve; the error says what is wrong with the other.
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
