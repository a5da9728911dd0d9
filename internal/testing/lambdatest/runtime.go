package lambdatest

import (
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"time"
)

const (
	mostResponse     = 6<<20 + 100 // Bytes.
	responseTooLarge = "Function.ResponseSizeTooLarge"
)

func (h *Host) invocationNext(w http.ResponseWriter, r *http.Request) {
	now := time.Now()
	var to *inbox
	h.update(func() {
		to = h.runtime
		h.beginInitLocked(now)
		h.runtimeKnown = true
		h.runtimeInitLocked("success")
		for _, inv := range h.open {
			if inv.isAnswered() {
				h.runtimeDoneLocked(inv, now)
			}
		}
	})
	h.next(w, r, to)
}

// invocationDone takes the handler's response or error.
func (h *Host) invocationDone(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return
	}
	var fault error
	if strings.HasSuffix(r.URL.Path, "/error") {
		fault = &FunctionError{Type: r.Header.Get("Lambda-Runtime-Function-Error-Type"), Body: string(body)}
	}
	tooLarge := fault == nil && len(body) > mostResponse
	if tooLarge {
		body, fault = nil, &FunctionError{Type: responseTooLarge, Body: fmt.Sprintf(`{"errorMessage":"%d bytes","errorType":%q}`, len(body), responseTooLarge)}
	}
	id, now := r.PathValue("id"), time.Now()
	known, answered := false, false
	h.update(func() {
		inv := h.openLocked(id)
		if known = inv != nil && inv.taken && !inv.isAnswered(); known {
			inv.answered, inv.response, inv.err = now, body, fault
		}
		answered = inv != nil && inv.isAnswered() || slices.ContainsFunc(h.invocations, func(i Invocation) bool { return i.RequestID == id })
	})
	switch {
	case !known && answered:
		fail(w, h.profile.secondResponse.status, h.profile.secondResponse.errorType, "The request has been answered")
	case !known:
		fail(w, http.StatusBadRequest, "InvalidRequestID", "Invalid request ID")
	case tooLarge:
		fail(w, http.StatusRequestEntityTooLarge, responseTooLarge, "Exceeded maximum allowed payload size (6291556 bytes).")
	default:
		reply(w, http.StatusAccepted, map[string]string{"status": "OK"})
	}
}
