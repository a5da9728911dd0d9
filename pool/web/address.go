package web

import (
	"fmt"
	"net/netip"
	"syscall"

	"code.dny.dev/ssrf"
)

// addresses decides which addresses may be connected to. It decides after the name was resolved, about the address of each connection. So
// a name that resolves to another address later gets around no rule.
type addresses struct {
	listed map[netip.AddrPort]bool // those that the allow-list has as addresses
	public *ssrf.Guardian          // allows public addresses only, by IANA's registries of special-purpose addresses
}

func newAddresses(allow Allow) *addresses {
	a := &addresses{listed: map[netip.AddrPort]bool{}, public: ssrf.New(ssrf.WithAnyPort())}
	for _, o := range allow {
		if address, ok := o.address(); ok {
			a.listed[address] = true
		}
	}
	return a
}

// control is a [net.Dialer]'s Control. The error is a *NotAllowedError.
func (a *addresses) control(_, address string, _ syscall.RawConn) error {
	at, err := netip.ParseAddrPort(address)
	if err != nil {
		return fmt.Errorf("web: address %q: %w", address, err)
	}
	at = netip.AddrPortFrom(unmapped(at.Addr()), at.Port())
	if a.listed[at] {
		return nil
	}
	if a.public.SafeAddr(at.Addr()) != nil {
		return &NotAllowedError{
			"the address " + address, "it is " + kindOf(at.Addr()) + ", and HEARTH_FETCH_ALLOW does not list it by itself with its port",
		}
	}
	return nil
}

// kindOf says what an address is that is not public.
func kindOf(a netip.Addr) string {
	switch {
	case a.IsLoopback():
		return "a loopback address"
	case a.IsUnspecified():
		return "the unspecified address"
	case a.IsLinkLocalUnicast():
		return "a link-local address"
	case a.IsPrivate():
		return "a private address"
	case a.IsMulticast():
		return "a multicast address"
	}
	return "no public address"
}

// unmapped is the IPv4 address in an IPv6 address, if the network sends to the IPv4 address in its place: that of an IPv4-mapped address,
// and of one with the well-known prefix of NAT64, which AWS uses too. Every other address stays as it is. Addresses that hold an IPv4
// address in another way (6to4, Teredo, IPv4-compatible, NAT64 with a local prefix) count as not public.
func unmapped(a netip.Addr) netip.Addr {
	if ssrf.IPv6NAT64Prefix.Contains(a) {
		b := a.As16()
		return netip.AddrFrom4([4]byte(b[12:]))
	}
	return a.Unmap()
}
