package extension

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// ErrNoTelemetry occurs where no events will come: none were asked for, Lambda refused (as local emulators do), or the receiver
// has ended.
var ErrNoTelemetry = errors.New("extension: no telemetry")

const (
	telemetryPath = "/2022-07-01/telemetry"
	sandboxHost   = "sandbox.localdomain" // the only host that Lambda delivers to: the sandbox's own address

	bufferBytes = 256 << 10       // the least that Lambda may buffer, as the other numbers of the subscription
	mostBody    = 2 * bufferBytes // of a batch
	mostConns   = 4
	remembered  = 16               // invocations that ended
	longestID   = 128              // of a request
	longestRun  = 15 * time.Minute // that Lambda grants a handler
	lookupTime  = 500 * time.Millisecond
	requestTime = 2 * time.Second // for one request, ours or Lambda's
)

// RuntimeDone is the end of one invocation's handler, as Lambda's event platform.runtimeDone tells it.
type RuntimeDone struct {
	RequestID string
	Status    string        // success, error, failure or timeout
	Duration  time.Duration // of the handler; 0: unknown
}

// Telemetry receives the platform's events while the [Extension] that has it in its [Config] runs, and remembers the
// last 16 invocations that ended. The zero value is ready for use; it is safe for concurrent use.
type Telemetry struct {
	// mu guards all fields. The receiver's handlers write them, Wait and slowest read them.
	mu      sync.Mutex
	on      bool          // events may come
	last    []RuntimeDone // oldest first
	seen    int           // how many invocations have ended in all
	changed chan struct{} // closed by the next change; nil: no Wait is waiting
}

// Wait returns when the handler of that request has ended, or when ctx has ended. Lambda may send a request again with the same id. Then
// Wait takes the first end for the second one too, and returns at once.
func (t *Telemetry) Wait(ctx context.Context, requestID string) (RuntimeDone, error) {
	for {
		done, changed, err := t.look(requestID)
		if changed == nil {
			return done, err
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return RuntimeDone{}, context.Cause(ctx)
		}
	}
}

// look returns how a request has ended. If no event will tell that, it returns an error. If an event may still come, it returns a channel
// that the next change closes.
func (t *Telemetry) look(requestID string) (done RuntimeDone, changed <-chan struct{}, err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if i := t.indexLocked(requestID); i >= 0 {
		return t.last[i], nil, nil
	}
	if !t.on {
		return RuntimeDone{}, nil, ErrNoTelemetry
	}
	if t.changed == nil {
		t.changed = make(chan struct{})
	}
	return RuntimeDone{}, t.changed, nil
}

// slowest returns the duration of the slowest remembered handler, 0 if no duration is known, and how many handlers have ended in all.
func (t *Telemetry) slowest() (slowest time.Duration, seen int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, done := range t.last {
		slowest = max(slowest, done.Duration)
	}
	return slowest, t.seen
}

func (t *Telemetry) record(dones []RuntimeDone) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, done := range dones {
		if t.indexLocked(done.RequestID) >= 0 {
			continue // Lambda sends a batch again if our answer was lost
		}
		if len(t.last) == remembered {
			t.last = slices.Delete(t.last, 0, 1)
		}
		t.last = append(t.last, done)
		t.seen++
	}
	t.wakeLocked()
}

func (t *Telemetry) setOn(on bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.on = on
	t.wakeLocked()
}

func (t *Telemetry) indexLocked(requestID string) int {
	return slices.IndexFunc(t.last, func(done RuntimeDone) bool { return done.RequestID == requestID })
}

func (t *Telemetry) wakeLocked() {
	if t.changed != nil {
		close(t.changed)
		t.changed = nil
	}
}

// receive subscribes to telemetry and receives it until stop is called. stop returns when all that receive started has ended. If Lambda refuses
// the subscription, receive logs that and starts nothing.
func (e *Extension) receive(ctx context.Context, t *Telemetry) (stop func()) {
	listener, err := e.subscribe(ctx)
	if err != nil {
		e.cfg.Logger.Warn("no telemetry", "error", err)
		return func() {}
	}
	t.setOn(true)
	ctx, cancel := context.WithCancel(ctx)
	var receiver sync.WaitGroup
	receiver.Go(func() {
		defer t.setOn(false)
		if err := t.serve(ctx, listener, e.cfg.Logger); ctx.Err() == nil {
			e.cfg.Logger.Warn("telemetry has ended", "error", err)
		}
	})
	return func() {
		cancel()
		receiver.Wait()
	}
}

// subscribe opens the listener that Lambda will deliver to.
func (e *Extension) subscribe(ctx context.Context) (net.Listener, error) {
	listener, err := listenSandbox(ctx)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrNoTelemetry, err)
	}
	_, port, _ := net.SplitHostPort(listener.Addr().String())
	body := fmt.Appendf(nil, `{"schemaVersion":"2022-12-13","types":["platform"],`+
		`"buffering":{"timeoutMs":25,"maxItems":1000,"maxBytes":%d},"destination":{"protocol":"HTTP","URI":"http://%s"}}`,
		bufferBytes, net.JoinHostPort(sandboxHost, port))
	ctx, cancel := context.WithTimeout(ctx, requestTime)
	defer cancel()
	resp, err := e.call(ctx, http.MethodPut, telemetryPath, http.Header{"Content-Type": {"application/json"}}, body)
	if err == nil && resp.status == http.StatusAccepted {
		err = fmt.Errorf("not supported here: %.200s", resp.body)
	}
	if err != nil {
		_ = listener.Close()
		return nil, fmt.Errorf("%w: %w", ErrNoTelemetry, err)
	}
	return listener, nil
}

// listenSandbox listens only on the address that Lambda delivers to, so that no other machine can send events. If the name of that address is
// unknown, this is not Lambda, and it listens on the loopback address.
func listenSandbox(ctx context.Context) (net.Listener, error) {
	lookup, cancel := context.WithTimeout(ctx, lookupTime)
	defer cancel()
	var config net.ListenConfig
	listener, err := config.Listen(lookup, "tcp", net.JoinHostPort(sandboxHost, "0"))
	if _, unknown := errors.AsType[*net.DNSError](err); unknown {
		return config.Listen(ctx, "tcp", "127.0.0.1:0")
	}
	return listener, err
}

// serve receives batches until ctx ends. It returns when every connection has ended.
func (t *Telemetry) serve(ctx context.Context, listener net.Listener, log *slog.Logger) error {
	ctx, cancel := context.WithCancel(ctx)
	var work sync.WaitGroup
	var open atomic.Int32
	server := &http.Server{
		Handler:     http.HandlerFunc(t.batch),
		ReadTimeout: requestTime, WriteTimeout: requestTime, MaxHeaderBytes: 8 << 10,
		ErrorLog: slog.NewLogLogger(log.Handler(), slog.LevelDebug),
		ConnState: func(conn net.Conn, state http.ConnState) {
			switch state {
			case http.StateNew: // before Serve returns
				work.Add(1)
				if open.Add(1) > mostConns || ctx.Err() != nil {
					_ = conn.Close()
				}
			case http.StateClosed:
				open.Add(-1)
				work.Done()
			}
		},
	}
	server.SetKeepAlivesEnabled(false) // a freeze would break a connection that is kept
	work.Go(func() {
		<-ctx.Done()
		_ = server.Close()
	})
	err := server.Serve(listener)
	cancel()
	work.Wait()
	return err
}

// batch takes one delivery. It always answers 200, because after another status Lambda would send the same delivery again.
func (t *Telemetry) batch(w http.ResponseWriter, r *http.Request) {
	t.record(runtimeDones(http.MaxBytesReader(w, r.Body, mostBody)))
}

// runtimeDones picks the ends of invocations out of a JSON array of events. It stops where the array cannot be read.
func runtimeDones(body io.Reader) (dones []RuntimeDone) {
	decoder := json.NewDecoder(body)
	if start, err := decoder.Token(); err != nil || start != json.Delim('[') {
		return nil
	}
	for decoder.More() {
		var raw json.RawMessage
		if decoder.Decode(&raw) != nil {
			break
		}
		var event struct {
			Type   string
			Record struct {
				RequestID string
				Status    string
				Metrics   struct{ DurationMS float64 }
			}
		}
		_ = json.Unmarshal(raw, &event) // an event of another type may hold anything
		id := event.Record.RequestID
		if event.Type != "platform.runtimeDone" || id == "" || len(id) > longestID {
			continue
		}
		ms := max(0, min(event.Record.Metrics.DurationMS, float64(longestRun.Milliseconds())))
		dones = append(dones, RuntimeDone{id, event.Record.Status, time.Duration(ms * float64(time.Millisecond))})
	}
	return dones
}
