package web

import (
	"errors"
	"net/http"
	"strings"
	"testing"

	"hearth/pool"
)

// What passes the check goes to an origin of the list, whoever reads the URL that is sent.
func FuzzAURLThatPassesLeadsIntoTheList(f *testing.F) {
	for _, s := range []string{
		"https://api.test/", "https://api.test", "HTTPS://API.TEST/a%2Fb?c=d", "https://api.test:443/", "http://10.1.2.3:80/x", "http://10.1.2.3/", "http://[fd00::1]:8080/",
		"https://api.test@evil.test/", "https://api.test:443@evil.test", "https://evil.test#@api.test", "https://evil.test\\@api.test", "https://api.test\\.evil.test",
		"https://api.test%2eevil.test", "https://api.test.", "https://api.test:/", "https://api.test:0443", "https:api.test", "//api.test", "https:///api.test",
		"http://0x0a010203:80", "http://167838211:80/", "http://10.66051:80", "http://012.1.2.3:80", "http://[::ffff:10.1.2.3]:80", "http://[fd00::1%25lo]:8080",
		"https://api.test/\r\nHost: evil.test", "https://api.test\t", "https://аpi.test", "https://api。test", "https://api.test/?q=#f", "https://%61pi.test/", "https://api.test//evil.test/",
		"https://api.test/" + strings.Repeat("\x86", MaxURL/2),
	} {
		f.Add(s)
	}
	var allow Allow
	if err := allow.UnmarshalText([]byte("api.test,http://10.1.2.3:80,http://[fd00::1]:8080")); err != nil {
		f.Fatal(err)
	}
	hosts := map[string]bool{"https://api.test": true, "http://10.1.2.3": true, "http://[fd00::1]:8080": true}
	f.Fuzz(func(t *testing.T, raw string) {
		target, err := allow.Check(raw)
		if err != nil {
			_, notURL := errors.AsType[*NotURLError](err)
			_, notAllowed := errors.AsType[*NotAllowedError](err)
			if !notURL && !notAllowed {
				t.Fatalf("%q: %v is no error that names a rule", raw, err)
			}
			return
		}
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, target.Origin.URL()+target.Path, nil)
		if err != nil {
			t.Fatalf("%q passes, and cannot be sent: %v", raw, err)
		}
		if at := req.URL.Scheme + "://" + req.URL.Host; !hosts[at] || req.URL.User != nil || strings.ContainsAny(req.URL.RequestURI(), " \r\n\t\\") {
			t.Errorf("%q is sent to %s as %q", raw, at, req.URL.RequestURI())
		}
		if again, err := allow.Check(target.URL()); err != nil || again != target {
			t.Errorf("%q is %+v, and read again %+v, %v", raw, target, again, err)
		}
	})
}

// A redirect that is followed leads into the list, and brings no credential to another origin.
func FuzzARedirectThatIsFollowedLeadsIntoTheList(f *testing.F) {
	for _, s := range []string{"/", "?a", "b/../c", "//api.test/", "http://10.1.2.3:80/", "//evil.test", "https:evil", "\\\\evil", "http://a@api.test", "https://api.test:443/#x", "%zz", "https://api.test\x00", strings.Repeat("\x86", MaxURL/2)} {
		f.Add(s)
	}
	var allow Allow
	if err := allow.UnmarshalText([]byte("api.test,http://10.1.2.3:80")); err != nil {
		f.Fatal(err)
	}
	from, err := allow.Check("https://api.test/a?b")
	if err != nil {
		f.Fatal(err)
	}
	header := http.Header{"Authorization": {"secret"}, "X-Api-Key": {"secret"}, "Accept": {"*/*"}}
	f.Fuzz(func(t *testing.T, location string) {
		next, err := allow.Redirected(Request{Method: http.MethodGet, Target: from, Header: header}, http.StatusFound, location)
		if err != nil {
			if _, ok := errors.AsType[*NotAllowedError](err); !ok {
				t.Fatalf("%q: %v is no rule", location, err)
			}
			return
		}
		if again, err := allow.Check(next.Target.URL()); err != nil || again != next.Target {
			t.Errorf("%q leads to %+v, which read again is %+v, %v", location, next.Target, again, err)
		}
		if next.Target.Origin != from.Origin && len(next.Header) != 1 {
			t.Errorf("%q at another origin has the headers %v", location, next.Header)
		}
	})
}

// Every element that is taken makes a pool, and reads the same when it is written again.
func FuzzAnAllowListThatIsTakenCanBeServed(f *testing.F) {
	for _, s := range []string{
		"api.test", "api.test:8443", "https://api.test", "http://api.test:80", "10.1.2.3:1", "[fd00::1]:65535", "http://[::1]:80,a.b", "*.test", "a,,b", " a , b ", "a:0", "a:x", "a:99999",
		"10.1.2.3", "[::ffff:10.1.2.3]:80", "http://a", "ftp://a:1", "a/b", "a?b", "u@a", "0x7f.1:80", "xn--a", "ä", "[fe80::1%25lo]:1", "a..b", "A.TEST", "http://", "0.0.0.0:1", "http://[::]:1",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		var allow Allow
		if allow.UnmarshalText([]byte(text)) != nil {
			return
		}
		for _, o := range allow {
			p, err := pool.New(pool.Config{Name: o.HostPort(), URL: o.URL()})
			if err != nil {
				t.Fatalf("%q: %+v makes no pool: %v", text, o, err)
			}
			p.Close()
			if target, err := allow.Check(o.URL() + "/"); err != nil || target.Origin != o {
				t.Errorf("%q: %s is not allowed: %+v, %v", text, o.URL(), target, err)
			}
		}
	})
}
