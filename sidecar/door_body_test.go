package sidecar

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"time"
)

// What can be refused by its headers is refused before its body comes, and while it comes. The connection ends then, but not before
// the caller has read the answer.
func TestARequestIsRefusedWithoutItsBody(t *testing.T) {
	l := listenerFor(t)
	s := newServer(t, Config{MaxBody: 1000, Token: "s3cret"})
	s.headerTimeout = time.Hour
	end := s.running(t, l)
	const right, wrong = "X-Hearth-Token: s3cret\r\n", "X-Hearth-Token: s3cre\r\n"
	for _, c := range []struct {
		request, headers string
		length, status   int
	}{
		{"POST /v1/preprocess", right, 1001, 413},
		{"POST /v1/preprocess", right, 4 << 20, 413},
		{"POST /v1/nothing", right, 4 << 20, 404},
		{"DELETE /v1/preprocess", right, 4 << 20, 405},
		{"POST /v1/preprocess", wrong, 1, 401},
		{"POST /v1/preprocess", wrong, 4 << 20, 401},
		{"POST /v1/preprocess", wrong + "Forwarded: x\r\n", 10, 403},
		{"POST /v1/preprocess", wrong + "Content-Length: 10\r\n", 10, 400},
		{"POST /v1/preprocess", wrong + "Expect: 100-continue\r\n", 10, 401},
		{"POST /v1/preprocess", right + "Expect: 100-continue\r\n", 4 << 20, 413},
		{"POST /v1/preprocess", right + headerUnread + ": 1\r\n", 0, 413}, // only to itself
	} {
		for _, sends := range []bool{false, true} {
			conn, err := net.Dial("tcp", l.Addr().String())
			if err != nil {
				t.Fatal(err)
			}
			fmt.Fprintf(conn, "%s HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n%sContent-Length: %d\r\n\r\n", c.request, c.headers, c.length)
			if sends {
				if _, err := io.WriteString(conn, strings.Repeat("x", c.length)+"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n"); err != nil {
					t.Fatalf("%+v: %v", c, err)
				}
			}
			answer, err := io.ReadAll(conn)
			if err != nil || !bytes.HasPrefix(answer, fmt.Appendf(nil, "HTTP/1.1 %d ", c.status)) || bytes.Count(answer, []byte("HTTP/1.1 ")) != 1 {
				t.Errorf("%+v, with its body %t: %q, %v", c, sends, answer, err)
			}
			_ = conn.Close()
		}
	}
	if err := end(); err != nil {
		t.Error(err)
	}
}

// Nor does a caller without the right token send a chunked body, whose length is not known.
func TestAChunkedRequestIsRefusedWithoutItsBody(t *testing.T) {
	l := listenerFor(t)
	end := newServer(t, Config{Token: "s3cret"}).running(t, l)
	for headers, status := range map[string]int{"": 401, "Content-Length: 10\r\n": 400} {
		conn, err := net.Dial("tcp", l.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(conn, "POST /v1/preprocess HTTP/1.1\r\nHost: localhost\r\nExpect: 100-continue\r\nTransfer-Encoding: chunked\r\n%s\r\n", headers)
		answer := make([]byte, 12)
		if _, err := io.ReadFull(conn, answer); err != nil || string(answer) != fmt.Sprintf("HTTP/1.1 %d", status) {
			t.Errorf("%q: %q, %v", headers, answer, err)
		}
		_ = conn.Close()
	}
	if err := end(); err != nil {
		t.Error(err)
	}
}

// /healthz needs no token, so it takes a body as other calls do: with or without the token.
func TestHealthWithABodyNeedsNoToken(t *testing.T) {
	l := listenerFor(t)
	end := newServer(t, Config{MaxBody: 1000, Token: "s3cret"}).running(t, l)
	for _, c := range []struct {
		method         string
		length, status int
	}{{"GET", 2, 200}, {"HEAD", 2, 200}, {"POST", 2, 405}, {"GET", 1001, 413}} {
		conn, err := net.Dial("tcp", l.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(conn, "%s /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s",
			c.method, c.length, strings.Repeat(" ", c.length))
		if answer, err := io.ReadAll(conn); err != nil || !bytes.HasPrefix(answer, fmt.Appendf(nil, "HTTP/1.1 %d ", c.status)) {
			t.Errorf("%+v: %q, %v", c, answer, err)
		}
		_ = conn.Close()
	}
	if err := end(); err != nil {
		t.Error(err)
	}
}
