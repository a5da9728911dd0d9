package load

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// serve answers HTTP by network, and returns the address.
func serve(t *testing.T, network string, handler http.HandlerFunc) (address string) {
	t.Helper()
	at := "127.0.0.1:0"
	if network == "unix" {
		at = filepath.Join(t.TempDir(), "s")
	}
	l, err := net.Listen(network, at)
	if err != nil {
		t.Fatal(err)
	}
	server := &http.Server{Handler: handler, ReadHeaderTimeout: time.Minute}
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = server.Serve(l)
	}()
	t.Cleanup(func() {
		_ = server.Close()
		<-done
	})
	return l.Addr().String()
}

func generator(t *testing.T) *Generator {
	t.Helper()
	g, err := New()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := g.Close(); err != nil {
			t.Error(err)
		}
	})
	return g
}

const get = "GET / HTTP/1.1\r\nHost: x\r\n\r\n"

func TestRun(t *testing.T) {
	for _, network := range []string{"tcp", "unix"} {
		t.Run(network, func(t *testing.T) {
			var served atomic.Int64
			body := strings.Repeat("x", 200_000) // more than a buffer
			address := serve(t, network, func(w http.ResponseWriter, _ *http.Request) {
				served.Add(1)
				w.Header().Set("Content-Length", fmt.Sprint(len(body)))
				_, _ = io.WriteString(w, body)
			})
			g := generator(t)
			job := Job{Network: network, Address: address, Protocol: HTTP, Request: []byte(get), Body: []byte(body), Connections: 3, Requests: 100}
			report, err := g.Run(job)
			if err != nil || report.Requests != 100 || served.Load() != 100 {
				t.Fatalf("%+v, %v; the server has answered %d", report, err, served.Load())
			}
			if !(report.Seconds > 0 && report.P50 > 0 && report.P50 <= report.P99 && report.P99 <= report.P999 && report.P999 <= 1e6*report.Seconds*1.01) {
				t.Errorf("the report makes no sense: %+v", report)
			}
			job.Requests, job.Duration = 0, 20*time.Millisecond
			report, err = g.Run(job)
			if err != nil || report.Requests != int(served.Load())-100 || report.Seconds < job.Duration.Seconds() {
				t.Errorf("%+v, %v; the server has answered %d more", report, err, served.Load()-100)
			}
		})
	}
}

func TestConnectionsAreKept(t *testing.T) {
	var opened atomic.Int64
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	go func() { // it ends with the listener, and what it starts with the generator's connections
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			opened.Add(1)
			go func() {
				defer conn.Close()
				for lines := bufio.NewScanner(conn); lines.Scan(); {
					_, _ = io.WriteString(conn, "$2\r\nok\r\n")
				}
			}()
		}
	}()
	g := generator(t)
	job := Job{Network: "tcp", Address: l.Addr().String(), Protocol: RESP, Request: []byte("GET x\r\n"), Body: []byte("ok"), Requests: 10}
	for _, job.Connections = range []int{1, 4, 2, 4} {
		if report, err := g.Run(job); err != nil || report.Requests != 10 {
			t.Fatalf("%+v, %v", report, err)
		}
	}
	if opened.Load() != 4 {
		t.Errorf("%d connections were opened and not 4", opened.Load())
	}
}

func TestWrongRepliesAreErrors(t *testing.T) {
	for _, c := range []struct {
		name, want string
		handler    http.HandlerFunc
	}{
		{"a status", "503", func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "no", http.StatusServiceUnavailable) }},
		{"a length", "another body", func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "hello!") }},
		{"bytes", "another body", func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "hallo") }},
		{"an end", "closed", func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }},
	} {
		t.Run(c.name, func(t *testing.T) {
			job := Job{
				Network: "tcp", Address: serve(t, "tcp", c.handler), Protocol: HTTP,
				Request: []byte(get), Body: []byte("hello"), Connections: 1, Requests: 1,
			}
			if _, err := generator(t).Run(job); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("the error is %v", err)
			}
		})
	}
}

func TestAFaultyJobNamesAllFaults(t *testing.T) {
	_, err := generator(t).Run(Job{Varies: Span{1, 2}})
	for _, want := range []string{"Network", "Protocol", "Request ", "Varies", "Connections", "Duration"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q is not in %v", want, err)
		}
	}
}

func TestRemote(t *testing.T) {
	address := serve(t, "tcp", func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "hello") })
	jobs, send := io.Pipe()
	receive, answers := io.Pipe()
	ended := make(chan error, 1)
	go func() { ended <- Serve(jobs, answers) }()
	remote := NewRemote(send, receive)
	job := Job{Network: "tcp", Address: address, Protocol: HTTP, Request: []byte(get), Body: []byte("hello"), Connections: 2, Requests: 20}
	if report, err := remote.Run(job); err != nil || report.Requests != 20 {
		t.Errorf("%+v, %v", report, err)
	}
	job.Connections = 0
	if _, err := remote.Run(job); err == nil || !strings.Contains(err.Error(), "Connections must be positive") {
		t.Errorf("the error is %v", err)
	}
	if err := send.Close(); err != nil {
		t.Fatal(err)
	}
	if err := <-ended; err != nil {
		t.Error(err)
	}
}
