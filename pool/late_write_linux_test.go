package pool

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"hearth/internal/testing/await"
)

// holed is a listener whose connections may lose every packet that comes, without an acknowledgement.
type holed struct {
	net.Listener

	mu  sync.Mutex
	all []*net.TCPConn // guarded by mu
}

func (h *holed) Accept() (net.Conn, error) {
	c, err := h.Listener.Accept()
	if err == nil {
		h.mu.Lock()
		defer h.mu.Unlock()
		h.all = append(h.all, c.(*net.TCPConn))
	}
	return c, err
}

func (h *holed) accepted() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return len(h.all)
}

// lose makes every connection lose what comes, or no longer.
func (h *holed) lose(t *testing.T, on bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, c := range h.all {
		raw, err := c.SyscallConn()
		if err != nil {
			t.Fatal(err)
		}
		var failed error
		if err := raw.Control(func(fd uintptr) {
			if !on {
				failed = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_DETACH_FILTER, 0)
				return
			}
			accept0 := []unix.SockFilter{{Code: unix.BPF_RET | unix.BPF_K, K: 0}}
			failed = unix.SetsockoptSockFprog(int(fd), unix.SOL_SOCKET, unix.SO_ATTACH_FILTER, &unix.SockFprog{Len: 1, Filter: &accept0[0]})
		}); err != nil || failed != nil {
			t.Fatal(err, failed)
		}
	}
}

// A write whose time is over may be followed by another one, which says the opposite. If the network loses packets for a while, the
// kernel of this side would send the first one again when all is well, after the second one.
func TestAWriteDoesNotArriveAfterItsTime(t *testing.T) {
	arrived := make(chan string, 10)
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		arrived <- string(body)
	}))
	flow := &holed{Listener: server.Listener}
	server.Listener = flow
	server.Start()
	t.Cleanup(server.Close)
	p := newPool(t, Config{Name: "upstream", URL: server.URL, Retries: -1, Policy: Policy{NoLook: true}})
	write := func(ctx context.Context, body string) error {
		_, err := p.Do(ctx, Request{Method: http.MethodPost, Path: "/", Body: []byte(body)})
		return err
	}
	for n := range 2 { // the connection is used again after an answer
		if err := write(t.Context(), "first"); err != nil || <-arrived != "first" {
			t.Fatal(n, err)
		}
	}
	control, err := net.Dial("tcp", strings.TrimPrefix(server.URL, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	await.That(t, "both connections are accepted", func() bool { return flow.accepted() == 2 })
	flow.lose(t, true)
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	if err := write(ctx, "late"); !errors.Is(err, context.DeadlineExceeded) {
		t.Fatal(err)
	}
	if _, err := io.WriteString(control, "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 7\r\n\r\ncontrol"); err != nil {
		t.Fatal(err)
	}
	_ = control.Close() // the kernel sends it all the same
	flow.lose(t, false)
	if got := <-arrived; got != "control" {
		t.Errorf("%q has arrived", got)
	}
	if err := write(t.Context(), "second"); err != nil || <-arrived != "second" {
		t.Error(err)
	}
}
