package fetch

import (
	"context"
	"crypto/rand"
	"errors"
	"slices"
	"sync"
	"time"

	"hearth/cache"
	"hearth/internal/clock"
	"hearth/internal/guard"
	"hearth/pool"
)

const (
	maxJobs    = 64               // under way or done and not yet read
	maxExpired = 1024             // expired jobs whose names are remembered
	jobAge     = 10 * time.Minute // how long a result is kept; frozen time counts
	readTime   = time.Second      // how long a reader waits while another one is being sent the result
)

// Errors of a job.
var (
	// ErrNoSuchJob occurs when a job never was, or its result was read.
	ErrNoSuchJob = errors.New("no such job")
	// ErrExpired occurs when a job's result was not read in time, or made room for others.
	ErrExpired = errors.New("job expired")
	// ErrPending occurs when a job is not done yet, or its result is on its way to another reader.
	ErrPending = errors.New("job pending")
	// ErrTooManyJobs occurs when maxJobs jobs are under way.
	ErrTooManyJobs = errors.New("too many jobs")
)

// Jobs are requests that run on after their caller was answered. Each result is kept until it has reached one reader, or is too old,
// or has to make room for others.
//
// mu guards what stands below it. Nothing runs or waits under mu.
type Jobs struct {
	pulse  *clock.Pulse
	most   int64           // bytes of all results together
	ctx    context.Context //nolint:containedctx // of the jobs: they outlive the requests that start them
	cancel context.CancelFunc
	work   sync.WaitGroup // Add is guarded by mu

	mu      sync.Mutex
	closed  bool
	jobs    []*job // in the order in which they were started
	bytes   int64
	expired []string // names, the oldest first
}

type job struct {
	id    string
	done  chan struct{} // closed under mu when what follows is set
	ended clock.Instant
	reply cache.Reply
	err   error

	reading chan struct{} // closed when the reader that is being sent the result has it, or cannot get it; nil: there is no such reader
}

func (j *job) isDone() bool {
	select {
	case <-j.done:
		return true
	default:
		return false
	}
}

// NewJobs makes a Jobs whose results may have most bytes together. A nil pulse means that the process is never frozen. Close
// ends it.
func NewJobs(most int64, pulse *clock.Pulse) *Jobs {
	if pulse == nil {
		pulse = clock.Awake()
	}
	j := &Jobs{pulse: pulse, most: most}
	j.ctx, j.cancel = context.WithCancel(context.Background())
	return j
}

// Start runs a job, for at most the timeout, under a context that has the values of ctx but does not end with it. It returns the
// job's name, which cannot be guessed.
func (j *Jobs) Start(ctx context.Context, timeout time.Duration, run func(context.Context) (cache.Reply, error)) (id string, err error) {
	now := j.pulse.Now()
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.closed {
		return "", pool.ErrClosed
	}
	j.expireLocked(now)
	if len(j.jobs) >= maxJobs && !j.dropOldestLocked() {
		return "", ErrTooManyJobs
	}
	new := &job{id: rand.Text(), done: make(chan struct{})}
	j.jobs = append(j.jobs, new)
	j.work.Go(func() {
		ctx, cancel := j.pulse.WithTimeout(context.WithoutCancel(ctx), timeout)
		defer cancel()
		defer context.AfterFunc(j.ctx, cancel)() //nolint:contextcheck // a job ends with its owner too
		reply, err := guard.Get(func() (cache.Reply, error) { return run(ctx) })
		j.finish(new, reply, err)
	})
	return new.id, nil
}

func (j *Jobs) finish(done *job, reply cache.Reply, err error) {
	now := j.pulse.Now()
	j.mu.Lock()
	defer j.mu.Unlock()
	if size := int64(len(reply.Body)); size > j.most {
		reply, err = cache.Reply{}, &pool.TooLargeError{Bytes: size, Most: j.most}
	}
	for j.bytes+int64(len(reply.Body)) > j.most && j.dropOldestLocked() {
	}
	done.ended, done.reply, done.err = now, reply, err
	j.bytes += int64(len(reply.Body))
	close(done.done)
}

// Wait waits until a job is done, ctx ends or the time is over, and returns the job's result. One caller at a time gets the result,
// and calls read once it knows whether the result has arrived. If it has not, the next caller gets the result. read is nil if the error
// is not the job's own: [ErrNoSuchJob], [ErrExpired] or [ErrPending].
func (j *Jobs) Wait(ctx context.Context, id string, patience time.Duration) (reply cache.Reply, read func(arrived bool), err error) {
	began := time.Now()
	for {
		got, changes, err := j.take(id)
		switch {
		case err != nil:
			return cache.Reply{}, nil, err
		case changes == nil:
			reading := got.reading
			return got.reply, func(arrived bool) { j.endReading(got, reading, arrived) }, got.err
		case got.isDone():
			patience = max(patience, readTime)
		}
		left := patience - time.Since(began)
		if left <= 0 || !wait(ctx, j.ctx, changes, left) {
			return cache.Reply{}, nil, ErrPending
		}
	}
}

// wait waits for changes, for at most d, and says whether they came before a context ended.
func wait(ctx, owner context.Context, changes <-chan struct{}, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-changes:
		return true
	case <-timer.C:
	case <-ctx.Done():
	case <-owner.Done():
	}
	return false
}

// take gives the caller a job's result. If the caller must wait, changes is not nil, and is closed when the caller should try again.
func (j *Jobs) take(id string) (got *job, changes <-chan struct{}, err error) {
	now := j.pulse.Now()
	j.mu.Lock()
	defer j.mu.Unlock()
	j.expireLocked(now)
	i := j.placeLocked(id)
	switch {
	case i < 0 && slices.Contains(j.expired, id):
		return nil, nil, ErrExpired
	case i < 0:
		return nil, nil, ErrNoSuchJob
	}
	got = j.jobs[i]
	switch {
	case !got.isDone():
		return got, got.done, nil
	case got.reading != nil:
		return got, got.reading, nil
	}
	got.reading = make(chan struct{})
	return got, nil, nil
}

// endReading ends the reading that take began. arrived says whether the reader has the result.
func (j *Jobs) endReading(read *job, reading chan struct{}, arrived bool) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if read.reading != reading {
		return // it was called before
	}
	read.reading = nil
	close(reading)
	if i := slices.Index(j.jobs, read); i >= 0 && arrived {
		j.removeLocked(i)
	}
}

func (j *Jobs) placeLocked(id string) int {
	return slices.IndexFunc(j.jobs, func(x *job) bool { return x.id == id })
}

func (j *Jobs) removeLocked(i int) {
	j.bytes -= int64(len(j.jobs[i].reply.Body))
	j.jobs = slices.Delete(j.jobs, i, i+1)
}

// expireLocked drops the results that are too old.
func (j *Jobs) expireLocked(now clock.Instant) {
	for i := 0; i < len(j.jobs); {
		if x := j.jobs[i]; x.isDone() && now.Since(x.ended) >= jobAge {
			j.dropLocked(i)
		} else {
			i++
		}
	}
}

// dropOldestLocked drops the oldest result, if there is one.
func (j *Jobs) dropOldestLocked() bool {
	i := slices.IndexFunc(j.jobs, (*job).isDone)
	if i >= 0 {
		j.dropLocked(i)
	}
	return i >= 0
}

func (j *Jobs) dropLocked(i int) {
	if len(j.expired) == maxExpired {
		j.expired = slices.Delete(j.expired, 0, 1)
	}
	j.expired = append(j.expired, j.jobs[i].id)
	j.removeLocked(i)
}

// Close ends all jobs and waits for them.
func (j *Jobs) Close() {
	j.mu.Lock()
	j.closed = true
	j.mu.Unlock()
	j.cancel()
	j.work.Wait()
}
