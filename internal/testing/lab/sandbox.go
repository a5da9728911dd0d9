package lab

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"time"

	"hearth/client"
	"hearth/client/wire"
	"hearth/internal/testing/lambdatest"
)

// callTimeout is the timeout of the client in a [Sandbox].
const callTimeout = 10 * time.Second

// SandboxConfig says what is in a sandbox.
type SandboxConfig struct {
	Host      lambdatest.Config
	Extension string   // the binary
	Settings  []string // its environment besides the socket
	Socket    string   // where the extension listens; a path of at most 100 bytes
	Runtime   Runtime  // the handler's process; nil: Host.Answer is the handler
}

// Sandbox is a Lambda sandbox with the real extension and a handler in it. Close it.
type Sandbox struct {
	Host      *lambdatest.Host
	Extension *lambdatest.Process
	Runtime   *lambdatest.Process // nil where Host.Answer is the handler
	Hearth    *client.Client      // calls the extension as a handler in the sandbox does
}

// Start starts a sandbox and returns when its INIT has ended. The classes must exist: see [MakeClasses].
func Start(ctx context.Context, cfg SandboxConfig) (s *Sandbox, err error) {
	if cfg.Host.Extensions == nil {
		cfg.Host.Extensions = []string{filepath.Base(cfg.Extension)}
	}
	s = &Sandbox{}
	if s.Host, err = lambdatest.New(cfg.Host); err != nil { //nolint:contextcheck // its life ends with Close
		return nil, err
	}
	defer func() {
		if err != nil {
			err = fmt.Errorf("%s: %w%s", cfg.Extension, err, s.Logs())
			s.Host.Close()
		}
	}()
	socket := "HEARTH_SOCKET=" + cfg.Socket
	env := append([]string{socket, "HEARTH_ADDR=127.0.0.1:0"}, cfg.Settings...)
	if s.Extension, err = s.Host.StartExtension(ctx, cfg.Extension, env...); err != nil {
		return s, err
	}
	if cfg.Runtime != nil {
		if s.Runtime, err = cfg.Runtime(ctx, s.Host, socket); err != nil {
			return s, err
		}
	}
	token, _ := wire.DeriveToken(lambdatest.SessionToken, "")
	if s.Hearth, err = client.New(client.Config{Socket: cfg.Socket, Token: token, Timeout: callTimeout}); err != nil {
		return s, err
	}
	return s, s.Host.WaitReady(ctx)
}

// Invoke makes an invocation with the event as JSON, and reads the handler's result.
func (s *Sandbox) Invoke(ctx context.Context, event, result any) error {
	payload, err := json.Marshal(event)
	if err != nil {
		return err
	}
	answer, err := s.Host.Invoke(ctx, payload)
	if err != nil {
		return err
	}
	return json.Unmarshal(answer, result)
}

// ResidentMiB is the extension's resident memory.
func (s *Sandbox) ResidentMiB() (float64, error) {
	usage, err := s.Extension.Usage()
	return float64(usage.RSS) / (1 << 20), err
}

// Logs is what the processes have printed, for the error of a run that failed.
func (s *Sandbox) Logs() string {
	var text strings.Builder
	if s.Extension != nil {
		fmt.Fprintf(&text, "\nhearth:\n%s", s.Extension.Log())
	}
	if s.Runtime != nil {
		fmt.Fprintf(&text, "\nhandler:\n%s", s.Runtime.Log())
	}
	return text.String()
}

// Close shuts the sandbox down as Lambda does, and says how long the extension took from SHUTDOWN to its end. It returns an error
// if anything has failed in the sandbox. If ctx has ended, it returns none: the end of ctx has killed the processes.
func (s *Sandbox) Close(ctx context.Context) (took time.Duration, err error) {
	defer s.Host.Close()
	s.Hearth.Close()
	began := time.Now()
	err = s.Extension.Stop(context.WithoutCancel(ctx))
	took = time.Since(began)
	if ctx.Err() != nil {
		return took, nil
	}
	if reports := s.Host.Reports(); len(reports) > 0 {
		err = errors.Join(err, fmt.Errorf("%v", reports))
	}
	if err != nil {
		err = fmt.Errorf("%w%s", err, s.Logs())
	}
	return took, err
}
