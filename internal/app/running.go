package app

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"
)

// endBound is how long the end may take: 150 ms of it are the API's (its grace and last words), the rest is more than
// closing takes. Lambda waits for it, kills what still runs 2 s after SHUTDOWN, and calls that a failure.
const endBound = 250 * time.Millisecond

// running is what runs at the same time, by name. The first part that fails ends the others.
type running struct {
	group *errgroup.Group

	mu    sync.Mutex
	names []string // guarded by mu; of what has not ended
}

// step is something to do at the end, and its name.
type step struct {
	name string
	do   func()
}

// newRunning also returns the context of all parts.
func newRunning(ctx context.Context) (*running, context.Context) {
	g, ctx := errgroup.WithContext(ctx)
	return &running{group: g}, ctx
}

func (r *running) start(name string, part func() error) {
	r.enter(name)
	r.group.Go(func() error {
		defer r.leave(name)
		return part()
	})
}

// wait returns the first error once every part has ended and the last steps are done, one after another. Has ctx, which
// is that of the parts, ended endBound ago, it says what it has waited for and returns without it: better than to be killed.
func (r *running) wait(ctx context.Context, log *slog.Logger, last ...step) error {
	ended := make(chan error, 1)
	go func() { // joined below, or else by the end of the process
		err := r.group.Wait()
		for _, s := range last {
			r.enter(s.name)
			s.do()
			r.leave(s.name)
		}
		ended <- err
	}()
	<-ctx.Done() // also when all have ended
	var err error
	select {
	case err = <-ended:
	case <-time.After(endBound):
		err = context.Cause(ctx)
		log.Error("ending without waiting any longer", "waited_for", r.left(), "after", endBound)
	}
	if errors.Is(err, context.Canceled) { // that is how it is told to end
		return nil
	}
	return err
}

func (r *running) enter(name string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.names = append(r.names, name)
}

func (r *running) leave(name string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	i := slices.Index(r.names, name)
	r.names = slices.Delete(r.names, i, i+1)
}

func (r *running) left() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.names)
}
