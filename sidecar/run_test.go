package sidecar

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"hearth/cache"
	"hearth/internal/testing/testnet"
	"hearth/internal/testing/weaviatetest"
	"hearth/pool"
	"hearth/pool/weaviate"
	"hearth/sidecar/chat"
)

// running is a server that runs until the test ends it.
func running(t testing.TB, l net.Listener) (end func() error) {
	t.Helper()
	return newServer(t, Config{}).running(t, l)
}

func (s *Server) running(t testing.TB, l net.Listener) (end func() error) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx, l) }()
	return func() error { cancel(); return <-done }
}

func listenerFor(t testing.TB) net.Listener {
	t.Helper()
	l, err := ListenTCP(t.Context(), "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// ask sends one raw request and returns the status of its answer.
func ask(t *testing.T, l net.Listener, request string) int {
	t.Helper()
	c, err := net.Dial(l.Addr().Network(), l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	fmt.Fprint(c, request)
	method, _, _ := strings.Cut(request, " ")
	resp, err := http.ReadResponse(bufio.NewReader(c), &http.Request{Method: method})
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if resp.Header.Get("Server") != "hearth" {
		t.Errorf("the answer says it is from %q", resp.Header.Get("Server"))
	}
	return resp.StatusCode
}

const healthy = "GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n"

func TestRunEndsHoweverEarlyItIsTold(t *testing.T) {
	for range 50 {
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if err := newServer(t, Config{}).Run(ctx, listenerFor(t)); err != nil {
			t.Fatal(err)
		}
	}
}

// slow is a server over a Weaviate that keeps a write until it is released. Its end is told, and then waited for.
type slow struct {
	*Server
	listener      net.Listener
	came, release chan struct{}
	answer        chan string // to the write: its status line, or how it failed
	end           context.CancelFunc
	ended         chan error
}

func newSlow(t *testing.T, network string, grace, cancelGrace time.Duration) *slow {
	t.Helper()
	s := &slow{came: make(chan struct{}, 1), release: make(chan struct{}), answer: make(chan string, 1), ended: make(chan error, 1)}
	stand := weaviatetest.New()
	upstream, err := testnet.Serve(stand, testnet.Config{HTTP2: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = upstream.Close() })
	p, err := pool.New(pool.Config{Name: "weaviate", URL: upstream.URL, Timeout: time.Hour})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Close)
	grpc, err := pool.New(pool.Config{Name: "weaviate", URL: upstream.URL, GRPC: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(grpc.Close)
	memory, err := cache.New(cache.Config{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(memory.Close)
	w, err := weaviate.New(weaviate.Config{
		REST: p, GRPC: grpc,
		Message: weaviate.MessageClass{Class: "Message", ChatID: "chat_id", Role: "role", Content: "content", CreatedAt: "created_at"},
		Mute:    weaviate.MuteClass{Class: "ChatStatus", ChatID: "chat_id", Muted: "muted", Until: "muted_until"},
	})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.CreateClasses(t.Context()); err != nil {
		t.Fatal(err)
	}
	stand.SetHook(func(_ http.ResponseWriter, r *http.Request) bool {
		if r.URL.Path != "/v1/batch/objects" {
			return false
		}
		body, _ := io.ReadAll(r.Body) // only then it is noticed that the caller has gone
		r.Body = io.NopCloser(bytes.NewReader(body))
		select {
		case s.came <- struct{}{}:
		default: // it was sent again
		}
		select {
		case <-s.release:
			return false
		case <-r.Context().Done():
			return true
		}
	})
	service, err := chat.New(chat.Config{Weaviate: w, Cache: memory})
	if err != nil {
		t.Fatal(err)
	}
	s.Server = newServer(t, Config{Chat: service, Cache: memory, Upstreams: []Upstream{{Name: "weaviate", Pools: map[string]*pool.Pool{"rest": p, "grpc": grpc}, Ask: w.Ask}}})
	s.grace, s.cancelGrace = grace, cancelGrace
	if s.listener = listenerFor(t); network == "unix" {
		_ = s.listener.Close()
		if s.listener, err = ListenSocket(t.Context(), filepath.Join(t.TempDir(), "s")); err != nil {
			t.Fatal(err)
		}
	}
	ctx, end := context.WithCancel(t.Context())
	s.end = end
	go func() { s.ended <- s.Run(ctx, s.listener) }()
	return s
}

// write sends one over a connection that has served before, and returns once the upstream has it.
func (s *slow) write(t *testing.T) {
	t.Helper()
	c, err := net.Dial(s.listener.Addr().Network(), s.listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	replies := bufio.NewReader(c)
	fmt.Fprint(c, healthy)
	resp, err := http.ReadResponse(replies, nil)
	if err != nil {
		t.Fatal(err)
	}
	_, _ = io.Copy(io.Discard, resp.Body)
	_ = resp.Body.Close()
	const body = `{"role":"user","content":"hello"}`
	fmt.Fprintf(c, "POST /v1/chats/a/messages HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s", len(body), body)
	<-s.came
	go func() {
		defer c.Close()
		resp, err := http.ReadResponse(replies, nil)
		if err != nil {
			s.answer <- err.Error()
			return
		}
		_ = resp.Body.Close()
		s.answer <- resp.Status
	}()
}

func TestAtTheEndAWriteUnderWayIsAnswered(t *testing.T) {
	for _, network := range []string{"tcp", "unix"} {
		s := newSlow(t, network, time.Minute, time.Minute)
		s.write(t)
		s.end()
		for { // until it accepts nobody
			c, err := net.Dial(network, s.listener.Addr().String())
			if err != nil {
				break
			}
			_ = c.Close()
		}
		close(s.release)
		if got := <-s.answer; got != "201 Created" {
			t.Errorf("over %s it was answered %s", network, got)
		}
		if err := <-s.ended; err != nil { // long before the grace has passed
			t.Error(err)
		}
	}
}

func TestAtTheEndACallThatHangsIsCancelledAndToldSo(t *testing.T) {
	for _, network := range []string{"tcp", "unix"} {
		s := newSlow(t, network, time.Millisecond, time.Hour)
		s.write(t)
		s.end()
		select {
		case got := <-s.answer:
			if got != "503 Service Unavailable" && got != "502 Bad Gateway" {
				t.Errorf("over %s it was answered %s", network, got)
			}
		case <-time.After(10 * time.Second):
			t.Fatalf("over %s it was not cancelled", network)
		}
		if err := <-s.ended; err != nil {
			t.Error(err)
		}
	}
}

func TestAtTheEndABodyThatDoesNotComeIsNotWaitedFor(t *testing.T) {
	l, s := listenerFor(t), newServer(t, Config{})
	s.grace, s.cancelGrace, s.readTimeout = time.Millisecond, time.Millisecond, time.Hour
	end := s.running(t, l)
	c, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	fmt.Fprint(c, "POST /v1/preprocess HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nExpect: 100-continue\r\nContent-Length: 10\r\n\r\n")
	if line, err := bufio.NewReader(c).ReadString('\n'); !strings.Contains(line, "100 Continue") {
		t.Fatalf("got %q, %v", line, err)
	}
	if err := end(); err != nil {
		t.Error(err)
	}
}

func TestAtTheEndIdleConnectionsAreNotWaitedFor(t *testing.T) {
	s := newSlow(t, "tcp", time.Minute, time.Minute)
	close(s.release)
	s.write(t)
	if got := <-s.answer; got != "201 Created" {
		t.Errorf("answered %s", got)
	}
	c, err := net.Dial("tcp", s.listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	fmt.Fprint(c, healthy)
	if _, err := http.ReadResponse(bufio.NewReader(c), nil); err != nil {
		t.Fatal(err)
	}
	begun := time.Now()
	s.end()
	if err := <-s.ended; err != nil {
		t.Error(err)
	}
	t.Logf("it took %v", time.Since(begun))
}

func TestRunWithoutListenersEndsWhenItIsToldTo(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	s := newServer(t, Config{})
	go func() { ended <- s.Run(ctx) }()
	select {
	case err := <-ended:
		t.Fatalf("it ended by itself: %v", err)
	case <-time.After(10 * time.Millisecond):
	}
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

// failing accepts after a few failures.
type failing struct {
	net.Listener
	left atomic.Int32
}

func (f *failing) Accept() (net.Conn, error) {
	if f.left.Add(-1) >= 0 {
		return nil, errors.New("accept4: too many open files")
	}
	return f.Listener.Accept()
}

func TestAFailedAcceptIsNotTheEnd(t *testing.T) {
	l := &failing{Listener: listenerFor(t)}
	l.left.Store(3)
	end := running(t, l)
	if status := ask(t, l, healthy); status != http.StatusOK {
		t.Errorf("answered %d", status)
	}
	if err := end(); err != nil {
		t.Error(err)
	}
}

func TestWhatIsNoHTTPIsToldSo(t *testing.T) {
	l := listenerFor(t)
	end := running(t, l)
	for request, want := range map[string]int{
		"nonsense\r\n\r\n": 400,
		"GET /healthz HTTP/1.1\r\nHost: localhost\r\nX: " + strings.Repeat("x", 16<<10) + "\r\n\r\n": 431,
		"GET /healthz HTTP/1.1\r\n\r\n":                                               400,
		"POST /v1/preprocess HTTP/1.1\r\nHost: evil\r\nContent-Length: 4\r\n\r\nabcd": 403,
		"POST /healthz HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n\r\n":      405,
	} {
		if status := ask(t, l, request); status != want {
			t.Errorf("%.60q: %d, want %d", request, status, want)
		}
	}
	if err := end(); err != nil {
		t.Error(err)
	}
}

func TestAPanicIsTheFaultOfItsRequestOnly(t *testing.T) {
	l := listenerFor(t)
	s := newServer(t, Config{})
	s.cfg.Cache = nil
	end := s.running(t, l)
	c, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	replies := bufio.NewReader(c)
	for _, tc := range []struct {
		path, body string
		status     int
	}{{"/debug/cache", "#internal", http.StatusInternalServerError}, {"/healthz", "ok", http.StatusOK}} {
		fmt.Fprintf(c, "GET %s HTTP/1.1\r\nHost: localhost\r\n\r\n", tc.path)
		resp, err := http.ReadResponse(replies, nil)
		if err != nil {
			t.Fatal(err)
		}
		body, _ := io.ReadAll(resp.Body)
		_ = resp.Body.Close()
		if resp.StatusCode != tc.status || !bytes.Contains(body, []byte(tc.body)) {
			t.Errorf("%s: %s %s", tc.path, resp.Status, body)
		}
	}
	if err := end(); err != nil {
		t.Error(err)
	}
}

// A client keeps connections that it has not used yet, also over a freeze.
func TestTheTimeOfARequestBeginsWithItsFirstByte(t *testing.T) {
	s, l := newServer(t, Config{}), listenerFor(t)
	s.readTimeout = 250 * time.Millisecond
	end := s.running(t, l)
	c, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	replies := bufio.NewReader(c)
	for range 2 {
		_ = c.SetReadDeadline(time.Now().Add(3 * s.readTimeout))
		if b, err := replies.Peek(1); !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Fatalf("unasked it said %q, %v", b, err)
		}
		_ = c.SetReadDeadline(time.Now().Add(10 * time.Second))
		fmt.Fprint(c, healthy)
		resp, err := http.ReadResponse(replies, nil)
		if err != nil {
			t.Fatal(err)
		}
		_, _ = io.Copy(io.Discard, resp.Body)
		_ = resp.Body.Close()
		if resp.StatusCode != http.StatusOK {
			t.Errorf("asked at last it answers %s", resp.Status)
		}
	}
	if status := ask(t, l, healthy[:1]); status != http.StatusRequestTimeout { // and has one
		t.Errorf("half a request was answered %d", status)
	}
	if err := end(); err != nil {
		t.Error(err)
	}
}

func TestARequestThatCameWithTheOneBeforeHasADeadlineToo(t *testing.T) {
	s, l := newServer(t, Config{Token: "token"}), listenerFor(t)
	s.readTimeout = 250 * time.Millisecond
	end := s.running(t, l)
	for half, status := range map[string]int{
		"GET /healthz HT": http.StatusRequestTimeout,
		"POST /v1/preprocess HTTP/1.1\r\nHost: localhost\r\nX-Hearth-Token: token\r\nContent-Length: 20000\r\n\r\n" + strings.Repeat(" ", 10000): http.StatusRequestTimeout,
		"POST /v1/preprocess HTTP/1.1\r\nHost: localhost\r\nX-Hearth-Token: wrong\r\nContent-Length: 20000\r\n\r\n" + strings.Repeat(" ", 10000): http.StatusUnauthorized,
	} {
		c, err := net.Dial("tcp", l.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		fmt.Fprint(c, healthy+half)
		_ = c.SetReadDeadline(time.Now().Add(10 * time.Second))
		replies := bufio.NewReader(c)
		for _, want := range []int{http.StatusOK, status} {
			resp, err := http.ReadResponse(replies, nil)
			if err != nil {
				t.Fatalf("%.40s: %v", half, err)
			}
			_, _ = io.Copy(io.Discard, resp.Body)
			_ = resp.Body.Close()
			if resp.StatusCode != want {
				t.Errorf("%.40s: %s, want %d", half, resp.Status, want)
			}
		}
	}
	if err := end(); err != nil {
		t.Error(err)
	}
}

// A deadline of the request before must not end the next one.
func TestARequestAfterALongWaitHasTimeForItsBody(t *testing.T) {
	s, l := newServer(t, Config{}), listenerFor(t)
	s.readTimeout = 250 * time.Millisecond
	end := s.running(t, l)
	c, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	replies := bufio.NewReader(c)
	for _, body := range []string{"{}", "{}", ""} { // the last one does not come
		_ = c.SetReadDeadline(time.Now().Add(2 * s.readTimeout))
		if b, err := replies.Peek(1); !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Fatalf("unasked it said %q, %v", b, err)
		}
		_ = c.SetReadDeadline(time.Now().Add(10 * time.Second))
		fmt.Fprint(c, "POST /v1/preprocess HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n")
		if line, err := replies.ReadString('\n'); !strings.Contains(line, "100 Continue") {
			t.Fatalf("got %q, %v", line, err)
		}
		if line, err := replies.ReadString('\n'); line != "\r\n" {
			t.Fatalf("got %q, %v", line, err)
		}
		fmt.Fprint(c, body)
		resp, err := http.ReadResponse(replies, nil)
		if err != nil {
			t.Fatal(err)
		}
		_, _ = io.Copy(io.Discard, resp.Body)
		_ = resp.Body.Close()
		want := http.StatusBadRequest
		if body == "" {
			want = http.StatusRequestTimeout
		}
		if resp.StatusCode != want {
			t.Errorf("with the body %q it answers %s", body, resp.Status)
		}
	}
	if err := end(); err != nil {
		t.Error(err)
	}
}

func TestTheSocketIsOursAlone(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	first, err := ListenSocket(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v %v", info, err)
	}
	if _, err := ListenSocket(t.Context(), path); err == nil {
		t.Error("a socket that is served was taken away")
	}
	first.(*net.UnixListener).SetUnlinkOnClose(false) //nolint:forcetypeassert // as a crash leaves it
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	second, err := ListenSocket(t.Context(), path)
	if err != nil {
		t.Fatal("a dead socket was not replaced:", err)
	}
	if err := second.Close(); err != nil {
		t.Fatal(err)
	}
	datagrams, err := net.ListenPacket("unixgram", path) // nobody can say whether it is dead
	if err != nil {
		t.Fatal(err)
	}
	if _, err := ListenSocket(t.Context(), path); err == nil {
		t.Error("a socket of another kind was taken away")
	}
	_ = datagrams.Close()
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte("precious"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := ListenSocket(t.Context(), path); err == nil {
		t.Error("a file was taken for a socket")
	}
	if b, err := os.ReadFile(path); err != nil || string(b) != "precious" {
		t.Errorf("the file is %q, %v", b, err)
	}
}
