package app

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"hearth/client"
	"hearth/internal/testing/await"
	"hearth/internal/testing/odootest"
	"hearth/internal/testing/testnet"
	"hearth/internal/testing/weaviatetest"
)

// send makes one request over TCP, and returns its status and the answer.
func send(t *testing.T, method, addr, path, body string) (int, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, "http://"+addr+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	resp, err := (&http.Transport{DisableKeepAlives: true}).RoundTrip(req)
	if err != nil {
		t.Fatalf("%s %s: %v", method, path, err)
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(answer)
}

// served are a Weaviate and an Odoo over TLS, whatever they answer. It returns the variables that lead to them.
func served(t *testing.T, weaviate, odoo http.Handler) []string {
	t.Helper()
	var urls []string
	var roots []byte
	for _, h := range []http.Handler{weaviate, odoo} {
		s, err := testnet.Serve(h, testnet.Config{TLS: true, HTTP2: true})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = s.Close() })
		urls, roots = append(urls, s.URL), append(roots, s.CA...)
	}
	ca := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(ca, roots, 0o600); err != nil {
		t.Fatal(err)
	}
	return append(weaviateAt(urls[0]),
		"HEARTH_ODOO_URL="+urls[1], "HEARTH_ODOO_DB=demo", "HEARTH_ODOO_USER=admin", "HEARTH_ODOO_KEY=key", "HEARTH_TLS_CA="+ca)
}

// upstreamCall is a call that goes to an upstream, with the status of success.
type upstreamCall struct {
	method, path, body string
	status             int
}

// upstreamCalls are one of each kind.
func upstreamCalls() []upstreamCall {
	return []upstreamCall{
		{"POST", "/v1/chats/a/messages", `{"role":"user","content":"x","id":"1"}`, 201},
		{"POST", "/v1/chats/a/messages", `{"role":"user","content":"y"}`, 201},
		{"GET", "/v1/chats/a/history", "", 200},
		{"POST", "/v1/chats/a/relevant", `{"text":"x"}`, 200},
		{"PUT", "/v1/chats/a/mute", `{"muted":true}`, 200},
		{"GET", "/v1/chats/a/mute", "", 200},
		{"GET", "/v1/odoo/models", "", 200},
		{"POST", "/v1/odoo/call", `{"model":"res.partner","method":"create","kwargs":{"vals_list":[{"name":"x"}]}}`, 200},
	}
}

// The function's handler may be Go too, under a rule that allows approved algorithms alone: Hearth inherits it.
func TestItWorksWhereOnlyApprovedAlgorithmsAreAllowed(t *testing.T) {
	for _, mode := range []string{"GODEBUG=fips140=only", "GODEBUG=fips140=on"} {
		env := append(served(t, weaviatetest.New(), odootest.New(odootest.Config{})), mode, "HEARTH_WEAVIATE_TIMEOUT=25s", "HEARTH_ODOO_TIMEOUT=25s")
		for _, args := range []string{"schema", "check", "version"} {
			if stdout, stderr, code := command(t, env, args); code != 0 {
				t.Errorf("%s: %s exited with %d: %s%s", mode, args, code, stdout, stderr)
			}
		}
		p := serving(t, env...)
		for _, c := range upstreamCalls() {
			if status, body := send(t, c.method, p.addr, c.path, c.body); status != c.status {
				t.Errorf("%s: %s %s: %d %s", mode, c.method, c.path, status, body)
			}
		}
		if code := p.end(t, syscall.SIGTERM); code != 0 {
			t.Errorf("%s: exited with %d:\n%s", mode, code, p.log.String())
		}

		// A token that is derived from a short credential, as no real one is.
		host, extension := sandbox(t, mode, "HEARTH_TOKEN=", "AWS_SESSION_TOKEN=session", "HEARTH_SOCKET="+filepath.Join(shortDir(t), "s"))
		addr := tcp(t, extension.Done(), logOf{extension})
		const derived = "43aabecb02690aa817e885d91c273a4aa760a6eb592c44ecfea70b0920d98c8e"
		if status, body := call(t, "tcp", addr, "/debug/cache", "X-Hearth-Token", derived); status != http.StatusOK {
			t.Errorf("%s: with the derived token: %d %s", mode, status, body)
		}
		if status, body := call(t, "tcp", addr, "/debug/cache", "X-Hearth-Token", "mine"); status != http.StatusUnauthorized || !strings.Contains(body, "AWS_SESSION_TOKEN") {
			t.Errorf("%s: with another token: %d %s", mode, status, body)
		}
		stop(t, host, extension)
	}
}

// A function's GODEBUG is meant for its handler.
func TestItReadsOverGRPCWhereTheHandlerDoesWithoutHTTP2(t *testing.T) {
	env := append(served(t, weaviatetest.New(), odootest.New(odootest.Config{})), "GODEBUG=http2client=0")
	for _, args := range []string{"schema", "check"} {
		if stdout, stderr, code := command(t, env, args); code != 0 {
			t.Errorf("%s exited with %d: %s%s", args, code, stdout, stderr)
		}
	}
	p := serving(t, env...)
	for _, c := range upstreamCalls() {
		if status, body := send(t, c.method, p.addr, c.path, c.body); status != c.status {
			t.Errorf("%s %s: %d %s", c.method, c.path, status, body)
		}
	}
}

// Without our own limits the process would grow up to GOMEMLIMIT, which is meant for the handler.
func TestTheHandlersMemorySettingsAreNotHearths(t *testing.T) {
	peak := func(env ...string) (kilobytes int) {
		p := serving(t, env...)
		garbage := strings.Repeat("x", 1<<20-1)
		for range 200 {
			if status, body := send(t, "POST", p.addr, "/v1/chats/a/messages", garbage); status != http.StatusBadRequest {
				t.Fatalf("%d %s", status, body)
			}
		}
		status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.cmd.Process.Pid))
		if err != nil {
			t.Fatal(err)
		}
		_, rest, _ := strings.Cut(string(status), "VmHWM:")
		kilobytes, err = strconv.Atoi(strings.Fields(rest)[0])
		if err != nil {
			t.Fatal(err)
		}
		return kilobytes
	}
	plain := peak()
	for _, env := range [][]string{
		{"GOGC=off", "GOMEMLIMIT=450MiB"}, {"GOGC=3000", "AWS_LAMBDA_FUNCTION_MEMORY_SIZE=512"},
	} {
		got := peak(env...)
		t.Logf("%v: %d kB, %d without", env, got, plain)
		if got > 2*plain {
			t.Errorf("%v: %d kB, %d without", env, got, plain)
		}
	}
}

// started is a hearth whose outputs the test has chosen, and which logs a line with each call. It serves on the socket.
func started(t *testing.T, socket string, outputs *os.File, name string, args ...string) *process {
	t.Helper()
	p := &process{cmd: exec.CommandContext(t.Context(), name, args...), exited: make(chan struct{})}
	p.cmd.Env = append(asTested("HEARTH_ADDR=127.0.0.1:0"), "HEARTH_SOCKET="+socket, "HEARTH_WEAVIATE_URL=http://127.0.0.1:1")
	if outputs != nil {
		p.cmd.Stdout, p.cmd.Stderr = outputs, outputs
	}
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() { _ = p.cmd.Wait(); close(p.exited) }()
	t.Cleanup(func() { _ = p.cmd.Process.Kill(); <-p.exited })
	await.That(t, "hearth serves", func() bool {
		select {
		case <-p.exited:
			t.Fatalf("hearth has ended: %v", p.cmd.ProcessState)
		default:
		}
		c, err := (&net.Dialer{}).DialContext(t.Context(), "unix", socket)
		if err == nil {
			_ = c.Close()
		}
		return err == nil
	})
	return p
}

func TestALogThatCannotBeWrittenHoldsNothingUp(t *testing.T) {
	pipe := func(t *testing.T) (r, w *os.File) {
		r, w, err := os.Pipe()
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _, _ = r.Close(), w.Close() })
		return r, w
	}
	for name, start := range map[string]func(t *testing.T, socket string) *process{
		"a pipe whose reader has gone": func(t *testing.T, socket string) *process {
			r, w := pipe(t)
			_ = r.Close()
			return started(t, socket, w, binary(t))
		},
		"a pipe that nobody reads": func(t *testing.T, socket string) *process {
			_, w := pipe(t)
			const setSize, page = 1031, 4096 // F_SETPIPE_SZ: full after a few lines
			if _, _, err := syscall.Syscall(syscall.SYS_FCNTL, w.Fd(), setSize, page); err != 0 {
				t.Fatal(err)
			}
			return started(t, socket, w, binary(t))
		},
		"a disk that is full": func(t *testing.T, socket string) *process {
			full, err := os.OpenFile("/dev/full", os.O_WRONLY, 0)
			if err != nil {
				t.Fatal(err)
			}
			defer full.Close()
			return started(t, socket, full, binary(t))
		},
		"no outputs at all": func(t *testing.T, socket string) *process {
			return started(t, socket, nil, "sh", "-c", `exec "$0" >&- 2>&-`, binary(t))
		},
	} {
		t.Run(name, func(t *testing.T) {
			socket := filepath.Join(shortDir(t), "s")
			p := start(t, socket)
			var calls sync.WaitGroup
			for range 50 {
				calls.Go(func() {
					status, body := call(t, "unix", socket, "/v1/chats/a/history")
					unreachable := status == http.StatusBadGateway && strings.Contains(body, "#unreachable")
					refused := status == http.StatusServiceUnavailable && strings.Contains(body, "#unavailable") // the breaker is open
					if !unreachable && !refused {
						t.Errorf("%d %s", status, body)
					}
				})
			}
			answered := make(chan struct{})
			go func() { calls.Wait(); close(answered) }()
			select {
			case <-answered:
			case <-time.After(20 * time.Second):
				_ = p.cmd.Process.Kill()
				<-answered
			}
			wantHealthy(t, "unix", socket)
			if code := p.end(t, syscall.SIGTERM); code != 0 {
				t.Errorf("exited with %d", code)
			}
		})
	}
}

func TestAnAddressThatRedirectsIsNamedAndToBeCorrected(t *testing.T) {
	var asked sync.Map
	elsewhere := func(name string) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			asked.Store(name, r.UserAgent())
			http.Redirect(w, r, "https://"+name+".example/?secret=hunter2", http.StatusPermanentRedirect)
		})
	}
	env := served(t, elsewhere("weaviate"), elsewhere("odoo"))
	p := serving(t, env...)
	for _, c := range upstreamCalls() {
		status, body := send(t, c.method, p.addr, c.path, c.body)
		upstream, variable := "weaviate", "HEARTH_WEAVIATE_URL"
		if strings.Contains(c.path, "odoo") {
			upstream, variable = "odoo", "HEARTH_ODOO_URL"
		}
		var got client.Problem
		if err := json.Unmarshal([]byte(body), &got); err != nil || status != http.StatusBadGateway || got.Retryable || got.Upstream != upstream ||
			!strings.Contains(got.Detail, "https://"+upstream+".example/") || !strings.Contains(got.Detail, variable) || strings.Contains(body, "hunter2") {
			t.Errorf("%s %s: %d %s", c.method, c.path, status, body)
		}
		if agent, _ := asked.Load(upstream); agent != "hearth/"+version {
			t.Errorf("%s saw %q", upstream, agent)
		}
	}
	stdout, _, code := command(t, env, "check")
	if code != 1 {
		t.Errorf("check exited with %d", code)
	}
	wantAll(t, "check", stdout, "https://weaviate.example/", "HEARTH_WEAVIATE_URL", "https://odoo.example/", "HEARTH_ODOO_URL")
}

func TestALogQueueDropsWhatNobodyReadsAndSaysSo(t *testing.T) {
	out := &stuck{entered: make(chan struct{}), release: make(chan struct{})}
	q := newLogQueue(out, maxPending)
	line := slices.Concat(bytes.Repeat([]byte("x"), 999), []byte("\n"))
	fmt.Fprintln(q, "first")
	<-out.entered // and stays there
	const lines = maxPending/1000 + 10
	for range lines {
		if n, err := q.Write(line); n != len(line) || err != nil {
			t.Fatal(n, err)
		}
	}
	close(out.release)
	q.close()
	text := out.String()
	if kept := strings.Count(text, "xxx\n"); kept != lines-10 || !strings.HasPrefix(text, "first\n") {
		t.Errorf("%d lines of %d were kept: %.100s", kept, lines, text)
	}
	wantAll(t, "the log", text, `"msg":"log lines were dropped: the log was not read","extension":"hearth","lines":10}`)
	fmt.Fprintln(q, "after the end") // holds up nobody
}

// stuck is a log whose first write takes until it is released.
type stuck struct {
	entered, release chan struct{}
	once             sync.Once
	logBuffer
}

func (s *stuck) Write(b []byte) (int, error) {
	s.once.Do(func() { close(s.entered); <-s.release })
	return s.logBuffer.Write(b)
}

func TestALogQueueEndsThoughItsLogIsStuck(t *testing.T) {
	out := &stuck{entered: make(chan struct{}), release: make(chan struct{})}
	q := newLogQueue(out, maxPending)
	fmt.Fprintln(q, "line")
	<-out.entered
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	ended := make(chan struct{})
	go func() { q.close(); close(ended) }()
	select {
	case <-ended:
	case <-ctx.Done():
		t.Error("it still waits")
	}
	close(out.release)
	<-q.done
}
