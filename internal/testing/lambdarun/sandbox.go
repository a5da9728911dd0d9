package main

import (
	"context"
	"encoding/json"
	"fmt"
	"path/filepath"
	"strings"
	"time"

	"hearth/internal/testing/lambdatest"
)

// cell is a way to run a function.
type cell struct {
	init     lambdatest.InitType
	memoryMB int
	language string // Of the handler: "go" or "python".
}

func (c cell) String() string { return fmt.Sprintf("%s, %d MB, %s", c.init, c.memoryMB, c.language) }

// subject is an extension to run.
type subject struct {
	name string
	path string
	env  []string
}

// sandbox is one with an extension and a handler in it.
type sandbox struct {
	host      *lambdatest.Host
	extension *lambdatest.Process
	runtime   *lambdatest.Process
}

// start returns when INIT has ended. The handler is the same whatever the extension: it does without Hearth if it must.
func (r *rounds) start(ctx context.Context, c cell, sub subject) (s *sandbox, err error) {
	cfg := lambdatest.Config{
		Init: c.init, MemoryMB: c.memoryMB, Handler: "handler.handler", Extensions: []string{filepath.Base(sub.path)},
	}
	s = &sandbox{}
	if s.host, err = lambdatest.New(cfg); err != nil { //nolint:contextcheck // its life ends with close
		return nil, err
	}
	defer func() {
		if err != nil {
			err = fmt.Errorf("%s: %w\n%s", sub.name, err, s.logs())
			s.host.Close()
		}
	}()
	r.sandboxes++
	socket := fmt.Sprintf("HEARTH_SOCKET=%s/%d", r.dir, r.sandboxes)
	env := append([]string{socket, "HEARTH_ADDR=127.0.0.1:0"}, append(r.upstreams.env, sub.env...)...)
	if s.extension, err = s.host.StartExtension(ctx, sub.path, env...); err != nil {
		return s, err
	}
	if c.language == "python" {
		s.runtime, err = s.host.StartRuntime(ctx, filepath.Join(r.root, "examples", "python"), socket,
			"PYTHONPATH="+r.opt("python"), "PYTHONDONTWRITEBYTECODE=1")
	} else {
		s.runtime, err = s.host.StartBootstrap(ctx, r.handler, socket)
	}
	if err != nil {
		return s, err
	}
	return s, s.host.WaitReady(ctx)
}

// talk makes an invocation, and says whether the handler could write to Weaviate through Hearth.
func (s *sandbox) talk(ctx context.Context, chat string) (saved bool, err error) {
	event, err := json.Marshal(map[string]string{"chat_id": chat, "text": "Where is my parcel?", "route_name": "odoo_erp"})
	if err != nil {
		return false, err
	}
	answer, err := s.host.Invoke(ctx, event)
	if err != nil {
		return false, err
	}
	var result struct{ Saved bool }
	if err := json.Unmarshal(answer, &result); err != nil {
		return false, err
	}
	return result.Saved, s.host.WaitReady(ctx)
}

// resident is the extension's memory in MiB.
func (s *sandbox) resident() (float64, error) {
	u, err := s.extension.Usage()
	return float64(u.RSS) / (1 << 20), err
}

func (s *sandbox) logs() string {
	var text strings.Builder
	for _, p := range []*lambdatest.Process{s.extension, s.runtime} {
		if p != nil {
			text.WriteString(p.Log())
		}
	}
	return text.String()
}

// close ends the sandbox as Lambda does, and says how long that took the extension.
func (s *sandbox) close(ctx context.Context) (took time.Duration, err error) {
	defer s.host.Close()
	began := time.Now()
	if err := s.extension.Stop(ctx); err != nil {
		return 0, fmt.Errorf("%w\n%s", err, s.logs())
	}
	took = time.Since(began)
	if reports := s.host.Reports(); len(reports) > 0 {
		return took, fmt.Errorf("%v", reports)
	}
	return took, nil
}
