package pool

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/binary"
	"errors"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"hearth/internal/testing/testnet"
)

// frames counts the HTTP/2 frames that come over c, by type, until it is closed. It answers with settings alone.
func frames(c net.Conn) map[byte]int {
	const header, settings = 9, 4
	seen := map[byte]int{}
	in := bufio.NewReader(c)
	if _, err := io.CopyN(io.Discard, in, int64(len("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"))); err != nil {
		return seen
	}
	if _, err := c.Write([]byte{3: settings, header - 1: 0}); err != nil {
		return seen
	}
	for {
		var frame [header]byte
		if _, err := io.ReadFull(in, frame[:]); err != nil {
			return seen
		}
		seen[frame[3]]++
		if _, err := io.CopyN(io.Discard, in, int64(binary.BigEndian.Uint32(frame[:4])>>8)); err != nil {
			return seen
		}
	}
}

func TestAnIdleConnectionToAGRPCServerIsNotPinged(t *testing.T) {
	for _, grpc := range []bool{true, false} {
		synctest.Test(t, func(t *testing.T) {
			const ping = 6
			tr := newTransport(Config{GRPC: grpc}.withDefaults())
			tr.Protocols = new(http.Protocols)
			tr.Protocols.SetUnencryptedHTTP2(true)
			near, far := net.Pipe()
			tr.DialContext = func(context.Context, string, string) (net.Conn, error) { return near, nil }
			var seen map[byte]int
			var server sync.WaitGroup
			server.Go(func() { seen = frames(far) })
			c, err := tr.NewClientConn(t.Context(), "http", "upstream:80")
			if err != nil {
				t.Fatal(err)
			}
			time.Sleep(time.Minute)
			alive := c.Err() == nil
			_ = c.Close()
			_ = far.Close()
			server.Wait()
			if pinged := seen[ping] > 0; pinged == grpc || alive != grpc {
				t.Errorf("gRPC %v: frames by type %v, alive: %v", grpc, seen, alive)
			}
		})
	}
}

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
