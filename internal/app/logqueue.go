package app

import (
	"bytes"
	"io"
	"log/slog"
	"sync"
	"time"
)

const (
	maxPending = 64 << 10               // bytes of lines that wait to be written
	maxMetrics = 1 << 20                // of documents of metrics: at the end there is one for each invocation that is not over
	flushTime  = 100 * time.Millisecond // how long Flush and close wait for them
)

// logQueue writes lines of a log, or documents of metrics, in a goroutine of its own, so that a caller does not wait for a pipe that no
// process reads. It drops lines for which it has no room, and logs how many it has dropped once the pipe is read again.
type logQueue struct {
	to               io.Writer
	most             int           // bytes of lines that wait to be written
	wake, quit, done chan struct{} // wake holds an element while something is pending
	flushes          chan chan struct{}

	// mu guards what follows. It is not held while the lines are written.
	mu      sync.Mutex
	pending []byte
	dropped int       // lines since the last write began
	writing time.Time // since when the lines that take returned have been written; zero: they are written
}

// newLogQueue starts the goroutine that close ends.
func newLogQueue(to io.Writer, most int) *logQueue {
	q := &logQueue{to: to, most: most, wake: make(chan struct{}, 1), quit: make(chan struct{}), done: make(chan struct{}), flushes: make(chan chan struct{})}
	go q.run()
	return q
}

// Write takes one line, and never fails.
func (q *logQueue) Write(line []byte) (int, error) {
	q.add(line)
	select {
	case q.wake <- struct{}{}:
	default:
	}
	return len(line), nil
}

func (q *logQueue) add(line []byte) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if len(q.pending)+len(line) <= q.most {
		q.pending = append(q.pending, line...)
	} else {
		q.dropped++
	}
}

// take returns the lines that are to be written, and how many are missing after them.
func (q *logQueue) take() (lines []byte, dropped int) {
	q.mu.Lock()
	defer q.mu.Unlock()
	lines, dropped = q.pending, q.dropped
	q.pending, q.dropped, q.writing = nil, 0, time.Now()
	return lines, dropped
}

func (q *logQueue) run() {
	defer close(q.done)
	for {
		select {
		case <-q.wake:
			q.flush()
		case flushed := <-q.flushes:
			q.flush()
			close(flushed)
		case <-q.quit:
			q.flush()
			return
		}
	}
}

// Flush waits until the lines that were taken before have been written. No write is waited for longer than flushTime, by all calls of Flush
// together.
func (q *logQueue) Flush() {
	late := time.NewTimer(q.patience())
	defer late.Stop()
	flushed := make(chan struct{})
	select {
	case q.flushes <- flushed:
	case <-q.done:
		return
	case <-late.C:
		return
	}
	select {
	case <-flushed:
	case <-late.C:
	}
}

func (q *logQueue) patience() time.Duration {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.writing.IsZero() {
		return flushTime
	}
	return flushTime - time.Since(q.writing)
}

func (q *logQueue) flush() {
	lines, dropped := q.take()
	defer q.written()
	if len(lines) == 0 && dropped == 0 {
		return
	}
	if dropped > 0 {
		b := bytes.NewBuffer(lines)
		newLogger(b, slog.LevelInfo).Warn("log lines were dropped: the log was not read", "lines", dropped)
		lines = b.Bytes()
	}
	_, _ = q.to.Write(lines) // a log that cannot be written cannot tell so
}

func (q *logQueue) written() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.writing = time.Time{}
}

// close writes what is pending, and waits for the goroutine. If that takes too long, the end of the process ends it.
func (q *logQueue) close() {
	close(q.quit)
	select {
	case <-q.done:
	case <-time.After(flushTime):
	}
}

// newLogger makes a logger whose lines Lambda can filter by level. Each line is a JSON object with level and timestamp: Lambda takes a line
// without a timestamp for INFO, whatever its level is.
func newLogger(to io.Writer, level slog.Level) *slog.Logger {
	options := &slog.HandlerOptions{Level: level, ReplaceAttr: func(groups []string, a slog.Attr) slog.Attr {
		if len(groups) == 0 && a.Key == slog.TimeKey && a.Value.Kind() == slog.KindTime {
			return slog.String("timestamp", a.Value.Time().UTC().Format("2006-01-02T15:04:05.000Z07:00"))
		}
		return a
	}}
	return slog.New(slog.NewJSONHandler(to, options)).With("extension", "hearth")
}
