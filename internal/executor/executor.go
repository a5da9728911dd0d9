// Package executor runs the tasks of one request side by side: at most so many at once, each within its own time, and all within the
// time of the request. Start at [Run].
//
// Run keeps the order of the tasks, contains their panics, and waits for no task that does not listen to its context. It sends
// nothing, retries nothing and logs nothing.
package executor

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"hearth/internal/clock"
	"hearth/internal/guard"
)

// ErrNotStarted is the error of a task that was never called: the time was over before a worker was free.
var ErrNotStarted = errors.New("executor: not started")

// ErrAbandoned is the error of a task that did not return when its context ended. It may still run.
var ErrAbandoned = errors.New("executor: abandoned")

// Grace is how long after the end of its context a task may return. Its own result is better than [ErrAbandoned]: the error says what
// the task waited for, or the value is an older one.
const Grace = 5 * time.Millisecond

// graceSteps is how many timers make up Grace, one after another. A process that gets no processor for a while is late with one of
// them only, and so the task still has the time of the others.
const graceSteps = 5

// Options of [Run].
type Options struct {
	Workers int          // how many tasks run at once; less than 1 counts as 1
	Pulse   *clock.Pulse // the clock of the tasks' timeouts; nil: there are no freezes
	Waits   *Waits       // counts; nil: nobody wants to know
}

// Waits count the calls of [Run] that no freeze has interrupted, and how long tasks waited for a worker. It is safe for concurrent use.
type Waits struct{ runs, crowded, most, waited atomic.Int64 }

// WaitCounts are the counts of a [Waits].
type WaitCounts struct {
	Runs    int64
	Crowded int64         // of them, those with more tasks than workers
	Most    int64         // tasks of one run
	Waited  time.Duration // by the task of each crowded run that was started last, together
}

// Counts returns the counts up to now.
func (w *Waits) Counts() WaitCounts {
	return WaitCounts{Runs: w.runs.Load(), Crowded: w.crowded.Load(), Most: w.most.Load(), Waited: time.Duration(w.waited.Load())}
}

// count counts a run. waited is how long the task waited that was started last; 0: all were started at once.
func (w *Waits) count(tasks int, waited time.Duration) {
	if w == nil {
		return
	}
	w.runs.Add(1)
	if waited > 0 {
		w.crowded.Add(1)
		w.waited.Add(int64(waited))
	}
	for most := w.most.Load(); int64(tasks) > most && !w.most.CompareAndSwap(most, int64(tasks)); most = w.most.Load() {
	}
}

// Task is one task of [Run].
type Task[T any] struct {
	Timeout time.Duration // from the start of the task; 0: the task ends with the context of Run
	Do      func(context.Context) (T, error)
}

// Result is how a task has ended.
type Result[T any] struct {
	Value T
	// Err is the task's own error, or one that matches [guard.ErrPanic], [ErrNotStarted] or [ErrAbandoned]. The last two also match
	// the cause of the context's end.
	Err  error
	Took time.Duration // from the start of the task to its result; 0: it was not started
}

// report is a result on its way from a task to Run.
type report[T any] struct {
	task int
	Result[T]
}

// Run calls every task, and returns the results in the order of the tasks. It returns once each task has a result, at the latest [Grace]
// after the end of ctx. A task that has not started when ctx ends is not called. An abandoned task no longer counts as running, so it
// delays no other task.
func Run[T any](ctx context.Context, o Options, tasks []Task[T]) []Result[T] {
	if o.Pulse == nil {
		o.Pulse = clock.Awake()
	}
	results := make([]Result[T], len(tasks))
	finished := make([]bool, len(tasks))
	reports := make(chan report[T], 2*len(tasks)) // room for all: an abandoned task reports twice, and Run may have returned
	next, running := 0, 0
	began, freezes, lastStart := time.Now(), o.Pulse.Freezes(), time.Duration(0)
	for {
		for ; next < len(tasks) && running < max(1, o.Workers); next++ {
			if ctx.Err() != nil {
				results[next].Err = fmt.Errorf("%w: %w", ErrNotStarted, context.Cause(ctx))
				continue
			}
			tasks[next].start(ctx, o.Pulse, next, reports)
			running++
			if next >= max(1, o.Workers) {
				lastStart = time.Since(began)
			}
		}
		if running == 0 {
			if o.Pulse.Freezes() == freezes {
				o.Waits.count(len(tasks), lastStart)
			}
			return results
		}
		if r := <-reports; !finished[r.task] {
			results[r.task], finished[r.task] = r.Result, true
			running--
		}
	}
}

// start runs the task in a goroutine. It reports what the task returns, and reports ErrAbandoned when the task has not returned in time.
func (t Task[T]) start(ctx context.Context, pulse *clock.Pulse, place int, reports chan<- report[T]) {
	cancel := func() {}
	if t.Timeout > 0 {
		ctx, cancel = pulse.WithTimeout(ctx, t.Timeout)
	}
	began := time.Now()
	notLate := context.AfterFunc(ctx, func() {
		afterGrace(graceSteps, func() {
			err := fmt.Errorf("%w: %w", ErrAbandoned, context.Cause(ctx))
			reports <- report[T]{place, Result[T]{Err: err, Took: time.Since(began)}}
		})
	})
	go func() {
		defer cancel()
		v, err := guard.Get(func() (T, error) { return t.Do(ctx) })
		notLate()
		reports <- report[T]{place, Result[T]{v, err, time.Since(began)}}
	}()
}

// afterGrace calls f after the rest of Grace: so many steps.
func afterGrace(steps int, f func()) {
	if steps == 0 {
		f()
		return
	}
	time.AfterFunc(Grace/graceSteps, func() { afterGrace(steps-1, f) })
}
