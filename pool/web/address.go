package web

import (
	"fmt"
	"net/netip"
	"syscall"

	"code.dny.dev/ssrf"
)

// addresses decides which addresses may be connected to. It is asked after the name was resolved, for the address that is connected
// to, so a name that changes its address gains nothing.
type addresses struct {
	listed map[netip.AddrPort]bool // those that the allow-list names itself
	public *ssrf.Guardian          // allows public addresses alone, by IANA's registries of special ones
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

// unmapped is the IPv4 address in an IPv6 address where a network translates the one to the other: an IPv4-mapped address, or one with
// the well-known prefix of NAT64, as AWS has it too. Every other address stays as it is. Those that hold an IPv4 address in
// another way (6to4, Teredo, IPv4-compatible, NAT64 with a local prefix) are not public, whatever they hold.
func unmapped(a netip.Addr) netip.Addr {
	if ssrf.IPv6NAT64Prefix.Contains(a) {
		b := a.As16()
		return netip.AddrFrom4([4]byte(b[12:]))
	}
	return a.Unmap()
}
