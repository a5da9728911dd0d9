package sidecar

import (
	"bytes"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"hearth/client/wire"
)

func TestJobsLeaveRoomForARequestThatIsWaitedFor(t *testing.T) {
	var waiting atomic.Int64
	end := make(chan struct{})
	e := fetchFromHandler(t, func(_ http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/waits" {
			waiting.Add(1)
			select {
			case <-end:
			case <-r.Context().Done():
			}
		}
	}, nil)
	defer close(end)
	for i := range 20 {
		e.want(http.StatusAccepted, "POST", wire.PathFetch, fmt.Sprintf(`{"url":"%s/waits?%d","async":true}`, e.URL, i))
	}
	for waiting.Load() < 7 {
		<-time.After(time.Millisecond)
	}
	if got, _ := e.fetch(t, "/", `,"timeout_ms":5000`); got.Status != 200 {
		t.Errorf("%+v", got)
	}
}

// A result that its reader did not get is for the next one, whatever became of the first.
func TestAResultThatDoesNotLeaveWholeIsKept(t *testing.T) {
	large := strings.Repeat("\x00", 600<<10) // six times that as JSON: more than a connection buffers
	release := make(chan struct{})
	e := fetchFromHandler(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/large" {
			_, _ = io.WriteString(w, large)
			return
		}
		<-release
		_, _ = io.WriteString(w, "small")
	}, nil)
	socket, err := ListenSocket(t.Context(), filepath.Join(t.TempDir(), "s"))
	if err != nil {
		t.Fatal(err)
	}
	start := func(path string) string {
		job := e.want(http.StatusAccepted, "POST", wire.PathFetch, `{"url":"`+e.URL+path+`","async":true}`)
		return "/v1/jobs/" + decoded[wire.Job](t, job.body).Job + "?wait_ms=30000"
	}
	connect := func(network, address, request string) net.Conn {
		c, err := net.Dial(network, address)
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprint(c, request)
		return c
	}
	overTCP := func(request string) net.Conn { return connect("tcp", strings.TrimPrefix(e.url, "http://"), request) }
	overSocket := func(request string) net.Conn { return connect("unix", socket.Addr().String(), request) }
	get := func(target string) string {
		return "GET " + target + " HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
	}
	batch := func(target string) string {
		body := `{"requests":[{"id":"a","method":"GET","path":"` + target + `"}]}`
		return fmt.Sprintf("POST /v1/batch HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s", len(body), body)
	}
	check := func(name, target string) {
		if got := e.do("GET", target, ""); got.status != http.StatusOK || len(decoded[wire.Fetched](t, got.body).Body) < 5 {
			t.Errorf("%s: the next reader gets %d %.200s", name, got.status, got.body)
		}
		after := overSocket(get(target)) // over another connection, so that nothing orders the two
		defer after.Close()
		if got, err := io.ReadAll(after); err != nil || !bytes.HasPrefix(got, []byte("HTTP/1.1 404")) {
			t.Errorf("%s: the one after that gets %.300s, %v", name, got, err)
		}
	}
	jobs := []string{start("/a"), start("/b"), start("/c")}
	answered := make(chan struct{}, 100)
	e.server.cfg.Logger = slog.New(slog.NewTextHandler(onWrite(func(line []byte) {
		if bytes.Contains(line, []byte("/v1/jobs/{job}")) || bytes.Contains(line, []byte("/v1/batch")) {
			answered <- struct{}{}
		}
	}), &slog.HandlerOptions{Level: slog.LevelDebug}))
	end := e.server.running(t, socket)
	defer func() {
		if err := end(); err != nil {
			t.Error(err)
		}
	}()
	for _, c := range []net.Conn{overTCP(get(jobs[0])), overTCP(batch(jobs[1])), overSocket(get(jobs[2]))} {
		_ = c.Close()
	}
	close(release)
	for range 4 { // the batch and its call
		<-answered
	}
	for _, job := range jobs {
		check("the reader has gone while it waited", job)
	}
	for _, request := range []func(string) string{get, batch} {
		job := start("/large")
		c := overSocket(request(job))
		if _, err := io.ReadFull(c, make([]byte, 1000)); err != nil {
			t.Fatal(err)
		}
		_ = c.Close()
		check("the reader has gone in the middle of the answer", job)
	}
}

// Several results may leave in one answer, or in answers that are written together.
func TestSeveralResultsLeaveTogether(t *testing.T) {
	e := fetchFromHandler(t, func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "result") }, nil)
	start := func() string {
		job := e.want(http.StatusAccepted, "POST", wire.PathFetch, `{"url":"`+e.URL+`/","async":true}`)
		return "/v1/jobs/" + decoded[wire.Job](t, job.body).Job + "?wait_ms=30000"
	}
	gone := func(jobs []string) {
		for _, job := range jobs {
			e.want(http.StatusNotFound, "GET", job, "")
		}
	}
	jobs := []string{start(), start(), start()}
	got := e.want(http.StatusOK, "POST", "/v1/batch", fmt.Sprintf(
		`{"requests":[{"id":"a","method":"GET","path":%q},{"id":"b","method":"GET","path":%q},{"id":"c","method":"GET","path":%q}]}`, jobs[0], jobs[1], jobs[2]))
	if n := strings.Count(got.body, `"body":"result"`); n != 3 {
		t.Errorf("%d results in %s", n, got.body)
	}
	gone(jobs)
	jobs = []string{start(), start(), start()}
	c, err := net.Dial("tcp", strings.TrimPrefix(e.url, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	head := func(target, more string) string {
		return "GET " + target + " HTTP/1.1\r\nHost: localhost\r\n" + more + "\r\n"
	}
	fmt.Fprint(c, head(jobs[0], "")+head(jobs[1], "")+head(jobs[2], "Connection: close\r\n"))
	if answers, err := io.ReadAll(c); err != nil || bytes.Count(answers, []byte(`"body":"result"`)) != 3 {
		t.Errorf("pipelined: %s, %v", answers, err)
	}
	gone(jobs)
}

type onWrite func([]byte)

func (f onWrite) Write(b []byte) (int, error) { f(b); return len(b), nil }
