package client

import (
	"errors"
	"net"
	"syscall"
)

// peerUser returns the user of the process that listens at the other end of a Unix connection.
func peerUser(conn net.Conn) (user int, known bool, err error) {
	unix, ok := conn.(*net.UnixConn)
	if !ok {
		return 0, false, errors.New("the connection is not one of a Unix socket")
	}
	raw, err := unix.SyscallConn()
	if err != nil {
		return 0, false, err
	}
	var peer *syscall.Ucred
	var optErr error
	err = raw.Control(func(fd uintptr) {
		peer, optErr = syscall.GetsockoptUcred(int(fd), syscall.SOL_SOCKET, syscall.SO_PEERCRED)
	})
	if err = errors.Join(err, optErr); err != nil {
		return 0, false, err
	}
	return int(peer.Uid), true, nil
}
