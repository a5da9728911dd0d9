package testnet

import (
	"bytes"
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"syscall"
	"testing"
	"time"
)

// wire is a proxy before a server that sends back what it gets.
type wire struct {
	*testing.T
	*Proxy
}

func startProxy(t *testing.T) wire {
	t.Helper()
	l, err := listen("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var serving sync.WaitGroup
	t.Cleanup(serving.Wait)
	t.Cleanup(func() { l.Close() })
	serving.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			serving.Go(func() {
				defer c.Close()
				_, _ = io.Copy(c, c)
			})
		}
	})
	p, err := NewProxy(l.Addr().String(), 2*time.Millisecond)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Close)
	return wire{t, p}
}

// dial opens a connection that has carried something already.
func (w wire) dial() net.Conn {
	w.Helper()
	c, err := net.Dial("tcp", w.address())
	if err != nil {
		w.Fatal(err)
	}
	w.Cleanup(func() { c.Close() })
	w.echoes(c)
	return c
}

func (w wire) echoes(c net.Conn) {
	w.Helper()
	got := make([]byte, 5)
	if _, err := c.Write([]byte("hello")); err != nil {
		w.Fatal(err)
	}
	if _, err := io.ReadFull(c, got); err != nil || string(got) != "hello" {
		w.Fatalf("the echo is %q, %v", got, err)
	}
}

func (w wire) reads(c net.Conn, patience time.Duration, want error) {
	w.Helper()
	_ = c.SetReadDeadline(time.Now().Add(patience))
	if n, err := c.Read(make([]byte, 1)); n != 0 || !errors.Is(err, want) {
		w.Errorf("reading brings %d bytes and %v, want %v", n, err, want)
	}
}

const (
	sure  = 5 * time.Second       // for what must happen
	brief = 50 * time.Millisecond // for what must not
)

func TestCutsEndConnectionsInTheirWay(t *testing.T) {
	w := startProxy(t)
	for how, want := range map[Cut]error{FIN: io.EOF, RST: syscall.ECONNRESET} {
		a, b := w.dial(), w.dial()
		w.Cut(how)
		w.reads(a, sure, want)
		w.reads(b, sure, want)
	}
	if n := w.Accepted(); n != 4 {
		t.Errorf("%d connections were accepted, want 4", n)
	}
}

func TestABlackHoleSaysNothing(t *testing.T) {
	w := startProxy(t)
	c := w.dial()
	w.BlackHole()
	if _, err := c.Write(bytes.Repeat([]byte("x"), 8<<20)); err != nil { // more than any buffer: somebody takes it
		t.Errorf("writing: %v", err)
	}
	w.reads(c, brief, os.ErrDeadlineExceeded)
	w.dial()
	w.reads(c, brief, os.ErrDeadlineExceeded)
}

func TestAForgottenConnectionIsResetWhenItIsUsed(t *testing.T) {
	w := startProxy(t)
	c := w.dial()
	w.Forget()
	w.reads(c, brief, os.ErrDeadlineExceeded)
	if _, err := c.Write([]byte("x")); err != nil {
		t.Errorf("writing: %v", err)
	}
	w.reads(c, sure, syscall.ECONNRESET)
	w.dial()
}

func TestARestartKeepsThePort(t *testing.T) {
	w := startProxy(t)
	c, addr := w.dial(), w.Addr()
	back := make(chan error)
	go func() { back <- w.Restart(2 * brief) }()
	w.reads(c, sure, io.EOF)
	if again, err := net.Dial("tcp", w.address()); err == nil {
		again.Close()
		t.Error("connected to a server that is down")
	}
	if err := <-back; err != nil {
		t.Fatal(err)
	}
	w.dial()
	if got := w.Addr(); got != addr {
		t.Errorf("it was at %s and is at %s", addr, got)
	}
}

func TestClosingEndsARestart(t *testing.T) {
	w := startProxy(t)
	c := w.dial()
	back := make(chan error)
	go func() { back <- w.Restart(time.Hour) }()
	w.reads(c, sure, io.EOF)
	w.Close()
	if err := <-back; !errors.Is(err, ErrClosed) {
		t.Errorf("the restart ended with %v", err)
	}
	if err := w.Restart(0); !errors.Is(err, ErrClosed) {
		t.Errorf("restarted after Close: %v", err)
	}
}

func TestMovingKeepsTheName(t *testing.T) {
	if l, err := listen("[::1]:0"); err != nil {
		t.Skip("no ::1 here:", err)
	} else {
		l.Close()
	}
	w := startProxy(t)
	name := w.Addr()
	for _, want := range []string{"::1", "127.0.0.1"} {
		c, from := w.dial(), w.address()
		if err := w.Move(); err != nil {
			t.Fatal(err)
		}
		w.reads(c, sure, io.EOF)
		if c, err := net.Dial("tcp", from); err == nil {
			c.Close()
			t.Errorf("%s still answers", from)
		}
		if host, _, _ := net.SplitHostPort(w.address()); host != want || w.Addr() != name {
			t.Errorf("moved to %s as %s, want %s as %s", host, w.Addr(), want, name)
		}
		w.dial()
	}
}

func TestTheDelayCanChange(t *testing.T) {
	w := startProxy(t)
	c := w.dial()
	w.SetRTT(4 * brief)
	begin := time.Now()
	w.echoes(c)
	if took := time.Since(begin); took < 4*brief {
		t.Errorf("a round trip of %v took %v", 4*brief, took)
	}
}

func TestTLSRunsThroughAProxy(t *testing.T) {
	s := start(t, echo, Config{TLS: true, HTTP2: true})
	p, err := NewProxy(s.Addr, time.Millisecond)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Close)
	if resp := post(t, client(t, s), "https://"+p.Addr(), []byte("x")); resp.ProtoMajor != 2 {
		t.Errorf("got %s, want HTTP/2", resp.Proto)
	}
}
