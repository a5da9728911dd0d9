package conn

import (
	"errors"
	"net"
	"testing"

	"hearth/internal/testing/await"
)

func TestTheKernelKnowsWhetherTheOtherEndIsGone(t *testing.T) {
	l, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	for name, hangUp := range map[string]func(*net.TCPConn) error{
		"FIN": func(c *net.TCPConn) error { return c.CloseWrite() },
		"RST": func(c *net.TCPConn) error { return errors.Join(c.SetLinger(0), c.Close()) },
	} {
		near, err := new(net.Dialer).DialContext(t.Context(), "tcp", l.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		far, err := l.Accept()
		if err != nil {
			t.Fatal(err)
		}
		if peerGone(near) {
			t.Errorf("before a %s it says so", name)
		}
		if err := hangUp(far.(*net.TCPConn)); err != nil {
			t.Fatal(err)
		}
		await.That(t, "it is known after a "+name, func() bool { return peerGone(near) })
		far.Close()
		near.Close()
		if !peerGone(near) {
			t.Error("one that is closed here counts as whole")
		}
	}
}
