package lambdatest

import (
	"context"
	"encoding/json"
	"io"
	"maps"
	"net/http"
	"strconv"
	"strings"
	"time"
)

const (
	extensionAPI = "/2020-01-01/extension"
	runtimeAPI   = "/2018-06-01/runtime"
	telemetryAPI = "/2022-07-01/telemetry"
	pingAPI      = "/2018-06-01/ping"
	credentials  = "/2021-04-23/credentials"
	region       = "eu-central-1"
	traceID      = "Root=1-5f35ae12-0c0fec141ab77a00bc047aa2;Parent=2be948a625588e32;Sampled=1"
)

// SessionToken is the value of AWS_SESSION_TOKEN in the processes, or with [ContainerCredentials] of AWS_CONTAINER_AUTHORIZATION_TOKEN.
const SessionToken = "test-session-token"

// routes serves the APIs. Deliveries of telemetry go on until ctx ends.
func (h *Host) routes(ctx context.Context) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET "+pingAPI, func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "pong") })
	mux.HandleFunc("POST "+extensionAPI+"/register", h.register)
	mux.HandleFunc("GET "+extensionAPI+"/event/next", h.identified(h.eventNext))
	mux.HandleFunc("POST "+extensionAPI+"/init/error", h.identified(h.extensionError))
	mux.HandleFunc("POST "+extensionAPI+"/exit/error", h.identified(h.extensionError))
	mux.HandleFunc("PUT "+telemetryAPI, h.identified(func(w http.ResponseWriter, r *http.Request, e *extension) {
		h.subscribe(ctx, w, r, e)
	}))
	mux.HandleFunc("GET "+runtimeAPI+"/invocation/next", h.invocationNext)
	mux.HandleFunc("POST "+runtimeAPI+"/invocation/{id}/response", h.invocationDone)
	mux.HandleFunc("POST "+runtimeAPI+"/invocation/{id}/error", h.invocationDone)
	mux.HandleFunc("POST "+runtimeAPI+"/init/error", func(w http.ResponseWriter, r *http.Request) {
		h.report(w, r, runtimeName, r.Header.Get("Lambda-Runtime-Function-Error-Type"))
	})
	mux.HandleFunc("GET "+credentials, func(w http.ResponseWriter, r *http.Request) {
		if h.cfg.Init != SnapStart || r.Header.Get("Authorization") != SessionToken {
			fail(w, http.StatusForbidden, "InvalidToken", "Not the token of the environment")
			return
		}
		reply(w, http.StatusOK, map[string]string{
			"AccessKeyId": accessKey, "SecretAccessKey": secretKey, "Token": SessionToken,
			"Expiration": time.Now().Add(time.Hour).UTC().Format(time.RFC3339),
		})
	})
	return mux
}

// inbox has the answers to /next that an extension, or the runtime, has not asked for yet.
type inbox struct {
	queue []*delivery
	polls int  // Calls waiting in /next.
	over  bool // The sandbox was reset: nothing will come.
}

// delivery is one answer to /next.
type delivery struct {
	header http.Header // Beside the content's type, which is JSON if it names none.
	body   []byte
	taken  bool // A call will send it.
	sent   bool
}

// idle is whether a call to /next waits for an answer that is not there yet.
func (i *inbox) idle() bool { return i.polls > len(i.queue) }

// next answers a call to /next as soon as there is an answer.
func (h *Host) next(w http.ResponseWriter, r *http.Request, i *inbox) {
	h.update(func() { i.polls++ })
	var d *delivery
	err := h.await(r.Context(), func() (bool, error) {
		if len(i.queue) == 0 {
			if i.over {
				return false, ErrReset
			}
			return false, nil
		}
		d, i.queue = i.queue[0], i.queue[1:]
		d.taken = true
		i.polls-- // In the same step, or it would look idle while it works on this.
		return true, nil
	})
	if err != nil {
		h.update(func() { i.polls-- })
		panic(http.ErrAbortHandler) // The caller has left, the sandbox was reset, or the host is closed: no reply.
	}
	w.Header().Set("Content-Type", "application/json")
	maps.Copy(w.Header(), d.header)
	w.Header().Set("Content-Length", strconv.Itoa(len(d.body)))
	_, _ = w.Write(d.body)
	_ = http.NewResponseController(w).Flush()
	h.update(func() { d.sent = true })
}

// deliver answers the next call to /next with d, and returns once d is sent.
func (h *Host) deliver(ctx context.Context, to *inbox, d *delivery) error {
	h.update(func() { to.queue = append(to.queue, d) })
	return h.await(ctx, func() (bool, error) { return d.sent, h.failureLocked() })
}

// report keeps the error that an extension or the runtime reports of itself.
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

func (h *Host) arn() string {
	return "arn:aws:lambda:" + region + ":123456789012:function:" + h.cfg.Function
}

func fail(w http.ResponseWriter, status int, errorType, message string) {
	reply(w, status, map[string]string{"errorMessage": message, "errorType": errorType})
}

func reply(w http.ResponseWriter, status int, body any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(body)
}
