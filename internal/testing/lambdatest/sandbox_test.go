package lambdatest

import (
	"archive/zip"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

// startAs starts this test binary as the extension hearth with a behaviour of extensionMain.
func startAs(t *testing.T, h *Host, behaviour string, env ...string) *Process {
	t.Helper()
	p, err := h.StartExtension(t.Context(), asExtension(t), append(env, noLinger, "LAMBDATEST_EXTENSION="+behaviour)...)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func ready(t *testing.T, h *Host) {
	t.Helper()
	if err := h.WaitReady(t.Context()); err != nil {
		t.Fatal(err)
	}
}

func TestAFrozenSandboxStandsStillUntilItIsThawed(t *testing.T) {
	for _, freezer := range []bool{true, false} {
		h, _ := newHost(t, Config{Extensions: []string{"hearth"}, Answer: echo})
		if freezer && !h.Limits().Freezer {
			t.Log("without the cgroup freezer: ", h.Limits())
			continue
		}
		if !freezer {
			h.limits.Freezer = false
		}
		p := startAs(t, h, "obedient")
		ready(t, h)
		for range 3 {
			if err := h.Freeze(); err != nil {
				t.Fatal(err)
			}
			if err := h.deliver(t.Context(), &h.extensions[0].inbox, event{EventType: "INVOKE"}.delivery()); err != nil {
				t.Fatal(err)
			}
			ctx, cancel := context.WithTimeout(t.Context(), 30*time.Millisecond)
			if err := h.WaitReady(ctx); !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("frozen, the extension took its event: %v", err)
			}
			cancel()
			if err := h.Thaw(); err != nil {
				t.Fatal(err)
			}
			ready(t, h)
		}
		if err := h.Freeze(); err != nil {
			t.Fatal(err)
		}
		if got, err := h.Invoke(t.Context(), []byte("hi")); string(got) != "hi" || err != nil { // Which thaws it.
			t.Errorf("%q, %v", got, err)
		}
		ready(t, h)
		if err := h.Freeze(); err != nil {
			t.Fatal(err)
		}
		if err := p.Stop(t.Context()); err != nil { // So does this.
			t.Error(err)
		}
	}
}

func TestAFrozenSandboxCanBeClosed(t *testing.T) {
	h, _ := newHost(t, Config{})
	p := startAs(t, h, "obedient")
	if err := h.Freeze(); err != nil {
		t.Fatal(err)
	}
	h.Close()
	select {
	case <-p.Done():
	default:
		t.Error("the process is left behind")
	}
}

func TestASandboxLeavesNothingBehind(t *testing.T) {
	h, _ := newHost(t, Config{MemoryMB: 512, Layer: newLayer(t)})
	startAs(t, h, "obedient")
	dirs := append(slices.Clone(h.cgroup.dirs), h.opt)
	for _, dir := range dirs {
		if _, err := os.Stat(dir); err != nil {
			t.Error(err)
		}
	}
	h.Close()
	for _, dir := range dirs {
		if _, err := os.Stat(dir); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("%s is left behind: %v", dir, err)
		}
	}
}

// hostMain is a host that is killed while its sandbox is frozen.
func hostMain() int {
	h, err := New(Config{})
	if err == nil {
		_, err = h.StartExtension(context.Background(), os.Args[0], noLinger, "LAMBDATEST_EXTENSION=obedient")
	}
	if err == nil {
		err = h.Freeze()
	}
	fmt.Println(strings.Join(h.cgroup.dirs, "\n"), err)
	_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
	return 0
}

func TestWhatAKilledHostLeftIsRemovedByTheNext(t *testing.T) {
	killed := exec.CommandContext(t.Context(), asExtension(t))
	killed.Env = append(os.Environ(), "LAMBDATEST_EXTENSION=host")
	out, err := killed.Output()
	dir, problem, _ := strings.Cut(strings.TrimSpace(string(out)), " ")
	if dir == "" {
		t.Skip("no cgroups here")
	}
	if err == nil || problem != "<nil>" {
		t.Fatalf("the host was not killed over a frozen sandbox: %v, %s", err, out)
	}
	if _, err := os.Stat(dir); err != nil {
		t.Fatal(err)
	}
	living, _ := newHost(t, Config{})
	newHost(t, Config{})
	if _, err := os.Stat(dir); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("%s is left behind: %v", dir, err)
	}
	for _, dir := range living.cgroup.dirs {
		if _, err := os.Stat(dir); err != nil {
			t.Errorf("the living host's: %v", err)
		}
	}
}

// limited is a host whose size is in force.
func limited(t *testing.T, memoryMB int) *Host {
	t.Helper()
	// On a slow machine a sandbox of any size needs about 10s of its CPU share to touch all its memory.
	h, _ := newHost(t, Config{MemoryMB: memoryMB, InitTimeout: time.Minute})
	if l := h.Limits(); !l.CPU || !l.Memory {
		t.Skip("no limits here: ", l)
	}
	return h
}

func TestASmallSandboxIsSlow(t *testing.T) {
	h := limited(t, 128)
	p := startAs(t, h, "burn") // 20ms of CPU before its first /next, which is 1/14 of one here.
	ready(t, h)
	u, err := p.Usage()
	if err != nil {
		t.Fatal(err)
	}
	if took := h.Init().Extensions[0].Next; took < 100*time.Millisecond || u.CPU == 0 {
		t.Errorf("20ms of CPU took %v, of which %v are counted", took, u.CPU)
	}
}

func TestASandboxIsLimitedFromItsFirstInstruction(t *testing.T) {
	h := limited(t, 1769)
	p := startAs(t, h, "groups")
	ready(t, h)
	if err := p.Stop(t.Context()); err != nil { // Then its log is whole.
		t.Fatal(err)
	}
	groups, _, _ := strings.Cut(p.Log(), "event")
	for _, controller := range []string{"cpu", "memory", "freezer"} {
		inside := func(line string) bool {
			return (strings.Contains(line, ":"+controller+":") || strings.HasPrefix(line, "0::")) && strings.Contains(line, "/lambdatest-")
		}
		if !slices.ContainsFunc(strings.Split(groups, "\n"), inside) {
			t.Errorf("%s is not limited:\n%s", controller, groups)
		}
	}
}

func TestWhatNeedsMoreMemoryThanThereIsIsKilled(t *testing.T) {
	h := limited(t, 128)
	if _, err := h.StartExtension(t.Context(), asExtension(t), noLinger, "LAMBDATEST_EXTENSION=hog"); err == nil || !strings.Contains(err.Error(), "signal: killed") {
		t.Errorf("started: %v", err)
	}
}

func TestWithoutCgroupsThereIsNoLimitAndThatIsSaid(t *testing.T) {
	l := Limits{CPU: true}
	l.Memory = l.note("memory", errors.New("read-only"))
	if got, want := l.String(), "CPU, SIGSTOP; no memory: read-only"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
	if l.Memory || !(&Limits{}).note("", nil) {
		t.Error("an error is a limit")
	}
}

func TestAProcessSaysWhatItUses(t *testing.T) {
	h, _ := newHost(t, Config{})
	p := startAs(t, h, "burn")
	u, err := p.Usage()
	if err != nil {
		t.Skip(err)
	}
	if u.RSS < 1<<20 || u.RSS > 1<<30 {
		t.Errorf("%d bytes", u.RSS)
	}
	if err := p.Stop(t.Context()); err != nil {
		t.Error(err)
	}
	if _, err := p.Usage(); err == nil {
		t.Error("a process that has ended uses something")
	}
}

// newLayer is a zip file with an extension, this test binary called hearth, and a Python module.
func newLayer(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "layer.zip")
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	z := zip.NewWriter(f)
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{
		"extensions/hearth": "#!/bin/sh\nexec '" + self + "'\n", "python/layered.py": "answer = 42\n",
	} {
		header := &zip.FileHeader{Name: name}
		header.SetMode(0o755)
		w, err := z.CreateHeader(header)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write([]byte(text)); err != nil {
			t.Fatal(err)
		}
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestALayerIsUnpackedForTheExtensionAndTheRuntime(t *testing.T) {
	if _, err := exec.LookPath("python3"); err != nil {
		t.Skip("no python3")
	}
	root := t.TempDir()
	write(t, filepath.Join(root, "app.py"), "import layered\ndef main(event, context):\n    return layered.answer\n")
	h, _ := newHost(t, Config{Layer: newLayer(t), Handler: "app.main"})
	extension, err := h.StartExtension(t.Context(), h.Opt("extensions", "hearth"), noLinger, "LAMBDATEST_EXTENSION=obedient")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := h.StartRuntime(t.Context(), root); err != nil {
		t.Fatal(err)
	}
	if got, err := h.Invoke(t.Context(), []byte("1")); string(got) != "42" || err != nil {
		t.Errorf("%q, %v", got, err)
	}
	if err := extension.Stop(t.Context()); err != nil {
		t.Error(err)
	}
}

func TestALayerThatCannotBeReadIsNoSandbox(t *testing.T) {
	for _, cfg := range []Config{{Layer: "absent.zip"}, {Layer: os.Args[0]}, {Init: "lukewarm"}, {MemoryMB: 64}, {Concurrency: -1, Init: ManagedInstances}} {
		if _, err := New(cfg); err == nil {
			t.Errorf("%+v makes a sandbox", cfg)
		}
	}
}
