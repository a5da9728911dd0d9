package app

import (
	"context"
	"strings"
	"sync/atomic"
	"testing"

	"hearth/internal/clock"
	"hearth/internal/settings"
)

func TestWarmUpsDoNotPileUp(t *testing.T) {
	var running, most, begun atomic.Int64
	restart, stop := restartable(t.Context(), func(ctx context.Context) {
		begun.Add(1)
		most.Store(max(most.Load(), running.Add(1)))
		<-ctx.Done() // an upstream that never answers
		running.Add(-1)
	})
	for range 100 {
		restart()
	}
	stop()
	if most.Load() > 1 || begun.Load() != 100 || running.Load() != 0 {
		t.Errorf("of %d, %d ran at once, and %d still run", begun.Load(), most.Load(), running.Load())
	}
}

func TestAWarmUpThatFailsIsLoggedUnlessTheProcessEnds(t *testing.T) {
	s, err := settings.Read([]string{"HEARTH_ODOO_URL=http://127.0.0.1:1", "HEARTH_ODOO_KEY=x"})
	if err != nil {
		t.Fatal(err)
	}
	ended, end := context.WithCancel(t.Context())
	end()
	for ctx, want := range map[context.Context]int{t.Context(): 2, ended: 0} { // connections and session
		var log logBuffer
		a := newApp(s, clock.Awake(), &log, Options{})
		if err := a.addUpstreams(s); err != nil {
			t.Fatal(err)
		}
		a.warm(ctx)
		a.close()
		if n := strings.Count(log.String(), `"msg":"warm-up failed"`); n != want {
			t.Errorf("%d lines, want %d:\n%s", n, want, log.String())
		}
	}
}
