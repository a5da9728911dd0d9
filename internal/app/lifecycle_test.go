package app

import (
	"context"
	"errors"
	"log/slog"
	"testing"
	"testing/synctest"
	"time"
)

func TestTheEndWaitsForWhatEndsInTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, end := context.WithCancel(t.Context())
		r, ctx := newLifecycle(ctx)
		var log logBuffer
		var order []string
		r.start("part", func() error {
			<-ctx.Done()
			time.Sleep(endBound / 2)
			order = append(order, "part")
			return context.Cause(ctx)
		})
		begun := time.Now()
		end()
		note := func(s string) closer { return closer{s, func() { order = append(order, s) }} }
		err := r.wait(ctx, slog.New(slog.NewTextHandler(&log, nil)), note("cache"), note("pools"))
		if err != nil || time.Since(begun) != endBound/2 || log.String() != "" {
			t.Errorf("ended after %v with %v, logged %q", time.Since(begun), err, log.String())
		}
		if len(order) != 3 || order[0] != "part" || order[1] != "cache" || order[2] != "pools" {
			t.Errorf("in this order: %v", order)
		}
	})
}

func TestAnEndThatTakesTooLongSaysWhatItWaitsFor(t *testing.T) {
	fault := errors.New("no more")
	for name, tc := range map[string]struct {
		part func(context.Context) error // besides one that ends when it should
		last func(never chan struct{})
		err  error
		log  []string
	}{
		"a part":     {func(context.Context) error { return nil }, nil, nil, []string{"level=ERROR", `unfinished="[stuck stuck]"`}},
		"after all":  {func(context.Context) error { return nil }, func(never chan struct{}) { <-never }, nil, []string{"level=ERROR", "unfinished=[cache]"}},
		"with error": {func(context.Context) error { return fault }, nil, fault, []string{"level=ERROR", `unfinished="[stuck stuck]"`}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ctx, end := context.WithCancel(t.Context())
				r, ctx := newLifecycle(ctx)
				never := make(chan struct{})
				if tc.last == nil {
					for range 2 {
						r.start("stuck", func() error { <-never; return nil })
					}
				}
				r.start("part", func() error { return tc.part(ctx) })
				if tc.err == nil {
					end()
				}
				var log logBuffer
				begun := time.Now()
				err := r.wait(ctx, slog.New(slog.NewTextHandler(&log, nil)), closer{"cache", func() {
					if tc.last != nil {
						tc.last(never)
					}
				}})
				if !errors.Is(err, tc.err) || time.Since(begun) != endBound {
					t.Errorf("ended after %v with %v", time.Since(begun), err)
				}
				wantAll(t, "the log", log.String(), tc.log...)
				close(never)
				end()
			})
		})
	}
}

func TestTheFirstPartThatFailsEndsTheOthers(t *testing.T) {
	fault := errors.New("no more")
	r, ctx := newLifecycle(t.Context())
	r.start("one", func() error { <-ctx.Done(); return nil })
	r.start("other", func() error { return fault })
	if err := r.wait(ctx, slog.New(slog.DiscardHandler)); !errors.Is(err, fault) {
		t.Error(err)
	}
}
