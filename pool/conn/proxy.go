package conn

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"encoding/base64"
	"errors"
	"fmt"
	"html"
	"io"
	"net"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"time"
	"unicode"
)

// ProxyError is a connection that the forward proxy did not make. It names the proxy without its user and password.
type ProxyError struct {
	Proxy  string // host:port
	Status int    // of the proxy's answer; 0: there was none, and Err says why
	Text   string // what the proxy says: one line of at most 256 bytes, without the credentials that it got
	Err    error
}

func (e *ProxyError) Error() string {
	if e.Status == 0 {
		return fmt.Sprintf("proxy %s: %v", e.Proxy, e.Err)
	}
	said := fmt.Sprintf("the proxy %s answers %d %s", e.Proxy, e.Status, http.StatusText(e.Status))
	if e.Text != "" {
		said += ": " + e.Text
	}
	return said
}

// Unwrap returns why there was no answer.
func (e *ProxyError) Unwrap() error { return e.Err }

// Refused says that the proxy would give the same answer again. It is false if the proxy is overloaded or did not reach the upstream.
func (e *ProxyError) Refused() bool {
	switch e.Status {
	case 0, http.StatusRequestTimeout, http.StatusTooManyRequests, http.StatusInternalServerError,
		http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		return false
	}
	return true
}

const (
	mostProxyHeader = 64 << 10 // bytes of the header of the answer to CONNECT
	mostProxyPage   = 4 << 10  // bytes that are read of an answer without a tunnel
	mostProxyText   = 256      // bytes of ProxyError.Text

	mostProxyWait = 250 * time.Millisecond // for the rest of an answer without a tunnel: it may never come
)

// Address is the host and port of an http or https URL.
func Address(u *url.URL) string {
	port := u.Port()
	if port == "" {
		port = map[string]string{"http": "80", "https": "443"}[u.Scheme]
	}
	return net.JoinHostPort(u.Hostname(), port)
}

// tunnel turns c, a new connection to the proxy, into one to the address behind the proxy. The proxy resolves the address's name. If there
// is an error, tunnel closes c. trust has the root certificates for a proxy that speaks TLS.
func tunnel(ctx context.Context, c net.Conn, proxy *url.URL, address string, trust *tls.Config) (net.Conn, error) {
	fail := func(err error) (net.Conn, error) {
		_ = c.Close()
		if refusal, ok := errors.AsType[*ProxyError](err); ok {
			return nil, refusal
		}
		if ctx.Err() != nil {
			err = context.Cause(ctx)
		}
		return nil, &ProxyError{Proxy: Address(proxy), Err: err}
	}
	stop := context.AfterFunc(ctx, func() { _ = c.SetDeadline(time.Unix(1, 0)) })
	defer stop()
	through := c
	if proxy.Scheme == "https" {
		secured := tls.Client(c, &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: trust.RootCAs, ServerName: proxy.Hostname(), NextProtos: []string{"http/1.1"}})
		if err := secured.HandshakeContext(ctx); err != nil {
			return fail(err)
		}
		through = secured
	}
	early, err := connect(through, proxy, address)
	if err != nil {
		return fail(err)
	}
	if !stop() {
		return fail(context.Cause(ctx))
	}
	if len(early) > 0 { // a server of HTTP/2 may speak first
		through = &earlyConn{through, io.MultiReader(bytes.NewReader(early), through)}
	}
	return through, nil
}

// connect asks the proxy for a tunnel, and returns the bytes that have already come through the tunnel.
func connect(c net.Conn, proxy *url.URL, address string) (early []byte, err error) {
	req := &http.Request{Method: http.MethodConnect, URL: &url.URL{Opaque: address}, Host: address, Header: http.Header{"User-Agent": {"hearth"}}}
	credentials := ""
	if proxy.User != nil {
		password, _ := proxy.User.Password()
		credentials = base64.StdEncoding.EncodeToString([]byte(proxy.User.Username() + ":" + password))
		req.Header.Set("Proxy-Authorization", "Basic "+credentials)
	}
	if err := req.Write(c); err != nil {
		return nil, err
	}
	limited := &io.LimitedReader{R: c, N: mostProxyHeader}
	in := bufio.NewReader(limited)
	resp, err := http.ReadResponse(in, req)
	for err == nil && resp.StatusCode < http.StatusOK { // such as 100 Continue
		resp, err = http.ReadResponse(in, req)
	}
	if err != nil && limited.N <= 0 {
		return nil, errors.New("its answer to CONNECT has too long a header")
	}
	if err != nil {
		return nil, err
	}
	if resp.StatusCode < http.StatusMultipleChoices {
		return in.Peek(in.Buffered())
	}
	defer resp.Body.Close()
	var page []byte
	if err := c.SetReadDeadline(time.Now().Add(mostProxyWait)); err == nil {
		page, _ = io.ReadAll(io.LimitReader(resp.Body, mostProxyPage)) // after an error, the part that was read will do
	}
	return nil, &ProxyError{Proxy: Address(proxy), Status: resp.StatusCode, Text: proxyText(string(page), resp.Header, proxy.User, credentials)}
}

// proxyText is what the page of a proxy says in one line, without the credentials: the title of an HTML page, or else the text itself.
func proxyText(page string, header http.Header, user *url.Userinfo, credentials string) string {
	if strings.Contains(header.Get("Content-Type"), "html") {
		title := regexp.MustCompile(`(?is)<title[^>]*>(.*?)</title>`).FindStringSubmatch(page)
		page = ""
		if title != nil {
			page = html.UnescapeString(title[1])
		}
	}
	page = strings.ToValidUTF8(page, " ")
	if user != nil {
		password, _ := user.Password()
		for _, secret := range []string{strings.TrimRight(credentials, "="), user.String(), password, url.QueryEscape(password)} {
			if secret != "" {
				page = strings.ReplaceAll(page, secret, "…")
			}
		}
	}
	page = strings.Map(func(r rune) rune {
		if unicode.IsControl(r) {
			return ' '
		}
		return r
	}, page)
	page = strings.Join(strings.Fields(page), " ")
	return strings.ToValidUTF8(page[:min(len(page), mostProxyText)], "") // a character may have been cut
}

// earlyConn is a connection from which something was read early.
type earlyConn struct {
	net.Conn

	in io.Reader // what was read early, then the connection
}

func (c *earlyConn) Read(b []byte) (int, error) { return c.in.Read(b) }
