package chat

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"hearth/client/wire"
	"hearth/internal/guard"
)

func TestAsManyPartsGoOutAtOnceAsThereAreWorkers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &Service{cfg: Config{Workers: 2}}
		var begun atomic.Int32
		release := make(chan struct{})
		done := make(chan struct{})
		go func() {
			defer close(done)
			s.fetchMissing(t.Context(), []Part{{Name: "a"}, {Name: "b"}, {Name: "c"}, {Name: "held", Done: true}}, func(context.Context, string) (Part, error) {
				begun.Add(1)
				<-release
				return Part{}, nil
			})
		}()
		for _, want := range []int32{2, 3, 3, 3} {
			synctest.Wait()
			if n := begun.Load(); n != want {
				t.Errorf("%d have begun, want %d", n, want)
			}
			select {
			case release <- struct{}{}:
			case <-done:
			}
		}
	})
}

func TestAPartThatPanicsFailsAlone(t *testing.T) {
	s := newService(t, Config{})
	parts := []Part{{Name: wire.PartMute}, {Name: wire.PartRelevant}}
	s.fetchMissing(t.Context(), parts, func(_ context.Context, name string) (Part, error) {
		if name == wire.PartRelevant {
			panic("on purpose")
		}
		return Part{Body: []byte("{}")}, nil
	})
	if p := parts[0]; p.Name != wire.PartMute || p.Err != nil || string(p.Body) != "{}" {
		t.Errorf("the other is %+v", p)
	}
	if p := parts[1]; p.Name != wire.PartRelevant || !errors.Is(p.Err, guard.ErrPanic) || p.Body != nil {
		t.Errorf("it is %+v", p)
	}
}

func TestAPartThatDoesNotEndWithItsRequestIsLeftBehind(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &Service{cfg: Config{Workers: 2}}
		ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
		defer cancel()
		end := make(chan struct{})
		defer close(end)
		parts := []Part{{Name: wire.PartMute}, {Name: wire.PartRelevant}}
		start := time.Now()
		s.fetchMissing(ctx, parts, func(_ context.Context, name string) (Part, error) {
			if name == wire.PartRelevant {
				<-end
			}
			return Part{Body: []byte("{}")}, nil
		})
		if took := time.Since(start); took > 400*time.Millisecond {
			t.Errorf("it took %v", took)
		}
		if p := parts[0]; p.Name != wire.PartMute || !p.Done {
			t.Errorf("the other is %+v", p)
		}
		if p := parts[1]; p.Name != wire.PartRelevant || p.Done || !errors.Is(p.Err, context.DeadlineExceeded) {
			t.Errorf("the one that hangs is %+v", p)
		}
	})
}
