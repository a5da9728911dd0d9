package lambdatest

import (
	"encoding/json"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"
)

const (
	extensionAPI = "/2020-01-01/extension"
	runtimeAPI   = "/2018-06-01/runtime"
	traceID      = "Root=1-5f35ae12-0c0fec141ab77a00bc047aa2;Parent=2be948a625588e32;Sampled=1"
)

func (h *Host) routes() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("POST "+extensionAPI+"/register", h.register)
	mux.HandleFunc("GET "+extensionAPI+"/event/next", h.identified(h.eventNext))
	mux.HandleFunc("POST "+extensionAPI+"/init/error", h.identified(h.extensionError))
	mux.HandleFunc("POST "+extensionAPI+"/exit/error", h.identified(h.extensionError))
	mux.HandleFunc("PUT /2022-07-01/telemetry", func(w http.ResponseWriter, _ *http.Request) {
		fail(w, http.StatusAccepted, "Telemetry.NotSupported", "Telemetry API is not supported")
	})
	mux.HandleFunc("GET "+runtimeAPI+"/invocation/next", h.invocationNext)
	mux.HandleFunc("POST "+runtimeAPI+"/invocation/{id}/response", h.invocationDone)
	mux.HandleFunc("POST "+runtimeAPI+"/invocation/{id}/error", h.invocationDone)
	mux.HandleFunc("POST "+runtimeAPI+"/init/error", func(w http.ResponseWriter, r *http.Request) {
		h.report(w, r, "runtime", r.Header.Get("Lambda-Runtime-Function-Error-Type"))
	})
	return mux
}

type extension struct {
	id, name string
	events   []string
	queue    []event // Delivered, not yet fetched.
	polls    int     // Calls waiting in /next.
	gone     bool    // Its process has ended.
}

type event struct {
	EventType      string            `json:"eventType"`
	DeadlineMs     int64             `json:"deadlineMs"`
	RequestID      string            `json:"requestId,omitempty"`
	FunctionArn    string            `json:"invokedFunctionArn,omitempty"`
	Tracing        map[string]string `json:"tracing,omitempty"`
	ShutdownReason string            `json:"shutdownReason,omitempty"`
}

func (h *Host) invokeEvent(inv *invocation) event {
	return event{
		EventType: "INVOKE", DeadlineMs: inv.deadline.UnixMilli(), RequestID: inv.id, FunctionArn: h.arn(),
		Tracing: map[string]string{"type": "X-Amzn-Trace-Id", "value": traceID},
	}
}

func shutdownEvent(reason string) event {
	return event{EventType: "SHUTDOWN", DeadlineMs: time.Now().Add(shutdownGrace).UnixMilli(), ShutdownReason: reason}
}

// deliver queues the event if the extension asked for its kind.
func (e *extension) deliver(ev event) {
	if slices.Contains(e.events, ev.EventType) {
		e.queue = append(e.queue, ev)
	}
}

// register takes the files of /opt/extensions, by their names.
func (h *Host) register(w http.ResponseWriter, r *http.Request) {
	name := r.Header.Get("Lambda-Extension-Name")
	if !slices.Contains(h.cfg.Extensions, name) {
		fail(w, http.StatusForbidden, "Extension.InvalidExtensionName", "No file of that name in /opt/extensions: "+name)
		return
	}
	var in struct{ Events []string }
	if err := json.NewDecoder(r.Body).Decode(&in); err != nil {
		fail(w, http.StatusForbidden, "InvalidRequestFormat", err.Error())
		return
	}
	for _, ev := range in.Events {
		if ev != "SHUTDOWN" && (ev != "INVOKE" || h.cfg.ManagedInstances) {
			fail(w, http.StatusForbidden, "Extension.InvalidEventType", ev+": event not supported")
			return
		}
	}
	e := &extension{id: uuid.NewString(), name: name, events: in.Events}
	fresh := false
	h.update(func() {
		if fresh = h.extensionLocked(name) == nil; fresh {
			h.extensions = append(h.extensions, e)
		}
	})
	if !fresh {
		fail(w, http.StatusForbidden, "Extension.InvalidExtensionState", "Extension with this name already registered")
		return
	}
	w.Header().Set("Lambda-Extension-Identifier", e.id)
	reply(w, http.StatusOK, map[string]string{
		"functionName": h.cfg.Function, "functionVersion": "$LATEST", "handler": h.cfg.Handler,
	})
}

// identified finds the extension by the identifier that its registration returned.
func (h *Host) identified(next func(http.ResponseWriter, *http.Request, *extension)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		id := r.Header.Get("Lambda-Extension-Identifier")
		if id == "" {
			fail(w, http.StatusForbidden, "Extension.MissingExtensionIdentifier", "Missing Lambda-Extension-Identifier header")
			return
		}
		if _, err := uuid.Parse(id); err != nil {
			fail(w, http.StatusForbidden, "Extension.InvalidExtensionIdentifier", "Invalid Lambda-Extension-Identifier")
			return
		}
		h.mu.Lock()
		e := h.extensionLocked(id)
		h.mu.Unlock()
		if e == nil {
			fail(w, http.StatusForbidden, "Extension.UnknownExtensionIdentifier", "Unknown extension "+id)
			return
		}
		next(w, r, e)
	}
}

func (h *Host) eventNext(w http.ResponseWriter, r *http.Request, e *extension) {
	h.update(func() { e.polls++ })
	var ev event
	err := h.await(r.Context(), func() (bool, error) {
		if len(e.queue) == 0 {
			return false, nil
		}
		ev, e.queue = e.queue[0], e.queue[1:]
		e.polls-- // In the same step, or it would look ready while it works on the event.
		return true, nil
	})
	if err != nil {
		h.update(func() { e.polls-- })
		panic(http.ErrAbortHandler) // The caller has left, or the host is closed: no reply.
	}
	h.update(func() {}) // Wakes who awaits an empty queue.
	w.Header().Set("Lambda-Extension-Event-Identifier", uuid.NewString())
	reply(w, http.StatusOK, ev)
}

func (h *Host) extensionError(w http.ResponseWriter, r *http.Request, e *extension) {
	const header = "Lambda-Extension-Function-Error-Type"
	if r.Header.Get(header) == "" {
		fail(w, http.StatusForbidden, "Extension.MissingHeader", header+" not found")
		return
	}
	h.report(w, r, e.name, r.Header.Get(header))
}

func (h *Host) report(w http.ResponseWriter, r *http.Request, from, errorType string) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return
	}
	segments := strings.Split(r.URL.Path, "/")
	call := strings.Join(segments[len(segments)-2:], "/")
	h.update(func() {
		h.reports = append(h.reports, Report{From: from, Call: call, Type: errorType, Body: string(body)})
	})
	reply(w, http.StatusAccepted, map[string]string{"status": "OK"})
}

func (h *Host) invocationNext(w http.ResponseWriter, r *http.Request) {
	var inv *invocation
	err := h.await(r.Context(), func() (bool, error) {
		if h.current == nil || h.current.taken {
			return false, nil
		}
		inv = h.current
		inv.taken = true
		return true, nil
	})
	if err != nil {
		panic(http.ErrAbortHandler) // The caller has left, or the host is closed: no reply.
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Lambda-Runtime-Aws-Request-Id", inv.id)
	w.Header().Set("Lambda-Runtime-Deadline-Ms", strconv.FormatInt(inv.deadline.UnixMilli(), 10))
	w.Header().Set("Lambda-Runtime-Invoked-Function-Arn", h.arn())
	w.Header().Set("Lambda-Runtime-Trace-Id", traceID)
	_, _ = w.Write(inv.payload)
}

// invocationDone takes the handler's response or error.
func (h *Host) invocationDone(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return
	}
	known := false
	h.update(func() {
		inv := h.current
		if known = inv != nil && inv.taken && !inv.answered && inv.id == r.PathValue("id"); !known {
			return
		}
		inv.answered = true
		if strings.HasSuffix(r.URL.Path, "/error") {
			inv.err = &FunctionError{Type: r.Header.Get("Lambda-Runtime-Function-Error-Type"), Body: string(body)}
		} else {
			inv.response = body
		}
	})
	if !known {
		fail(w, http.StatusBadRequest, "InvalidRequestID", "Invalid request ID")
		return
	}
	reply(w, http.StatusAccepted, map[string]string{"status": "OK"})
}

func (h *Host) arn() string {
	return "arn:aws:lambda:eu-central-1:123456789012:function:" + h.cfg.Function
}

func fail(w http.ResponseWriter, status int, errorType, message string) {
	reply(w, status, map[string]string{"errorMessage": message, "errorType": errorType})
}

func reply(w http.ResponseWriter, status int, body any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(body)
}
