package main

import (
	"context"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"hearth/cache"
	"hearth/extension"
)

const (
	// provisionedWait is how long INIT waits for warm upstreams under provisioned concurrency; Lambda allows 10 s in all.
	provisionedWait = 5 * time.Second
	// waitingWait is how long warming waits for INIT to need no more of us.
	waitingWait = time.Second
)

func (s *settings) inLambda() bool { return s.RuntimeAPI != "" }

// register makes the process an extension. Between invocations nothing runs unless the user pays for it, and there is
// something to fetch again, which only Odoo has: only then it takes INVOKE.
func register(ctx context.Context, s settings, p parts, memory *cache.Cache, onWaiting func()) (*extension.Extension, error) {
	cfg := extension.Config{
		RuntimeAPI: s.RuntimeAPI, Name: filepath.Base(os.Args[0]), Events: p.lab.events,
		DeadlineMargin: s.DeadlineMargin, OnWaiting: onWaiting, Logger: p.log,
	}
	if s.AfterInvokeBudget > 0 && p.odoo != nil && s.InitType != initManaged { // managed instances are never frozen and tell of no end
		cfg.Events = []string{"INVOKE"}
		cfg.Telemetry = new(extension.Telemetry)
		cfg.OnInvoke = extension.NewAfterInvoke(extension.AfterInvokeConfig{
			Telemetry: cfg.Telemetry, Budget: s.AfterInvokeBudget, Refresh: func(ctx context.Context) { memory.Refresh(ctx) }, Logger: p.log,
		}).OnInvoke
	}
	return extension.Register(ctx, cfg)
}

// apiError is what the end of the API means for the process. In Lambda it is no reason to end: the function can do without the
// API, but not without its extension.
func (s *settings) apiError(ctx context.Context, err error, log *slog.Logger) error {
	if s.inLambda() && ctx.Err() == nil {
		log.Error("the API has ended", "error", err)
		return nil
	}
	return err
}

// untilWarming returns when the upstreams may be warmed. INIT is billed, so on demand it ends first: waiting is closed.
func (s *settings) untilWarming(ctx context.Context, waiting <-chan struct{}) {
	if s.inLambda() && s.InitType != initProvisioned { // which nobody waits for
		wait(ctx, waiting, waitingWait)
	}
}

// untilNext returns when INIT may end: under provisioned concurrency once the upstreams are warm, which nobody waits for.
func (s *settings) untilNext(ctx context.Context, warmed <-chan struct{}) {
	if s.InitType == initProvisioned {
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
