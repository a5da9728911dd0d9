package app

import (
	"bytes"
	"io"
	"log/slog"
	"sync"
	"time"
)

const (
	mostPending = 64 << 10               // bytes of lines that wait to be written
	lastLines   = 100 * time.Millisecond // for them at the end
)

// logQueue writes log lines to where they may not be read: a full pipe blocks its writer. Whoever logs does not wait.
// Lines for which there is no room are dropped, and the log says how many once it is read again.
type logQueue struct {
	to               io.Writer
	wake, quit, done chan struct{} // wake holds an element while something is pending

	mu      sync.Mutex
	pending []byte // guarded by mu
	dropped int    // guarded by mu; lines since the last write began
}

// newLogQueue starts a goroutine, which close ends.
func newLogQueue(to io.Writer) *logQueue {
	q := &logQueue{to: to, wake: make(chan struct{}, 1), quit: make(chan struct{}), done: make(chan struct{})}
	go q.run()
	return q
}

// Write takes one line, and never fails.
func (q *logQueue) Write(line []byte) (int, error) {
	q.mu.Lock()
	if len(q.pending)+len(line) <= mostPending {
		q.pending = append(q.pending, line...)
	} else {
		q.dropped++
	}
	q.mu.Unlock()
	select {
	case q.wake <- struct{}{}:
	default:
	}
	return len(line), nil
}

func (q *logQueue) run() {
	defer close(q.done)
	for {
		select {
		case <-q.wake:
			q.flush()
		case <-q.quit:
			q.flush()
			return
		}
	}
}

func (q *logQueue) flush() {
	q.mu.Lock()
	lines, dropped := q.pending, q.dropped
	q.pending, q.dropped = nil, 0
	q.mu.Unlock()
	if dropped > 0 {
		b := bytes.NewBuffer(lines)
		newLogger(b, slog.LevelInfo).Warn("log lines were dropped: the log was not read", "lines", dropped)
		lines = b.Bytes()
	}
	_, _ = q.to.Write(lines) // there is nowhere to tell that it failed
}

// close writes what is pending. If that takes too long, it leaves the goroutine to the end of the process.
func (q *logQueue) close() {
	close(q.quit)
	select {
	case <-q.done:
	case <-time.After(lastLines):
	}
}

func newLogger(to io.Writer, level slog.Level) *slog.Logger {
	return slog.New(slog.NewJSONHandler(to, &slog.HandlerOptions{Level: level})).With("extension", "hearth")
}
