//go:build !linux

package conn

import (
	"net"
	"time"
)

// peerGone cannot be known here.
func peerGone(net.Conn) bool { return false }

// signOf cannot be known here.
func signOf(net.Conn, time.Duration) Sign { return Unknown }
