package lambdatest

import (
	"cmp"
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"
)

// InitType is how Lambda came to start the sandbox, as the processes read it in AWS_LAMBDA_INITIALIZATION_TYPE.
type InitType string

// The initialization types.
const (
	OnDemand               InitType = "on-demand"
	ProvisionedConcurrency InitType = "provisioned-concurrency"

	// SnapStart freezes the sandbox once INIT has ended, and thaws it for the first invocation: the snapshot and what is
	// restored of it. The processes find their credentials where AWS_CONTAINER_CREDENTIALS_FULL_URI says, not in
	// AWS_SESSION_TOKEN. There are no restore hooks.
	SnapStart InitType = "snap-start"

	// ManagedInstances runs several invocations at once and never freezes. Extensions cannot register for INVOKE.
	ManagedInstances InitType = "lambda-managed-instances"
)

// InitTypes are all of them.
func InitTypes() []InitType {
	return []InitType{OnDemand, ProvisionedConcurrency, SnapStart, ManagedInstances}
}

// Config describes the function and its sandbox. The zero value is a function with the extension "hearth".
type Config struct {
	Extensions []string // File names in /opt/extensions, all of which INIT waits for. nil: the layer's, else "hearth". Empty: none.
	Function   string   // Function name. Default "test-function".
	Handler    string   // What the function's _HANDLER says. Default "handler.handler".
	Layer      string   // A layer's zip file, unpacked into the folder that stands for /opt: see [Host.Opt]. "": there is none.

	Init        InitType // Default OnDemand.
	Concurrency int      // Invocations at once on Managed Instances, default 10. Elsewhere there is one.

	// MemoryMB is the function's size: where cgroups are writable, its memory and its share of the CPU, of which 1769 MB
	// bring one. [Host.Limits] says what came of it. Default: no limit, and the processes read 128.
	MemoryMB int

	Timeout         time.Duration // How long an invocation has from its dispatch. Default 10s.
	InitTimeout     time.Duration // How long INIT has from the first process's start. Default 10s, but 130s where Lambda starts ahead of need.
	ShutdownTimeout time.Duration // How long the processes have from SHUTDOWN to SIGKILL. Default 2s.

	// Seed is what the order is drawn by in which the extensions and the runtime learn of an invocation. 0: a new one each
	// time, which errors of [Host.Invoke] name.
	Seed uint64

	// TelemetryStatus answers a subscription to telemetry: 0 takes it, 202 says as emulators do that there is none here,
	// anything else is an error.
	TelemetryStatus int
	// LoseEvent says which telemetry events never arrive. The request id is empty in those of INIT. nil: none.
	LoseEvent func(eventType, requestID string) bool

	// Answer stands in for the runtime: it answers every invocation. nil: a runtime calls the Runtime API.
	Answer func(ctx context.Context, payload []byte) ([]byte, error)
}

func (c Config) withDefaults() Config {
	if c.Extensions == nil && c.Layer == "" {
		c.Extensions = []string{"hearth"}
	}
	c.Function = cmp.Or(c.Function, "test-function")
	c.Handler = cmp.Or(c.Handler, "handler.handler")
	c.Init = cmp.Or(c.Init, OnDemand)
	c.Concurrency = cmp.Or(c.Concurrency, 10)
	if c.Init != ManagedInstances {
		c.Concurrency = 1
	}
	c.Seed = cmp.Or(c.Seed, rand.Uint64())
	c.Timeout = cmp.Or(c.Timeout, 10*time.Second)
	if c.InitTimeout == 0 {
		c.InitTimeout = 130 * time.Second
		if c.Init == OnDemand {
			c.InitTimeout = 10 * time.Second
		}
	}
	c.ShutdownTimeout = cmp.Or(c.ShutdownTimeout, 2*time.Second)
	return c
}

func (c Config) validate() error {
	if !slices.Contains(InitTypes(), c.Init) {
		return fmt.Errorf("lambdatest: no initialization type %q", c.Init)
	}
	if c.Concurrency < 1 || c.MemoryMB < 0 || c.MemoryMB != 0 && c.MemoryMB < 128 {
		return fmt.Errorf("lambdatest: concurrency %d, %d MB: at least 1, and 0 or at least 128 MB", c.Concurrency, c.MemoryMB)
	}
	return nil
}
