package conn

import (
	"net"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// peerGone says whether the kernel knows that the other end of a connection has closed or reset it. After a freeze that was too
// short to be noticed, the kernel knows it before the goroutine that reads from the connection runs.
func peerGone(c net.Conn) bool {
	const established = 1 // TCP_ESTABLISHED, of linux/tcp.h
	info, closed := tcpInfo(c)
	return closed || info != nil && info.State != established
}

// signOf looks at the acknowledgements of the other end's kernel: they come though the server itself is slow.
func signOf(c net.Conn, age time.Duration) Sign {
	const tick = 5 * time.Millisecond // of the clock by which the kernel counts
	ago := func(ms uint32) time.Duration { return time.Duration(ms) * time.Millisecond }
	info, _ := tcpInfo(c)
	switch {
	case info == nil:
		return Unknown
	case ago(info.Last_data_recv)+tick < age:
		return Alive
	case info.Unacked == 0, age < 2*time.Duration(info.Rtt)*time.Microsecond: // an acknowledgement may be on its way
		return Unknown
	case ago(info.Last_ack_recv)+tick >= age, info.Retransmits > 0:
		return Dead
	}
	return Unknown
}

// tcpInfo is what the kernel says of c, nil if it says nothing; or c was closed on this side.
func tcpInfo(c net.Conn) (info *unix.TCPInfo, closed bool) {
	s, ok := c.(syscall.Conn)
	if !ok {
		return nil, false
	}
	raw, err := s.SyscallConn()
	if err != nil {
		return nil, true
	}
	var failed error
	err = raw.Control(func(fd uintptr) { info, failed = unix.GetsockoptTCPInfo(int(fd), unix.IPPROTO_TCP, unix.TCP_INFO) })
	if failed != nil {
		info = nil
	}
	return info, err != nil
}
