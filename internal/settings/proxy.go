package settings

import (
	"cmp"
	"net"
	"net/netip"
	"net/url"
	"strconv"
	"strings"

	"golang.org/x/net/http/httpproxy"
)

// noProxy is the value of HEARTH_PROXY with which HTTPS_PROXY is ignored.
const noProxy = "none"

// ProxyFor is the forward proxy for a URL; nil: there is none. HEARTH_PROXY is used for every URL that NO_PROXY does not except. If it is
// not set, HTTPS_PROXY is used as in other Go programs: not for http://, and not for this machine itself.
func (s *Settings) ProxyFor(target string) *url.URL {
	to, err := url.Parse(target)
	if err != nil || s.Proxy == noProxy {
		return nil
	}
	rules := httpproxy.Config{HTTPSProxy: cmp.Or(s.HTTPSProxyLower, s.HTTPSProxy), NoProxy: cmp.Or(s.NoProxyLower, s.NoProxy)}
	if s.Proxy != "" {
		rules.HTTPSProxy, rules.HTTPProxy = s.Proxy, s.Proxy
	}
	ip, err := netip.ParseAddr(to.Hostname())
	if s.Proxy != "" && (to.Hostname() == "localhost" || err == nil && ip.IsLoopback()) { // the library uses no proxy for these
		own, err := url.Parse(s.Proxy)
		if err != nil || exceptsLoopback(rules.NoProxy, to) {
			return nil
		}
		return own
	}
	proxy, err := rules.ProxyFunc()(to)
	if err != nil {
		return nil
	}
	return proxy
}

// exceptsLoopback says whether NO_PROXY excepts a URL of this machine itself, by the library's rules for other hosts.
func exceptsLoopback(noProxy string, to *url.URL) bool {
	host := to.Hostname()
	ip, _ := netip.ParseAddr(host) // not valid for localhost
	port := cmp.Or(to.Port(), map[string]string{"http": "80", "https": "443"}[to.Scheme])
	for entry := range strings.SplitSeq(strings.ToLower(noProxy), ",") {
		entry = strings.TrimSpace(entry)
		if network, err := netip.ParsePrefix(entry); err == nil && network.Contains(ip) || entry == "*" {
			return true
		}
		name, only, err := net.SplitHostPort(entry)
		if err != nil {
			name, only = strings.Trim(entry, "[]"), ""
		}
		address, err := netip.ParseAddr(name)
		if (name == host || err == nil && address == ip) && (only == "" || only == port) {
			return true
		}
	}
	return false
}

func (s *Settings) validateProxy(f *faults) {
	f.check(s.Proxy == "" || s.Proxy == noProxy || isProxy(s.Proxy), "HEARTH_PROXY",
		"must be http://host:port or https://host:port, with user:password@ before the host (percent-encoded) if the proxy wants them; or none")
	for _, target := range []string{s.WeaviateURL, s.WeaviateGRPCURL, s.OdooURL} {
		if proxy := s.ProxyFor(target); s.Proxy == "" && proxy != nil && !isProxy(proxy.String()) {
			f.unreadable("HTTPS_PROXY", "must be http://host:port or https://host:port; HEARTH_PROXY sets another one, or none")
		}
	}
}

// isProxy says whether s is the URL of a forward proxy. It may hold a user and a password.
func isProxy(s string) bool {
	u, err := url.Parse(s)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Hostname() == "" {
		return false
	}
	port, err := strconv.ParseUint(cmp.Or(u.Port(), "1"), 10, 16)
	return err == nil && port > 0 && strings.Trim(u.Path, "/") == "" && u.RawQuery == "" && !u.ForceQuery && u.Fragment == ""
}
