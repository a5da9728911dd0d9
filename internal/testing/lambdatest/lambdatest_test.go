package lambdatest

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"
)

// TestMain runs the tests, or, started by one of them under an extension's name, an extension.
func TestMain(m *testing.M) {
	if behaviour := os.Getenv("LAMBDATEST_EXTENSION"); behaviour != "" {
		os.Exit(extensionMain(behaviour))
	}
	goleak.VerifyTestMain(m)
}

func extensionMain(behaviour string) int {
	c := &caller{host: os.Getenv("AWS_LAMBDA_RUNTIME_API")}
	switch behaviour {
	case "host":
		return hostMain()
	case "crash":
		fmt.Println("about to crash")
		return 3
	case "hang":
		select {}
	case "groups":
		groups, _ := os.ReadFile("/proc/self/cgroup")
		fmt.Print(string(groups))
	case "environment":
		fmt.Println(strings.Join(os.Environ(), "\n"))
	case "hog":
		fmt.Println(len(bytes.Repeat([]byte("x"), 256<<20)))
	}
	events := cmp.Or(os.Getenv("LAMBDATEST_EVENTS"), "INVOKE,SHUTDOWN")
	c.register("hearth", strings.Split(events, ",")...)
	switch behaviour {
	case "mute":
		select {}
	case "burn":
		var used syscall.Rusage
		for used.Utime.Nano()+used.Stime.Nano() < (20 * time.Millisecond).Nanoseconds() {
			_ = syscall.Getrusage(syscall.RUSAGE_SELF, &used)
		}
	}
	for {
		ev := c.next()
		fmt.Println("event", ev.EventType, ev.ShutdownReason)
		if ev.EventType == "SHUTDOWN" {
			if behaviour == "linger" {
				select {}
			}
			return 0
		}
	}
}

// caller calls the APIs as an extension or a runtime does. It panics when it cannot: a test has failed then anyway.
type caller struct {
	host string
	id   string // Lambda-Extension-Identifier
}

func (c *caller) call(ctx context.Context, method, path, body string, headers ...string) (int, http.Header, string) {
	req, err := http.NewRequestWithContext(ctx, method, "http://"+c.host+path, strings.NewReader(body))
	if err != nil {
		panic(err)
	}
	if c.id != "" {
		req.Header.Set("Lambda-Extension-Identifier", c.id)
	}
	for i := 0; i < len(headers); i += 2 {
		req.Header.Set(headers[i], headers[i+1])
	}
	transport := &http.Transport{DisableKeepAlives: true}
	resp, err := transport.RoundTrip(req)
	if err != nil {
		return 0, nil, err.Error()
	}
	defer func() { _ = resp.Body.Close() }()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		panic(err)
	}
	return resp.StatusCode, resp.Header, string(b)
}

func (c *caller) register(name string, events ...string) (int, string) {
	in, _ := json.Marshal(map[string]any{"events": events})
	status, header, body := c.call(context.Background(), "POST", extensionAPI+"/register", string(in), "Lambda-Extension-Name", name)
	c.id = header.Get("Lambda-Extension-Identifier")
	return status, body
}

func (c *caller) next() event {
	status, header, body := c.call(context.Background(), "GET", extensionAPI+"/event/next", "")
	var ev event
	if err := json.Unmarshal([]byte(body), &ev); err != nil || status != 200 || header.Get("Lambda-Extension-Event-Identifier") == "" {
		panic(fmt.Sprint(status, header, body))
	}
	return ev
}

func newHost(t *testing.T, cfg Config) (*Host, *caller) {
	t.Helper()
	h, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(h.Close)
	return h, &caller{host: h.Addr()}
}

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

// noLinger keeps the race detector from delaying each process's exit by a second.
const noLinger = "GORACE=atexit_sleep_ms=0"

// asExtension makes this test binary an extension called hearth.
func asExtension(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "hearth")
	if err := os.Symlink(os.Args[0], path); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestAnExtensionProcessEndsOnShutdown(t *testing.T) {
	h, _ := newHost(t, Config{Answer: func(context.Context, []byte) ([]byte, error) { return nil, nil }})
	p, err := h.StartExtension(t.Context(), asExtension(t), noLinger, "LAMBDATEST_EXTENSION=obedient")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := h.Invoke(t.Context(), nil); err != nil {
		t.Fatal(err)
	}
	if err := p.Stop(t.Context()); err != nil {
		t.Error(err)
	}
	if got := p.Log(); !strings.HasPrefix(got, "event INVOKE \nevent SHUTDOWN spindown\n") {
		t.Errorf("log: %q", got)
	}
	if got := h.Reports(); len(got) > 0 {
		t.Errorf("reports: %v", got)
	}
}

func TestAnExtensionProcessThatLingersIsKilled(t *testing.T) {
	h, _ := newHost(t, Config{ShutdownTimeout: 200 * time.Millisecond})
	p, err := h.StartExtension(t.Context(), asExtension(t), noLinger, "LAMBDATEST_EXTENSION=linger")
	if err != nil {
		t.Fatal(err)
	}
	if err := p.Stop(t.Context()); err == nil || !strings.Contains(err.Error(), "killed: hearth: still running 200ms after SHUTDOWN") {
		t.Errorf("stop: %v", err)
	}
	want := []Report{{From: "hearth", Call: "killed", Type: "still running 200ms after SHUTDOWN"}}
	if got := h.Reports(); !reflect.DeepEqual(got, want) {
		t.Errorf("reports: %+v", got)
	}
}

func TestACrashedExtensionFailsTheSandbox(t *testing.T) {
	h, _ := newHost(t, Config{})
	if _, err := h.StartExtension(t.Context(), asExtension(t), noLinger, "LAMBDATEST_EXTENSION=crash"); err == nil ||
		!strings.Contains(err.Error(), "exit status 3") || !strings.Contains(err.Error(), "about to crash") {
		t.Errorf("start: %v", err)
	}

	h, _ = newHost(t, Config{})
	p, err := h.StartExtension(t.Context(), asExtension(t), noLinger, "LAMBDATEST_EXTENSION=obedient")
	if err != nil {
		t.Fatal(err)
	}
	if err := p.Signal(syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	<-p.Done()
	if _, err := h.Invoke(t.Context(), nil); err == nil || !strings.Contains(err.Error(), "crash") {
		t.Errorf("invoke: %v", err)
	}
}

func TestThePythonRuntime(t *testing.T) {
	if _, err := exec.LookPath("python3"); err != nil {
		t.Skip("no python3")
	}
	root := t.TempDir()
	write(t, filepath.Join(root, "app.py"), `
def main(event, context):
    if event == "fail":
        raise ValueError("ouch")
    assert 0 < context.get_remaining_time_in_millis() <= 10000
    assert len(context.aws_request_id) == 36
    return {"got": event}
`)
	h, _ := newHost(t, Config{Extensions: []string{}, Handler: "app.main"})
	p, err := h.StartRuntime(t.Context(), root)
	if err != nil {
		t.Fatal(err)
	}
	for range 3 {
		if got, err := h.Invoke(t.Context(), []byte(`"hällo"`)); string(got) != `{"got": "h\u00e4llo"}` || err != nil {
			t.Fatalf("%q, %v, log:\n%s", got, err, p.Log())
		}
		_, err := h.Invoke(t.Context(), []byte(`"fail"`))
		var fe *FunctionError
		if !errors.As(err, &fe) || fe.Type != "ValueError" || !strings.Contains(fe.Body, `"errorMessage": "ouch"`) {
			t.Fatalf("error: %v", err)
		}
	}
	if err := p.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	<-p.Done()
}

func TestThePythonRuntimeReportsAHandlerItCannotLoad(t *testing.T) {
	if _, err := exec.LookPath("python3"); err != nil {
		t.Skip("no python3")
	}
	for handler, want := range map[string]string{"absent.main": "Runtime.ImportModuleError", "app.absent": "Runtime.HandlerNotFound"} {
		root := t.TempDir()
		write(t, filepath.Join(root, "app.py"), "")
		h, _ := newHost(t, Config{Extensions: []string{}, Handler: handler})
		p, err := h.StartRuntime(t.Context(), root)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := h.Invoke(t.Context(), nil); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", handler, err)
		}
		<-p.Done()
	}
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}
