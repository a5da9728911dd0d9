package main

import (
	"context"
	"fmt"
	"path/filepath"
	"strconv"

	"hearth/internal/testing/lab"
	"hearth/internal/testing/lambdatest"
)

// cell is a way to run a function.
type cell struct {
	init     lambdatest.InitType
	memoryMB int
	language lab.Language // of the handler
}

func (c cell) String() string { return fmt.Sprintf("%s, %d MB, %s", c.init, c.memoryMB, c.language) }

// subject is an extension to run.
type subject struct {
	name string
	path string
	env  []string
}

// start returns when INIT has ended. The handler is the same whatever the extension: it does without Hearth if it must.
func (r *rounds) start(ctx context.Context, c cell, sub subject) (*lab.Sandbox, error) {
	handler := lab.GoRuntime(r.handler)
	if c.language == lab.Python {
		handler = lab.PythonRuntime(filepath.Join(r.root, "examples", "python"), r.opt("python"))
	}
	r.sandboxes++
	return lab.Start(ctx, lab.SandboxConfig{
		Host:      lambdatest.Config{Init: c.init, MemoryMB: c.memoryMB},
		Extension: sub.path, Settings: append(r.upstreams.Settings(), sub.env...),
		Socket:  filepath.Join(r.dir, strconv.Itoa(r.sandboxes)),
		Runtime: handler,
	})
}

// turn makes an invocation, waits for its last billed millisecond, and says whether the handler could write to Weaviate
// through Hearth.
func turn(ctx context.Context, s *lab.Sandbox, chat string) (saved bool, err error) {
	var reply lab.Reply
	err = s.Invoke(ctx, lab.Turn{ChatID: chat, Text: "Where is my parcel?", Route: lab.OdooRoute}, &reply)
	if err != nil {
		return false, err
	}
	return reply.Saved, s.Host.WaitReady(ctx)
}
