package main

import (
	"context"
	"errors"
	"fmt"

	"hearth/internal/testing/lab"
	"hearth/internal/testing/lambdatest"
)

// freezeEvery is how many invocations come between two freezes.
const freezeEvery = 10

// rounds has what all measurements need.
type rounds struct {
	dir, root, handler  string
	opt                 func(elem ...string) string // a path in the unpacked layer
	upstreams           *lab.Upstreams
	starts, invocations int
	sandboxes           int // started so far
}

// row is what was measured in a cell, of the extension and of the one it is compared with.
type row struct {
	cell
	extension, beside cost
	limits            lambdatest.Limits
}

// cost is what an extension was measured to take, in milliseconds and MiB.
type cost struct {
	init, register, next lab.Samples // per start
	idle                 lab.Samples // resident memory after INIT, per start
	added                lab.Samples // after the response, per invocation
	loaded               float64     // resident memory after the invocations
	ended                lab.Samples // from SHUTDOWN to the process's end, per start
}

// side is one of the two extensions of a cell.
type side struct {
	subject
	*cost
	sandbox *lab.Sandbox // the last one started
}

// measure starts both extensions in turn, and lets the last two sandboxes answer in turn, so that the noise hits both alike.
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
	got.limits = sides[0].sandbox.Host.Limits()
	for done := 0; done < r.invocations; done += freezeEvery {
		for _, s := range sides {
			if err := s.answer(ctx, c, done); err != nil {
				return got, fmt.Errorf("%s: %w%s", s.name, err, s.sandbox.Logs())
			}
		}
	}
	for _, s := range sides {
		if s.loaded, err = s.sandbox.ResidentMiB(); err != nil {
			return got, err
		}
		for _, inv := range s.sandbox.Host.Invocations() {
			s.added = append(s.added, lab.MS(inv.Added))
		}
		if err := s.end(ctx); err != nil {
			return got, err
		}
	}
	return got, nil
}

func (s *side) started() error {
	init := s.sandbox.Host.Init()
	s.init = append(s.init, lab.MS(init.Duration))
	s.register = append(s.register, lab.MS(init.Extensions[0].Register))
	s.next = append(s.next, lab.MS(init.Extensions[0].Next))
	idle, err := s.sandbox.ResidentMiB()
	s.idle = append(s.idle, idle)
	return err
}

// answer makes the invocations up to the next freeze. With Hearth the handler must be able to save every turn.
func (s *side) answer(ctx context.Context, c cell, from int) error {
	for i := range freezeEvery {
		saved, err := turn(ctx, s.sandbox, fmt.Sprintf("chat %d", (from+i)%20))
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
	return s.sandbox.Host.Freeze()
}

func (s *side) end(ctx context.Context) error {
	if s.sandbox == nil {
		return nil
	}
	took, err := s.sandbox.Close(ctx)
	s.ended = append(s.ended, lab.MS(took))
	s.sandbox = nil
	return err
}
