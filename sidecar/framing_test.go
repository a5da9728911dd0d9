package sidecar

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"
)

// Every request is followed by another one, which must not be carried out: what belongs to which is not certain.
func TestARequestThatCanBeReadInTwoWaysEndsItsConnection(t *testing.T) {
	const (
		h      = "Host: localhost\r\n"
		get    = "GET /healthz HTTP/1.1\r\n"
		post   = "POST /v1/odoo/call HTTP/1.1\r\n" + h + "Content-Type: application/json\r\n"
		chunks = post + "Transfer-Encoding: chunked\r\n\r\n"
	)
	l := listenerFor(t)
	end := running(t, l)
	for status, requests := range map[string][]string{
		"400": {
			post + "Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n{}",
			post + "Transfer-Encoding: chunked\r\nContent-Length: 2\r\n\r\n2\r\n{}\r\n0\r\n\r\n",
			get + h + "Transfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\n0\r\n\r\n",
			get + h + "Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
			strings.Replace(get, "GET", "HEAD", 1) + h + "content-length: 4\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
			post + "Content-Length: 2\r\nContent-Length: 2\r\n\r\n{}",
			post + "Content-Length: 2\r\nContent-Length: 3\r\n\r\n{}",
			get + h + "Content-Length: 43\r\nContent-Length: 0\r\n\r\n",
			post + "Content-Length: 2, 2\r\n\r\n{}",
			post + "Content-Length: +2\r\n\r\n{}",
			post + "Content-Length: -2\r\n\r\n{}",
			post + "Content-Length: 0x2\r\n\r\n{}",
			post + "Content-Length: 2\x0b\r\n\r\n{}",
			post + "Content-Length: 2 0\r\n\r\n{}",
			post + "Content-Length: \r\n\r\n",
			post + "Content-Length: 18446744073709551618\r\n\r\n{}",
			post + "Content-Length : 2\r\n\r\n{}",
			post + "Content-Length\t: 2\r\n\r\n{}",
			post + " Content-Length: 2\r\n\r\n{}",
			post + "X: a\r\n b\r\n\r\n",
			post + "X: a\r\n\tb\r\nContent-Length: 2\r\n\r\n{}",
			post + "X: a\r\n Content-Length: 2\r\n\r\n{}",
			get + " X: a\r\n" + h + "\r\n",
			get + h + "X: a\nContent-Length: 4\r\n\r\n",
			get + h + "X: a\n\r\n",
			get + h + "\n",
			get + "Host: localhost\n\r\n",
			"GET /healthz HTTP/1.1\n" + h + "\r\n",
			"GET /healthz HTTP/1.1\nHost: localhost\n\n",
			"\n" + get + h + "\r\n",
			get + h + "X: a\rb\r\n\r\n",
			get + h + "X: a\r\r\n\r\n",
			get + h + "X: a\x00b\r\n\r\n",
			get + h + ": b\r\n\r\n",
			get + h + "X\r\n\r\n",
			get + h + "X Y: b\r\n\r\n",
			get + h + "X(Y): b\r\n\r\n",
			get + h + h + "\r\n",
			get + h + "Host: evil\r\n\r\n",
			get + "Host: evil\r\n" + h + "\r\n",
			get + "Host : localhost\r\n\r\n",
			get + "Host:\r\n\r\n",
			get + "\r\n",
			get + "Host: localhost:80:80\r\n\r\n",
			get + "Host: localhost evil\r\n\r\n",
			"GET /healthz\r\n\r\n",
			"GET /healthz HTTP/0.9\r\n" + h + "\r\n",
			"GET /healthz HTTP/1.2\r\n" + h + "\r\n",
			"GET /healthz HTTP/2.0\r\n" + h + "\r\n",
			"GET /healthz http/1.1\r\n" + h + "\r\n",
			"GET  /healthz HTTP/1.1\r\n" + h + "\r\n",
			"GET /healthz  HTTP/1.1\r\n" + h + "\r\n",
			"GET\t/healthz HTTP/1.1\r\n" + h + "\r\n",
			"GET /healthz HTTP/1.1 \r\n" + h + "\r\n",
			" GET /healthz HTTP/1.1\r\n" + h + "\r\n",
			"GET /health z HTTP/1.1\r\n" + h + "\r\n",
			"GET /healthz\x00 HTTP/1.1\r\n" + h + "\r\n",
			"G@T /healthz HTTP/1.1\r\n" + h + "\r\n",
			"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
			post + "Transfer-Encoding: xchunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n",
			post + "Transfer-Encoding: chunked, identity\r\n\r\n2\r\n{}\r\n0\r\n\r\n",
			post + "Transfer-Encoding: gzip, chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n",
			post + "Transfer-Encoding: identity\r\nContent-Length: 2\r\n\r\n{}",
			post + "Transfer-Encoding: identity\r\n\r\n",
			get + h + "Transfer-Encoding: identity\r\n\r\n",
			post + "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n",
			post + "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n2\r\n{}\r\n0\r\n\r\n",
			post + "Transfer-Encoding : chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n",
			post + "Transfer-Encoding:\x0bchunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n",
			post + "Transfer-Encoding: chunked;q=1\r\n\r\n2\r\n{}\r\n0\r\n\r\n",
			strings.Replace(chunks, "HTTP/1.1", "HTTP/1.0", 1) + "2\r\n{}\r\n0\r\n\r\n",
			chunks + "+2\r\n{}\r\n0\r\n\r\n",
			chunks + "-2\r\n{}\r\n0\r\n\r\n",
			chunks + "0x2\r\n{}\r\n0\r\n\r\n",
			chunks + "ffffffffffffffff2\r\n{}\r\n0\r\n\r\n",
			chunks + "2\n{}\n0\n\n",
			chunks + "2\r\n{}0\r\n\r\n",
			chunks + "2\r\n{}xx0\r\n\r\n",
			chunks + "2;a=\"\n\"\r\n{}\r\n0\r\n\r\n",
			chunks + "\r\n{}\r\n0\r\n\r\n",
			chunks + "2\r\n{}\r\n0\r\nContent-Length: 5\r\n\r\n",
			chunks + "2\r\n{}\r\n0\r\nGET /readyz HTTP/1.1\r\n\r\n",
		},
		"403": {
			get + "Host: evil\r\n\r\n",
			get + "Host: localhost.evil.example\r\n\r\n",
			get + "Host: 127.0.0.1.evil.example:2774\r\n\r\n",
			get + "Host: evil@localhost\r\n\r\n",
			get + "Host: localhost,evil\r\n\r\n",
			get + "Host: 0.0.0.0\r\n\r\n",
			get + "Host: 169.254.169.254\r\n\r\n",
			"GET http://localhost/healthz HTTP/1.1\r\nHost: evil\r\n\r\n",
			"GET http://evil/healthz HTTP/1.1\r\n" + h + "\r\n",
			"GET http://localhost@evil/healthz HTTP/1.1\r\n" + h + "\r\n",
			get + h + "Origin: http://evil.example\r\n\r\n",
			get + h + "Sec-Fetch-Site: cross-site\r\n\r\n",
			get + h + "X-Forwarded-For: 127.0.0.1\r\n\r\n",
			"GET /healthz HTTP/1.0\r\n\r\n",
		},
	} {
		for _, request := range requests {
			answers, closed := allAnswers(t, l, request+get+h+"\r\n")
			if n := bytes.Count(answers, []byte("HTTP/1.1 ")); n != 1 || !bytes.HasPrefix(answers, []byte("HTTP/1.1 "+status)) || !closed {
				t.Errorf("%q: %d answers, closed %t: %.300q", request, n, closed, answers)
			}
			if !bytes.Contains(answers, []byte("Connection: close")) || !bytes.Contains(answers, []byte("application/problem+json")) {
				t.Errorf("%q: the answer is no problem, or does not say that the connection ends: %.300q", request, answers)
			}
		}
	}
	for _, request := range []string{ // odd, but there is one way to read them
		"\r\n" + get + h + "\r\n",
		get + "Host:localhost\r\n\r\n",
		get + "Host: \t localhost \t\r\n\r\n",
		get + h + "X:\r\n\r\n",
		post + "Content-Length: 02\r\n\r\n{}",
		post + "Content-Length:\t2 \r\n\r\n{}",
		post + "Transfer-Encoding: Chunked \r\n\r\n2\r\n{}\r\n0\r\n\r\n",
		chunks + "2;ext=1\r\n{}\r\n0\r\n\r\n",
		chunks + "2\r\n{}\r\n0\r\nX: y\r\n\r\n",
	} {
		answers, _ := allAnswers(t, l, request+get+h+"Connection: close\r\n\r\n")
		if n := bytes.Count(answers, []byte("HTTP/1.1 ")); n != 2 || bytes.Contains(answers, []byte("#not-http")) || !bytes.HasSuffix(answers, []byte(`{"status":"ok"}`)) {
			t.Errorf("%q: %d answers: %.300q", request, n, answers)
		}
	}
	if err := end(); err != nil {
		t.Error(err)
	}
}

// allAnswers sends text, and returns all answers until the server closes the connection, or leaves it open.
func allAnswers(t *testing.T, l net.Listener, text string) (answers []byte, closed bool) {
	t.Helper()
	c, err := net.Dial(l.Addr().Network(), l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(10 * time.Second))
	if _, err := io.WriteString(c, text); err != nil {
		t.Fatal(err)
	}
	answers, err = io.ReadAll(c)
	return answers, !errors.Is(err, os.ErrDeadlineExceeded)
}

func TestACallerWithAWrongTokenLosesItsConnection(t *testing.T) {
	l := listenerFor(t)
	end := newServer(t, Config{Token: "s3cret"}).running(t, l)
	answers, closed := allAnswers(t, l, strings.Repeat("GET /debug/cache HTTP/1.1\r\nHost: localhost\r\nX-Hearth-Token: wrong\r\n\r\n", 3))
	if resp, err := http.ReadResponse(bufio.NewReader(bytes.NewReader(answers)), nil); err != nil || resp.StatusCode != 401 || !closed ||
		bytes.Count(answers, []byte("HTTP/1.1 ")) != 1 {
		t.Errorf("it is answered %q", answers)
	}
	if err := end(); err != nil {
		t.Error(err)
	}
}
