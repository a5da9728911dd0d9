package lambdatest

import (
	"context"
	"errors"
	"os"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

// resettable is a sandbox with processes that is reset when it fails.
func resettable(t *testing.T, cfg Config) (h *Host, extension, runtime *Process) {
	t.Helper()
	cfg.Reset = true
	h, _ = newHost(t, cfg)
	env := "LAMBDATEST_EVENTS=INVOKE,SHUTDOWN"
	if cfg.Init == ManagedInstances {
		env = "LAMBDATEST_EVENTS=SHUTDOWN"
	}
	extension = startAs(t, h, "obedient", env)
	runtime, err := h.StartBootstrap(t.Context(), os.Args[0], noLinger, "LAMBDATEST_EXTENSION=runtime")
	if err != nil {
		t.Fatal(err)
	}
	ready(t, h)
	return h, extension, runtime
}

// wantStartedAgain makes an invocation, which must start the sandbox again.
func wantStartedAgain(t *testing.T, h *Host, runtime *Process) {
	t.Helper()
	starts := strings.Count(runtime.Log(), "a runtime starts")
	if err := h.WaitReady(t.Context()); !errors.Is(err, ErrReset) {
		t.Errorf("after a reset it is ready: %v", err)
	}
	if _, err := h.Invoke(t.Context(), nil); err != nil {
		t.Fatalf("after a reset: %v", err)
	}
	ready(t, h)
	all := h.Invocations()
	if last := all[len(all)-1]; last.Init <= 0 || last.Handler <= last.Init || h.Init().Duration <= 0 {
		t.Errorf("INIT inside the invocation: %+v, %+v", last, h.Init())
	}
	if n := strings.Count(runtime.Log(), "a runtime starts"); n != starts+1 {
		t.Errorf("the runtime started %d times, want one more than %d", n, starts)
	}
}

func TestAFailureResetsTheSandboxAndTheNextInvocationStartsItAgain(t *testing.T) {
	// INIT inside an invocation takes a while on a busy machine.
	const timeout = 3 * time.Second
	for name, tc := range map[string]struct {
		cfg     Config
		payload string
		want    string // of the extension's log
	}{
		"a timeout":                 {Config{Timeout: timeout}, "hang", "event SHUTDOWN timeout"},
		"a runtime's end":           {Config{}, "exit", "event SHUTDOWN failure"},
		"a timeout, emulated":       {Config{Timeout: timeout, Platform: Emulator}, "hang", "event SHUTDOWN Timeout"},
		"a runtime's end, emulated": {Config{Platform: Emulator}, "exit", "event SHUTDOWN ReleaseFail"},
		"a runtime's end, managed":  {Config{Platform: Emulator, Init: ManagedInstances}, "exit", "event SHUTDOWN failure"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h, extension, runtime := resettable(t, tc.cfg)
			for i := range 2 {
				if _, err := h.Invoke(t.Context(), []byte(tc.payload)); err == nil || tc.payload == "hang" && !errors.Is(err, ErrTimeout) {
					t.Errorf("the invocation ended with %v", err)
				}
				if got := strings.Count(extension.Log(), tc.want); got != i+1 || h.Resets() != i+1 {
					t.Errorf("%d resets, the extension says\n%s", h.Resets(), extension.Log())
				}
				wantStartedAgain(t, h, runtime)
			}
			if err := extension.Stop(t.Context()); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestAnExtensionThatCrashesBetweenInvocationsResetsTheSandbox(t *testing.T) {
	h, extension, runtime := resettable(t, Config{})
	if err := errors.Join(h.Freeze(), extension.Signal(syscall.SIGKILL), h.Thaw()); err != nil {
		t.Fatal(err)
	}
	<-extension.Done()
	if _, err := h.Invoke(t.Context(), nil); err != nil {
		t.Fatal(err)
	}
	if got := strings.Count(runtime.Log(), "a runtime starts"); got != 2 || h.Resets() != 1 {
		t.Errorf("the runtime started %d times, %d resets", got, h.Resets())
	}
	if got := h.Reports(); len(got) != 1 || got[0].Call != "crash" {
		t.Errorf("reports: %+v", got)
	}
}

func TestInitInsideAnInvocationHasThatInvocationsTime(t *testing.T) {
	const timeout = 500 * time.Millisecond
	h, c := newHost(t, Config{Extensions: []string{"hearth"}, Reset: true, Timeout: timeout, Answer: func(ctx context.Context, p []byte) ([]byte, error) {
		if string(p) == "hang" {
			<-ctx.Done()
		}
		return p, nil
	}})
	c.register("hearth", "SHUTDOWN")
	ended := make(chan event, 1)
	go func() { ended <- c.next() }()
	if _, err := h.Invoke(t.Context(), []byte("hang")); !errors.Is(err, ErrTimeout) {
		t.Fatal(err)
	}
	if ev := <-ended; ev.ShutdownReason != "timeout" {
		t.Errorf("event %+v", ev)
	}
	began := time.Now()
	if _, err := h.Invoke(t.Context(), nil); !errors.Is(err, ErrTimeout) || time.Since(began) < timeout { // nobody registers
		t.Errorf("it ended after %v: %v", time.Since(began), err)
	}
	again := &caller{host: h.Addr()}
	if status, body := again.register("hearth", "SHUTDOWN"); status != 200 {
		t.Fatal(status, body)
	}
	go again.next()
	if got, err := h.Invoke(t.Context(), []byte("hi")); err != nil || string(got) != "hi" {
		t.Errorf("%q, %v", got, err)
	}
	if err := h.Shutdown(t.Context(), "spindown"); err != nil {
		t.Error(err)
	}
	if _, err := h.Invoke(t.Context(), nil); !errors.Is(err, ErrShutdown) {
		t.Errorf("after the end: %v", err)
	}
}

func TestAResetEndsWhatElseIsUnderWay(t *testing.T) {
	const n = 3
	h, _, runtime := resettable(t, Config{Platform: Emulator, Init: ManagedInstances, Concurrency: n})
	for range n { // each asks for one invocation
		if _, err := h.StartBootstrap(t.Context(), os.Args[0], noLinger, "LAMBDATEST_EXTENSION=runtime"); err != nil {
			t.Fatal(err)
		}
	}
	errs := make(chan error, n)
	for range n - 1 {
		go func() {
			_, err := h.Invoke(t.Context(), []byte("hang"))
			errs <- err
		}()
	}
	taken := func() (bool, error) {
		return len(h.open) == n-1 && !slices.ContainsFunc(h.open, func(inv *invocation) bool { return !inv.sent }), nil
	}
	if err := h.await(t.Context(), taken); err != nil {
		t.Fatal(err)
	}
	if _, err := h.Invoke(t.Context(), []byte("exit")); err == nil {
		t.Error("no error")
	}
	for range n - 1 {
		if err := <-errs; err == nil {
			t.Error("an invocation outlived its sandbox")
		}
	}
	wantStartedAgain(t, h, runtime)
}

func TestAReset(t *testing.T) {
	t.Run("leaves a caller that gave up alone", func(t *testing.T) {
		h, _, runtime := resettable(t, Config{})
		ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		defer cancel()
		if _, err := h.Invoke(ctx, []byte("hang")); !errors.Is(err, context.DeadlineExceeded) || h.Resets() != 0 {
			t.Errorf("%v, %d resets\n%s", err, h.Resets(), runtime.Log())
		}
	})
	t.Run("thaws what is frozen", func(t *testing.T) {
		h, extension, runtime := resettable(t, Config{})
		if err := errors.Join(runtime.Signal(syscall.SIGKILL), h.await(t.Context(), func() (bool, error) { return len(h.reports) > 0, nil }), h.Freeze()); err != nil {
			t.Fatal(err)
		}
		if _, err := h.Invoke(t.Context(), nil); err != nil || h.Resets() != 1 {
			t.Errorf("%v, %d resets", err, h.Resets())
		}
		if err := extension.Stop(t.Context()); err != nil {
			t.Error(err)
		}
	})
}
