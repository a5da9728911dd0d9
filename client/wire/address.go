package wire

import (
	"net"
	"net/netip"
	"strconv"
)

// IsLoopback says whether a host is this machine and no other: localhost, or a loopback address without brackets. The API
// listens on such hosts alone, and clients ask no other.
func IsLoopback(host string) bool {
	ip, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && ip.IsLoopback()
}

// LoopbackPort is the port of an address whose host is a loopback one. ok says that it is one; the port may be 0.
func LoopbackPort(addr string) (port uint16, ok bool) {
	host, text, err := net.SplitHostPort(addr)
	if err != nil || !IsLoopback(host) {
		return 0, false
	}
	n, err := strconv.ParseUint(text, 10, 16)
	return uint16(n), err == nil
}
