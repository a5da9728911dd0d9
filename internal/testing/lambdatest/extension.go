package lambdatest

import (
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"
)

// extension is one that has registered.
type extension struct {
	inbox
	id, name              string
	events                []string
	registered, firstNext time.Time
	gone                  bool // Its process has ended.
	internal              bool // It runs in the runtime's process.
}

type event struct {
	EventType      string            `json:"eventType"`
	DeadlineMs     int64             `json:"deadlineMs"`
	RequestID      string            `json:"requestId,omitempty"`
	FunctionArn    string            `json:"invokedFunctionArn,omitempty"`
	Tracing        map[string]string `json:"tracing,omitempty"`
	ShutdownReason string            `json:"shutdownReason,omitempty"`
}

func (e event) delivery() *delivery {
	body, err := json.Marshal(e)
	if err != nil {
		panic(err) // Strings and numbers only.
	}
	return &delivery{header: http.Header{"Lambda-Extension-Event-Identifier": {uuid.NewString()}}, body: body}
}

// listenersLocked are the extensions that registered for events of a kind.
func (h *Host) listenersLocked(kind string) (to []*extension) {
	for _, e := range h.extensions {
		if slices.Contains(e.events, kind) {
			to = append(to, e)
		}
	}
	return to
}

// shutdownEvent is SHUTDOWN with a reason.
func (h *Host) shutdownEvent(reason string) *delivery {
	d := event{EventType: "SHUTDOWN", DeadlineMs: time.Now().Add(h.cfg.ShutdownTimeout).UnixMilli(), ShutdownReason: reason}.delivery()
	if h.profile.bareShutdown {
		d.header = http.Header{"Content-Type": {"text/plain; charset=utf-8"}}
	}
	return d
}

// register accepts an extension. It is an external one if its name is that of a file in /opt/extensions.
func (h *Host) register(w http.ResponseWriter, r *http.Request) {
	now := time.Now()
	name := r.Header.Get("Lambda-Extension-Name")
	internal := !slices.Contains(h.cfg.Extensions, name)
	if internal && (name == "" || !h.profile.internal) {
		fail(w, http.StatusForbidden, "Extension.InvalidExtensionName", "No file of that name in /opt/extensions: "+name)
		return
	}
	var in struct{ Events []string }
	if err := json.NewDecoder(r.Body).Decode(&in); err != nil {
		fail(w, http.StatusForbidden, "InvalidRequestFormat", err.Error())
		return
	}
	for _, ev := range in.Events {
		if ev != "INVOKE" && ev != "SHUTDOWN" || ev == "INVOKE" && h.cfg.Init == ManagedInstances || ev == "SHUTDOWN" && internal {
			fail(w, http.StatusForbidden, "Extension.InvalidEventType", ev+": event not supported")
			return
		}
	}
	e := &extension{id: uuid.NewString(), name: name, events: in.Events, registered: now, internal: internal}
	fresh := false
	h.update(func() {
		if fresh = h.extensionLocked(name) == nil; fresh {
			h.extensions = append(h.extensions, e)
			h.beginInitLocked(now)
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
	now := time.Now()
	h.mu.Lock()
	if e.firstNext.IsZero() {
		e.firstNext = now
	}
	h.mu.Unlock()
	h.next(w, r, &e.inbox)
}

func (h *Host) extensionError(w http.ResponseWriter, r *http.Request, e *extension) {
	const header = "Lambda-Extension-Function-Error-Type"
	if r.Header.Get(header) == "" {
		fail(w, http.StatusForbidden, "Extension.MissingHeader", header+" not found")
		return
	}
	h.mu.Lock()
	late := strings.HasSuffix(r.URL.Path, "/init/error") && !e.firstNext.IsZero()
	h.mu.Unlock()
	if late {
		fail(w, http.StatusForbidden, "Extension.InvalidExtensionState", "INIT is over for this extension")
		return
	}
	h.report(w, r, e.name, r.Header.Get(header))
}
