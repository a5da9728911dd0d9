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

	Platform    Platform // Default Lambda.
	Init        InitType // Default OnDemand.
	Concurrency int      // Invocations at once on Managed Instances, default 10. Elsewhere there is one.

	Credentials Credentials // Default: session credentials, with SnapStart the container's, in the emulator what its mode has.

	// Reset: after the timeout of an invocation, and after a process has failed or ended, the sandbox is reset, as it is in Lambda. The
	// extensions get SHUTDOWN, every process ends, and the next invocation starts them again on its own time. Else the sandbox fails for
	// good, so that no failure goes unseen. On Managed Instances timeouts are not enforced.
	Reset bool

	// MemoryMB is the function's size. Where cgroups are writable it limits the memory of the processes, and their CPU to one
	// for each 1769 MB: [Host.Limits] says what is in force. Default: no limit, and the processes are told the smallest size
	// that there is: 128, on Managed Instances 2048.
	MemoryMB int

	Timeout         time.Duration // How long an invocation has from its dispatch. Default 10s.
	InitTimeout     time.Duration // How long INIT has from the first process's start. Default 10s on demand, 130s otherwise.
	ShutdownTimeout time.Duration // How long the processes have from SHUTDOWN to SIGKILL. Default 2s.

	// Seed of the random order in which the extensions and the runtime are told of an invocation. 0: a new one each time,
	// which the errors of [Host.Invoke] name.
	Seed uint64

	// TelemetryStatus is the reply to a subscription to telemetry. 0: it is accepted. 202: there is no telemetry here, as
	// emulators say. Any other status is an error.
	TelemetryStatus int
	// LoseEvent says which telemetry events are never delivered. Those of INIT have no request id. nil: all are.
	LoseEvent func(eventType, requestID string) bool

	// Answer is the handler, in place of a runtime that calls the Runtime API. nil: there is a runtime.
	Answer func(ctx context.Context, payload []byte) ([]byte, error)
}

func (c Config) withDefaults() Config {
	if c.Extensions == nil && c.Layer == "" {
		c.Extensions = []string{"hearth"}
	}
	c.Function = cmp.Or(c.Function, "test-function")
	c.Handler = cmp.Or(c.Handler, "handler.handler")
	c.Platform, c.Init = cmp.Or(c.Platform, Lambda), cmp.Or(c.Init, OnDemand)
	if c.Init == SnapStart {
		c.Credentials = cmp.Or(c.Credentials, ContainerCredentials)
	}
	c.Credentials = cmp.Or(c.Credentials, profileOf(c.Platform, c.Init).credentials)
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
	return c.validatePlatform()
}
