package client_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"hearth/client"
)

// fake is a double of Hearth on a loopback port that remembers what it was asked. With another server name it is another program.
type fake struct {
	*httptest.Server

	mu      sync.Mutex
	answers []http.HandlerFunc // guarded by mu: the next ones; then {}
	seen    []seen             // guarded by mu
	server  string             // guarded by mu
}

type seen struct {
	from, method, target, path, token string
	header                            http.Header
	body                              string
}

func newFake(t *testing.T, answers ...http.HandlerFunc) *fake {
	f := &fake{answers: answers, server: client.ServerName}
	f.Server = httptest.NewServer(f)
	t.Cleanup(f.Close)
	return f
}

func (f *fake) addr() string { return f.Listener.Addr().String() }

func (f *fake) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	f.mu.Lock()
	f.seen = append(f.seen, seen{r.RemoteAddr, r.Method, r.RequestURI, r.URL.Path, r.Header.Get(client.HeaderToken), r.Header, string(body)})
	w.Header().Set("Server", f.server)
	answer := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("{}")) })
	if r.URL.Path != client.PathHealth && len(f.answers) > 0 {
		answer, f.answers = f.answers[0], f.answers[1:]
	}
	f.mu.Unlock()
	answer(w, r)
}

// calls returns what came besides the greetings.
func (f *fake) calls() (calls []seen) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, s := range f.seen {
		if s.path != client.PathHealth {
			calls = append(calls, s)
		}
	}
	return calls
}

func hangUp(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }

func TestNobodyListens(t *testing.T) {
	absent := filepath.Join(t.TempDir(), "s")
	for name, cfg := range map[string]client.Config{
		"TCP": {Addr: closedPort(t)}, "socket": {Socket: absent}, "both": {Socket: absent, Addr: closedPort(t)},
	} {
		c := newClient(t, cfg)
		_, err := c.Append(t.Context(), "a", []client.NewMessage{{Role: "user", Content: "b"}})
		if !errors.Is(err, client.ErrUnreachable) || errors.Is(err, client.ErrUnknownOutcome) || strings.Count(err.Error(), "hearth:") != 1 {
			t.Errorf("%s: %v", name, err)
		}
		if name == "socket" && strings.Contains(err.Error(), client.DefaultAddr) {
			t.Errorf("an address that nobody gave was asked: %v", err)
		}
	}
}

func closedPort(t *testing.T) string {
	l, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	must(t, err)
	defer l.Close()
	return l.Addr().String()
}

func TestTheAddressStandsInForASocketThatNobodyServes(t *testing.T) {
	f := newFake(t)
	absent := filepath.Join(t.TempDir(), "s")
	must(t, newClient(t, client.Config{Socket: absent, Addr: f.addr()}).Health(t.Context()))

	dead := deadSocket(t)
	must(t, newClient(t, client.Config{Socket: dead, Addr: f.addr()}).Health(t.Context()))

	file := filepath.Join(t.TempDir(), "d", "s")
	must(t, os.WriteFile(filepath.Dir(file), nil, 0o600))
	closed := closedPort(t)
	for _, path := range []string{file, filepath.Dir(file), "/tmp/" + strings.Repeat("x", 108)} { // paths that cannot be sockets
		must(t, newClient(t, client.Config{Socket: path, Addr: f.addr()}).Health(t.Context()))
		wantBoth(t, newClient(t, client.Config{Socket: path, Addr: closed}).Health(t.Context()), path, closed)
	}
}

// If a socket's queue is full, a process listens on it.
func TestTheAddressDoesNotStandInForASocketThatIsBusy(t *testing.T) {
	f := newFake(t)
	path := filepath.Join(shortDir(t), "s")
	fd, err := syscall.Socket(syscall.AF_UNIX, syscall.SOCK_STREAM, 0)
	must(t, err)
	defer syscall.Close(fd)
	must(t, syscall.Bind(fd, &syscall.SockaddrUnix{Name: path}))
	must(t, syscall.Listen(fd, 0))
	queued, err := net.Dial("unix", path)
	must(t, err)
	defer queued.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	if err := newClient(t, client.Config{Socket: path, Addr: f.addr()}).Health(ctx); err == nil {
		t.Error("it did")
	}
}

func TestAnAddressWhereNobodyCanBeFoundDoesNotStandInTheSocketsWay(t *testing.T) {
	r := newReal(t)
	for _, addr := range []string{"127.0.0.1:0", "nonsense", "10.0.0.1:2774"} {
		env := map[string]string{"HEARTH_SOCKET": r.socket, "HEARTH_ADDR": addr, "HEARTH_TOKEN": token}
		fromEnv := func() client.Config { return client.FromEnv(func(name string) string { return env[name] }) }
		c := newClient(t, fromEnv())
		_, err := c.History(t.Context(), "a", 10, 5)
		must(t, err)

		env["HEARTH_SOCKET"] = filepath.Join(t.TempDir(), "s")
		err = newClient(t, fromEnv()).Health(t.Context())
		wantBoth(t, err, env["HEARTH_SOCKET"], addr)
	}
}

// wantBoth looks for one error that says in one line what is wrong with the socket and what with the address.
func wantBoth(t *testing.T, err error, socket, addr string) {
	t.Helper()
	if !errors.Is(err, client.ErrUnreachable) {
		t.Fatalf("%v", err)
	}
	if text := err.Error(); !strings.Contains(text, socket) || !strings.Contains(text, addr) || strings.Count(text, "hearth:") != 1 || strings.Contains(text, "\n") {
		t.Errorf("%q does not name %s and %s in one line", text, socket, addr)
	}
}

func TestWhereBothFailTheErrorSaysBoth(t *testing.T) {
	dead, closed := deadSocket(t), closedPort(t)
	wantBoth(t, newClient(t, client.Config{Socket: dead, Addr: closed}).Health(t.Context()), dead, closed)

	other := newFake(t)
	other.server = "nginx"
	c := newClient(t, client.Config{Socket: dead, Addr: other.addr(), Token: token})
	wantBoth(t, c.SetMute(t.Context(), "a", client.Mute{}), dead, other.addr())
	if len(other.calls()) > 0 {
		t.Error("a program that is not Hearth was sent a call")
	}
}

func deadSocket(t *testing.T) string {
	path := filepath.Join(shortDir(t), "s")
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	must(t, err)
	l.SetUnlinkOnClose(false)
	must(t, l.Close())
	return path
}

func TestTheTokenIsForHearthOnly(t *testing.T) {
	f := newFake(t)
	c := newClient(t, client.Config{Addr: f.addr(), Token: token})
	must(t, c.SetMute(t.Context(), "a", client.Mute{}))
	f.mu.Lock()
	f.server = "nginx" // another program takes the port; open connections stay with the first
	f.mu.Unlock()
	f.CloseClientConnections()
	err := c.SetMute(t.Context(), "a", client.Mute{})
	if !errors.Is(err, client.ErrUnreachable) || !strings.Contains(err.Error(), "nginx") {
		t.Errorf("%v", err)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	tokens := 0
	for _, s := range f.seen {
		if s.token != "" {
			tokens++
		}
		if s.path == client.PathHealth && s.token != "" {
			t.Error("the greeting brought the token")
		}
	}
	if tokens != 1 {
		t.Errorf("the token was sent %d times", tokens)
	}
}

func TestWhatListensSaysNothingOfUse(t *testing.T) {
	for name, answer := range map[string]string{
		"silence":   "",
		"no HTTP":   "220 mail.example.com ESMTP\r\n",
		"endless":   "HTTP/1.1 200 OK\r\nServer: hearth\r\n\r\n" + strings.Repeat("a", 1<<20),
		"refusing":  "HTTP/1.1 503 Service Unavailable\r\nServer: hearth\r\nContent-Length: 0\r\n\r\n",
		"closing":   "HTTP/1.1 200 OK\r\nServer: hearth\r\nConnection: close\r\nContent-Length: 0\r\n\r\n",
		"talkative": "HTTP/1.1 200 OK\r\nServer: hearth\r\nContent-Length: 0\r\n\r\nHTTP/1.1 200 OK\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			l, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
			must(t, err)
			var serving sync.WaitGroup
			serving.Go(func() {
				for {
					conn, err := l.Accept()
					if err != nil {
						return
					}
					serving.Go(func() {
						_, _ = conn.Write([]byte(answer))
						_, _ = io.Copy(io.Discard, conn) // until the client closes
						_ = conn.Close()
					})
				}
			})
			c := newClient(t, client.Config{Addr: l.Addr().String(), Token: token})
			ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
			defer cancel()
			err = c.Health(ctx)
			if name == "silence" {
				if !errors.Is(err, context.DeadlineExceeded) {
					t.Errorf("%v", err)
				}
			} else if !errors.Is(err, client.ErrUnreachable) {
				t.Errorf("%v", err)
			}
			_ = l.Close()
			serving.Wait()
		})
	}
}

func TestAPortThatSaysNothingIsGivenUpSoon(t *testing.T) {
	l, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	must(t, err)
	defer l.Close() // the kernel takes the connection, and no process reads from it
	begin := time.Now()
	err = newClient(t, client.Config{Addr: l.Addr().String()}).Health(t.Context())
	if took := time.Since(begin); !errors.Is(err, client.ErrUnreachable) || took < time.Second || took > 10*time.Second {
		t.Errorf("after %v: %v", took, err)
	}
}

func TestADeadConnectionIsNotNoticedByACall(t *testing.T) {
	f := newFake(t)
	c := newClient(t, client.Config{Addr: f.addr()})
	for i := range 3 {
		if _, err := c.Append(t.Context(), "a", []client.NewMessage{{Role: "user", Content: "b"}}); err != nil {
			t.Fatalf("call %d: %v", i, err)
		}
		f.CloseClientConnections()
	}
}

func TestACallThatMayBeRepeatedIsSentOnceMoreWhenItsConnectionBreaks(t *testing.T) {
	f := newFake(t, hangUp)
	c := newClient(t, client.Config{Addr: f.addr()})
	_, err := c.Append(t.Context(), "a", []client.NewMessage{{Role: "user", Content: "b"}, {Role: "assistant", Content: "c"}})
	must(t, err)
	calls := f.calls()
	if len(calls) != 2 || calls[0].body != calls[1].body || calls[0].from == calls[1].from {
		t.Fatalf("%+v", calls)
	}
	var sent []client.NewMessage
	must(t, json.Unmarshal([]byte(calls[0].body), &sent))
	if sent[0].ID == "" || !sent[1].CreatedAt.After(sent[0].CreatedAt) {
		t.Errorf("%+v", sent)
	}

	f = newFake(t, hangUp, hangUp, hangUp)
	c = newClient(t, client.Config{Addr: f.addr()})
	if _, err := c.Append(t.Context(), "a", []client.NewMessage{{Role: "user", Content: "b"}}); !errors.Is(err, client.ErrUnknownOutcome) {
		t.Errorf("%v", err)
	}
	if n := len(f.calls()); n != 2 {
		t.Errorf("sent %d times", n)
	}
}

func TestAnOdooCallIsSentOnce(t *testing.T) {
	f := newFake(t, hangUp)
	c := newClient(t, client.Config{Addr: f.addr()})
	_, err := c.OdooCall(t.Context(), client.Call{Model: "res.partner", Method: "create"})
	if !errors.Is(err, client.ErrUnknownOutcome) {
		t.Errorf("%v", err)
	}
	if n := len(f.calls()); n != 1 {
		t.Errorf("sent %d times", n)
	}
}

func TestTheContextEndsACall(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	again, cancelAgain := context.WithCancel(t.Context())
	wait := func(cancel func()) http.HandlerFunc {
		return func(_ http.ResponseWriter, r *http.Request) {
			cancel()
			<-r.Context().Done()
		}
	}
	f := newFake(t, wait(cancel), wait(cancelAgain))
	c := newClient(t, client.Config{Addr: f.addr()})
	if _, err := c.Mute(ctx, "a"); !errors.Is(err, context.Canceled) || errors.Is(err, client.ErrUnreachable) {
		t.Errorf("%v", err)
	}
	if err := c.SetMute(ctx, "a", client.Mute{}); !errors.Is(err, context.Canceled) || errors.Is(err, client.ErrUnknownOutcome) {
		t.Errorf("nothing was sent, but: %v", err)
	}
	if err := c.SetMute(again, "a", client.Mute{}); !errors.Is(err, context.Canceled) || !errors.Is(err, client.ErrUnknownOutcome) {
		t.Errorf("%v", err)
	}
	if n := len(f.calls()); n != 2 {
		t.Errorf("sent %d times", n)
	}
}

func TestAnswersThatAreNone(t *testing.T) {
	write := func(status int, kind, body string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", kind)
			w.WriteHeader(status)
			_, _ = io.WriteString(w, body)
		}
	}
	huge := func(w http.ResponseWriter, _ *http.Request) {
		piece := bytes.Repeat([]byte(" "), 1<<20)
		for range 65 {
			_, _ = w.Write(piece)
		}
	}
	announced := func(w http.ResponseWriter, _ *http.Request) { w.Header().Set("Content-Length", fmt.Sprint(65<<20)) }
	f := newFake(t, write(500, "text/html", "<h1>oh</h1>\xff"), write(302, "", ""), write(200, "application/json", "[]"),
		write(422, "application/problem+json", `{"title":"A title","retryable":true}`), huge, announced)
	c := newClient(t, client.Config{Addr: f.addr()})
	for i, want := range []string{
		"hearth: Internal Server Error: <h1>oh</h1>", "hearth: Found", "hearth: the answer cannot be read:", "hearth: A title",
		"hearth: the answer is too large", "hearth: the answer is too large",
	} {
		_, err := c.Mute(t.Context(), "a")
		if err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("%d: %v", i, err)
		}
	}
}

func TestTracesPassThrough(t *testing.T) {
	f := newFake(t)
	c := newClient(t, client.Config{Addr: f.addr()})
	ctx := context.WithValue(t.Context(), "x-amzn-trace-id", "Root=1") //nolint:staticcheck // the key that aws-lambda-go uses
	_, err := c.Mute(ctx, "a", client.WithHeader("Traceparent", "00-1"))
	must(t, err)
	if h := f.calls()[0].header; h.Get("X-Amzn-Trace-Id") != "Root=1" || h.Get("Traceparent") != "00-1" {
		t.Errorf("%v", h)
	}
	if _, err := c.Mute(ctx, "a", client.WithHeader("Traceparent", "a\r\nb: c")); err == nil {
		t.Error("a header of two lines was sent")
	}
}

func TestManyCallsAtOnce(t *testing.T) {
	r := newReal(t)
	c := newClient(t, client.Config{Socket: r.socket, Token: token})
	var calls sync.WaitGroup
	for i := range 100 {
		calls.Go(func() {
			chat := fmt.Sprint("chat ", i%7)
			if _, err := c.Append(t.Context(), chat, []client.NewMessage{{Role: "user", Content: "a"}}); err != nil {
				t.Error(err)
			}
			if _, err := c.History(t.Context(), chat, 10, 5); err != nil {
				t.Error(err)
			}
		})
	}
	calls.Wait()
}
