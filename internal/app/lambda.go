package app

import (
	"context"
	"log/slog"
	"path/filepath"
	"time"

	"hearth/extension"
	"hearth/internal/settings"
)

const (
	// warmTimeout is how long INIT waits for warm upstreams under provisioned concurrency. Lambda allows INIT 10 s in all.
	warmTimeout = 5 * time.Second
	// warmStartTimeout is how long warming waits until the extension has asked for its first event.
	warmStartTimeout = time.Second
)

// extensionConfig makes the config of the extension. The extension registers for INVOKE and refreshes after each invocation only if the user
// pays for that and Odoo is configured: only what was read from Odoo is refreshed. A managed instance never does: it is never frozen, and
// Lambda does not tell it when an invocation ends.
func (a *app) extensionConfig(program string, s settings.Settings, onWaiting func()) extension.Config {
	cfg := extension.Config{
		RuntimeAPI: s.RuntimeAPI, Name: filepath.Base(program), Events: a.options.Events,
		DeadlineMargin: s.DeadlineMargin, OnWaiting: onWaiting, Logger: a.log,
	}
	if s.AfterInvokeBudget > 0 && s.OdooURL != "" && s.InitType != settings.InitManaged {
		cfg.Events = []string{"INVOKE"}
		cfg.Telemetry = new(extension.Telemetry)
		cfg.OnInvoke = extension.NewAfterInvoke(extension.AfterInvokeConfig{
			Telemetry: cfg.Telemetry, Budget: s.AfterInvokeBudget, Refresh: func(ctx context.Context) { a.memory.Refresh(ctx) }, Logger: a.log,
		}).OnInvoke
	}
	return cfg
}

// register makes the process an extension, if this is Lambda.
func (a *app) register(ctx context.Context, program string, s settings.Settings, onWaiting func()) (err error) {
	if !s.InLambda() {
		return nil
	}
	if a.ext, err = extension.New(a.extensionConfig(program, s, onWaiting)); err != nil {
		return err
	}
	return a.ext.Register(ctx)
}

// apiError is what the end of the API means for the process. In Lambda the process goes on: the function can do without the
// API, but not without its extension.
func apiError(ctx context.Context, inLambda bool, err error, log *slog.Logger) error {
	if inLambda && ctx.Err() == nil {
		log.Error("the API has ended; the extension goes on without it", "error", err)
		return nil
	}
	return err
}

// waitBeforeWarming returns when the upstreams may be warmed. The user pays for INIT, so on demand INIT ends first: asked is closed when
// the extension has asked for its first event. Under provisioned concurrency no request waits for INIT, so INIT includes the warming.
func waitBeforeWarming(ctx context.Context, s settings.Settings, asked <-chan struct{}) {
	if s.InLambda() && s.InitType != settings.InitProvisioned {
		wait(ctx, asked, warmStartTimeout)
	}
}

// waitBeforeNext returns when INIT may end: under provisioned concurrency once the upstreams are warm, else at once.
func waitBeforeNext(ctx context.Context, s settings.Settings, warmed <-chan struct{}) {
	if s.InitType == settings.InitProvisioned {
		wait(ctx, warmed, warmTimeout)
	}
}

// wait returns when something has happened, when it has taken too long, or when ctx has ended.
func wait(ctx context.Context, happened <-chan struct{}, timeout time.Duration) {
	select {
	case <-happened:
	case <-time.After(timeout):
	case <-ctx.Done():
	}
}
