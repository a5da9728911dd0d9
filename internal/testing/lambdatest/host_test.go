package lambdatest

import (
	"context"
	"encoding/json"
	"errors"
	"reflect"
	"strings"
	"testing"
	"time"
)

func TestAnExtensionAndARuntimeLiveThroughASandbox(t *testing.T) {
	h, ext := newHost(t, Config{Function: "bot", Handler: "app.main"})
	status, body := ext.register("hearth", "INVOKE", "SHUTDOWN")
	if want := `{"functionName":"bot","functionVersion":"$LATEST","handler":"app.main"}`; status != 200 || strings.TrimSpace(body) != want {
		t.Fatalf("register: %d %s", status, body)
	}
	if got := h.Registered(); !reflect.DeepEqual(got, []string{"hearth"}) {
		t.Fatalf("registered: %v", got)
	}

	events := make(chan event)
	go func() {
		for {
			ev := ext.next()
			events <- ev
			if ev.EventType == "SHUTDOWN" {
				return
			}
		}
	}()
	runtimeDone := make(chan struct{})
	go func() {
		defer close(runtimeDone)
		rt := &caller{host: h.Addr()}
		for i := range 2 {
			_, header, payload := rt.call(t.Context(), "GET", runtimeAPI+"/invocation/next", "")
			path := runtimeAPI + "/invocation/" + header.Get("Lambda-Runtime-Aws-Request-Id")
			if status, _, body := rt.call(t.Context(), "POST", runtimeAPI+"/invocation/other/response", ""); status != 400 {
				t.Errorf("foreign request id: %d %s", status, body)
			}
			var status int
			if i == 0 {
				status, _, _ = rt.call(t.Context(), "POST", path+"/response", "re: "+payload)
			} else {
				status, _, _ = rt.call(t.Context(), "POST", path+"/error", `{"errorMessage":"no"}`, "Lambda-Runtime-Function-Error-Type", "Sad")
			}
			if status != 202 {
				t.Errorf("answer %d: %d", i, status)
			}
		}
	}()

	if err := h.WaitReady(t.Context()); err != nil {
		t.Fatal(err)
	}
	before := time.Now()
	got, err := h.Invoke(t.Context(), []byte("hello"))
	if string(got) != "re: hello" || err != nil {
		t.Fatalf("invoke: %q, %v", got, err)
	}
	ev := <-events
	left := time.UnixMilli(ev.DeadlineMs).Sub(before)
	if ev.EventType != "INVOKE" || ev.RequestID == "" || ev.FunctionArn == "" || ev.Tracing["value"] == "" || left < 9*time.Second {
		t.Fatalf("event: %+v, %v left", ev, left)
	}

	result := make(chan error, 1)
	go func() { _, err := h.Invoke(t.Context(), []byte("again")); result <- err }()
	second := <-events
	if second.RequestID == ev.RequestID {
		t.Error("request id used twice")
	}
	var fe *FunctionError
	if err := <-result; !errors.As(err, &fe) || fe.Type != "Sad" || fe.Body != `{"errorMessage":"no"}` {
		t.Fatalf("function error: %v", err)
	}
	<-runtimeDone

	go func() { result <- h.Shutdown(t.Context(), "spindown") }()
	if ev := <-events; ev.EventType != "SHUTDOWN" || ev.ShutdownReason != "spindown" || ev.DeadlineMs == 0 {
		t.Fatalf("event: %+v", ev)
	}
	if err := <-result; err != nil {
		t.Fatal(err)
	}
	if _, err := h.Invoke(t.Context(), nil); !errors.Is(err, ErrShutdown) {
		t.Errorf("invoke after shutdown: %v", err)
	}
}

func TestRefusals(t *testing.T) {
	const unknown = "00000000-0000-4000-8000-000000000000"
	for _, tc := range []struct {
		name, method, path, body string
		headers                  []string
		init                     InitType
		status                   int
		errorType                string
	}{
		{"no name", "POST", extensionAPI + "/register", `{}`, nil, OnDemand, 403, "Extension.InvalidExtensionName"},
		{"other name", "POST", extensionAPI + "/register", `{}`, []string{"Lambda-Extension-Name", "hearty"}, OnDemand, 403, "Extension.InvalidExtensionName"},
		{"bad body", "POST", extensionAPI + "/register", `[`, []string{"Lambda-Extension-Name", "hearth"}, OnDemand, 403, "InvalidRequestFormat"},
		{"bad event", "POST", extensionAPI + "/register", `{"events":["NAP"]}`, []string{"Lambda-Extension-Name", "hearth"}, OnDemand, 403, "Extension.InvalidEventType"},
		{"managed", "POST", extensionAPI + "/register", `{"events":["INVOKE"]}`, []string{"Lambda-Extension-Name", "hearth"}, ManagedInstances, 403, "Extension.InvalidEventType"},
		{"no identifier", "GET", extensionAPI + "/event/next", "", nil, OnDemand, 403, "Extension.MissingExtensionIdentifier"},
		{"not an identifier", "GET", extensionAPI + "/event/next", "", []string{"Lambda-Extension-Identifier", "x"}, OnDemand, 403, "Extension.InvalidExtensionIdentifier"},
		{"unknown", "GET", extensionAPI + "/event/next", "", []string{"Lambda-Extension-Identifier", unknown}, OnDemand, 403, "Extension.UnknownExtensionIdentifier"},
		{"name as identifier", "GET", extensionAPI + "/event/next", "", []string{"Lambda-Extension-Identifier", "hearth"}, OnDemand, 403, "Extension.InvalidExtensionIdentifier"},
		{"telemetry for nobody", "PUT", telemetryAPI, `{}`, nil, OnDemand, 403, "Extension.MissingExtensionIdentifier"},
		{"no invocation", "POST", runtimeAPI + "/invocation/" + unknown + "/response", "", nil, OnDemand, 400, "InvalidRequestID"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			_, c := newHost(t, Config{Init: tc.init})
			status, _, body := c.call(t.Context(), tc.method, tc.path, tc.body, tc.headers...)
			var problem struct{ ErrorMessage, ErrorType string }
			if err := json.Unmarshal([]byte(body), &problem); err != nil {
				t.Fatal(err)
			}
			if status != tc.status || problem.ErrorType != tc.errorType || problem.ErrorMessage == "" {
				t.Errorf("got %d %s", status, body)
			}
		})
	}
}

func TestAnExtensionRegistersOnce(t *testing.T) {
	_, c := newHost(t, Config{})
	c.register("hearth")
	if status, body := c.register("hearth"); status != 403 || !strings.Contains(body, "Extension.InvalidExtensionState") {
		t.Errorf("second registration: %d %s", status, body)
	}
}

func TestReportedErrorsEndTheSandbox(t *testing.T) {
	for _, call := range []string{"init/error", "exit/error"} {
		h, c := newHost(t, Config{})
		c.register("hearth", "SHUTDOWN")
		if status, _, body := c.call(t.Context(), "POST", extensionAPI+"/"+call, "{}"); status != 403 || !strings.Contains(body, "Extension.MissingHeader") {
			t.Errorf("%s without a type: %d %s", call, status, body)
		}
		if status, _, body := c.call(t.Context(), "POST", extensionAPI+"/"+call, `{"a":1}`, "Lambda-Extension-Function-Error-Type", "Hearth.Bad"); status != 202 {
			t.Errorf("%s: %d %s", call, status, body)
		}
		want := []Report{{From: "hearth", Call: call, Type: "Hearth.Bad", Body: `{"a":1}`}}
		if got := h.Reports(); !reflect.DeepEqual(got, want) {
			t.Errorf("reports: %+v", got)
		}
		if err := h.WaitReady(t.Context()); err == nil || !strings.Contains(err.Error(), "Hearth.Bad") {
			t.Errorf("ready after %s: %v", call, err)
		}
	}
}

func TestAnExtensionThatIsReadyCannotFailInInit(t *testing.T) {
	h, c := newHost(t, Config{Answer: echo})
	c.register("hearth", "SHUTDOWN")
	go c.call(t.Context(), "GET", extensionAPI+"/event/next", "")
	ready(t, h)
	status, _, body := c.call(t.Context(), "POST", extensionAPI+"/init/error", "{}", "Lambda-Extension-Function-Error-Type", "Hearth.Bad")
	if status != 403 || !strings.Contains(body, "Extension.InvalidExtensionState") || len(h.Reports()) > 0 {
		t.Errorf("%d %s, %v", status, body, h.Reports())
	}
}

func TestAnInvocationTimesOut(t *testing.T) {
	h, c := newHost(t, Config{Extensions: []string{}, Timeout: 30 * time.Millisecond})
	taken := make(chan string, 1)
	go func() {
		_, header, _ := c.call(t.Context(), "GET", runtimeAPI+"/invocation/next", "")
		taken <- runtimeAPI + "/invocation/" + header.Get("Lambda-Runtime-Aws-Request-Id") + "/response"
	}()
	if _, err := h.Invoke(t.Context(), nil); !errors.Is(err, ErrTimeout) {
		t.Errorf("no answer: %v", err)
	}
	if status, _, body := c.call(t.Context(), "POST", <-taken, ""); status != 400 {
		t.Errorf("an answer too late: %d %s", status, body)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := h.Invoke(ctx, nil); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
	h.Close()
	if status, _, _ := c.call(t.Context(), "GET", runtimeAPI+"/invocation/next", ""); status != 0 {
		t.Errorf("next on a closed host: %d", status)
	}
	if _, err := h.Invoke(t.Context(), nil); !errors.Is(err, ErrClosed) {
		t.Errorf("closed: %v", err)
	}
}

func TestAnAbandonedInvocationIsNotLeftForTheRuntime(t *testing.T) {
	h, c := newHost(t, Config{Extensions: []string{}})
	ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
	defer cancel()
	if _, err := h.Invoke(ctx, []byte("first")); !errors.Is(err, context.DeadlineExceeded) {
		t.Fatal(err)
	}
	got := make(chan string, 1)
	go func() {
		_, header, payload := c.call(t.Context(), "GET", runtimeAPI+"/invocation/next", "")
		c.call(t.Context(), "POST", runtimeAPI+"/invocation/"+header.Get("Lambda-Runtime-Aws-Request-Id")+"/response", "")
		got <- payload
	}()
	if _, err := h.Invoke(t.Context(), []byte("second")); err != nil {
		t.Fatal(err)
	}
	if payload := <-got; payload != "second" {
		t.Errorf("runtime got %q", payload)
	}
}

func TestCloseEndsWaitingCalls(t *testing.T) {
	h, c := newHost(t, Config{})
	c.register("hearth", "INVOKE")
	status := make(chan int, 1)
	go func() {
		s, _, _ := c.call(t.Context(), "GET", extensionAPI+"/event/next", "")
		status <- s
	}()
	if err := h.WaitReady(t.Context()); err != nil {
		t.Fatal(err)
	}
	h.Close()
	if s := <-status; s != 0 {
		t.Errorf("next ended with %d, want a lost connection", s)
	}
}

func TestAnswerStandsInForTheRuntime(t *testing.T) {
	h, _ := newHost(t, Config{Extensions: []string{}, Answer: func(_ context.Context, p []byte) ([]byte, error) { return append(p, '!'), nil }})
	if got, err := h.Invoke(t.Context(), []byte("hi")); string(got) != "hi!" || err != nil {
		t.Errorf("%q, %v", got, err)
	}
	h, _ = newHost(t, Config{Extensions: []string{}, Timeout: time.Millisecond, Answer: func(ctx context.Context, _ []byte) ([]byte, error) {
		<-ctx.Done()
		return []byte("too late"), nil
	}})
	if got, err := h.Invoke(t.Context(), nil); got != nil || !errors.Is(err, ErrTimeout) {
		t.Errorf("too late: %q, %v", got, err)
	}
}
