package conn

import (
	"net"
	"syscall"

	"golang.org/x/sys/unix"
)

// peerGone says whether the kernel knows that the other end of a connection has closed or reset it. After a freeze that was too
// short to be noticed, the kernel knows it before the goroutine that reads from the connection runs.
func peerGone(c net.Conn) (gone bool) {
	s, ok := c.(syscall.Conn)
	if !ok {
		return false
	}
	raw, err := s.SyscallConn()
	if err != nil {
		return true // it is closed
	}
	err = raw.Control(func(fd uintptr) {
		const established = 1 // TCP_ESTABLISHED, of linux/tcp.h
		info, err := unix.GetsockoptTCPInfo(int(fd), unix.IPPROTO_TCP, unix.TCP_INFO)
		gone = err == nil && info.State != established
	})
	return gone || err != nil
}
