package executor_test

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"hearth/internal/executor"
	"hearth/internal/guard"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func ExampleRun() {
	double := func(n int) executor.Task[int] {
		return executor.Task[int]{Do: func(context.Context) (int, error) { return 2 * n, nil }}
	}
	for _, r := range executor.Run(context.Background(), executor.Options{Workers: 2}, []executor.Task[int]{double(1), double(2), double(3)}) {
		fmt.Println(r.Value, r.Err)
	}
	// Output:
	// 2 <nil>
	// 4 <nil>
	// 6 <nil>
}

// waits is a task that takes d, and listens to its context.
func waits(d time.Duration, value int) executor.Task[int] {
	return executor.Task[int]{Do: func(ctx context.Context) (int, error) {
		select {
		case <-time.After(d):
			return value, nil
		case <-ctx.Done():
			return 0, context.Cause(ctx)
		}
	}}
}

// deaf is a task that does not listen to its context. It ends with the test.
func deaf(t *testing.T) executor.Task[int] {
	end := make(chan struct{})
	t.Cleanup(func() { close(end) })
	return executor.Task[int]{Do: func(context.Context) (int, error) { <-end; return -1, nil }}
}

// sleeps is a task that takes d, and does not listen either.
func sleeps(d time.Duration) executor.Task[int] {
	return executor.Task[int]{Do: func(context.Context) (int, error) { time.Sleep(d); return -1, nil }}
}

// within gives a task a timeout.
func within(d time.Duration, t executor.Task[int]) executor.Task[int] {
	t.Timeout = d
	return t
}

func TestOneOfAHundredPanicsAndOneIsLateAndTheOthersComeInOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tasks := make([]executor.Task[int], 100)
		for i := range tasks {
			tasks[i] = waits(time.Duration(100-i)*time.Millisecond, i) // the last is ready first
		}
		tasks[17].Do = func(context.Context) (int, error) { panic("on purpose") }
		tasks[42] = within(time.Second, deaf(t))
		start := time.Now()
		results := executor.Run(t.Context(), executor.Options{Workers: 5}, tasks)
		if took := time.Since(start); took > 4*time.Second {
			t.Errorf("it took %v: one late task held up the others", took)
		}
		right := 0
		for i, r := range results {
			switch i {
			case 17:
				if !errors.Is(r.Err, guard.ErrPanic) {
					t.Errorf("the error of the one that panics is %v", r.Err)
				}
			case 42:
				if !errors.Is(r.Err, executor.ErrAbandoned) || !errors.Is(r.Err, context.DeadlineExceeded) {
					t.Errorf("the error of the late one is %v", r.Err)
				}
			default:
				if r.Err != nil || r.Value != i {
					t.Errorf("result %d is %d, %v", i, r.Value, r.Err)
				} else {
					right++
				}
			}
		}
		if right != 98 {
			t.Errorf("%d are right, want 98", right)
		}
	})
}

func TestAsManyTasksRunAtOnceAsThereAreWorkers(t *testing.T) {
	for workers, want := range map[int]int32{-1: 1, 0: 1, 1: 1, 3: 3, 50: 20} {
		synctest.Test(t, func(t *testing.T) {
			var running, most atomic.Int32
			tasks := make([]executor.Task[int], 20)
			for i := range tasks {
				tasks[i].Do = func(context.Context) (int, error) {
					most.Store(max(most.Load(), running.Add(1)))
					defer running.Add(-1)
					time.Sleep(time.Second)
					return 0, nil
				}
			}
			executor.Run(t.Context(), executor.Options{Workers: workers}, tasks)
			if got := most.Load(); got != want {
				t.Errorf("%d workers: %d tasks at once, want %d", workers, got, want)
			}
		})
	}
}

func TestWhenTheTimeIsOverWhatHasNotStartedIsNotCalled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		start := time.Now()
		results := executor.Run(ctx, executor.Options{Workers: 2}, []executor.Task[int]{
			waits(500*time.Millisecond, 1), deaf(t), waits(time.Minute, 3), waits(0, 4),
		})
		if took := time.Since(start); took > 1100*time.Millisecond {
			t.Errorf("it took %v", took)
		}
		if r := results[0]; r.Value != 1 || r.Err != nil || r.Took != 500*time.Millisecond {
			t.Errorf("what was in time is %+v", r)
		}
		if r := results[1]; !errors.Is(r.Err, executor.ErrAbandoned) || !errors.Is(r.Err, context.DeadlineExceeded) {
			t.Errorf("what does not listen is %+v", r)
		}
		if r := results[2]; errors.Is(r.Err, executor.ErrAbandoned) || !errors.Is(r.Err, context.DeadlineExceeded) {
			t.Errorf("what listens is %+v: its own error is wanted", r)
		}
		if r := results[3]; !errors.Is(r.Err, executor.ErrNotStarted) || !errors.Is(r.Err, context.DeadlineExceeded) || r.Took != 0 {
			t.Errorf("what has not started is %+v", r)
		}
	})
}

func TestATaskThatReturnsOnlyAfterItWasAbandonedChangesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		results := executor.Run(t.Context(), executor.Options{Workers: 1}, []executor.Task[int]{
			within(time.Second, sleeps(2*time.Second)), waits(5*time.Second, 1),
		})
		if !errors.Is(results[0].Err, executor.ErrAbandoned) || results[0].Value != 0 {
			t.Errorf("the abandoned one is %+v", results[0])
		}
		if results[1].Value != 1 || results[1].Err != nil {
			t.Errorf("the next is %+v", results[1])
		}
	})
}

func TestWhatATaskReturnsWhenItsTimeEndsIsItsResult(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		older := executor.Task[int]{Timeout: time.Second, Do: func(ctx context.Context) (int, error) {
			<-ctx.Done()
			time.Sleep(executor.Grace - 1)
			return 7, nil
		}}
		if r := executor.Run(t.Context(), executor.Options{}, []executor.Task[int]{older})[0]; r.Value != 7 || r.Err != nil {
			t.Errorf("the result is %+v", r)
		}
	})
}

// A task that needs a processor twice after its end is not abandoned only because another goroutine keeps the processor.
func TestAWaitForTheProcessorIsNoGrace(t *testing.T) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	const turn = 2 * executor.Grace
	var other sync.WaitGroup
	ctx, end := context.WithCancel(t.Context())
	defer func() { end(); other.Wait() }()
	other.Go(func() {
		for ctx.Err() == nil {
			for begun := time.Now(); time.Since(begun) < turn; {
			}
			runtime.Gosched()
		}
	})
	older := executor.Task[int]{Timeout: 50 * time.Millisecond, Do: func(ctx context.Context) (int, error) {
		<-ctx.Done()
		runtime.Gosched()
		return 7, nil
	}}
	const runs = 10
	abandoned := 0
	for range runs {
		if r := executor.Run(t.Context(), executor.Options{}, []executor.Task[int]{older})[0]; r.Err != nil {
			abandoned++
		}
	}
	if abandoned > runs/2 { // other processes may keep the processors for longer
		t.Errorf("%d of %d tasks are abandoned", abandoned, runs)
	}
}

func TestNoTasksAreNoResults(t *testing.T) {
	if got := executor.Run[int](t.Context(), executor.Options{}, nil); len(got) != 0 {
		t.Errorf("got %v", got)
	}
}

func TestWaitsForAWorkerAreCounted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var w executor.Waits
		run := func(workers, tasks int) {
			list := make([]executor.Task[int], tasks)
			for i := range list {
				list[i] = waits(time.Second, i)
			}
			executor.Run(t.Context(), executor.Options{Workers: workers, Waits: &w}, list)
		}
		run(3, 3)
		run(0, 1)
		run(3, 7) // the seventh waits for two others
		run(3, 4)
		if got, want := w.Counts(), (executor.WaitCounts{Runs: 4, Crowded: 2, Most: 7, Waited: 3 * time.Second}); got != want {
			t.Errorf("%+v, want %+v", got, want)
		}
	})
}
