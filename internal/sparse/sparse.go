// Package sparse logs what may happen often: the first time at once, then one line a minute with the count. What has stopped
// happening costs nothing, and is logged at once when it happens again.
//
// Start at [Log.Warn].
package sparse

import (
	"context"
	"log/slog"
	"sync"
	"time"
)

// every is how often a line of the same kind is logged at most.
const every = time.Minute

// mostKinds is how many kinds a Log tells apart. Those beyond count together.
const mostKinds = 64

// Log logs events by their kind. The zero value discards all; it is safe for concurrent use.
type Log struct {
	logger *slog.Logger

	mu     sync.Mutex
	kinds  map[string]*kind // guarded by mu: those that were logged within the last minute
	closed bool             // guarded by mu
}

// kind is what happened of one kind since its last line.
type kind struct {
	timer *time.Timer // ends the minute
	count int         // not logged yet
	last  line        // of them
}

type line struct {
	message string
	args    []any
}

// New makes a Log. A nil logger discards.
func New(logger *slog.Logger) *Log {
	if logger == nil {
		logger = slog.New(slog.DiscardHandler)
	}
	return &Log{logger: logger, kinds: map[string]*kind{}}
}

// Warn logs a warning, unless one of the same kind was logged within the last minute. Then it is counted, and the last one is logged
// with the count at the end of that minute. The kind must be one of few: it is no place for an error's text.
func (l *Log) Warn(of, message string, args ...any) {
	if l == nil || l.logger == nil {
		return
	}
	if l.first(of, line{message, args}) {
		l.logger.Warn(message, args...)
	}
}

// first counts an event, and says whether it is to be logged at once.
func (l *Log) first(of string, what line) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return true
	}
	k := l.kinds[of]
	if k == nil && len(l.kinds) >= mostKinds-1 {
		of = "" // the last one
		k = l.kinds[of]
	}
	if k == nil {
		l.kinds[of] = &kind{timer: time.AfterFunc(every, func() { l.minute(of) })}
		return true
	}
	k.count++
	k.last = what
	return false
}

// minute is the end of a kind's minute: it logs what was counted, and begins another minute if there was anything.
func (l *Log) minute(of string) {
	l.mu.Lock()
	k := l.kinds[of]
	if l.closed || k == nil {
		l.mu.Unlock()
		return
	}
	count, last := k.count, k.last
	k.count, k.last = 0, line{}
	if count == 0 {
		delete(l.kinds, of)
	} else {
		k.timer.Reset(every)
	}
	l.mu.Unlock()
	l.log(count, last)
}

func (l *Log) log(count int, last line) {
	if count > 0 {
		l.logger.Log(context.Background(), slog.LevelWarn, last.message, append(last.args[:len(last.args):len(last.args)], "times", count)...)
	}
}

// Close logs what was counted and not logged yet. What comes later is logged at once.
func (l *Log) Close() {
	l.mu.Lock()
	kinds := l.kinds
	l.kinds, l.closed = nil, true
	l.mu.Unlock()
	for _, k := range kinds {
		k.timer.Stop()
		l.log(k.count, k.last)
	}
}
