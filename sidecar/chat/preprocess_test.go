package chat

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"hearth/client/wire"
	"hearth/internal/guard"
)

func TestAsManyPartsGoOutAtOnceAsThereAreWorkers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &Service{cfg: Config{Workers: 2}}
		var begun atomic.Int32
		release := make(chan struct{})
		var jobs []job
		for range 3 {
			jobs = append(jobs, job{"part", func(context.Context) (Part, error) {
				begun.Add(1)
				<-release
				return Part{}, nil
			}})
		}
		done := make(chan struct{})
		go func() { s.runParts(t.Context(), jobs); close(done) }()
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
	parts := s.runParts(t.Context(), []job{
		{wire.PartMute, func(context.Context) (Part, error) { return Part{Body: []byte("{}")}, nil }},
		{wire.PartRelevant, func(context.Context) (Part, error) { panic("on purpose") }},
	})
	if p := parts[0]; p.Name != wire.PartMute || p.Err != nil || string(p.Body) != "{}" {
		t.Errorf("the other is %+v", p)
	}
	if p := parts[1]; p.Name != wire.PartRelevant || !errors.Is(p.Err, guard.ErrPanic) || p.Body != nil {
		t.Errorf("it is %+v", p)
	}
}
