package testnet

import (
	"net"
	"time"

	"golang.org/x/sys/unix"
)

// dropAll makes the kernel drop every packet that comes for a connection, without an acknowledgement.
func dropAll(c *net.TCPConn) error {
	raw, err := c.SyscallConn()
	if err != nil {
		return err
	}
	accept0 := []unix.SockFilter{{Code: unix.BPF_RET | unix.BPF_K, K: 0}} // of each packet, accept 0 bytes
	var failed error
	// First the other end must have acknowledged everything. Otherwise this kernel would send the rest again, and that packet would arrive.
	// The other kernel acknowledges within 40 ms.
	for deadline := time.Now().Add(100 * time.Millisecond); time.Now().Before(deadline); time.Sleep(time.Millisecond) {
		busy := false
		if err := raw.Control(func(fd uintptr) {
			info, err := unix.GetsockoptTCPInfo(int(fd), unix.IPPROTO_TCP, unix.TCP_INFO)
			busy = err == nil && info.Unacked > 0
		}); err != nil {
			return err
		}
		if !busy {
			break
		}
	}
	err = raw.Control(func(fd uintptr) {
		failed = unix.SetsockoptSockFprog(int(fd), unix.SOL_SOCKET, unix.SO_ATTACH_FILTER, &unix.SockFprog{Len: 1, Filter: &accept0[0]})
	})
	if err != nil {
		return err
	}
	return failed
}
