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

// endBound is how long the end of the process may take: 150 ms for the API (its grace and its last answers), and 100 ms to close the rest.
// Lambda waits for the end. If the process still runs 2 s after SHUTDOWN, Lambda kills it and reports a failure.
const endBound = 250 * time.Millisecond

// lifecycle runs the parts of the process at the same time and joins them. The first part that fails ends the others.
type lifecycle struct {
	group *errgroup.Group

	mu      sync.Mutex
	running []string // guarded by mu: the names of the parts and closers that have not ended
}

// closer is something to close after all parts have ended.
type closer struct {
	name  string
	close func()
}

// newLifecycle also returns the context of all parts.
func newLifecycle(ctx context.Context) (*lifecycle, context.Context) {
	g, ctx := errgroup.WithContext(ctx)
	return &lifecycle{group: g}, ctx
}

func (l *lifecycle) start(name string, part func() error) {
	l.started(name)
	l.group.Go(func() error {
		defer l.finished(name)
		return part()
	})
}

// wait waits until every part has ended, calls the closers one after another, and returns the first error. ctx is the context of the
// parts. If all of that takes longer than endBound after the end of ctx, wait logs what has not ended and returns: Lambda would kill
// the process otherwise.
func (l *lifecycle) wait(ctx context.Context, log *slog.Logger, closers ...closer) error {
	ended := make(chan error, 1)
	go func() { // joined below, or by the end of the process if it takes too long
		err := l.group.Wait()
		for _, c := range closers {
			l.started(c.name)
			c.close()
			l.finished(c.name)
		}
		ended <- err
	}()
	<-ctx.Done() // errgroup ends it when all parts have ended
	var err error
	select {
	case err = <-ended:
	case <-time.After(endBound):
		err = context.Cause(ctx)
		log.Error("shutdown takes too long: the process ends without waiting", "unfinished", l.unfinished(), "after", endBound)
	}
	if errors.Is(err, context.Canceled) { // the process was told to end
		return nil
	}
	return err
}

func (l *lifecycle) started(name string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.running = append(l.running, name)
}

func (l *lifecycle) finished(name string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	i := slices.Index(l.running, name)
	l.running = slices.Delete(l.running, i, i+1)
}

func (l *lifecycle) unfinished() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Clone(l.running)
}
