package pool

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"hearth/internal/testing/testnet"
)

func TestAServerThatNeverShakesHandsCostsOneDialTimeout(t *testing.T) {
	l, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0") // the kernel accepts, and nobody answers
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	p := newPool(t, Config{Name: "upstream", URL: "https://" + l.Addr().String(), DialTimeout: 100 * time.Millisecond, Timeout: 5 * time.Second, Retries: -1})
	for range 2 { // the second does not wait for the first one's dial either
		_, err := p.Do(t.Context(), Request{Method: http.MethodGet, Path: "/"})
		e, ok := errors.AsType[*Error](err)
		if !ok || e.Sent || !strings.Contains(err.Error(), "TLS handshake timeout") {
			t.Errorf("the call ended with %v", err)
		}
	}
	if s := p.Stats(); s.Dials != 2 || s.DialErrors != 2 || s.Handshakes != 0 {
		t.Errorf("statistics %+v", s)
	}
}

func TestVersionsOfTLSThatAreBrokenAreRefused(t *testing.T) {
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
		t.Error("a request went over TLS 1.1")
	}))
	server.TLS = &tls.Config{MinVersion: tls.VersionTLS10, MaxVersion: tls.VersionTLS11}
	server.Config.ErrorLog = log.New(io.Discard, "", 0)
	server.StartTLS()
	defer server.Close()
	roots := x509.NewCertPool()
	roots.AddCert(server.Certificate())
	p := newPool(t, Config{Name: "upstream", URL: server.URL, Retries: -1, RootCAs: func() *x509.CertPool { return roots }})
	if _, err := p.Do(t.Context(), Request{Method: http.MethodGet, Path: "/"}); err == nil || !strings.Contains(err.Error(), "protocol version") {
		t.Errorf("got %v", err)
	}
}

func TestAnAnswerComesAsTheUpstreamSentIt(t *testing.T) {
	p := start(t, testnet.Config{}, func(w http.ResponseWriter, r *http.Request) {
		if got := r.Header.Get("Accept-Encoding"); got != "" {
			t.Errorf("it asks for %s", got)
		}
		if r.URL.Path == "/headers" {
			w.Header().Set("Long", strings.Repeat("x", 2<<20))
		}
	}, nil)
	p.get("/")
	_ = p.fails(t.Context(), Request{Method: http.MethodPost, Path: "/headers"}) // more than a megabyte of headers is no answer
}
