package contract

import (
	"bytes"
	"context"
	"io/fs"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"hearth/internal/buildtags"
	"hearth/internal/testing/await"
	"hearth/internal/testing/lambdatest"
	"hearth/internal/testing/testnet"
)

// Build builds the binary, with the race detector where the tests have it, and returns its path.
func Build(t testing.TB) string {
	t.Helper()
	root := moduleRoot(t)
	lookAtSources(t, root)
	bin := filepath.Join(t.TempDir(), "hearth") // the name under which Lambda knows the extension
	args := []string{"build", buildtags.Flag(), "-o", bin}
	if raceDetector {
		args = append(args, "-race")
	}
	cmd := exec.CommandContext(t.Context(), "go", append(args, ".")...)
	cmd.Dir = root
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
	return bin
}

// lookAtSources stats every source file. go test keeps a result until a file changes that the test imports, opens or stats,
// and the files of the binary would not be among them.
func lookAtSources(t testing.TB, root string) {
	t.Helper()
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		switch name := d.Name(); {
		case d.IsDir() && (name == ".git" || name == "dist" || name == "e2e" || name == "__pycache__"):
			return filepath.SkipDir
		case strings.HasSuffix(name, ".go"), strings.HasSuffix(name, ".py"), name == "go.mod":
			_, err = os.Stat(path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

func moduleRoot(t testing.TB) string {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), "go", "list", "-m", "-f", "{{.Dir}}", "hearth").Output()
	if err != nil {
		t.Fatalf("where is the module? %v", err)
	}
	return strings.TrimSpace(string(out))
}

// command runs one of the binary's commands and returns what it printed.
func (s *suite) command(t testing.TB, env []string, args ...string) string {
	t.Helper()
	out, err := s.tryCommand(t, env, args...)
	if err != nil {
		t.Fatalf("hearth %v: %v\n%s", args, err, out)
	}
	return out
}

func (s *suite) tryCommand(t testing.TB, env []string, args ...string) (string, error) {
	cmd := exec.CommandContext(t.Context(), s.bin, args...)
	cmd.Env = append(s.env(), env...)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		out = append(out, stderr.Bytes()...)
	}
	return string(out), err
}

// makeClasses runs hearth schema, as an administrator does, and returns what it printed.
func (s *suite) makeClasses(t testing.TB, env ...string) string {
	t.Helper()
	out, err := s.tryMakeClasses(t, env...)
	if err != nil {
		t.Fatalf("hearth schema: %v\n%s", err, out)
	}
	return out
}

func (s *suite) tryMakeClasses(t testing.TB, env ...string) (string, error) {
	return s.tryCommand(t, append(slices.Clone(env), "HEARTH_WEAVIATE_API_KEY="+s.WeaviateAdminKey), "schema")
}

// hearth is a running sidecar.
type hearth struct {
	url    string // over TCP
	http   *http.Client
	socket string
	unix   *http.Client // over the socket; any host does
	token  string       // sent with every request unless it brings its own
	pid    int
	log    *lambdatest.Log
	saw    func(Exchange) // nil: nobody looks
}

// newHearth is a sidecar to be started with env, at addresses of its own.
func newHearth(t testing.TB) (h *hearth, env []string) {
	t.Helper()
	h = &hearth{socket: filepath.Join(shortDir(t), "s"), http: newClient(t, ""), unix: newClient(t, ""), log: &lambdatest.Log{}}
	h.unix.Transport.(*http.Transport).DialContext = func(ctx context.Context, _, _ string) (net.Conn, error) {
		var d net.Dialer
		return d.DialContext(ctx, "unix", h.socket)
	}
	addr := freeAddress(t)
	h.url = "http://" + addr
	return h, []string{"HEARTH_ADDR=" + addr, "HEARTH_SOCKET=" + h.socket}
}

// start starts a sidecar, and ends it with the test. It must exit with 0, and its log must have nothing bad.
func (s *suite) start(t testing.TB, env ...string) *hearth {
	t.Helper()
	h, own := newHearth(t)
	h.saw = s.Saw
	cmd := exec.Command(s.bin) //nolint:noctx // ended by SIGTERM below, as a person would
	cmd.Env = slices.Concat(s.env(), own, env)
	cmd.Stdout, cmd.Stderr = h.log, h.log
	for _, v := range cmd.Env {
		if token, ok := strings.CutPrefix(v, "HEARTH_TOKEN="); ok {
			h.token = token
		}
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	h.pid = cmd.Process.Pid
	exited := make(chan error, 1)
	go func() { exited <- cmd.Wait() }()
	t.Cleanup(func() { h.end(t, cmd, exited) })
	await.ThatWithin(t, 20*time.Second, "the sidecar answers", func() bool {
		select {
		case err := <-exited:
			exited <- err
			t.Fatalf("the sidecar ended: %v\n%s", err, h.log)
		default:
		}
		_, err := h.try(t.Context(), http.MethodGet, "/healthz", nil)
		return err == nil
	})
	return h
}

// writerAndReader are h, which has written, and a sidecar that has nothing cached.
func (s *suite) writerAndReader(t testing.TB, h *hearth) map[string]*hearth {
	t.Helper()
	return map[string]*hearth{"the writer": h, "a cold reader": s.start(t)}
}

// shortDir is a folder whose name leaves room for a socket's, which may have about a hundred bytes.
func shortDir(t testing.TB) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "hearth") //nolint:usetesting // t.TempDir is too long
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return dir
}

// overSocket is the same sidecar, asked over its Unix socket.
func (h *hearth) overSocket() *hearth {
	return &hearth{url: "http://hearth", http: h.unix, socket: h.socket, token: h.token, log: h.log, saw: h.saw}
}

func (h *hearth) end(t testing.TB, cmd *exec.Cmd, exited <-chan error) {
	h.http.CloseIdleConnections()
	h.unix.CloseIdleConnections()
	_ = cmd.Process.Signal(syscall.SIGTERM)
	select {
	case err := <-exited:
		if err != nil {
			t.Errorf("the sidecar ended with %v\n%s", err, h.log)
		}
	case <-time.After(5 * time.Second):
		_ = cmd.Process.Kill()
		err := <-exited
		t.Errorf("the sidecar did not end within 5s of SIGTERM, but with %v\n%s", err, h.log)
	}
	checkLog(t, h.log.String())
}

// checkLog fails the test if the log has what must never be there.
func checkLog(t testing.TB, text string) {
	t.Helper()
	for _, bad := range []string{"DATA RACE", "panic", "unexpected error"} {
		if strings.Contains(text, bad) {
			t.Errorf("the sidecar's log has %q:\n%s", bad, text)
		}
	}
}

// freeAddress is one on which nobody listens.
func freeAddress(t testing.TB) string {
	t.Helper()
	addr, err := testnet.FreeAddress()
	if err != nil {
		t.Fatal(err)
	}
	return addr
}
