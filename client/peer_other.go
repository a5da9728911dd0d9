//go:build !linux

package client

import "net"

// peerUser knows nobody here: the rights of the socket's folder have to do.
func peerUser(net.Conn) (user int, known bool, err error) { return 0, false, nil }
