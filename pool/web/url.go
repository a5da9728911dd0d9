package web

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"hearth/pool"
)

// MaxURL is how many bytes a URL may have.
const MaxURL = 8 << 10

// NotURLError is text that is no absolute URL.
type NotURLError struct{ Detail string }

func (e *NotURLError) Error() string { return "web: the URL " + e.Detail }

// NotAllowedError is a request that a rule forbids: it is not sent. It is a [pool.ErrNotAllowed].
type NotAllowedError struct {
	What string // a URL, a redirect's target or an address, without what may be secret
	Rule string // the rule that forbids it
}

func (e *NotAllowedError) Error() string { return e.What + " is not allowed: " + e.Rule }

// Unwrap says that it is a [pool.ErrNotAllowed].
func (e *NotAllowedError) Unwrap() error { return pool.ErrNotAllowed }

// Target is a URL that the allow-list allows.
type Target struct {
	Origin Origin
	Path   string // with the query, escaped
}

// URL is the whole URL, the same for every spelling of scheme and host.
func (t Target) URL() string { return t.Origin.URL() + t.Path }

// Check reads a URL that a caller names. The error is a *NotURLError or a *NotAllowedError.
func (a Allow) Check(raw string) (Target, error) {
	u, err := parseURL(raw)
	if err != nil {
		return Target{}, err
	}
	if strings.Contains(raw, "#") {
		return Target{}, &NotAllowedError{"the URL", "it has a fragment, which is never sent"}
	}
	return a.checkURL(u, "the URL")
}

// parseURL reads an absolute URL. It refuses a URL that programs may read differently, such as one with a backslash.
func parseURL(raw string) (*url.URL, error) {
	if raw == "" || len(raw) > MaxURL {
		return nil, &NotURLError{fmt.Sprintf("must have 1 to %d bytes", MaxURL)}
	}
	for _, c := range []byte(raw) {
		if c <= ' ' || c == 0x7f || c == '\\' {
			return nil, &NotURLError{"must have no space, control character or backslash"}
		}
	}
	u, err := url.Parse(raw)
	if err != nil || u.Scheme == "" {
		return nil, &NotURLError{"must be absolute, such as https://host/path"}
	}
	return u, nil
}

// checkURL applies the rules to a URL. what says whose URL it is.
func (a Allow) checkURL(u *url.URL, what string) (Target, error) {
	forbidden := func(rule string) (Target, error) { return Target{}, &NotAllowedError{what, rule} }
	switch {
	case u.Scheme != "http" && u.Scheme != "https":
		return forbidden("the scheme must be https or http")
	case u.User != nil:
		return forbidden("it holds a user or a password")
	case u.Opaque != "", u.Host == "":
		return Target{}, &NotURLError{"must name a host after //"}
	}
	o, err := originOf(u)
	if err != nil {
		return forbidden("its host " + err.Error())
	}
	if !slices.Contains(a, o) {
		return forbidden(fmt.Sprintf("HEARTH_FETCH_ALLOW does not list %s://%s", o.Scheme, net.JoinHostPort(o.Host, strconv.Itoa(int(o.Port)))))
	}
	target := Target{Origin: o, Path: u.RequestURI()}
	if len(target.URL()) > MaxURL { // escaping has made it longer
		return Target{}, &NotURLError{fmt.Sprintf("must have at most %d bytes with its escapes", MaxURL)}
	}
	return target, nil
}

// originOf reads scheme, host and port of a URL. The error says what is wrong with the host. A host that another program could read as
// an address is refused, unless it is written in the usual form: 0x7f000001, 2130706433, 127.1, 0177.0.0.1 are refused.
func originOf(u *url.URL) (Origin, error) {
	port := defaultPort(u.Scheme)
	if text := u.Port(); text != "" || strings.HasSuffix(u.Host, ":") {
		n, err := strconv.ParseUint(text, 10, 16)
		if err != nil || n == 0 || text[0] == '0' {
			return Origin{}, errors.New("has a port that is no number from 1 to 65535")
		}
		port = uint16(n)
	}
	host := strings.ToLower(u.Hostname())
	if strings.HasPrefix(u.Host, "[") || strings.Contains(host, ":") {
		address, err := netip.ParseAddr(host)
		if err != nil || !address.Is6() || address.Is4In6() || address.Zone() != "" {
			return Origin{}, errors.New("must be an IPv6 address without a zone and without an IPv4 address in it")
		}
		return Origin{u.Scheme, address.String(), port}, nil
	}
	if address, err := netip.ParseAddr(host); err == nil {
		return Origin{u.Scheme, address.String(), port}, nil
	}
	if err := checkName(host); err != nil {
		return Origin{}, err
	}
	return Origin{u.Scheme, host, port}, nil
}

// checkName says what is wrong with the name of a host, in lower case.
func checkName(host string) error {
	if len(host) > 253 {
		return errors.New("is longer than 253 bytes")
	}
	for label := range strings.SplitSeq(host, ".") {
		switch {
		case label == "":
			return errors.New("has nothing before, behind or between dots")
		case len(label) > 63:
			return errors.New("has more than 63 bytes between dots")
		}
		for _, c := range []byte(label) {
			if (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '-' && c != '_' {
				return errors.New("must have letters, digits, dots and hyphens only: an international name is written as xn--")
			}
		}
	}
	last := host[strings.LastIndexByte(host, '.')+1:]
	if _, err := strconv.ParseUint(last, 0, 64); err == nil || strings.Trim(last, "0123456789") == "" || strings.HasPrefix(last, "0x") {
		return errors.New("ends in a number, and is no address: an address is written as four decimal numbers")
	}
	return nil
}
