package conn

import (
	"context"
	"net"
	"net/url"
	"syscall"
	"testing"
	"time"
)

// A host that drops packets looks like one whose queue is full: the kernel answers no SYN.
func TestADialToWhoDoesNotAnswerEnds(t *testing.T) {
	l, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	raw, err := l.(*net.TCPListener).SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	var failed error
	if err := raw.Control(func(fd uintptr) { failed = syscall.Listen(int(fd), 0) }); err != nil || failed != nil {
		t.Fatal(err, failed)
	}
	dial := NewDial(DialConfig{
		URL: &url.URL{Scheme: "http", Host: l.Addr().String()}, Timeout: 300 * time.Millisecond, Sessions: 1, Counts: new(DialCounts),
		Keep: func() bool { return false },
	})
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	for range 5 { // the queue has room for the first
		c, err := dial(ctx)
		if err == nil {
			defer c.Close()
			continue
		}
		if e, ok := err.(net.Error); !ok || !e.Timeout() || ctx.Err() != nil { //nolint:errorlint // the dialer's own
			t.Errorf("got %v", err)
		}
		return
	}
	t.Error("every dial is answered")
}
