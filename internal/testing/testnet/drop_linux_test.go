package testnet

import (
	"net"
	"os"
	"testing"

	"golang.org/x/sys/unix"
)

func TestADroppedFlowAcknowledgesNothing(t *testing.T) {
	w := startProxy(t)
	c := w.dial()
	if err := w.Drop(); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Write([]byte("x")); err != nil {
		t.Errorf("writing: %v", err)
	}
	w.reads(c, brief, os.ErrDeadlineExceeded)
	raw, err := c.(*net.TCPConn).SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	if err := raw.Control(func(fd uintptr) {
		if info, err := unix.GetsockoptTCPInfo(int(fd), unix.IPPROTO_TCP, unix.TCP_INFO); err != nil || info.Unacked == 0 {
			t.Errorf("the kernel says %+v, %v, want something unacknowledged", info, err)
		}
	}); err != nil {
		t.Fatal(err)
	}
	w.dial()
}
