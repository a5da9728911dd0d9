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

// signOf looks at the acknowledgements, which the other end's kernel sends even if the server is slow. If all is acknowledged, this end's
// kernel is told to send a keep-alive probe every second from now on, so that a later look knows more.
func signOf(c net.Conn, age time.Duration) Sign {
	const tick = 5 * time.Millisecond // of the clock by which the kernel counts
	const lately = 250 * time.Millisecond
	const second = 1
	ago := func(ms uint32) time.Duration { return time.Duration(ms) * time.Millisecond }
	info, _ := tcpInfo(c)
	switch {
	case info == nil:
		return Unknown
	case ago(info.Last_data_recv)+tick < min(age, lately):
		return Alive
	case info.Unacked == 0:
		if info.Probes > 0 && ago(info.Last_ack_recv) > second*time.Second+100*time.Millisecond+2*rtt(info) {
			return Dead
		}
		control(c, func(fd int) {
			_ = unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_KEEPIDLE, second) // on an error only the request's timeout is left
			_ = unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_KEEPINTVL, second)
		})
	case age < 2*rtt(info): // an acknowledgement may be on its way
	case ago(info.Last_ack_recv)+tick >= age, info.Retransmits > 0:
		return Dead
	}
	return Unknown
}

func rtt(info *unix.TCPInfo) time.Duration { return time.Duration(info.Rtt) * time.Microsecond }

// tcpInfo is what the kernel knows of c, nil if it tells nothing. closed says that this side has closed c.
func tcpInfo(c net.Conn) (info *unix.TCPInfo, closed bool) {
	closed = control(c, func(fd int) {
		got, err := unix.GetsockoptTCPInfo(fd, unix.IPPROTO_TCP, unix.TCP_INFO)
		if err == nil {
			info = got
		}
	})
	return info, closed
}

// control calls do with the file descriptor of c, if c has one. closed says that this side has closed c.
func control(c net.Conn, do func(fd int)) (closed bool) {
	s, ok := c.(syscall.Conn)
	if !ok {
		return false
	}
	raw, err := s.SyscallConn()
	if err != nil {
		return true
	}
	return raw.Control(func(fd uintptr) { do(int(fd)) }) != nil
}
