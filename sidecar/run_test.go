package sidecar

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
)

// running is a server that runs until the test ends it.
func running(t *testing.T, l net.Listener) (end func() error) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- New(Config{}).Run(ctx, l) }()
	return func() error { cancel(); return <-done }
}

func listenerFor(t *testing.T) net.Listener {
	t.Helper()
	l, err := ListenTCP(t.Context(), "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// ask sends one raw request and returns the status of its answer.
func ask(t *testing.T, l net.Listener, request string) int {
	t.Helper()
	c, err := net.Dial(l.Addr().Network(), l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	fmt.Fprint(c, request)
	resp, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if resp.Header.Get("Server") != "hearth" {
		t.Errorf("the answer says it is from %q", resp.Header.Get("Server"))
	}
	return resp.StatusCode
}

const healthy = "GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n"

func TestRunEndsHoweverEarlyItIsTold(t *testing.T) {
	for range 50 {
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if err := New(Config{}).Run(ctx, listenerFor(t)); err != nil {
			t.Fatal(err)
		}
	}
}

// failing accepts after a few failures.
type failing struct {
	net.Listener
	left atomic.Int32
}

func (f *failing) Accept() (net.Conn, error) {
	if f.left.Add(-1) >= 0 {
		return nil, errors.New("accept4: too many open files")
	}
	return f.Listener.Accept()
}

func TestAFailedAcceptIsNotTheEnd(t *testing.T) {
	l := &failing{Listener: listenerFor(t)}
	l.left.Store(3)
	end := running(t, l)
	if status := ask(t, l, healthy); status != http.StatusOK {
		t.Errorf("answered %d", status)
	}
	if err := end(); err != nil {
		t.Error(err)
	}
}

func TestWhatIsNoHTTPIsToldSo(t *testing.T) {
	l := listenerFor(t)
	end := running(t, l)
	for request, want := range map[string]int{
		"nonsense\r\n\r\n": 400,
		"GET /healthz HTTP/1.1\r\nHost: localhost\r\nX: " + strings.Repeat("x", headerBytes) + "\r\n\r\n": 431,
		"GET /healthz HTTP/1.1\r\n\r\n":                                               400,
		"POST /v1/preprocess HTTP/1.1\r\nHost: evil\r\nContent-Length: 4\r\n\r\nabcd": 403,
		"POST /healthz HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n\r\n":      405,
	} {
		if status := ask(t, l, request); status != want {
			t.Errorf("%.60q: %d, want %d", request, status, want)
		}
	}
	if err := end(); err != nil {
		t.Error(err)
	}
}

func TestTheSocketIsOursAlone(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	first, err := ListenSocket(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v %v", info, err)
	}
	if _, err := ListenSocket(t.Context(), path); err == nil {
		t.Error("a socket that is served was taken away")
	}
	first.(*net.UnixListener).SetUnlinkOnClose(false) //nolint:forcetypeassert // as a crash leaves it
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	second, err := ListenSocket(t.Context(), path)
	if err != nil {
		t.Fatal("a dead socket was not replaced:", err)
	}
	if err := second.Close(); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte("precious"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := ListenSocket(t.Context(), path); err == nil {
		t.Error("a file was taken for a socket")
	}
	if b, err := os.ReadFile(path); err != nil || string(b) != "precious" {
		t.Errorf("the file is %q, %v", b, err)
	}
}
