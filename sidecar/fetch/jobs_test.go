package fetch

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"hearth/cache"
	"hearth/internal/guard"
	"hearth/pool"
)

func bringing(size int) func(context.Context) (cache.Reply, error) {
	return func(context.Context) (cache.Reply, error) { return cache.Reply{Body: make([]byte, size)}, nil }
}

func start(t *testing.T, j *Jobs, run func(context.Context) (cache.Reply, error)) string {
	t.Helper()
	id, err := j.Start(t.Context(), time.Minute, run)
	if err != nil {
		t.Fatal(err)
	}
	synctest.Wait()
	return id
}

func wantJob(t *testing.T, j *Jobs, id string, size int, want error) {
	t.Helper()
	got, read, err := j.Wait(t.Context(), id, 0)
	if !errors.Is(err, want) || len(got.Body) != size {
		t.Errorf("%d bytes and error %v, want %d and %v", len(got.Body), err, size, want)
	}
	if read != nil {
		read(true)
	}
}

func jobBubble(t *testing.T, most int64, f func(*testing.T, *Jobs)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		j := NewJobs(most, nil)
		defer j.Close()
		f(t, j)
	})
}

func TestAResultIsGivenToOneCallerAlone(t *testing.T) {
	jobBubble(t, 100, func(t *testing.T, j *Jobs) {
		id := start(t, j, func(ctx context.Context) (cache.Reply, error) {
			time.Sleep(10 * time.Second)
			return cache.Reply{Body: []byte("x")}, ctx.Err()
		})
		wantJob(t, j, id, 0, ErrPending)
		got := make(chan error, 3)
		for range cap(got) {
			go func() {
				_, read, err := j.Wait(t.Context(), id, 30*time.Second)
				if read != nil {
					read(true)
				}
				got <- err
			}()
		}
		count := map[error]int{}
		for range cap(got) {
			count[<-got]++
		}
		if count[nil] != 1 || count[ErrNoSuchJob] != 2 {
			t.Errorf("%v", count)
		}
	})
}

func TestAResultThatDidNotArriveIsForTheNextReader(t *testing.T) {
	jobBubble(t, 100, func(t *testing.T, j *Jobs) {
		id := start(t, j, bringing(7))
		for range 2 { // each reader gives it back
			got, read, err := j.Wait(t.Context(), id, 0)
			if err != nil || len(got.Body) != 7 {
				t.Fatalf("%d bytes, %v", len(got.Body), err)
			}
			// A reader that is there meanwhile waits until it is known whether the result has arrived.
			next := make(chan int)
			go func() {
				got, read, _ := j.Wait(t.Context(), id, 0)
				if read != nil {
					defer read(false)
				}
				next <- len(got.Body)
			}()
			synctest.Wait()
			read(false)
			if size := <-next; size != 7 {
				t.Errorf("the next reader got %d bytes", size)
			}
			synctest.Wait()
			read(true) // it was called already
		}
		// While that is not known, the result is pending for others.
		_, read, _ := j.Wait(t.Context(), id, 0)
		began := time.Now()
		if _, _, err := j.Wait(t.Context(), id, 0); !errors.Is(err, ErrPending) || time.Since(began) != readTime {
			t.Errorf("%v after %v", err, time.Since(began))
		}
		go func() { time.Sleep(time.Millisecond); read(true) }()
		wantJob(t, j, id, 0, ErrNoSuchJob)
		if j.bytes != 0 {
			t.Errorf("%d bytes are held", j.bytes)
		}
	})
}

func TestAWaitEndsInTime(t *testing.T) {
	jobBubble(t, 100, func(t *testing.T, j *Jobs) {
		id := start(t, j, func(ctx context.Context) (cache.Reply, error) {
			<-ctx.Done()
			return cache.Reply{}, context.Cause(ctx)
		})
		began := time.Now()
		if _, _, err := j.Wait(t.Context(), id, 3*time.Second); !errors.Is(err, ErrPending) || time.Since(began) != 3*time.Second {
			t.Errorf("%v after %v", err, time.Since(began))
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, _, err := j.Wait(ctx, id, 30*time.Second); !errors.Is(err, ErrPending) || time.Since(began) != 4*time.Second {
			t.Errorf("%v after %v", err, time.Since(began))
		}
		time.Sleep(time.Minute) // the job's own time is over
		wantJob(t, j, id, 0, context.DeadlineExceeded)
	})
}

func TestAJobOutlivesItsRequestAndItsPanicIsAnError(t *testing.T) {
	jobBubble(t, 100, func(t *testing.T, j *Jobs) {
		ctx, cancel := context.WithCancel(t.Context())
		id, err := j.Start(ctx, time.Minute, func(ctx context.Context) (cache.Reply, error) {
			time.Sleep(time.Second)
			return cache.Reply{Body: []byte("x")}, ctx.Err()
		})
		if err != nil {
			t.Fatal(err)
		}
		cancel()
		time.Sleep(2 * time.Second)
		wantJob(t, j, id, 1, nil)
		wantJob(t, j, start(t, j, func(context.Context) (cache.Reply, error) { panic("x") }), 0, guard.ErrPanic)
	})
}

func TestResultsAreBoundedInAgeNumberAndBytes(t *testing.T) {
	jobBubble(t, 100, func(t *testing.T, j *Jobs) {
		old := start(t, j, bringing(60))
		time.Sleep(jobAge - time.Second)
		young := start(t, j, bringing(30))
		time.Sleep(time.Second)
		wantJob(t, j, old, 0, ErrExpired)
		wantJob(t, j, old, 0, ErrExpired)
		start(t, j, bringing(71)) // makes room
		wantJob(t, j, young, 0, ErrExpired)
		wantJob(t, j, start(t, j, bringing(101)), 0, pool.ErrTooLarge)
		if j.bytes != 71 {
			t.Errorf("%d bytes are held", j.bytes)
		}
	})
	jobBubble(t, 1000, func(t *testing.T, j *Jobs) {
		first := start(t, j, bringing(1))
		for range maxJobs {
			start(t, j, func(ctx context.Context) (cache.Reply, error) {
				<-ctx.Done()
				return cache.Reply{}, ctx.Err()
			})
		}
		wantJob(t, j, first, 0, ErrExpired)
		if _, err := j.Start(t.Context(), time.Minute, bringing(1)); !errors.Is(err, ErrTooManyJobs) {
			t.Errorf("%v", err)
		}
		time.Sleep(2 * time.Minute)
		for range maxExpired + maxJobs {
			start(t, j, bringing(0))
		}
		if len(j.jobs) != maxJobs || len(j.expired) != maxExpired {
			t.Errorf("%d jobs and %d names are held", len(j.jobs), len(j.expired))
		}
		wantJob(t, j, first, 0, ErrNoSuchJob) // its name is forgotten
	})
}

func TestClosingEndsEveryJob(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		j := NewJobs(100, nil)
		ended := false
		id := start(t, j, func(ctx context.Context) (cache.Reply, error) {
			<-ctx.Done()
			ended = true
			return cache.Reply{}, ctx.Err()
		})
		j.Close()
		if _, err := j.Start(t.Context(), time.Minute, bringing(1)); !ended || !errors.Is(err, pool.ErrClosed) {
			t.Errorf("ended %t, %v", ended, err)
		}
		wantJob(t, j, id, 0, context.Canceled)
	})
}
