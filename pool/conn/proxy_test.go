package conn

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"testing/synctest"
	"time"
	"unicode"
	"unicode/utf8"
)

// A server of HTTP/2 sends its settings before the client has said anything. They may come with the proxy's own answer.
func TestWhatComesWithTheProxysAnswerIsTheUpstreams(t *testing.T) {
	near, far := net.Pipe()
	defer near.Close()
	go func() {
		defer far.Close()
		in := bufio.NewReader(far)
		req, err := http.ReadRequest(in)
		if err != nil || req.Method != http.MethodConnect || req.RequestURI != "upstream.example:80" || req.Host != req.RequestURI {
			t.Errorf("the proxy is asked %+v, %v", req, err)
		}
		_, _ = io.WriteString(far, "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\n\r\nearly")
		_, _ = io.WriteString(far, " and late")
	}()
	c, err := tunnel(t.Context(), near, &url.URL{Scheme: "http", Host: "proxy"}, "upstream.example:80", new(tls.Config))
	if err != nil {
		t.Fatal(err)
	}
	if got, err := io.ReadAll(c); string(got) != "early and late" || err != nil {
		t.Errorf("got %q, %v", got, err)
	}
}

// A proxy may refuse, and neither tell the length of its page nor close the connection.
func TestARefusalWithoutAnEndIsTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		near, far := net.Pipe()
		defer far.Close()
		go func() {
			_, _ = http.ReadRequest(bufio.NewReader(far))
			_, _ = io.WriteString(far, "HTTP/1.1 407 Proxy Authentication Required\r\n\r\nlog in first")
		}()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		_, err := tunnel(ctx, near, &url.URL{Scheme: "http", Host: "proxy"}, "upstream.example:80", new(tls.Config))
		if e, ok := errors.AsType[*ProxyError](err); !ok || e.Status != http.StatusProxyAuthRequired || e.Text != "log in first" || ctx.Err() != nil {
			t.Errorf("%v; the caller's time is over: %v", err, ctx.Err())
		}
	})
}

func FuzzWhatAProxySays(f *testing.F) {
	for _, page := range []string{"", "no", "<html><title>x &amp; y</title>", "\x1b[31m\r\nred", "Basic bWU6aHVudGVyMiE=", "hunter2!", "hunt\xffer2!", "bWU6aHVudGVyMiE", "\u0087"} {
		f.Add(page, "text/html")
		f.Add(page, "")
	}
	f.Fuzz(func(t *testing.T, page, kind string) {
		text := proxyText(page, http.Header{"Content-Type": {kind}}, url.UserPassword("me", "hunter2!"), "bWU6aHVudGVyMiE=")
		if len(text) > mostProxyText || !utf8.ValidString(text) || strings.ContainsFunc(text, unicode.IsControl) ||
			strings.Contains(text, "hunter2!") || strings.Contains(text, "bWU6aHVudGVyMiE") {
			t.Errorf("%q", text)
		}
	})
}
