package lambdatest

import (
	"context"
	"errors"
	"os/exec"
	"path/filepath"
	"reflect"
	"strings"
	"syscall"
	"testing"
	"time"
)

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
