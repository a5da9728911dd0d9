package client

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"
	"unicode"

	"hearth/client/wire"
)

// Timed calls f, measures how long it takes, and prints two lines for the operation: one for people, and one of JSON, in which
// CloudWatch Logs Insights finds the fields.
//
//	[TIMING] parallel_preprocessing: 0.062s
//	{"level":"INFO","timestamp":"2026-01-31T12:00:00.000Z","operation":"parallel_preprocessing","duration_ms":62.144, …}
//
// The second has request_id in an [Client.Invocation], and what the calls of Hearth within f, made with its context, tell: cache
// (hit, miss or stale, or an object of them by the part) and chat (the first 16 hex digits of SHA-256 of its id). If f fails, error
// is the [Kind] of its [Problem], or the type of the error; its text may hold what no log may. What f returns is returned as it is.
//
// An operation within itself is measured once. Both lines go to [Config].Output, or outside an invocation to stdout.
func Timed[T any](ctx context.Context, operation string, f func(context.Context) (T, error)) (result T, err error) {
	m := newMeasurement(ctx, operation)
	if m == nil {
		return f(ctx)
	}
	failure := "panic"
	defer func() { m.end(failure) }()
	result, err = f(context.WithValue(ctx, measurementKey{}, m))
	failure = errorName(err)
	return result, err
}

// measurement is an operation that is being measured.
type measurement struct {
	operation  string
	outer      *measurement // the one around it, if any
	invocation *invocation  // may be nil
	began      time.Time
	ended      atomic.Bool

	mu       sync.Mutex
	chats    map[string]bool
	cache    map[string]string // hit, stale or miss, by the part
	hasParts bool              // a reply had parts of its own
}

type measurementKey struct{}

// newMeasurement is nil if the operation is being measured already.
func newMeasurement(ctx context.Context, operation string) *measurement {
	if operation = strings.ToValidUTF8(operation, "?"); operation == "" {
		operation = "unnamed"
	}
	if runes := []rune(operation); len(runes) > wire.MaxOperation {
		operation = string(runes[:wire.MaxOperation])
	}
	outer, _ := ctx.Value(measurementKey{}).(*measurement)
	for m := range outer.around() {
		if m.operation == operation && !m.ended.Load() {
			return nil
		}
	}
	invocation, _ := ctx.Value(invocationKey{}).(*invocation)
	return &measurement{
		operation: operation, outer: outer, invocation: invocation, began: time.Now(),
		chats: map[string]bool{}, cache: map[string]string{},
	}
}

// around yields the measurement and all around it, the innermost first.
func (m *measurement) around() func(yield func(*measurement) bool) {
	return func(yield func(*measurement) bool) {
		for ; m != nil && yield(m); m = m.outer {
		}
	}
}

// end prints the lines and collects the timing. failure is empty if the operation has not failed.
func (m *measurement) end(failure string) {
	took := time.Since(m.began)
	m.ended.Store(true)
	line := timedLine{
		Level: "INFO", Timestamp: timestamp(), Operation: m.operation,
		DurationMS: milliseconds(took), Chat: m.chat(), Cache: m.verdict(), Error: failure,
	}
	out := io.Writer(os.Stdout)
	if in := m.invocation; in != nil {
		line.RequestID, out = in.requestID, in.client.cfg.Output
		in.add(Timing{Operation: m.operation, DurationMS: line.DurationMS, Error: orNil(failure)})
	}
	printable := strings.Map(func(r rune) rune {
		if unicode.IsPrint(r) {
			return r
		}
		return ' '
	}, m.operation)
	fmt.Fprintf(out, "[TIMING] %s: %.3fs\n", printable, took.Seconds())
	printJSON(out, line)
}

type timedLine struct {
	Level      string  `json:"level"`
	Timestamp  string  `json:"timestamp"`
	Operation  string  `json:"operation"`
	DurationMS float64 `json:"duration_ms"`
	RequestID  string  `json:"request_id,omitempty"`
	Cache      any     `json:"cache,omitempty"` // a string, or one for each part
	Chat       string  `json:"chat,omitempty"`
	Error      string  `json:"error,omitempty"`
}

// printJSON prints a line in one write, because others write to out too. A measurement fails nothing, so errors are dropped.
func printJSON(out io.Writer, line any) {
	if b, err := json.Marshal(line); err == nil {
		_, _ = out.Write(append(b, '\n'))
	}
}

func timestamp() string { return time.Now().UTC().Format("2006-01-02T15:04:05.000Z07:00") }

func milliseconds(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

func orNil(text string) any {
	if text == "" {
		return nil
	}
	return text
}

// errorName says what kind of error it is, without its text. It is empty for no error.
func errorName(err error) (name string) {
	if err == nil {
		return ""
	}
	defer func() {
		if recover() != nil { // a method of err has panicked: the pointer that err holds may be nil
			name = fmt.Sprintf("%T", err)
		}
	}()
	if p, ok := errors.AsType[*Problem](err); ok && p.Kind() != "" {
		return string(p.Kind())
	}
	for inner := err; inner != nil; inner = errors.Unwrap(inner) {
		err = inner
	}
	return fmt.Sprintf("%T", err)
}

// chat is the hash of the chat that the calls were about. It is empty if there was none or several.
func (m *measurement) chat() string {
	m.mu.Lock()
	defer m.mu.Unlock()
	if len(m.chats) != 1 {
		return ""
	}
	for chat := range m.chats {
		sum := sha256.Sum256([]byte(chat))
		return hex.EncodeToString(sum[:8])
	}
	return ""
}

// verdict is nil, a string, or strings by the part.
func (m *measurement) verdict() any {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.hasParts || len(m.cache) > 1 {
		return maps.Clone(m.cache)
	}
	for _, verdict := range m.cache {
		return verdict
	}
	return nil
}

// noteChat tells the measurements around a call which chat it is about.
func noteChat(ctx context.Context, chat string) {
	innermost, _ := ctx.Value(measurementKey{}).(*measurement)
	for m := range innermost.around() {
		m.mu.Lock()
		if len(m.chats) < 2 {
			m.chats[chat] = true
		}
		m.mu.Unlock()
	}
}

// noteCache tells the measurements around a call, which has taken so long, where its reply came from. Of two replies for the same part the worse
// counts.
func noteCache(ctx context.Context, part string, header http.Header, reply any, took time.Duration) {
	innermost, _ := ctx.Value(measurementKey{}).(*measurement)
	if innermost == nil {
		return
	}
	verdicts := map[string]string{part: verdictOf(header, took)}
	p, hasParts := reply.(*Preprocess)
	if hasParts {
		verdicts = p.Cache
	}
	for m := range innermost.around() {
		m.mu.Lock()
		m.hasParts = m.hasParts || hasParts && len(verdicts) > 0
		for part, verdict := range verdicts {
			if badness(verdict) > badness(m.cache[part]) {
				m.cache[part] = verdict
			}
		}
		m.mu.Unlock()
	}
}

func badness(verdict string) int { return slices.Index([]string{"", "hit", "stale", "miss"}, verdict) }

// verdictOf reads Cache-Status (RFC 9211). It is empty if that says nothing. With fwd=stale, a reply that is older than the call was held before it:
// the upstream gave no answer.
func verdictOf(header http.Header, took time.Duration) string {
	status := header.Get("Cache-Status")
	age, _ := strconv.Atoi(header.Get("Age"))
	switch {
	case strings.Contains(status, "; hit") && strings.Contains(status, "ttl=-"):
		return "stale"
	case strings.Contains(status, "; hit"):
		return "hit"
	case strings.Contains(status, "fwd=stale") && float64(age) > took.Seconds():
		return "stale"
	case strings.Contains(status, "fwd="):
		return "miss"
	}
	return ""
}
