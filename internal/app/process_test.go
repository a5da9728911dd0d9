package app

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"hearth/internal/testing/await"
	"hearth/internal/testing/testnet"
	"hearth/internal/testing/weaviatetest"
)

// asHearth makes the test binary behave as the command that it tests.
const asHearth = "TEST_BINARY_IS_HEARTH=1"

func TestMain(m *testing.M) {
	name, value, _ := strings.Cut(asHearth, "=")
	if os.Getenv(name) == value {
		os.Exit(Main(os.Args, os.Environ(), os.Stdout, os.Stderr, Options{}))
	}
	goleak.VerifyTestMain(m,
		// After a shutdown fasthttp's cleaner sleeps on for up to ten seconds.
		goleak.IgnoreAnyFunction("github.com/valyala/fasthttp.(*workerPool).Start.func2"))
}

// asTested is what every hearth here is given. (The race detector would wait for a second before each exit.)
func asTested(env ...string) []string {
	return append([]string{asHearth, "GORACE=atexit_sleep_ms=10"}, env...)
}

// binary is a file named hearth, as Lambda knows the extension by its file's name.
func binary(t *testing.T) string {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "hearth")
	if err := os.Symlink(self, path); err != nil {
		t.Fatal(err)
	}
	return path
}

// command runs hearth to its end and returns what it printed on both outputs, and its exit code.
func command(t *testing.T, env []string, args ...string) (stdout, stderr string, code int) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	cmd := exec.CommandContext(ctx, binary(t), args...)
	cmd.Env = asTested(env...)
	var out, err bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &err
	if e := cmd.Run(); e != nil {
		if _, ok := errors.AsType[*exec.ExitError](e); !ok {
			t.Fatal(e)
		}
	}
	return out.String(), err.String(), cmd.ProcessState.ExitCode()
}

// process is a hearth that serves.
type process struct {
	cmd    *exec.Cmd
	log    logBuffer
	exited chan struct{}
	addr   string // over TCP, if it serves there
}

// serving starts hearth and returns once it serves. It is ended by the test, or else killed after it.
func serving(t *testing.T, env ...string) *process {
	t.Helper()
	p := &process{cmd: exec.CommandContext(t.Context(), binary(t)), exited: make(chan struct{})}
	p.cmd.Env = append(asTested("HEARTH_ADDR=127.0.0.1:0"), env...)
	p.cmd.Stdout, p.cmd.Stderr = &p.log, &p.log
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() { _ = p.cmd.Wait(); close(p.exited) }() // ProcessState says it all
	t.Cleanup(func() { _ = p.cmd.Process.Kill(); <-p.exited })
	p.addr = tcp(t, p.exited, &p.log)
	return p
}

// tcp waits for the line that says where hearth serves and returns the address that is TCP's, if any.
func tcp(t *testing.T, exited <-chan struct{}, log interface{ String() string }) (addr string) {
	t.Helper()
	await.That(t, "hearth serves", func() bool {
		select {
		case <-exited:
			t.Fatalf("hearth has ended:\n%s", log)
		default:
		}
		for line := range strings.Lines(log.String()) {
			var said struct {
				Msg   string
				Addrs []string
			}
			if json.Unmarshal([]byte(line), &said) != nil || said.Msg != "serving" {
				continue
			}
			for _, a := range said.Addrs {
				if strings.Contains(a, ":") {
					addr = a
				}
			}
			return true
		}
		return false
	})
	return addr
}

// end sends a signal and returns the exit code.
func (p *process) end(t *testing.T, sig os.Signal) int {
	t.Helper()
	begun := time.Now()
	if err := p.cmd.Process.Signal(sig); err != nil {
		t.Fatal(err)
	}
	select {
	case <-p.exited:
	case <-time.After(10 * time.Second):
		t.Fatalf("hearth still runs 10s after %v:\n%s", sig, p.log.String())
	}
	if took := time.Since(begun); took > 2*time.Second {
		t.Errorf("ending took %v", took)
	}
	return p.cmd.ProcessState.ExitCode()
}

// call makes one request over TCP or over a Unix socket, and returns its status and body.
func call(t *testing.T, network, addr, path string, headers ...string) (int, string) {
	t.Helper()
	transport := &http.Transport{DisableKeepAlives: true, DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		var d net.Dialer
		return d.DialContext(ctx, network, addr)
	}}
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://localhost"+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(headers); i += 2 {
		req.Header.Set(headers[i], headers[i+1])
	}
	resp, err := transport.RoundTrip(req)
	if err != nil {
		t.Errorf("%s over %s: %v", path, network, err)
		return 0, ""
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Errorf("%s over %s: %v", path, network, err)
	}
	return resp.StatusCode, string(body)
}

func wantHealthy(t *testing.T, network, addr string) {
	t.Helper()
	if status, body := call(t, network, addr, "/healthz"); status != http.StatusOK {
		t.Errorf("over %s it answers %d %s", network, status, body)
	}
}

func wantAll(t *testing.T, what, text string, words ...string) {
	t.Helper()
	for _, w := range words {
		if !strings.Contains(text, w) {
			t.Errorf("%s does not have %q:\n%s", what, w, text)
		}
	}
}

// shortDir is a folder whose name leaves room for a socket's, which t.TempDir does not.
func shortDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "hearth") //nolint:usetesting // see above
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return dir
}

// logBuffer is a bytes.Buffer that may be read while it is written.
type logBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer // guarded by mu
}

func (l *logBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *logBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

func TestAPersonStartsAndStopsIt(t *testing.T) {
	for _, sig := range []os.Signal{syscall.SIGTERM, syscall.SIGINT} {
		socket := filepath.Join(shortDir(t), "s")
		p := serving(t, "HEARTH_SOCKET="+socket)
		wantHealthy(t, "tcp", p.addr)
		wantHealthy(t, "unix", socket)
		begun := time.Now()
		if code := p.end(t, sig); code != 0 {
			t.Errorf("after %v it exited with %d:\n%s", sig, code, p.log.String())
		}
		t.Logf("the end took %v", time.Since(begun))
		if _, err := os.Lstat(socket); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("the socket is left behind: %v", err)
		}
	}
}

// weaviateAt are the settings for a Weaviate that answers REST and gRPC at one address.
func weaviateAt(url string) []string {
	return []string{"HEARTH_WEAVIATE_URL=" + url, "HEARTH_WEAVIATE_GRPC_URL=" + url}
}

// hanging is a Weaviate that answers no query about a chat. asked holds an element once one has come.
func hanging(t *testing.T) (url string, asked chan struct{}) {
	t.Helper()
	asked = make(chan struct{}, 1)
	stand := weaviatetest.New()
	stand.MustAddClass(`{"class":"Message","properties":[{"name":"chat_id","dataType":["text"],"tokenization":"field"},
		{"name":"role","dataType":["text"]},{"name":"content","dataType":["text"]},{"name":"created_at","dataType":["date"]}]}`)
	stand.SetHook(func(_ http.ResponseWriter, r *http.Request) bool {
		if r.URL.Path != "/weaviate.v1.Weaviate/Search" {
			return false
		}
		_, _ = io.Copy(io.Discard, r.Body) // only then it is noticed that the caller has gone
		select {
		case asked <- struct{}{}:
		default:
		}
		<-r.Context().Done()
		return true
	})
	upstream, err := testnet.Serve(stand, testnet.Config{HTTP2: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = upstream.Close() })
	return upstream.URL, asked
}

// hang asks for a history over a connection that has served before, and returns once Weaviate was asked for it. The
// answer's status comes later, 0 if there is none.
func hang(t *testing.T, network, addr string, asked <-chan struct{}, headers ...string) (status <-chan int) {
	t.Helper()
	c, err := net.Dial(network, addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	replies := bufio.NewReader(c)
	ask := func(path string) {
		fmt.Fprintf(c, "GET %s HTTP/1.1\r\nHost: localhost\r\n%s\r\n", path, strings.Join(headers, ""))
	}
	answer := func() int {
		resp, err := http.ReadResponse(replies, nil)
		if err != nil {
			return 0
		}
		_, _ = io.Copy(io.Discard, resp.Body)
		_ = resp.Body.Close()
		return resp.StatusCode
	}
	ask("/healthz")
	if got := answer(); got != http.StatusOK {
		t.Fatalf("/healthz answers %d", got)
	}
	ask("/v1/chats/a/history")
	<-asked
	later := make(chan int, 1)
	go func() { later <- answer() }()
	return later
}

// One end may be delayed by a busy machine: the quickest of three is not.
func TestTheEndIsQuick(t *testing.T) {
	ended := func(end func()) time.Duration {
		begun := time.Now()
		end()
		return time.Since(begun)
	}
	for name, once := range map[string]func(url string, asked <-chan struct{}) time.Duration{
		"idle": func(string, <-chan struct{}) time.Duration {
			p := serving(t)
			return ended(func() { p.end(t, syscall.SIGTERM) })
		},
		"with a call that hangs": func(url string, asked <-chan struct{}) time.Duration {
			p := serving(t, weaviateAt(url)...)
			hang(t, "tcp", p.addr, asked)
			return ended(func() { p.end(t, syscall.SIGTERM) })
		},
		"idle in Lambda": func(string, <-chan struct{}) time.Duration {
			host, p := sandbox(t, "HEARTH_SOCKET="+filepath.Join(shortDir(t), "s"))
			return ended(func() { stop(t, host, p) })
		},
		"with a call that hangs in Lambda": func(url string, asked <-chan struct{}) time.Duration {
			socket := filepath.Join(shortDir(t), "s")
			host, p := sandbox(t, append(weaviateAt(url), "HEARTH_SOCKET="+socket)...)
			hang(t, "unix", socket, asked, "X-Hearth-Token: t\r\n")
			return ended(func() { stop(t, host, p) })
		},
	} {
		url, asked := hanging(t)
		took := []time.Duration{once(url, asked), once(url, asked), once(url, asked)}
		t.Logf("%s: %v", name, took)
		if quickest := slices.Min(took); quickest > 200*time.Millisecond { // a call has 100 ms
			t.Errorf("%s it took %v at best", name, quickest)
		}
	}
}

func TestACallThatHangsHoldsUpTheEndForItsGraceOnly(t *testing.T) {
	for _, network := range []string{"tcp", "unix"} {
		url, asked := hanging(t)
		addr := filepath.Join(shortDir(t), "s")
		p := serving(t, append(weaviateAt(url), "HEARTH_SOCKET="+addr)...)
		if network == "tcp" {
			addr = p.addr
		}
		status := hang(t, network, addr, asked)
		begun := time.Now()
		if code := p.end(t, syscall.SIGTERM); code != 0 {
			t.Errorf("exited with %d:\n%s", code, p.log.String())
		}
		t.Logf("over %s it took %v", network, time.Since(begun))
		if got := <-status; got != http.StatusServiceUnavailable && got != 0 { // a busy machine may be too late for it
			t.Errorf("over %s the call was answered with %d", network, got)
		}
	}
}

func TestADeadSocketIsReplacedByTheNextStart(t *testing.T) {
	socket := filepath.Join(shortDir(t), "s")
	p := serving(t, "HEARTH_SOCKET="+socket)
	p.end(t, syscall.SIGKILL)
	if _, err := os.Lstat(socket); err != nil {
		t.Fatalf("a killed process left no socket: %v", err)
	}
	p = serving(t, "HEARTH_SOCKET="+socket)
	wantHealthy(t, "unix", socket)
	if code := p.end(t, syscall.SIGTERM); code != 0 {
		t.Errorf("exited with %d", code)
	}
}

func TestOneWayInIsEnough(t *testing.T) {
	dir := shortDir(t)
	socket, file := filepath.Join(dir, "s"), filepath.Join(dir, "file")
	if err := os.WriteFile(file, []byte("precious"), 0o600); err != nil {
		t.Fatal(err)
	}
	first := serving(t, "HEARTH_SOCKET="+socket)
	addr := "HEARTH_ADDR=" + first.addr

	t.Run("a file at the socket's path is left alone", func(t *testing.T) {
		p := serving(t, "HEARTH_SOCKET="+file)
		wantHealthy(t, "tcp", p.addr)
		wantAll(t, "the log", p.log.String(), "not listening", file, "is no socket")
		if b, err := os.ReadFile(file); err != nil || string(b) != "precious" {
			t.Errorf("the file holds %q, %v", b, err)
		}
	})
	t.Run("another's socket is left alone", func(t *testing.T) {
		p := serving(t, "HEARTH_SOCKET="+socket)
		wantAll(t, "the log", p.log.String(), "not listening", socket, "another process")
		if code := p.end(t, syscall.SIGTERM); code != 0 {
			t.Errorf("exited with %d", code)
		}
		wantHealthy(t, "unix", socket)
	})
	t.Run("with the port taken the socket serves", func(t *testing.T) {
		own := filepath.Join(dir, "own")
		p := serving(t, addr, "HEARTH_SOCKET="+own)
		if p.addr != "" {
			t.Errorf("it says that it serves on %s", p.addr)
		}
		wantHealthy(t, "unix", own)
		wantAll(t, "the log", p.log.String(), "not listening", "address already in use")
	})
	t.Run("with neither it ends and says why", func(t *testing.T) {
		_, stderr, code := command(t, []string{addr, "HEARTH_SOCKET=" + file})
		if code != 1 {
			t.Errorf("exited with %d", code)
		}
		wantAll(t, "stderr", stderr, "hearth: ", "address already in use", "is no socket")
	})
}
