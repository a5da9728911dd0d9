// Package extension is a process's life as an external extension of Lambda: it registers, waits for events, and ends when Lambda says so.
//
// Start with [New], then call [Extension.Register] and [Extension.Run]. [Telemetry] tells when an invocation has ended (telemetry.go), and
// [AfterInvoke] refreshes after it, within a budget that the user pays for (afterinvoke.go). The package knows nothing of the rest of the process.
// To Lambda an extension that exits before SHUTDOWN has crashed. So Run retries everything that fails, and ends only at SHUTDOWN.
package extension

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"net/http/httptrace"
	"sync"
	"time"

	"hearth/internal/guard"
	"hearth/internal/sparse"
)

// API version and headers, as in the Lambda Extensions API.
const (
	extensionPath    = "/2020-01-01/extension"
	headerName       = "Lambda-Extension-Name"
	headerIdentifier = "Lambda-Extension-Identifier"
	headerErrorType  = "Lambda-Extension-Function-Error-Type"
)

// Config of an extension.
type Config struct {
	RuntimeAPI string // host and port, as AWS_LAMBDA_RUNTIME_API has it
	Name       string // of the file in /opt/extensions
	// Events to register for besides SHUTDOWN. With INVOKE every invocation waits until the extension asks for its next event.
	Events []string
	// OnInvoke is called for each INVOKE before the next event is asked for. It must return when its context ends: until it returns, the
	// invocation goes on and is billed, and SHUTDOWN cannot come. nil does nothing.
	OnInvoke       func(context.Context, Event)
	OnWaiting      func()        // is called once, when the first event is asked for; nil does nothing
	DeadlineMargin time.Duration // how long before the event's deadline OnInvoke's context ends
	Telemetry      *Telemetry    // receives while Run runs; nil asks for no telemetry
	Logger         *slog.Logger  // nil discards
}

func (c Config) withDefaults() Config {
	c.Logger = cmp.Or(c.Logger, slog.New(slog.DiscardHandler))
	return c
}

func (c Config) validate() error {
	var faults []error
	fault := func(ok bool, what string) {
		if !ok {
			faults = append(faults, errors.New("extension: "+what))
		}
	}
	fault(c.RuntimeAPI != "", "Config.RuntimeAPI is empty: set it to AWS_LAMBDA_RUNTIME_API")
	fault(c.Name != "", "Config.Name is empty: set it to the name of the file in /opt/extensions")
	fault(c.DeadlineMargin >= 0, "Config.DeadlineMargin is negative")
	return errors.Join(faults...)
}

// Event is what Lambda tells an extension.
type Event struct {
	Type           string `json:"eventType"`
	RequestID      string `json:"requestId"`
	DeadlineMS     int64  `json:"deadlineMs"` // wall clock, since 1970
	ShutdownReason string `json:"shutdownReason"`
}

// Deadline is when the invocation, or the shutdown, must have ended, by the wall clock.
func (e Event) Deadline() time.Time { return time.UnixMilli(e.DeadlineMS) }

// Extension is one extension of one sandbox. Its methods are for one goroutine: Register, then Run or InitError.
type Extension struct {
	cfg        Config
	http       *http.Client
	identifier string // given by Register
	failures   *sparse.Log
}

// mostWait is how long Run waits at most before it asks again after a failure. Lambda kills what still runs 2 s after SHUTDOWN, and a
// SHUTDOWN may come while Run waits.
const mostWait = time.Second

// New makes an extension. The error says all that is wrong with cfg.
func New(cfg Config) (*Extension, error) {
	if err := cfg.validate(); err != nil {
		return nil, err
	}
	transport := &http.Transport{Proxy: nil} // a function's proxy is for its handler
	cfg = cfg.withDefaults()
	return &Extension{cfg: cfg, http: &http.Client{Transport: transport}, failures: sparse.New(cfg.Logger)}, nil // without a timeout: Lambda may take hours to answer /next
}

// Register announces the extension to Lambda, which starts the runtime once all extensions have registered.
func (e *Extension) Register(ctx context.Context) error {
	body, err := json.Marshal(map[string][]string{"events": append([]string{"SHUTDOWN"}, e.cfg.Events...)})
	if err != nil {
		return fmt.Errorf("extension: %w", err)
	}
	resp, err := e.call(ctx, http.MethodPost, extensionPath+"/register", http.Header{headerName: {e.cfg.Name}}, body)
	if err != nil {
		return err
	}
	if e.identifier = resp.header.Get(headerIdentifier); e.identifier == "" {
		return errors.New("extension: /register gave no identifier")
	}
	return nil
}

// Run asks for events until Lambda shuts the sandbox down or ctx ends. It retries a failed /next, less and less often: if it gave up,
// the sandbox would end.
func (e *Extension) Run(ctx context.Context) error {
	defer e.failures.Close()
	if e.cfg.Telemetry != nil {
		defer e.receive(ctx, e.cfg.Telemetry)() // before /next: once INIT has ended it is too late to subscribe
	}
	first := ctx
	if e.cfg.OnWaiting != nil {
		once := sync.OnceFunc(e.cfg.OnWaiting)
		first = httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{WroteRequest: func(httptrace.WroteRequestInfo) { once() }})
	}
	for wait := time.Duration(0); ; first = ctx {
		event, err := e.next(first)
		switch {
		case ctx.Err() != nil:
			return context.Cause(ctx)
		case err != nil:
			wait = min(max(2*wait, 10*time.Millisecond), mostWait)
			e.failures.Warn("next", "GET /event/next failed, retrying", "error", err, "again_in", wait)
			select {
			case <-time.After(wait):
			case <-ctx.Done():
				return context.Cause(ctx)
			}
		case event.Type == "SHUTDOWN":
			e.cfg.Logger.Info("shutting down", "reason", event.ShutdownReason)
			return nil
		default:
			wait = 0
			if event.Type == "INVOKE" && e.cfg.OnInvoke != nil {
				e.runOnInvoke(ctx, event)
			}
		}
	}
}

func (e *Extension) runOnInvoke(ctx context.Context, event Event) {
	if deadline := event.Deadline(); time.Until(deadline) > 0 { // a deadline in the past cannot be used: a clock is wrong, or the event came late
		var cancel context.CancelFunc
		ctx, cancel = context.WithDeadline(ctx, deadline.Add(-e.cfg.DeadlineMargin))
		defer cancel()
	}
	if err := guard.Do(func() error { e.cfg.OnInvoke(ctx, event); return nil }); err != nil {
		e.cfg.Logger.Error("OnInvoke failed", "error", err)
	}
}

func (e *Extension) next(ctx context.Context) (event Event, err error) {
	resp, err := e.call(ctx, http.MethodGet, extensionPath+"/event/next", nil, nil)
	if err != nil {
		return event, err
	}
	err = json.Unmarshal(resp.body, &event)
	if _, ok := errors.AsType[*json.UnmarshalTypeError](err); ok {
		err = nil // the other fields were read: Run must obey a SHUTDOWN even if one of its fields has another type
	}
	if err == nil && event.Type == "" {
		err = errors.New("the answer is no event")
	}
	if err != nil {
		return event, fmt.Errorf("extension: /event/next: %w", err)
	}
	return event, nil
}

// InitError tells Lambda that the extension cannot start. The sandbox ends.
func (e *Extension) InitError(ctx context.Context, kind string, reason error) error {
	body, err := json.Marshal(map[string]any{"errorMessage": reason.Error(), "errorType": kind, "stackTrace": []string{}})
	if err != nil {
		return fmt.Errorf("extension: %w", err)
	}
	_, err = e.call(ctx, http.MethodPost, extensionPath+"/init/error", http.Header{headerErrorType: {kind}}, body)
	return err
}

// response is an answer whose body has been read.
type response struct {
	status int
	header http.Header
	body   []byte
}

func (e *Extension) call(ctx context.Context, method, path string, header http.Header, body []byte) (resp response, err error) {
	req, err := http.NewRequestWithContext(ctx, method, "http://"+e.cfg.RuntimeAPI+path, bytes.NewReader(body))
	if err != nil {
		return resp, fmt.Errorf("extension: %w", err)
	}
	maps.Copy(req.Header, header)
	if e.identifier != "" {
		req.Header.Set(headerIdentifier, e.identifier)
	}
	answer, err := e.http.Do(req)
	if err != nil {
		return resp, fmt.Errorf("extension: %s: %w", path, err)
	}
	defer answer.Body.Close()
	const most = 1 << 20
	resp = response{status: answer.StatusCode, header: answer.Header}
	if resp.body, err = io.ReadAll(io.LimitReader(answer.Body, most)); err != nil {
		return resp, fmt.Errorf("extension: %s: %w", path, err)
	}
	if resp.status >= http.StatusMultipleChoices {
		return resp, fmt.Errorf("extension: %s answered %d: %.200s", path, resp.status, resp.body)
	}
	return resp, nil
}
