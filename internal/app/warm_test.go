package app

import (
	"context"
	"sync/atomic"
	"testing"
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
