// Package sparse logs events that may happen often: the first one at once, then one line a minute with the count. After a minute without
// an event, the next one is logged at once again.
//
// Start at [Log.Warn].
package sparse

import (
	"log/slog"
	"slices"
	"sync"
	"time"
)

// every is the least time between two lines of the same kind.
const every = time.Minute

// mostKinds is how many kinds a Log tells apart. Any further kinds count together, as the kind "".
const mostKinds = 64

// Log logs events by their kind. The zero value discards all; it is safe for concurrent use.
type Log struct {
	logger *slog.Logger

	mu     sync.Mutex
	kinds  map[string]*kind // guarded by mu: those with a line within the last minute
	closed bool             // guarded by mu
}

// kind is the events of one kind since its last line.
type kind struct {
	timer *time.Timer // ends the minute
	count int         // not logged yet
	last  line        // the newest of them
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

// Warn logs a warning, unless one of the same kind was logged within the last minute. Then the warning is counted, and at the end of that
// minute the newest one is logged with the count. There must be few kinds, so an error's text must not be one.
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
		of = "" // the room for one more is for this kind
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

// minute is called at the end of a kind's minute. It logs the events that were counted, and begins another minute if there were any.
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
		l.logger.Warn(last.message, append(slices.Clip(last.args), "times", count)...)
	}
}

// Close logs the events that were counted and not logged yet. Later events are logged at once.
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
