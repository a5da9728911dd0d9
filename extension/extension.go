// Package extension is Hearth's life inside Lambda: it registers, waits for events, and ends when Lambda says so.
//
// Start at [Run]. The package knows nothing of what runs meanwhile; it refuses to outlive SHUTDOWN, and to end
// before it: to Lambda an extension that exits is a crash.
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
	"time"
)

// API version and headers, as in the Lambda Extensions API.
const (
	apiPath          = "/2020-01-01/extension"
	headerName       = "Lambda-Extension-Name"
	headerIdentifier = "Lambda-Extension-Identifier"
	headerErrorType  = "Lambda-Extension-Function-Error-Type"
)

// Config of an extension.
type Config struct {
	RuntimeAPI string // host and port, as AWS_LAMBDA_RUNTIME_API has it
	Name       string // of the file in /opt/extensions
	// Events registered for besides SHUTDOWN: none, so that no invocation waits for us.
	Events []string
	Logger *slog.Logger // nil discards
}

// Event is what Lambda tells an extension. Deadline is in wall-clock milliseconds since 1970.
type Event struct {
	Type           string `json:"eventType"`
	RequestID      string `json:"requestId"`
	DeadlineMS     int64  `json:"deadlineMs"`
	ShutdownReason string `json:"shutdownReason"`
}

// Extension is one registered extension.
type Extension struct {
	cfg        Config
	http       *http.Client
	identifier string
}

// Register announces the extension. Lambda starts the runtime once all extensions have registered.
func Register(ctx context.Context, cfg Config) (*Extension, error) {
	cfg.Logger = cmp.Or(cfg.Logger, slog.New(slog.DiscardHandler))
	e := &Extension{cfg: cfg, http: &http.Client{Transport: &http.Transport{Proxy: nil}}} // no timeout: /next waits for as long as Lambda likes
	body, err := json.Marshal(map[string][]string{"events": append([]string{"SHUTDOWN"}, cfg.Events...)})
	if err != nil {
		return nil, fmt.Errorf("extension: %w", err)
	}
	header, _, err := e.call(ctx, http.MethodPost, "/register", http.Header{headerName: {cfg.Name}}, body)
	if err != nil {
		return nil, err
	}
	if e.identifier = header.Get(headerIdentifier); e.identifier == "" {
		return nil, errors.New("extension: /register gave no identifier")
	}
	return e, nil
}

// Run asks for events until Lambda shuts the sandbox down or ctx ends. A failed /next is asked again, less and
// less often: giving up would end the sandbox.
func (e *Extension) Run(ctx context.Context) error {
	for wait := time.Duration(0); ; {
		event, err := e.next(ctx)
		switch {
		case ctx.Err() != nil:
			return context.Cause(ctx)
		case err != nil:
			wait = min(max(2*wait, 10*time.Millisecond), 5*time.Second)
			e.cfg.Logger.Error("no event", "error", err, "again_in", wait)
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
		}
	}
}

func (e *Extension) next(ctx context.Context) (event Event, err error) {
	_, body, err := e.call(ctx, http.MethodGet, "/event/next", nil, nil)
	if err != nil {
		return event, err
	}
	if err := json.Unmarshal(body, &event); err != nil {
		return event, fmt.Errorf("extension: /event/next: %w", err)
	}
	return event, nil
}

// InitError tells Lambda that the extension cannot start. The sandbox ends.
func (e *Extension) InitError(ctx context.Context, kind string, reason error) error {
	return e.fail(ctx, "/init/error", kind, reason)
}

// ExitError tells Lambda that the extension cannot go on. The sandbox ends.
func (e *Extension) ExitError(ctx context.Context, kind string, reason error) error {
	return e.fail(ctx, "/exit/error", kind, reason)
}

func (e *Extension) fail(ctx context.Context, path, kind string, reason error) error {
	body, err := json.Marshal(map[string]any{"errorMessage": reason.Error(), "errorType": kind, "stackTrace": []string{}})
	if err != nil {
		return fmt.Errorf("extension: %w", err)
	}
	_, _, err = e.call(ctx, http.MethodPost, path, http.Header{headerErrorType: {kind}}, body)
	return err
}

func (e *Extension) call(ctx context.Context, method, path string, header http.Header, body []byte) (http.Header, []byte, error) {
	req, err := http.NewRequestWithContext(ctx, method, "http://"+e.cfg.RuntimeAPI+apiPath+path, bytes.NewReader(body))
	if err != nil {
		return nil, nil, fmt.Errorf("extension: %w", err)
	}
	maps.Copy(req.Header, header)
	if e.identifier != "" {
		req.Header.Set(headerIdentifier, e.identifier)
	}
	resp, err := e.http.Do(req)
	if err != nil {
		return nil, nil, fmt.Errorf("extension: %s: %w", path, err)
	}
	defer resp.Body.Close()
	const most = 1 << 20
	answer, err := io.ReadAll(io.LimitReader(resp.Body, most))
	if err != nil {
		return nil, nil, fmt.Errorf("extension: %s: %w", path, err)
	}
	if resp.StatusCode >= http.StatusMultipleChoices {
		return nil, nil, fmt.Errorf("extension: %s answered %d: %.200s", path, resp.StatusCode, answer)
	}
	return resp.Header, answer, nil
}
