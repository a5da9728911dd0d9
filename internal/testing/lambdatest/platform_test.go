package lambdatest

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

// environmentOf is that of an extension and of a runtime.
func environmentOf(t *testing.T, cfg Config) (extension, runtime string) {
	t.Helper()
	h, _ := newHost(t, cfg)
	p := startAs(t, h, "environment", "LAMBDATEST_EVENTS=SHUTDOWN")
	if _, err := h.StartBootstrap(t.Context(), os.Args[0], noLinger, "LAMBDATEST_EXTENSION=runtime"); err != nil {
		t.Fatal(err)
	}
	answer, err := h.Invoke(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := p.Stop(t.Context()); err != nil { // Then its log is whole.
		t.Error(err)
	}
	return "\n" + p.Log(), "\n" + string(answer) + "\n"
}

func TestTheEnvironmentIsThePlatforms(t *testing.T) {
	const token = "AWS_CONTAINER_AUTHORIZATION_TOKEN=" + SessionToken
	for name, tc := range map[string]struct {
		cfg        Config
		with       []string
		without    []string
		concurrent bool
	}{
		"Lambda": {
			Config{},
			[]string{"AWS_LAMBDA_INITIALIZATION_TYPE=on-demand", "AWS_REGION=eu-central-1", "TZ=:UTC", "AWS_SESSION_TOKEN=" + SessionToken},
			[]string{"AWS_LAMBDA_LOG_FORMAT", "AWS_CONTAINER_AUTHORIZATION_TOKEN"},
			false,
		},
		"Lambda, managed": {Config{Init: ManagedInstances}, []string{"AWS_LAMBDA_INITIALIZATION_TYPE=lambda-managed-instances"}, nil, true},
		"the emulator, classic": {
			Config{Platform: Emulator},
			[]string{"AWS_SESSION_TOKEN=\n", "AWS_ACCESS_KEY_ID=\n"},
			[]string{"AWS_LAMBDA_INITIALIZATION_TYPE", "AWS_REGION", "TZ", "AWS_LAMBDA_LOG_FORMAT"},
			false,
		},
		"the emulator, classic, with credentials": {Config{Platform: Emulator, Credentials: SessionCredentials}, []string{"AWS_SESSION_TOKEN=" + SessionToken}, nil, false},
		"the emulator, managed": {
			Config{Platform: Emulator, Init: ManagedInstances},
			[]string{"AWS_LAMBDA_INITIALIZATION_TYPE=lambda-managed-instances", "AWS_LAMBDA_LOG_FORMAT=JSON", "LD_LIBRARY_PATH=/var/lang/lib:", "PATH=/var/lang/bin:", token},
			[]string{"AWS_SESSION_TOKEN", "AWS_CONTAINER_CREDENTIALS_FULL_URI", "PATH=" + os.Getenv("PATH") + "\n"},
			true,
		},
	} {
		t.Run(name, func(t *testing.T) {
			extension, runtime := environmentOf(t, tc.cfg)
			for _, env := range []string{extension, runtime} {
				for _, want := range tc.with {
					if !strings.Contains(env, "\n"+want) {
						t.Errorf("no %s in\n%s", want, env)
					}
				}
				for _, other := range tc.without {
					if strings.Contains(env, "\n"+other) {
						t.Errorf("%s in\n%s", other, env)
					}
				}
			}
			const concurrency = "\nAWS_LAMBDA_MAX_CONCURRENCY=10\n"
			if strings.Contains(runtime, concurrency) != tc.concurrent || strings.Contains(extension, concurrency) {
				t.Errorf("the concurrency is told wrong:\n%s\n%s", extension, runtime)
			}
		})
	}
}

func TestManagedProcessesAreAnotherUsersInTheEmulator(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only root can change the user of a process")
	}
	h, _ := newHost(t, Config{Platform: Emulator, Init: ManagedInstances, MemoryMB: 512})
	p := startAs(t, h, "obedient", "LAMBDATEST_EVENTS=SHUTDOWN")
	status, err := os.ReadFile("/proc/" + strconv.Itoa(p.last().cmd.Process.Pid) + "/status")
	if err != nil {
		t.Skip(err)
	}
	if !strings.Contains(string(status), "\nUid:\t993\t993\t993\t993\n") {
		t.Errorf("%s", status)
	}
	if err := p.Stop(t.Context()); err != nil {
		t.Error(err)
	}
}

// take has a runtime take an invocation, and returns the path of its answer and the headers.
func take(t *testing.T, h *Host) (path string, header http.Header) {
	_, header, _ = (&caller{host: h.Addr()}).call(t.Context(), "GET", runtimeAPI+"/invocation/next", "")
	return runtimeAPI + "/invocation/" + header.Get("Lambda-Runtime-Aws-Request-Id"), header
}

func TestTheRuntimeIsToldAsThePlatformTells(t *testing.T) {
	for name, tc := range map[string]struct {
		cfg    Config
		trace  []string
		ahead  bool // the deadline
		second refusal
	}{
		"Lambda":                {Config{}, []string{traceID}, false, refusal{400, "InvalidRequestID"}},
		"the emulator, classic": {Config{Platform: Emulator}, nil, false, refusal{403, "InvalidStateTransition"}},
		"the emulator, managed": {Config{Platform: Emulator, Init: ManagedInstances}, []string{""}, true, refusal{400, "InvalidRequestID"}},
	} {
		t.Run(name, func(t *testing.T) {
			tc.cfg.Extensions = []string{}
			h, c := newHost(t, tc.cfg)
			result := make(chan error, 1)
			go func() { _, err := h.Invoke(t.Context(), nil); result <- err }()
			path, header := take(t, h)
			if got, ok := header["Lambda-Runtime-Trace-Id"]; strings.Join(got, "|") != strings.Join(tc.trace, "|") || ok != (tc.trace != nil) {
				t.Errorf("trace id %q", got)
			}
			ms, err := strconv.ParseInt(header.Get("Lambda-Runtime-Deadline-Ms"), 10, 64)
			if left := time.Until(time.UnixMilli(ms)); err != nil || (left > 15*time.Minute) != tc.ahead {
				t.Errorf("%v are left, %v", left, err)
			}
			if status, _, body := c.call(t.Context(), "POST", path+"/response", "1"); status != 202 {
				t.Errorf("%d %s", status, body)
			}
			if err := <-result; err != nil {
				t.Error(err)
			}
			if status, _, body := c.call(t.Context(), "POST", path+"/response", "2"); status != tc.second.status || !strings.Contains(body, tc.second.errorType) {
				t.Errorf("a second response: %d %s", status, body)
			}
		})
	}
}

func TestAResponseThatIsTooLargeIsRefusedAndFailsTheInvocation(t *testing.T) {
	h, c := newHost(t, Config{Extensions: []string{}})
	result := make(chan error, 1)
	go func() { _, err := h.Invoke(t.Context(), nil); result <- err }()
	path, _ := take(t, h)
	status, _, body := c.call(t.Context(), "POST", path+"/response", strings.Repeat("x", mostResponse+1))
	if status != 413 || !strings.Contains(body, responseTooLarge) {
		t.Errorf("%d %s", status, body)
	}
	if fault, ok := errors.AsType[*FunctionError](<-result); !ok || fault.Type != responseTooLarge {
		t.Errorf("the invocation ended with %v", fault)
	}
}

func TestAPingIsAnswered(t *testing.T) {
	_, c := newHost(t, Config{})
	if status, _, body := c.call(t.Context(), "GET", pingAPI, ""); status != 200 || body != "pong" {
		t.Errorf("%d %q", status, body)
	}
}

func TestExtensionsAreToldAsTheEmulatorTells(t *testing.T) {
	h, c := newHost(t, Config{Platform: Emulator, Answer: echo})
	c.register("hearth", "INVOKE", "SHUTDOWN")
	if status, _, body := c.call(t.Context(), "PUT", telemetryAPI, "anything"); status != 202 {
		t.Errorf("telemetry: %d %s", status, body)
	}
	got := make(chan event, 1)
	go func() { got <- c.next() }()
	if _, err := h.Invoke(t.Context(), nil); err != nil {
		t.Fatal(err)
	}
	if ev := <-got; ev.EventType != "INVOKE" || ev.Tracing != nil {
		t.Errorf("event %+v", ev)
	}
	ended := make(chan error, 1)
	go func() { ended <- h.Shutdown(t.Context(), h.profile.reasons.end) }()
	status, header, body := c.call(t.Context(), "GET", extensionAPI+"/event/next", "")
	if status != 200 || !strings.HasPrefix(header.Get("Content-Type"), "text/plain") || header.Get("Lambda-Extension-Event-Identifier") != "" ||
		!strings.Contains(body, `"shutdownReason":"SandboxTerminated"`) {
		t.Errorf("%d %v %s", status, header, body)
	}
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

func TestAnExtensionOfAnUnknownNameIsInternalInTheEmulator(t *testing.T) {
	h, hearth := newHost(t, Config{Platform: Emulator, Answer: echo})
	hearth.register("hearth", "SHUTDOWN")
	go hearth.call(t.Context(), "GET", extensionAPI+"/event/next", "")
	c := &caller{host: h.Addr()}
	if status, body := c.register("inside", "INVOKE", "SHUTDOWN"); status != 403 || !strings.Contains(body, "Extension.InvalidEventType") {
		t.Errorf("with SHUTDOWN: %d %s", status, body)
	}
	if status, body := c.register("inside", "INVOKE"); status != 200 {
		t.Fatalf("%d %s", status, body)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if err := h.WaitReady(ctx); !errors.Is(err, context.DeadlineExceeded) { // for its /next
		t.Errorf("ready: %v", err)
	}
	got := make(chan event, 1)
	go func() { got <- c.next() }()
	if _, err := h.Invoke(t.Context(), nil); err != nil {
		t.Fatal(err)
	}
	if ev := <-got; ev.EventType != "INVOKE" {
		t.Errorf("event %+v", ev)
	}
	h.Close()
}

func TestAnInvocationBeyondTheConcurrencyIsRefusedInTheEmulator(t *testing.T) {
	hold := make(chan struct{})
	held := make(chan struct{})
	h, _ := newHost(t, Config{Platform: Emulator, Init: ManagedInstances, Concurrency: 1, Extensions: []string{}, Answer: func(_ context.Context, p []byte) ([]byte, error) {
		close(held)
		<-hold
		return p, nil
	}})
	ended := make(chan error, 1)
	go func() { _, err := h.Invoke(t.Context(), nil); ended <- err }()
	<-held
	if _, err := h.Invoke(t.Context(), nil); !errors.Is(err, ErrUnavailable) {
		t.Errorf("one too many: %v", err)
	}
	close(hold)
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

// A handler sees what its runtime made of a trace id that is missing or empty.
func TestThePythonRuntimeDoesWithoutATraceID(t *testing.T) {
	if _, err := exec.LookPath("python3"); err != nil {
		t.Skip("no python3")
	}
	root := t.TempDir()
	write(t, filepath.Join(root, "app.py"), "import os\ndef main(event, context):\n    return os.environ.get('_X_AMZN_TRACE_ID', 'none')\n")
	for want, cfg := range map[string]Config{
		traceID: {}, "none": {Platform: Emulator}, "none ": {Platform: Emulator, Init: ManagedInstances},
	} {
		cfg.Extensions, cfg.Handler = []string{}, "app.main"
		h, _ := newHost(t, cfg)
		p, err := h.StartRuntime(t.Context(), root)
		if err != nil {
			t.Fatal(err)
		}
		for range 2 {
			var got string
			answer, err := h.Invoke(t.Context(), []byte("1"))
			if err := errors.Join(err, json.Unmarshal(answer, &got)); err != nil || got != strings.TrimSpace(want) {
				t.Errorf("%q, %v, log:\n%s", got, err, p.Log())
			}
		}
	}
}

func TestThereIsNoSandboxOfAPlatformThatIsNone(t *testing.T) {
	for _, cfg := range []Config{{Platform: "cloud"}, {Platform: Emulator, Init: SnapStart}, {Platform: Emulator, Init: ProvisionedConcurrency}, {Credentials: "root"}} {
		if _, err := New(cfg); err == nil {
			t.Errorf("%+v makes a sandbox", cfg)
		}
	}
}
