package main

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"time"

	"hearth/internal/testing/lambdatest"
)

// freezeEvery is how many invocations come between two freezes.
const freezeEvery = 10

// rounds is how everything is measured.
type rounds struct {
	dir, root, handler  string
	opt                 func(elem ...string) string // A path in the unpacked layer.
	upstreams           *upstreams
	starts, invocations int
	sandboxes           int // Started so far.
}

// row is what was measured in a cell: of the extension, and of the one beside it.
type row struct {
	cell
	extension, beside cost
	limits            lambdatest.Limits
}

// cost is what an extension was measured to take, in milliseconds and MiB.
type cost struct {
	init, register, next []float64 // Per start.
	idle                 []float64 // Resident memory after INIT, per start.
	added                []float64 // After the response, per invocation.
	loaded               float64   // Resident memory after the invocations.
	ended                []float64 // From SHUTDOWN to the process's end, per start.
}

// prepare makes the classes in Weaviate.
func (r *rounds) prepare(ctx context.Context) error {
	schema := exec.CommandContext(ctx, r.opt("extensions", "hearth"), "schema")
	schema.Env = r.upstreams.env
	if out, err := schema.CombinedOutput(); err != nil {
		return fmt.Errorf("hearth schema: %w\n%s", err, out)
	}
	return nil
}

// side is one of the two extensions of a cell.
type side struct {
	subject
	*cost
	sandbox *sandbox // The last one started.
}

// measure starts both extensions by turns, and lets the last two sandboxes answer by turns: so they share the noise.
func (r *rounds) measure(ctx context.Context, c cell, extension, beside subject) (got row, err error) {
	got.cell = c
	sides := []*side{{subject: extension, cost: &got.extension}, {subject: beside, cost: &got.beside}}
	defer func() {
		for _, s := range sides {
			err = errors.Join(err, s.end(ctx))
		}
	}()
	for range r.starts {
		for _, s := range sides {
			if err := s.end(ctx); err != nil {
				return got, err
			}
			if s.sandbox, err = r.start(ctx, c, s.subject); err != nil {
				return got, err
			}
			if err := s.started(); err != nil {
				return got, err
			}
		}
	}
	got.limits = sides[0].sandbox.host.Limits()
	for done := 0; done < r.invocations; done += freezeEvery {
		for _, s := range sides {
			if err := s.answer(ctx, c, done); err != nil {
				return got, fmt.Errorf("%s: %w\n%s", s.name, err, s.sandbox.logs())
			}
		}
	}
	for _, s := range sides {
		if s.loaded, err = s.sandbox.resident(); err != nil {
			return got, err
		}
		for _, inv := range s.sandbox.host.Invocations() {
			s.added = append(s.added, ms(inv.Added))
		}
		if err := s.end(ctx); err != nil {
			return got, err
		}
	}
	return got, nil
}

func (s *side) started() error {
	init := s.sandbox.host.Init()
	s.init = append(s.init, ms(init.Duration))
	s.register = append(s.register, ms(init.Extensions[0].Register))
	s.next = append(s.next, ms(init.Extensions[0].Next))
	idle, err := s.sandbox.resident()
	s.idle = append(s.idle, idle)
	return err
}

// answer makes the invocations up to the next freeze. The layer's own extension must have been of use to them.
func (s *side) answer(ctx context.Context, c cell, from int) error {
	for i := range freezeEvery {
		saved, err := s.sandbox.talk(ctx, fmt.Sprintf("chat %d", (from+i)%20))
		if err != nil {
			return err
		}
		if serves := s.name != bareName; saved != serves {
			return fmt.Errorf("invocation %d: saved: %v", from+i, saved)
		}
	}
	if c.init == lambdatest.ManagedInstances {
		return nil
	}
	return s.sandbox.host.Freeze()
}

func (s *side) end(ctx context.Context) error {
	if s.sandbox == nil {
		return nil
	}
	took, err := s.sandbox.close(ctx)
	s.ended = append(s.ended, ms(took))
	s.sandbox = nil
	return err
}

func ms(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }
