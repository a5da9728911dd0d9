package conn

import (
	"net"
	"time"
)

// Socket is what the kernel knows of a connection.
type Socket interface {
	// Lost says whether the other end is gone, though the Link may not know it yet.
	Lost() bool
	// Sign says what the kernel has heard of the other end. age is how long a request on the connection has had no answer.
	Sign(age time.Duration) Sign
	// DropUnsent sets whether closing the connection throws away what was sent and not acknowledged. If not, the kernel goes on sending it.
	DropUnsent(on bool)
	// Abort closes the connection and throws away what was sent and not acknowledged: none of it can arrive later.
	Abort()
}

// Sign is what the kernel has heard of the other end.
type Sign int

// The signs.
const (
	Unknown Sign = iota // the kernel cannot tell
	Alive               // data came lately, after the request was sent
	Dead                // what was sent, or a keep-alive probe, is not acknowledged
)

// socket is the TCP connection below a Link, or nil.
type socket struct{ tcp net.Conn }

func (s socket) Lost() bool                  { return peerGone(s.tcp) }
func (s socket) Sign(age time.Duration) Sign { return signOf(s.tcp, age) }

func (s socket) DropUnsent(on bool) {
	seconds := -1 // the kernel's default
	if on {
		seconds = 0
	}
	if c, ok := s.tcp.(*net.TCPConn); ok {
		_ = c.SetLinger(seconds) // fails only if it is closed already
	}
}

func (s socket) Abort() {
	s.DropUnsent(true)
	if s.tcp != nil {
		_ = s.tcp.Close()
	}
}
