package lambdatest

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/google/uuid"
)

// FunctionError is the error a handler answered an invocation with.
type FunctionError struct {
	Type string // The Lambda-Runtime-Function-Error-Type header.
	Body string // Lambda's error JSON: errorMessage, errorType, stackTrace.
}

func (e *FunctionError) Error() string { return "lambdatest: function error " + e.Type + ": " + e.Body }

// Invocation says how long an invocation took.
type Invocation struct {
	RequestID string
	Handler   time.Duration // From its dispatch to the runtime's response.

	// Added is billed after the response: until the runtime and every extension have asked for their next event. On Managed
	// Instances it is 0, because Lambda does not wait for that.
	Added time.Duration

	Init time.Duration // INIT within the invocation, after a reset; a part of Handler. 0: there was none.
}

// invocation is an invocation that has not ended yet.
type invocation struct {
	delivery   // To the runtime.
	id         string
	deadline   time.Time
	began      time.Time
	answered   time.Time // By the handler.
	dispatched bool      // The runtime and all extensions have their events.
	reported   bool      // platform.runtimeDone is emitted.
	response   []byte
	err        error
	init       time.Duration
	cancel     context.CancelCauseFunc // Ends it at a reset.
}

func (inv *invocation) isAnswered() bool { return !inv.answered.IsZero() }

// Invocations returns the invocations that have ended, in the order of their ends.
func (h *Host) Invocations() []Invocation {
	h.mu.Lock()
	defer h.mu.Unlock()
	return slices.Clone(h.invocations)
}

// Invoke runs one invocation and returns the handler's response as soon as there is one, while extensions may still be
// at work. It waits for INIT and for its turn, and thaws what is frozen. A handler's error is a *FunctionError.
func (h *Host) Invoke(ctx context.Context, payload []byte) (_ []byte, err error) {
	defer func() {
		if _, own := errors.AsType[*FunctionError](err); err != nil && !own {
			err = fmt.Errorf("%w (seed %d)", err, h.cfg.Seed)
		}
	}()
	if err := h.takeSlot(ctx); err != nil {
		return nil, err
	}
	defer func() { <-h.slots }()
	startsAgain, err := h.claimStart(ctx)
	if err != nil {
		return nil, err
	}
	defer func() { h.resetAfter(ctx, err) }()
	began := time.Now()
	if startsAgain {
		var cancel context.CancelFunc
		ctx, cancel = h.limited(ctx, began)
		defer cancel()
		if err := h.startAgain(ctx); err != nil {
			return nil, err
		}
	}
	err = h.await(ctx, func() (bool, error) {
		return h.extensionsReadyLocked() && h.runtimeReadyLocked(), h.failureLocked()
	})
	if err != nil {
		return nil, err
	}
	if err := h.restore(); err != nil {
		return nil, err
	}
	init := time.Since(began)
	if !startsAgain {
		var cancel context.CancelFunc
		began, init = time.Now(), 0
		ctx, cancel = h.limited(ctx, began)
		defer cancel()
	}
	return h.invoke(ctx, h.newInvocation(payload, began, init))
}

// takeSlot waits until an invocation may begin. A platform that refuses does not wait.
func (h *Host) takeSlot(ctx context.Context) error {
	select {
	case h.slots <- struct{}{}:
		return nil
	default:
		if h.profile.refuses {
			return ErrUnavailable
		}
	}
	select {
	case h.slots <- struct{}{}:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	case <-h.done:
		return ErrClosed
	}
}

// limited returns the context of an invocation. It ends with the function's timeout, except on Managed Instances.
func (h *Host) limited(ctx context.Context, began time.Time) (context.Context, context.CancelFunc) {
	if h.cfg.Init == ManagedInstances {
		return context.WithCancel(ctx)
	}
	return context.WithDeadlineCause(ctx, began.Add(h.cfg.Timeout), ErrTimeout)
}

// invoke runs an invocation in a sandbox that is ready.
func (h *Host) invoke(ctx context.Context, inv *invocation) ([]byte, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	inv.cancel = cancel
	var before, after []*extension
	h.update(func() {
		before, after = h.orderLocked()
		h.open = append(h.open, inv)
		h.emitLocked("platform.start", inv.id, map[string]any{"version": "$LATEST", "tracing": tracing()})
	})
	if err := h.tell(ctx, before, inv); err != nil {
		return nil, h.abandon(inv, err)
	}
	if h.cfg.Answer == nil {
		if err := h.deliver(ctx, h.runtimeInbox(), &inv.delivery); err != nil {
			return nil, h.abandon(inv, err)
		}
	}
	var rest sync.WaitGroup
	defer rest.Wait()
	rest.Go(func() {
		if h.tell(ctx, after, inv) == nil {
			h.update(func() { inv.dispatched = true })
		}
	})
	if h.cfg.Answer != nil {
		response, err := h.cfg.Answer(ctx, inv.body)
		if ctx.Err() != nil { // Lambda does not wait for it any more.
			response, err = nil, context.Cause(ctx)
		}
		h.update(func() {
			inv.answered, inv.response, inv.err = time.Now(), response, err
			h.runtimeDoneLocked(inv, inv.answered)
		})
	}
	if err := h.await(ctx, func() (bool, error) { return inv.isAnswered(), h.failureLocked() }); err != nil {
		return nil, h.abandon(inv, err)
	}
	return inv.response, inv.err
}

func (h *Host) newInvocation(payload []byte, began time.Time, init time.Duration) *invocation {
	inv := &invocation{id: uuid.NewString(), began: began, init: init}
	inv.deadline = inv.began.Add(h.cfg.Timeout)
	inv.delivery = delivery{body: payload, header: http.Header{
		"Lambda-Runtime-Aws-Request-Id":       {inv.id},
		"Lambda-Runtime-Deadline-Ms":          {strconv.FormatInt(inv.deadline.Add(h.profile.deadlineAhead).UnixMilli(), 10)},
		"Lambda-Runtime-Invoked-Function-Arn": {h.arn()},
	}}
	if h.profile.traceID != nil {
		inv.header["Lambda-Runtime-Trace-Id"] = h.profile.traceID
	}
	return inv
}

func (h *Host) runtimeInbox() *inbox {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.runtime
}

// orderLocked draws which extensions are told of an invocation before the runtime is, and which after it.
func (h *Host) orderLocked() (before, after []*extension) {
	to := append(h.listenersLocked("INVOKE"), nil) // nil is the runtime.
	h.random.Shuffle(len(to), func(i, j int) { to[i], to[j] = to[j], to[i] })
	runtime := slices.Index(to, nil)
	return to[:runtime], to[runtime+1:]
}

// tell sends INVOKE to the extensions, one after another.
func (h *Host) tell(ctx context.Context, extensions []*extension, inv *invocation) error {
	for _, e := range extensions {
		ev := event{EventType: "INVOKE", DeadlineMs: inv.deadline.UnixMilli(), RequestID: inv.id, FunctionArn: h.arn()}
		if h.profile.tracing {
			ev.Tracing = tracing()
		}
		if err := h.deliver(ctx, &e.inbox, ev.delivery()); err != nil {
			return err
		}
	}
	return nil
}

func tracing() map[string]string {
	return map[string]string{"type": "X-Amzn-Trace-Id", "value": traceID}
}

func (h *Host) openLocked(id string) *invocation {
	for _, inv := range h.open {
		if inv.id == id {
			return inv
		}
	}
	return nil
}

// abandon ends an invocation without an answer. A runtime that works on it gets a 400 for its answer.
func (h *Host) abandon(inv *invocation, why error) error {
	h.update(func() {
		h.runtime.queue = slices.DeleteFunc(h.runtime.queue, func(d *delivery) bool { return d == &inv.delivery })
		inv.answered, inv.err = time.Now(), why
		h.endLocked(inv, inv.answered)
	})
	return why
}

// endInvocationsLocked ends the invocations that are answered, once the whole sandbox is idle.
func (h *Host) endInvocationsLocked(now time.Time, idle bool) {
	for _, inv := range slices.Clone(h.open) {
		switch {
		case !inv.isAnswered():
		case h.cfg.Init == ManagedInstances:
			h.endLocked(inv, inv.answered)
		case idle && inv.dispatched:
			h.endLocked(inv, now)
		}
	}
}

func (h *Host) endLocked(inv *invocation, at time.Time) {
	h.runtimeDoneLocked(inv, at)
	h.emitLocked("platform.report", inv.id, map[string]any{"status": inv.status(), "metrics": map[string]any{
		"durationMs": ms(at.Sub(inv.began)), "billedDurationMs": at.Sub(inv.began).Milliseconds() + 1, "memorySizeMB": h.memoryMB(),
	}})
	h.open = slices.DeleteFunc(h.open, func(other *invocation) bool { return other == inv })
	h.invocations = append(h.invocations, Invocation{inv.id, inv.answered.Sub(inv.began), at.Sub(inv.answered), inv.init})
}

// runtimeDoneLocked emits platform.runtimeDone once. Managed Instances have no such event.
func (h *Host) runtimeDoneLocked(inv *invocation, at time.Time) {
	if inv.reported || h.cfg.Init == ManagedInstances {
		return
	}
	inv.reported = true
	h.emitLocked("platform.runtimeDone", inv.id, map[string]any{"status": inv.status(), "metrics": map[string]any{
		"durationMs": ms(at.Sub(inv.began)), "producedBytes": len(inv.response),
	}})
}

func (inv *invocation) status() string {
	_, failed := errors.AsType[*FunctionError](inv.err)
	switch {
	case inv.err == nil:
		return "success"
	case failed:
		return "error"
	case errors.Is(inv.err, ErrTimeout):
		return "timeout"
	default:
		return "failure"
	}
}
