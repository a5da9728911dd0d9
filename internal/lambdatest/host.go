// Package lambdatest is a test double of one Lambda sandbox: the Runtime API and the Extensions API on a loopback port.
//
// Start with [New], give [Host.Addr] to the extension and to the runtime as AWS_LAMBDA_RUNTIME_API (or let
// [Host.StartExtension] and [Host.StartRuntime] do so), then call [Host.Invoke] and [Host.Shutdown]. As in Lambda, an
// invocation waits until the extensions and the runtime are ready for it, and one is under way at a time. A Host is one
// sandbox: once it has crashed it stays so. It does not freeze, bill or limit anything, and it sends no telemetry.
package lambdatest

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"sync"
	"time"

	"github.com/google/uuid"
)

var (
	// ErrClosed is returned by everything that still waits when the Host is closed.
	ErrClosed = errors.New("lambdatest: host closed")
	// ErrShutdown is returned to an invocation that a shutdown overtakes.
	ErrShutdown = errors.New("lambdatest: sandbox is shutting down")
	// ErrTimeout is returned by an invocation that has used up Config.Timeout.
	ErrTimeout = errors.New("lambdatest: task timed out")
)

// Config describes the function in the sandbox. The zero value is a function with the extension "hearth".
type Config struct {
	Extensions []string // File names in /opt/extensions, all of which INIT waits for. nil: "hearth". Empty: none.
	Function   string   // Function name. Default "test-function".
	Handler    string   // What the function's _HANDLER says. Default "handler.handler".

	// Timeout is the function's: how long an invocation has from its dispatch. Default 10s.
	Timeout time.Duration

	// ManagedInstances refuses registrations for INVOKE, as Lambda Managed Instances do.
	ManagedInstances bool

	// Answer stands in for the runtime: it answers every invocation. nil: a runtime calls the Runtime API.
	Answer func(ctx context.Context, payload []byte) ([]byte, error)
}

func (c Config) withDefaults() Config {
	if c.Extensions == nil {
		c.Extensions = []string{"hearth"}
	}
	c.Function = cmp.Or(c.Function, "test-function")
	c.Handler = cmp.Or(c.Handler, "handler.handler")
	c.Timeout = cmp.Or(c.Timeout, 10*time.Second)
	return c
}

// Report is an error that an extension or the runtime reported about itself, or the end of an extension's process.
type Report struct {
	From string // The extension's name, or "runtime".
	Call string // "init/error", "exit/error" or "crash".
	Type string // The Function-Error-Type header, or how the process ended.
	Body string // As it was sent.
}

// FunctionError is the error a handler answered an invocation with.
type FunctionError struct {
	Type string // The Lambda-Runtime-Function-Error-Type header.
	Body string // Lambda's error JSON: errorMessage, errorType, stackTrace.
}

func (e *FunctionError) Error() string { return "lambdatest: function error " + e.Type + ": " + e.Body }

// Host is one sandbox. Its methods may be called from any goroutine.
type Host struct {
	cfg    Config
	server *httptest.Server
	turn   chan struct{} // Holds a token while an invocation is under way.
	done   chan struct{} // Closed by Close.
	once   sync.Once

	mu         sync.Mutex    // Guards what follows.
	changed    chan struct{} // Closed and replaced by every update.
	extensions []*extension  // In the order they registered.
	current    *invocation   // Queued for, or running in, the runtime. nil between invocations.
	reports    []Report
	stopping   bool
}

type invocation struct {
	id       string
	deadline time.Time
	payload  []byte
	taken    bool // The runtime has it.
	answered bool
	response []byte
	err      error
}

// New starts a sandbox without processes in it. Close it.
func New(cfg Config) (*Host, error) {
	var lc net.ListenConfig
	ln, err := lc.Listen(context.Background(), "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("lambdatest: %w", err)
	}
	h := &Host{
		cfg:     cfg.withDefaults(),
		turn:    make(chan struct{}, 1),
		done:    make(chan struct{}),
		changed: make(chan struct{}),
	}
	h.server = &httptest.Server{Listener: ln, Config: &http.Server{Handler: h.routes(), ReadHeaderTimeout: 5 * time.Second}}
	h.server.Start()
	return h, nil
}

// Addr is the value of AWS_LAMBDA_RUNTIME_API: host and port.
func (h *Host) Addr() string { return h.server.Listener.Addr().String() }

// Close ends every call to the APIs and returns when the last one has ended. Processes see a lost connection.
func (h *Host) Close() {
	h.once.Do(func() { close(h.done) })
	h.server.Close()
}

// Registered names the extensions that have registered, in that order.
func (h *Host) Registered() []string {
	h.mu.Lock()
	defer h.mu.Unlock()
	var names []string
	for _, e := range h.extensions {
		names = append(names, e.name)
	}
	return names
}

// Reports returns what went wrong so far, oldest first.
func (h *Host) Reports() []Report {
	h.mu.Lock()
	defer h.mu.Unlock()
	return slices.Clone(h.reports)
}

// WaitReady returns when every extension has registered and waits in /next: INIT has ended, or an invocation's last
// billed millisecond. It fails as soon as the sandbox does.
func (h *Host) WaitReady(ctx context.Context) error {
	return h.await(ctx, func() (bool, error) { return h.readyLocked(), h.failureLocked() })
}

// Invoke runs one invocation and returns the handler's response as soon as there is one, while extensions may still be
// at work. The invocation before it is waited for. A handler's error is a *FunctionError.
func (h *Host) Invoke(ctx context.Context, payload []byte) ([]byte, error) {
	select {
	case h.turn <- struct{}{}:
		defer func() { <-h.turn }()
	case <-ctx.Done():
		return nil, ctx.Err()
	case <-h.done:
		return nil, ErrClosed
	}
	if err := h.WaitReady(ctx); err != nil {
		return nil, err
	}
	inv := &invocation{id: uuid.NewString(), deadline: time.Now().Add(h.cfg.Timeout), payload: payload}
	ctx, cancel := context.WithDeadlineCause(ctx, inv.deadline, ErrTimeout)
	defer cancel()
	h.update(func() {
		h.current = inv
		for _, e := range h.extensions {
			e.deliver(h.invokeEvent(inv))
		}
	})
	defer h.update(func() { h.current = nil })
	if h.cfg.Answer != nil {
		return h.cfg.Answer(ctx, payload)
	}
	err := h.await(ctx, func() (bool, error) { return inv.answered, h.failureLocked() })
	if err != nil {
		return nil, err
	}
	return inv.response, inv.err
}

// Shutdown sends SHUTDOWN with the reason ("spindown", "timeout", "failure") to the extensions that registered for it,
// and returns when they have it. They have two seconds from now.
func (h *Host) Shutdown(ctx context.Context, reason string) error {
	h.update(func() {
		if h.stopping {
			return
		}
		h.stopping = true
		for _, e := range h.extensions {
			e.deliver(shutdownEvent(reason))
		}
	})
	return h.await(ctx, func() (bool, error) {
		return !slices.ContainsFunc(h.extensions, func(e *extension) bool { return len(e.queue) > 0 && !e.gone }), nil
	})
}

func (h *Host) readyLocked() bool {
	for _, name := range h.cfg.Extensions {
		if e := h.extensionLocked(name); e == nil || e.polls == 0 || len(e.queue) > 0 {
			return false
		}
	}
	return true
}

// extensionLocked finds a registered extension by its name or its identifier.
func (h *Host) extensionLocked(key string) *extension {
	for _, e := range h.extensions {
		if key == e.name || key == e.id {
			return e
		}
	}
	return nil
}

func (h *Host) failureLocked() error {
	switch {
	case len(h.reports) > 0:
		r := h.reports[0]
		return fmt.Errorf("lambdatest: %s: %s: %s %s", r.From, r.Call, r.Type, r.Body)
	case h.stopping:
		return ErrShutdown
	}
	return nil
}

// update changes the guarded state and wakes everyone who awaits something of it.
func (h *Host) update(change func()) {
	h.mu.Lock()
	defer h.mu.Unlock()
	change()
	close(h.changed)
	h.changed = make(chan struct{})
}

// await returns when cond, which is called with mu held, is true or fails.
func (h *Host) await(ctx context.Context, cond func() (bool, error)) error {
	for {
		h.mu.Lock()
		ok, err := cond()
		changed := h.changed
		h.mu.Unlock()
		if ok || err != nil {
			return err
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-h.done:
			return ErrClosed
		}
	}
}
