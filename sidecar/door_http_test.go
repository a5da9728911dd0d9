package sidecar

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/valyala/fasthttp"

	"hearth/cache"
	"hearth/internal/clock"
	"hearth/sidecar/chat"
)

func TestTheDoorAsksInItsOrder(t *testing.T) {
	const token = "X-Hearth-Token: s3cret\r\n"
	l := listenerFor(t)
	end := newServer(t, Config{Token: "s3cret"}).running(t, l)
	for request, want := range map[string]int{
		"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n":                              200,
		"GET /readyz HTTP/1.1\r\nHost: localhost\r\n\r\n":                               401,
		"GET /debug/pools HTTP/1.1\r\nHost: localhost\r\n\r\n":                          401,
		"GET /nothing HTTP/1.1\r\nHost: localhost\r\n\r\n":                              401, // a caller without the token learns nothing
		"PUT /readyz HTTP/1.1\r\nHost: localhost\r\n\r\n":                               401,
		"GET /readyz HTTP/1.1\r\nHost: localhost\r\nX-Hearth-Token: s3cre\r\n\r\n":      401,
		"GET /readyz HTTP/1.1\r\nHost: localhost\r\nX-Hearth-Token: s3crets\r\n\r\n":    401,
		"GET /readyz HTTP/1.1\r\nHost: evil\r\n" + token + "\r\n":                       403,
		"GET /healthz HTTP/1.1\r\nHost: localhost\r\nForwarded: for=a\r\n\r\n":          403,
		"GET /healthz HTTP/1.1\r\nHost: localhost\r\nForwarded:\r\n\r\n":                403,
		"GET /healthz HTTP/1.1\r\nHost: localhost\r\nX-Forwarded-For: 10.0.0.1\r\n\r\n": 403,
		"GET /nothing HTTP/1.1\r\nHost: localhost\r\n" + token + "\r\n":                 404,
		"PUT /readyz HTTP/1.1\r\nHost: localhost\r\n" + token + "\r\n":                  405,
		"GET /readyz HTTP/1.1\r\nHost: localhost\r\n" + token + "\r\n":                  503, // it has no upstreams
		"HEAD /readyz HTTP/1.1\r\nHost: localhost\r\n" + token + "\r\n":                 503,
	} {
		if status := ask(t, l, request); status != want {
			t.Errorf("%q: %d, want %d", request, status, want)
		}
	}
	if err := end(); err != nil {
		t.Error(err)
	}
}

func TestTheSocketKnowsOneMoreHost(t *testing.T) {
	l, err := ListenSocket(t.Context(), filepath.Join(t.TempDir(), "s"))
	if err != nil {
		t.Fatal(err)
	}
	end := running(t, l)
	for host, want := range map[string]int{"hearth": 200, "localhost": 200, "evil": 403} {
		if status := ask(t, l, "GET /healthz HTTP/1.1\r\nHost: "+host+"\r\n\r\n"); status != want {
			t.Errorf("%s: %d, want %d", host, status, want)
		}
	}
	if err := end(); err != nil {
		t.Error(err)
	}
}

func TestAMethodThatIsNotTakenIsToldWhichAre(t *testing.T) {
	resp, body := raw(t, newServer(t, Config{}), "POST /v1/chats/a/mute HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n\r\n")
	if allow := resp.Header.Get("Allow"); resp.StatusCode != 405 || allow != "GET, HEAD, PUT" || !strings.Contains(body, allow) {
		t.Errorf("%d %q %s", resp.StatusCode, allow, body)
	}
	resp, body = raw(t, newServer(t, Config{}), "GET /"+strings.Repeat("x", 2000)+" HTTP/1.1\r\nHost: localhost\r\n\r\n")
	if resp.StatusCode != 404 || len(body) > 400 {
		t.Errorf("%d with %d bytes", resp.StatusCode, len(body))
	}
}

// A caller that is refused while it sends its body reads the answer all the same, and may use the connection again if what
// it sent came to its end.
func TestARefusedCallerReadsWhy(t *testing.T) {
	l := listenerFor(t)
	end := newServer(t, Config{MaxBody: 5 << 20}).running(t, l)
	for name, c := range map[string]struct {
		headers string
		size    int
		status  int
	}{
		"no such call": {"POST /v1/nothing HTTP/1.1\r\nHost: localhost\r\n", 4 << 20, 404},
		"another type": {"POST /v1/preprocess HTTP/1.1\r\nHost: localhost\r\nContent-Type: text/plain\r\n", 4 << 20, 415},
	} {
		conn, err := net.Dial("tcp", l.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		replies := bufio.NewReader(conn)
		for range 2 {
			fmt.Fprintf(conn, "%sContent-Length: %d\r\n\r\n", c.headers, c.size)
			if _, err := io.WriteString(conn, strings.Repeat("x", c.size)); err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			resp, err := http.ReadResponse(replies, nil)
			if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			_, _ = io.Copy(io.Discard, resp.Body)
			_ = resp.Body.Close()
			if resp.StatusCode != c.status || resp.Close {
				t.Errorf("%s: %s, close %t", name, resp.Status, resp.Close)
			}
		}
	}
	// One that stops in the middle is waited for, but not for long, and gets its answer.
	for name, headers := range map[string]string{
		"refused":          "POST /v1/nothing HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100000\r\n\r\n" + strings.Repeat("x", 50000),
		"another host":     "POST /v1/preprocess HTTP/1.1\r\nHost: evil\r\nContent-Length: 4000\r\n\r\n" + strings.Repeat("x", 4000),
		"its body is late": "POST /v1/preprocess HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\nnonsense\r\n",
	} {
		conn, err := net.Dial("tcp", l.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		_ = conn.SetDeadline(time.Now().Add(10 * time.Second))
		fmt.Fprint(conn, headers)
		replies := bufio.NewReader(conn)
		resp, err := http.ReadResponse(replies, nil)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		_, _ = io.Copy(io.Discard, resp.Body)
		_ = resp.Body.Close()
		if !resp.Close {
			t.Errorf("%s: its connection is kept, and the rest of its body would be the next request", name)
		}
	}
	if err := end(); err != nil {
		t.Error(err)
	}
}

func TestHeadersMayHaveSixteenKiB(t *testing.T) {
	l := listenerFor(t)
	end := running(t, l)
	for size, want := range map[int]int{15 << 10: 200, 17 << 10: 431} {
		if status := ask(t, l, "GET /healthz HTTP/1.1\r\nHost: localhost\r\nX: "+strings.Repeat("x", size)+"\r\n\r\n"); status != want {
			t.Errorf("headers of %d bytes: %d, want %d", size, status, want)
		}
	}
	if err := end(); err != nil {
		t.Error(err)
	}
}

func TestEveryLineOfCacheControlCounts(t *testing.T) {
	a := newAPI(t, newUpstreams().withClasses("text", "text"), nil)
	a.do(http.MethodGet, "/v1/chats/a/mute", "")
	for _, c := range []struct {
		lines []string
		hit   bool
	}{
		{nil, true},
		{[]string{"Cache-Control", "max-age=60", "Cache-Control", "no-transform"}, true},
		{[]string{"Cache-Control", "max-age=60", "Cache-Control", "no-cache"}, false},
	} {
		if got := a.want(http.StatusOK, http.MethodGet, "/v1/chats/a/mute", "", c.lines...); got.hit() != c.hit {
			t.Errorf("%q: %s", c.lines, got.header.Get("Cache-Status"))
		}
	}
}

func TestTraceHeadersGoOn(t *testing.T) {
	a := newAPI(t, newUpstreams().withClasses("text", "text"), nil)
	var seen sync.Map
	a.odoo.SetHook(func(_ http.ResponseWriter, r *http.Request) bool {
		for name := range r.Header {
			seen.Store(name, r.Header.Get(name))
		}
		return false
	})
	want := map[string]string{
		"Traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", "Tracestate": "vendor=1", "X-Amzn-Trace-Id": "Root=1-5759e988-bd862e3fe1be46a994272793",
	}
	headers := []string{"X-Other", "stays here"}
	for name, value := range want {
		headers = append(headers, name, value)
	}
	a.want(http.StatusOK, http.MethodGet, "/v1/odoo/models", "", headers...)
	for name, value := range want {
		if got, _ := seen.Load(name); got != value {
			t.Errorf("%s is %v at Odoo, want %s", name, got, value)
		}
	}
	if got, ok := seen.Load("X-Other"); ok {
		t.Errorf("X-Other is %v at Odoo", got)
	}
}

// stopped is a pulse by clocks that jump an hour ahead when a test says so.
type stopped struct {
	jump     atomic.Int64
	readings atomic.Int64
	again    chan struct{} // closed by the first reading after the jump
	once     sync.Once
}

func (s *stopped) now() clock.Instant {
	s.readings.Add(1)
	jump := time.Duration(s.jump.Load())
	if jump > 0 {
		s.once.Do(func() { close(s.again) })
	}
	now := time.Now()
	return clock.Instant{Wall: now.Round(0).Add(jump), Mono: time.Duration(now.UnixNano())}
}

// The time of a call does not run while the process is frozen: what is left of it afterwards would be nothing.
func TestAFreezeGivesACallItsWholeTimeAgain(t *testing.T) {
	for path, body := range map[string]string{
		"/v1/odoo/models": "",
		"/v1/preprocess":  `{"chat_id":"a","text":"x","route_name":"odoo_erp","enable_odoo":true,"timeout_ms":400}`,
	} {
		frozen := &stopped{again: make(chan struct{})}
		a := newAPI(t, newUpstreams().withClasses("text", "text"), func(c *Config, _ *chat.Config) {
			c.Pulse = clock.NewPulse(frozen.now)
			if body == "" {
				c.Timeout = 400 * time.Millisecond
			}
		})
		a.odoo.SetHook(func(_ http.ResponseWriter, r *http.Request) bool {
			body, _ := io.ReadAll(r.Body) // else the server does not see the client leave
			r.Body = io.NopCloser(bytes.NewReader(body))
			frozen.jump.Store(int64(time.Hour)) // the process stands still while Odoo is asked
			select {
			case <-frozen.again: // the time is over, and is found to be a freeze's
			case <-r.Context().Done():
			}
			return false
		})
		method := http.MethodGet
		if body != "" {
			method = http.MethodPost
		}
		if got := a.do(method, path, body); got.status != http.StatusOK || !strings.Contains(got.body, `"res.partner"`) {
			t.Errorf("%s: %d %s", path, got.status, got.body)
		}
	}
}

// Every request beats the pulse: a freeze that it finds is over before it asks for anything.
func TestARequestLooksForAFreezeFirst(t *testing.T) {
	frozen := &stopped{again: make(chan struct{})}
	s := newServer(t, Config{Pulse: clock.NewPulse(frozen.now)})
	before := frozen.readings.Load()
	f := &fasthttp.RequestCtx{}
	f.Request.SetRequestURI("/healthz")
	s.serve(t.Context(), f, false, io.ErrUnexpectedEOF) // it cannot even be read
	if f.Response.StatusCode() != http.StatusBadRequest || frozen.readings.Load() == before {
		t.Errorf("%d after %d readings", f.Response.StatusCode(), frozen.readings.Load()-before)
	}
}

func TestWhereAReplyCameFrom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for want, o := range map[string]cache.Origin{
			"hearth; hit; ttl=9":             {Served: cache.Hit, Age: 1999 * time.Millisecond, TTL: 9999 * time.Millisecond},
			"hearth; hit; ttl=0":             {Served: cache.Hit, Age: time.Second, TTL: 500 * time.Millisecond},
			"hearth; hit; ttl=-1":            {Served: cache.Stale, Age: time.Second, TTL: -time.Millisecond},
			"hearth; fwd=miss":               {Served: cache.Miss, Age: time.Second, Fwd: "miss"},
			"hearth; fwd=stale; collapsed":   {Served: cache.Miss, Age: time.Second, Fwd: "stale", Collapsed: true},
			"hearth; fwd=request; collapsed": {Served: cache.Miss, Age: time.Second, Fwd: "request", Collapsed: true},
		} {
			for _, method := range []string{http.MethodGet, http.MethodHead, http.MethodPost} {
				r := &request{RequestCtx: &fasthttp.RequestCtx{}, started: time.Now()}
				r.Request.Header.SetMethod(method)
				time.Sleep(2345 * time.Microsecond)
				if err := r.sendCached("history", cache.Reply{Body: []byte(`{}`), ETag: `"a"`, Origin: o}); err != nil {
					t.Fatal(err)
				}
				h := &r.Response.Header
				etag := `"a"`
				if method == http.MethodPost {
					etag = ""
				}
				if got := string(h.Peek("Cache-Status")); got != want || string(h.Peek("Age")) != "1" || string(h.Peek("ETag")) != etag ||
					string(h.Peek("Server-Timing")) != "history;dur=2.345, total;dur=2.345" || string(h.ContentType()) != "application/json" {
					t.Errorf("%s: %s %s", want, method, h)
				}
			}
		}
	})
}

func TestACallerThatHasTheReplyIsToldSo(t *testing.T) {
	a := newAPI(t, newUpstreams().withClasses("text", "text"), nil)
	tag := a.want(http.StatusOK, http.MethodGet, chatHistory, "").header.Get("ETag")
	for held, want := range map[string]int{tag: 304, "W/" + tag: 304, `"other"`: 200, "": 200} {
		got := a.want(want, http.MethodGet, chatHistory, "", "If-None-Match", held)
		if (got.body == "") != (want == 304) || got.header.Get("ETag") != tag || !got.hit() {
			t.Errorf("%s: %s %v", held, got.body, got.header)
		}
	}
	a.want(http.StatusOK, http.MethodPost, "/v1/chats/a/relevant", `{"text":"x"}`, "If-None-Match", "*") // conditions are for GET
}

func TestTextIsNotEscapedForHTML(t *testing.T) {
	a := newAPI(t, newUpstreams().withClasses("text", "text"), nil)
	a.want(http.StatusCreated, http.MethodPost, chatMessages, `{"role":"user","content":"<b>&"}`)
	for path, body := range map[string]string{chatHistory: "", "/v1/chats/a/relevant": `{"text":"b"}`} {
		method := http.MethodGet
		if body != "" {
			method = http.MethodPost
		}
		if got := a.want(http.StatusOK, method, path, body); !strings.Contains(got.body, "<b>&") {
			t.Errorf("%s: %s", path, got.body)
		}
	}
}

func TestASocketOfAnotherUserIsLeftAlone(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	l.(*net.UnixListener).SetUnlinkOnClose(false) //nolint:forcetypeassert // as a crash leaves it
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	if err := removeDead(t.Context(), path, os.Getuid()+1); err == nil {
		t.Error("it was removed")
	}
	if _, err := os.Lstat(path); err != nil {
		t.Error(err)
	}
	if err := removeDead(t.Context(), path, os.Getuid()); err != nil {
		t.Error(err)
	}
	if _, err := os.Lstat(path); !os.IsNotExist(err) {
		t.Errorf("our own is still there: %v", err)
	}
}
