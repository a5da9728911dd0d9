package lab

import (
	"context"
	"os"
	"strings"

	"hearth/internal/testing/lambdatest"
)

// Language is that of a handler.
type Language string

// The languages of the sample handlers.
const (
	Go     Language = "go"
	Python Language = "python"
)

// Turn is an event of the sample handlers: what a user says in a chat.
type Turn struct {
	ChatID string `json:"chat_id"`
	Text   string `json:"text"`
	Route  string `json:"route_name"`
}

// Reply is their result.
type Reply struct {
	Text    string `json:"reply"`
	History int    `json:"history"` // messages that the handler was given
	Saved   bool   `json:"saved"`   // Hearth took the turn
}

// OdooRoute is a route whose handlers want Odoo's models.
const OdooRoute = "odoo_erp"

// Runtime starts the process of a handler in a sandbox. env says where Hearth is.
type Runtime func(ctx context.Context, host *lambdatest.Host, env ...string) (*lambdatest.Process, error)

// GoRuntime is a handler in Go, built to a bootstrap.
func GoRuntime(bootstrap string) Runtime {
	return func(ctx context.Context, host *lambdatest.Host, env ...string) (*lambdatest.Process, error) {
		return host.StartBootstrap(ctx, bootstrap, env...)
	}
}

// PythonRuntime is the handler in Python of the sandbox's configuration, from the folder taskRoot; folders are where its
// modules are.
func PythonRuntime(taskRoot string, folders ...string) Runtime {
	path := "PYTHONPATH=" + strings.Join(folders, string(os.PathListSeparator))
	return func(ctx context.Context, host *lambdatest.Host, env ...string) (*lambdatest.Process, error) {
		return host.StartRuntime(ctx, taskRoot, append(env, path, "PYTHONDONTWRITEBYTECODE=1")...)
	}
}
