package lab

import (
	"context"
	"fmt"
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

// Reply is the result of the sample handlers.
type Reply struct {
	Text    string `json:"reply"`
	History int    `json:"history"` // messages that the handler was given
	Saved   bool   `json:"saved"`   // Hearth took the turn
}

// ChatID names a chat by its number.
func ChatID(n int) string { return fmt.Sprintf("chat/%d", n) }

// OdooRoute is a route for which Hearth asks Odoo for its models.
const OdooRoute = "odoo_erp"

// Runtime starts the process of a handler in a sandbox. env says where Hearth is.
type Runtime func(ctx context.Context, host *lambdatest.Host, env ...string) (*lambdatest.Process, error)

// GoRuntime is a handler in Go: the binary bootstrap.
func GoRuntime(bootstrap string) Runtime {
	return func(ctx context.Context, host *lambdatest.Host, env ...string) (*lambdatest.Process, error) {
		return host.StartBootstrap(ctx, bootstrap, env...)
	}
}

// PythonRuntime is the handler in Python that [lambdatest.Config] names, in the folder taskRoot. It imports modules from folders.
func PythonRuntime(taskRoot string, folders ...string) Runtime {
	path := "PYTHONPATH=" + strings.Join(folders, string(os.PathListSeparator))
	return func(ctx context.Context, host *lambdatest.Host, env ...string) (*lambdatest.Process, error) {
		return host.StartRuntime(ctx, taskRoot, append(env, path, "PYTHONDONTWRITEBYTECODE=1")...)
	}
}
