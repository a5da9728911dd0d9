package app

import (
	"context"
	"log/slog"
	"path/filepath"
	"time"

	"hearth/cache"
	"hearth/extension"
	"hearth/internal/settings"
)

const (
	// provisionedWait is how long INIT waits for warm upstreams under provisioned concurrency; Lambda allows 10 s in all.
	provisionedWait = 5 * time.Second
	// waitingWait is how long warming waits for INIT to need no more of us.
	waitingWait = time.Second
)

// register makes the process an extension. Between invocations nothing runs unless the user pays for it, and there is
// something to fetch again, which only Odoo has: only then it takes INVOKE.
func register(ctx context.Context, program string, s settings.Settings, a *app, memory *cache.Cache, onWaiting func()) (*extension.Extension, error) {
	cfg := extension.Config{
		RuntimeAPI: s.RuntimeAPI, Name: filepath.Base(program), Events: a.lab.events,
		DeadlineMargin: s.DeadlineMargin, OnWaiting: onWaiting, Logger: a.log,
	}
	if s.AfterInvokeBudget > 0 && a.odoo != nil && s.InitType != settings.InitManaged { // managed instances are never frozen and tell of no end
		cfg.Events = []string{"INVOKE"}
		cfg.Telemetry = new(extension.Telemetry)
		cfg.OnInvoke = extension.NewAfterInvoke(extension.AfterInvokeConfig{
			Telemetry: cfg.Telemetry, Budget: s.AfterInvokeBudget, Refresh: func(ctx context.Context) { memory.Refresh(ctx) }, Logger: a.log,
		}).OnInvoke
	}
	return extension.Register(ctx, cfg)
}

// apiError is what the end of the API means for the process. In Lambda it is no reason to end: the function can do without the
// API, but not without its extension.
func apiError(ctx context.Context, inLambda bool, err error, log *slog.Logger) error {
	if inLambda && ctx.Err() == nil {
		log.Error("the API has ended", "error", err)
		return nil
	}
	return err
}

// untilWarming returns when the upstreams may be warmed. INIT is billed, so on demand it ends first: waiting is closed.
func untilWarming(ctx context.Context, s settings.Settings, waiting <-chan struct{}) {
	if s.InLambda() && s.InitType != settings.InitProvisioned { // which nobody waits for
		wait(ctx, waiting, waitingWait)
	}
}

// untilNext returns when INIT may end: under provisioned concurrency once the upstreams are warm, which nobody waits for.
func untilNext(ctx context.Context, s settings.Settings, warmed <-chan struct{}) {
	if s.InitType == settings.InitProvisioned {
		wait(ctx, warmed, provisionedWait)
	}
}

func wait(ctx context.Context, happened <-chan struct{}, most time.Duration) {
	select {
	case <-happened:
	case <-time.After(most):
	case <-ctx.Done():
	}
}
