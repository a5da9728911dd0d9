// Package lambdatest is a test double of one Lambda sandbox: the Runtime, Extensions and Telemetry APIs on a loopback
// port, and the processes that call them, limited as Lambda limits them.
//
// Start with [New] and a [Config], which says of what type and size the sandbox is. Give [Host.Addr] to the extension
// and to the runtime as AWS_LAMBDA_RUNTIME_API, or let [Host.StartExtension], [Host.StartRuntime] and
// [Host.StartBootstrap] start them, then call [Host.Invoke], [Host.Freeze], [Host.Thaw] and [Host.Shutdown]. [Host.Init],
// [Host.Invocations] and [Process.Usage] say what that cost.
//
// As in Lambda, INIT ends when the extensions and the runtime have asked for their next event, and an invocation waits
// until they do so again. They are told of it in random order. Processes that take too long for INIT or SHUTDOWN are
// killed. Where cgroups are writable, they limit the processes to the function's size and freeze them; elsewhere nothing
// limits them, and a freeze is a SIGSTOP.
//
// With Config.Reset a sandbox that failed is reset and started again inside the next invocation, as in Lambda. Without it the sandbox
// fails for good: then the caller must shut it down after an invocation's timeout. Config.Platform says whether it behaves as Lambda is
// documented, or as AWS's own emulator.
//
// The double differs from Lambda. A freeze stops neither the clocks nor the kernel, which keeps sockets open. There is no Logs API, and
// there are no restore hooks. Only as the emulator does it have internal extensions.
//
// The files: host.go and config.go; platform.go has what differs between platforms; api.go has the routes, extension.go, runtime.go and
// telemetry.go what is behind them; init.go, invocation.go, reset.go and shutdown.go are the phases; process.go, sandbox.go,
// cgroup_linux.go and layer.go what runs in it.
package lambdatest

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"sync"
	"syscall"
	"time"
)

var (
	// ErrClosed is returned by everything that still waits when the Host is closed.
	ErrClosed = errors.New("lambdatest: host closed")
	// ErrShutdown is returned to an invocation that a shutdown overtakes.
	ErrShutdown = errors.New("lambdatest: sandbox is shutting down")
	// ErrUnavailable is returned to an invocation beyond the concurrency of a platform that refuses it.
	ErrUnavailable = errors.New("lambdatest: 400 Runtime.Unavailable")
	// ErrTimeout is returned by an invocation that has used up Config.Timeout.
	ErrTimeout = errors.New("lambdatest: task timed out")
)

// Report is what went wrong: an error that an extension or the runtime reported about itself, the end of a process
// before SHUTDOWN, or that it had to be killed.
type Report struct {
	From string // The extension's name, or "runtime".
	Call string // "init/error", "exit/error", "crash" or "killed".
	Type string // The Function-Error-Type header, or how the process ended.
	Body string // As it was sent.
}

// Host is one sandbox. Its methods may be called from any goroutine.
type Host struct {
	cfg     Config
	profile profile
	server  *httptest.Server
	opt     string        // Folder that stands for /opt. "": there is no layer.
	slots   chan struct{} // Holds a token for each invocation under way.
	close   func()        // Closes done, ends what waits and the deliveries of telemetry.
	done    <-chan struct{}
	once    sync.Once
	wg      sync.WaitGroup // All that the host runs besides the server: joined by Close.
	cgroup  cgroup
	limits  Limits

	mu            sync.Mutex    // Guards what follows.
	changed       chan struct{} // Closed and replaced by every update.
	random        *rand.Rand
	extensions    []*extension // In the order they registered.
	runtime       *inbox
	runtimeKnown  bool          // It was started, or has asked for an invocation.
	runtimeInited bool          // It has asked for its first invocation, or INIT has ended without that.
	open          []*invocation // Those that have not ended.
	invocations   []Invocation
	init          struct{ began, ended time.Time }
	events        []telemetryEvent // In the order they happened.
	subscriptions int              // To the events.
	processes     []*Process
	reports       []Report
	phase         phase
	ending        bool // The processes are told to end, or killed.
	stopped       bool // It was shut down for good.
	resets        int  // How often the sandbox was reset.
	forgiven      int  // How many of the reports are from before the last reset: they no longer count.
	eventsBefore  int  // How many of the events are from before the last reset.
	frozen        bool
	restored      bool // From the snapshot of SnapStart.
}

// phase of a sandbox that may be reset.
type phase int

const (
	running   phase = iota
	resetting       // Its processes are ending.
	down            // It has none, until an invocation starts them again.
)

// New starts a sandbox without processes in it. Close it.
func New(cfg Config) (*Host, error) {
	cfg = cfg.withDefaults()
	if err := cfg.validate(); err != nil {
		return nil, err
	}
	opt := ""
	if cfg.Layer != "" {
		var err error
		if opt, err = unpack(cfg.Layer); err != nil {
			return nil, err
		}
		if cfg.Extensions == nil {
			cfg.Extensions = extensionsIn(opt)
		}
	}
	ctx, cancel := context.WithCancel(context.Background())
	ln, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		cancel()
		return nil, errors.Join(fmt.Errorf("lambdatest: %w", err), os.RemoveAll(opt))
	}
	h := &Host{
		cfg:     cfg,
		profile: profileOf(cfg.Platform, cfg.Init),
		runtime: &inbox{},
		opt:     opt,
		slots:   make(chan struct{}, cfg.Concurrency),
		close:   cancel,
		done:    ctx.Done(),
		changed: make(chan struct{}),
		random:  rand.New(rand.NewPCG(cfg.Seed, 0)),
	}
	h.cgroup, h.limits = newCgroup(cfg.MemoryMB)
	h.server = &httptest.Server{Listener: ln, Config: &http.Server{Handler: h.routes(ctx), ReadHeaderTimeout: 5 * time.Second}}
	h.server.Start()
	return h, nil
}

// Addr is the value of AWS_LAMBDA_RUNTIME_API: host and port.
func (h *Host) Addr() string { return h.server.Listener.Addr().String() }

// Close thaws the sandbox, ends every call to the APIs, kills what still runs, and returns when all of it has ended.
func (h *Host) Close() {
	h.once.Do(func() {
		h.close()
		_ = h.setFrozen(false)
		h.server.Close()
		_ = signal(syscall.SIGKILL, h.running())
		h.wg.Wait()
		_, _ = h.cgroup.remove(), os.RemoveAll(h.opt)
	})
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

// WaitReady returns when every extension has registered and waits in /next, and the runtime too if there is one: INIT
// has ended, or an invocation's last billed millisecond. It fails as soon as the sandbox does.
func (h *Host) WaitReady(ctx context.Context) error {
	return h.await(ctx, func() (bool, error) {
		return h.extensionsReadyLocked() && (h.runtimeReadyLocked() || !h.runtimeKnown), h.failureLocked()
	})
}

func (h *Host) extensionsReadyLocked() bool {
	for _, name := range h.cfg.Extensions {
		if e := h.extensionLocked(name); e == nil || !e.idle() {
			return false
		}
	}
	return !slices.ContainsFunc(h.extensions, func(e *extension) bool { return e.internal && !e.idle() })
}

func (h *Host) runtimeReadyLocked() bool { return h.cfg.Answer != nil || h.runtime.idle() }

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
	case len(h.reports) > h.forgiven:
		r := h.reports[h.forgiven]
		return fmt.Errorf("lambdatest: %s: %s: %s %s", r.From, r.Call, r.Type, r.Body)
	case h.ending || h.stopped:
		return ErrShutdown
	case h.phase != running:
		return ErrReset
	}
	return nil
}

// update changes the guarded state, ends INIT and invocations if the change does, and wakes every await.
func (h *Host) update(change func()) {
	h.mu.Lock()
	defer h.mu.Unlock()
	change()
	now, idle := time.Now(), h.extensionsReadyLocked() && h.runtimeReadyLocked()
	if idle {
		h.endInitLocked(now, "success")
	}
	h.endInvocationsLocked(now, idle)
	close(h.changed)
	h.changed = make(chan struct{})
}

// await returns when cond is true or fails. It calls cond with mu held.
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

func (h *Host) closed() bool {
	select {
	case <-h.done:
		return true
	default:
		return false
	}
}
