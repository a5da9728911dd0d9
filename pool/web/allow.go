package web

import (
	"errors"
	"fmt"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"
)

// maxAllowed is how many origins an allow-list may have. It is bounded because each origin that is asked gets a pool.
const maxAllowed = 32

// Origin is a scheme, a host and a port. It is comparable.
type Origin struct {
	Scheme string // http or https
	Host   string // a name in lower case, or an address as netip writes it, without brackets
	Port   uint16
}

// URL is the origin as the beginning of a URL. The scheme's own port is left out.
func (o Origin) URL() string { return o.Scheme + "://" + o.HostPort() }

// HostPort is the host, with the port if that is not the scheme's own.
func (o Origin) HostPort() string {
	host := o.Host
	if strings.Contains(host, ":") {
		host = "[" + host + "]"
	}
	if o.Port == defaultPort(o.Scheme) {
		return host
	}
	return host + ":" + strconv.Itoa(int(o.Port))
}

// address is the address of the origin. It is false for an origin that has a host name.
func (o Origin) address() (netip.AddrPort, bool) {
	a, err := netip.ParseAddr(o.Host)
	return netip.AddrPortFrom(a, o.Port), err == nil
}

func defaultPort(scheme string) uint16 {
	if scheme == "http" {
		return 80
	}
	return 443
}

// Allow lists the origins that may be asked. There are no wildcards.
type Allow []Origin

// UnmarshalText reads a list of elements that are separated by commas. An element is one of these; https:// may be put before an element
// without a scheme:
//
//	api.example.com               https on port 443
//	api.example.com:8443          https on that port
//	http://api.example.com:8080   http on that port
//	10.1.2.3:8443, [fd00::1]:8443 https at that address
//	http://10.1.2.3:8080          http at that address
//
// The error names the first element that is none of these.
func (a *Allow) UnmarshalText(text []byte) error {
	var list Allow
	for element := range strings.SplitSeq(string(text), ",") {
		o, err := parseElement(strings.TrimSpace(element))
		if err != nil {
			shown := element[strings.LastIndexByte(element, '@')+1:] // what is before may be a password
			return fmt.Errorf("%.60q %w", shown, err)
		}
		if !slices.Contains(list, o) {
			list = append(list, o)
		}
	}
	if len(list) > maxAllowed {
		return fmt.Errorf("must list at most %d hosts", maxAllowed)
	}
	*a = list
	return nil
}

// parseElement reads one element of an allow-list.
func parseElement(element string) (Origin, error) {
	scheme, rest, hasScheme := strings.Cut(element, "://")
	if !hasScheme {
		scheme, rest = "https", element
	}
	switch {
	case rest == "":
		return Origin{}, errors.New("names no host")
	case strings.Contains(rest, "*"):
		return Origin{}, errors.New("has a wildcard: list each host")
	case scheme != "http" && scheme != "https":
		return Origin{}, errors.New("must begin with http:// or https://, or with the host")
	case strings.ContainsAny(rest, `/?#@\`):
		return Origin{}, errors.New("must be a host and a port alone, without path, query and user")
	}
	u, err := url.Parse(scheme + "://" + rest)
	if err != nil {
		return Origin{}, errors.New("is no host with a port")
	}
	o, err := originOf(u)
	if err != nil {
		return Origin{}, err
	}
	address, isAddress := o.address()
	switch {
	case isAddress && u.Port() == "":
		return Origin{}, errors.New("is an address, which needs its port")
	case scheme == "http" && u.Port() == "":
		return Origin{}, errors.New("needs a port, such as http://host:80")
	case isAddress && (address.Addr().IsUnspecified() || address.Addr().IsMulticast()):
		return Origin{}, errors.New("is no address of one host")
	}
	return o, nil
}
