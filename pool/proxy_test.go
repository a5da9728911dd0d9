package pool

import (
	"bufio"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"hearth/internal/testing/await"
	"hearth/internal/testing/testnet"
)

const proxyPassword = "pass:w@rd/ü"

// startForward starts a forward proxy, and returns its URL with user and password.
func startForward(t *testing.T, cfg testnet.ForwardConfig) (*testnet.Forward, *url.URL) {
	t.Helper()
	f, err := testnet.NewForward(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = f.Close() })
	u, err := url.Parse(f.URL)
	if err != nil {
		t.Fatal(err)
	}
	if user, password, ok := strings.Cut(cfg.User, ":"); ok {
		u.User = url.UserPassword(user, password)
	}
	return f, u
}

func roots(t *testing.T, servers ...*testnet.Server) func() *x509.CertPool {
	t.Helper()
	all := x509.NewCertPool()
	for _, s := range servers {
		if s.CA != nil && !all.AppendCertsFromPEM(s.CA) {
			t.Fatal("the authority is no PEM")
		}
	}
	return func() *x509.CertPool { return all }
}

// Whatever the way to the proxy and to the upstream, each connection is a tunnel, and the upstream's name reaches the proxy
// unresolved.
func TestEveryConnectionGoesThroughTheProxy(t *testing.T) {
	for _, secure := range []bool{false, true} {
		for _, upstream := range []testnet.Config{{}, {TLS: true}, {HTTP2: true}, {TLS: true, HTTP2: true}} {
			t.Run(fmt.Sprintf("proxy with TLS %v, upstream %+v", secure, upstream), func(t *testing.T) {
				behind, err := testnet.Serve(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					if r.Header.Get("Proxy-Authorization") != "" {
						t.Error("the upstream is told the proxy's password")
					}
					_, _ = io.WriteString(w, r.Proto)
				}), upstream)
				if err != nil {
					t.Fatal(err)
				}
				t.Cleanup(func() { _ = behind.Close() })
				_, port, _ := net.SplitHostPort(behind.Addr)
				name := "only-the-proxy-knows:" + port
				scheme := "http"
				if upstream.TLS { // the certificate is for localhost
					scheme, name = "https", "localhost:"+port
				}
				proxy, at := startForward(t, testnet.ForwardConfig{TLS: secure, User: "me:" + proxyPassword, Hosts: map[string]string{name: behind.Addr}})
				p := newPool(t, Config{
					Name: "upstream", URL: scheme + "://" + name, Proxy: at, GRPC: upstream.HTTP2, RootCAs: roots(t, behind, proxy.Server),
				})
				for range 3 {
					resp, err := p.Do(t.Context(), Request{Method: http.MethodGet, Path: "/"})
					if err != nil {
						t.Fatal(err)
					}
					if (string(resp.Body) == "HTTP/2.0") != upstream.HTTP2 {
						t.Errorf("it speaks %s", resp.Body)
					}
				}
				if got := proxy.Tunnels(); len(got) != 1 || got[name] != 1 {
					t.Errorf("tunnels: %v", got)
				}
				if want := "through the proxy " + proxy.Addr; p.Way() != want {
					t.Errorf("the way is %q, want %q", p.Way(), want)
				}
			})
		}
	}
}

// The kernel knows only of the socket to the proxy.
func TestATunnelThatTheProxyClosedIsNotUsed(t *testing.T) {
	behind, err := testnet.Serve(http.NotFoundHandler(), testnet.Config{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = behind.Close() })
	proxy, at := startForward(t, testnet.ForwardConfig{})
	p := newPool(t, Config{Name: "upstream", URL: behind.URL, Proxy: at, Retries: -1})
	for range 3 { // a POST is not repeated
		if _, err := p.Do(t.Context(), Request{Method: http.MethodPost, Path: "/"}); err != nil {
			t.Fatal(err)
		}
		proxy.Cut()
		await.That(t, "the connection is gone", func() bool { return p.Stats().Open == 0 })
	}
	if got := proxy.Tunnels()[behind.Addr]; got != 3 {
		t.Errorf("%d tunnels", got)
	}
}

func TestAProxyThatRefusesIsHeard(t *testing.T) {
	credentials := base64.StdEncoding.EncodeToString([]byte("me:" + proxyPassword))
	for _, tc := range []struct {
		status     int
		kind, page string
		says       string
		asked      int // how often, with two retries
	}{
		{status: 407, page: "no " + proxyPassword + " " + url.QueryEscape(proxyPassword) + " " + credentials, says: "407 Proxy Authentication Required: no … … …", asked: 1},
		{status: 403, kind: "text/html", page: "<html><head><style>x{}</style><TITLE>Not\n allowed &amp; never</TITLE>" + strings.Repeat("x", 1<<20), says: "403 Forbidden: Not allowed & never", asked: 1},
		{status: 403, page: strings.Repeat("long ", 10_000), says: "403 Forbidden: long long", asked: 1},
		{status: 302, page: "\x1b[31m\r\nred", says: "302 Found: [31m red", asked: 1},
		{status: 405, says: "405 Method Not Allowed", asked: 1},
		{status: 502, page: "no route", says: "502 Bad Gateway: no route", asked: 3},
		{status: 503, says: "503 Service Unavailable", asked: 3},
		{status: 429, says: "429 Too Many Requests", asked: 3},
	} {
		t.Run(fmt.Sprint(tc.status, tc.kind), func(t *testing.T) {
			asked := 0
			proxy, at := startForward(t, testnet.ForwardConfig{Hook: func(w http.ResponseWriter, _ *http.Request) bool {
				asked++
				w.Header().Set("Content-Type", tc.kind)
				w.WriteHeader(tc.status)
				_, _ = io.WriteString(w, tc.page)
				return true
			}})
			at.User = url.UserPassword("me", proxyPassword)
			p := newPool(t, Config{Name: "upstream", URL: "https://upstream.example", Proxy: at, Size: 1})
			_, err := p.Do(t.Context(), Request{Method: http.MethodGet, Path: "/"})
			e, ok := errors.AsType[*Error](err)
			if !ok || e.Sent {
				t.Fatalf("got %v", err)
			}
			want := "no answer from upstream at https://upstream.example: the proxy " + proxy.Addr + " answers " + tc.says
			if got := e.Explain(); !strings.HasPrefix(got, want) || len(got) > len(want)+400 || strings.Contains(got, proxyPassword) || strings.Contains(got, credentials) {
				t.Errorf("it explains %q, want %q", got, want)
			}
			refusal, ok := errors.AsType[*ProxyError](err)
			if !ok || refusal.Refused() != (tc.asked == 1) || asked != tc.asked {
				t.Errorf("%v, the proxy was asked %d times", err, asked)
			}
		})
	}
}

// brokenProxy accepts and answers each connection with what answer writes.
func brokenProxy(t *testing.T, answer func(net.Conn)) *url.URL {
	t.Helper()
	l, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			answer(c)
			_ = c.Close()
		}
	}()
	t.Cleanup(func() { _ = l.Close(); <-ended })
	return &url.URL{Scheme: "http", Host: l.Addr().String()}
}

func TestAProxyThatDoesNotAnswerAsOneCostsOneDialTimeout(t *testing.T) {
	ask := func(c net.Conn) { _, _ = http.ReadRequest(bufio.NewReader(c)) }
	left := func(c net.Conn) { _, _ = io.Copy(io.Discard, c) } // until the pool has left
	for name, tc := range map[string]struct {
		answer func(net.Conn) // nil: there is none
		says   string
	}{
		"nobody there": {nil, "connection refused"},
		"silence":      {left, "there was no answer in time"},
		"closes":       {ask, "the connection broke"},
		"drips":        {func(c net.Conn) { ask(c); _, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nA: b"); left(c) }, "there was no answer in time"},
		"no HTTP":      {func(c net.Conn) { ask(c); _, _ = io.WriteString(c, "SSH-2.0\r\n\r\n"); left(c) }, "it does not speak HTTP/1.1"},
		"an endless header": {func(c net.Conn) {
			ask(c)
			_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nA: "+strings.Repeat("x", 1<<20))
			left(c)
		}, "too long a header"},
		"an endless page": {func(c net.Conn) {
			ask(c)
			_, _ = io.WriteString(c, "HTTP/1.1 403 No\r\nContent-Length: 999999\r\n\r\nnever")
			left(c)
		}, "answers 403 Forbidden: never"},
	} {
		t.Run(name, func(t *testing.T) {
			at := &url.URL{Scheme: "http", Host: "127.0.0.1:1"}
			if tc.answer != nil {
				at = brokenProxy(t, tc.answer)
			}
			p := newPool(t, Config{Name: "upstream", URL: "http://upstream.example", Proxy: at, Retries: -1, DialTimeout: 200 * time.Millisecond})
			_, err := p.Do(t.Context(), Request{Method: http.MethodGet, Path: "/"})
			e, ok := errors.AsType[*Error](err)
			if !ok || e.Sent || !strings.Contains(e.Explain(), "the proxy "+at.Host) || !strings.Contains(e.Explain(), tc.says) {
				t.Errorf("got %v, explained as %q", err, e.Explain())
			}
			if s := p.Stats(); s.DialErrors != s.Dials || s.Dials == 0 {
				t.Errorf("%+v", s)
			}
		})
	}
}
