package lambdatest

import (
	"io"
	"net/http"
	"strings"
	"time"
)

func (h *Host) invocationNext(w http.ResponseWriter, r *http.Request) {
	now := time.Now()
	h.update(func() {
		h.beginInitLocked(now)
		h.runtimeKnown = true
		h.runtimeInitLocked("success")
		for _, inv := range h.open {
			if inv.isAnswered() {
				h.runtimeDoneLocked(inv, now)
			}
		}
	})
	h.next(w, r, &h.runtime)
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
	now, known := time.Now(), false
	h.update(func() {
		inv := h.openLocked(r.PathValue("id"))
		if known = inv != nil && inv.taken && !inv.isAnswered(); known {
			inv.answered, inv.response, inv.err = now, body, fault
		}
	})
	if !known {
		fail(w, http.StatusBadRequest, "InvalidRequestID", "Invalid request ID")
		return
	}
	reply(w, http.StatusAccepted, map[string]string{"status": "OK"})
}
