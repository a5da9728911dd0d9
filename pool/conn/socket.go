package conn

import (
	"net"
	"time"
)

// Socket is what the kernel knows of a connection.
type Socket interface {
	// Lost says whether the other end is gone, though the Link may not know it yet.
	Lost() bool
	// Sign says what came from the other end while a request had no answer for so long.
	Sign(age time.Duration) Sign
	// Abort closes the connection and throws away what was sent and not acknowledged: none of it can arrive later.
	Abort()
}

// Sign is what the kernel has heard of the other end.
type Sign int

// The signs.
const (
	Unknown Sign = iota
	Alive        // data came lately, after the request was sent
	Dead         // what was sent is not acknowledged
)

// socket is the TCP connection below a Link, or nil.
type socket struct{ tcp net.Conn }

func (s socket) Lost() bool                  { return peerGone(s.tcp) }
func (s socket) Sign(age time.Duration) Sign { return signOf(s.tcp, age) }

func (s socket) Abort() {
	if c, ok := s.tcp.(*net.TCPConn); ok {
		_ = c.SetLinger(0) // fails only if it is closed already
		_ = c.Close()
	}
}
