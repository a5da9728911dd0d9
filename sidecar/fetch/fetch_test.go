package fetch

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"hearth/cache"
	"hearth/client/wire"
	"hearth/internal/clock"
	"hearth/internal/testing/testnet"
	"hearth/pool"
	"hearth/pool/web"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// tester is a service before one server, with a clock that only the test moves.
type tester struct {
	*testing.T
	service *Service
	pulse   *clock.Pulse
	later   atomic.Int64 // how far the clock was moved
	url     string
	wire    *testnet.Proxy // in front of the server
	asked   atomic.Int64

	mu      sync.Mutex
	handler http.HandlerFunc // guarded by mu
}

func newTester(t *testing.T) *tester {
	t.Helper()
	x := &tester{T: t}
	start := time.Now().Round(0)
	x.pulse = clock.NewPulse(func() clock.Instant {
		d := time.Duration(x.later.Load())
		return clock.Instant{Wall: start.Add(d), Mono: d}
	})
	server, err := testnet.Serve(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		x.asked.Add(1)
		w.Header()["Date"] = nil
		x.mu.Lock()
		h := x.handler
		x.mu.Unlock()
		h(w, r)
	}), testnet.Config{RTT: time.Microsecond})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = server.Close() })
	x.url, x.wire = server.URL, server.Wire
	var allow web.Allow
	if err := allow.UnmarshalText([]byte("http://" + server.Addr)); err != nil {
		t.Fatal(err)
	}
	client := web.New(web.Config{Allow: allow, Pool: pool.Config{Pulse: x.pulse, Retries: -1}})
	t.Cleanup(client.Close)
	memory, err := cache.New(cache.Config{Pulse: x.pulse})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(memory.Close)
	x.service = New(client, memory)
	return x
}

// answers makes the server answer with headers, each a name and a value, and with the number of the request.
func (x *tester) answers(status int, headers ...string) {
	x.handle(func(w http.ResponseWriter, _ *http.Request) {
		for i := 0; i < len(headers); i += 2 {
			w.Header().Add(headers[i], headers[i+1])
		}
		w.WriteHeader(status)
		if status != http.StatusNoContent && status != http.StatusNotModified {
			fmt.Fprint(w, x.asked.Load())
		}
	})
}

func (x *tester) handle(h http.HandlerFunc) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.handler = h
}

func (x *tester) request(method, path string, headers ...string) web.Request {
	x.Helper()
	target, err := x.service.Allow().Check(x.url + path)
	if err != nil {
		x.Fatal(err)
	}
	h := http.Header{}
	for i := 0; i < len(headers); i += 2 {
		h.Set(headers[i], headers[i+1])
	}
	return web.Request{Method: method, Target: target, Header: h}
}

// get fetches as the API does: from what is held, else by Do.
func (x *tester) get(d cache.Directives, path string, headers ...string) (wire.Fetched, cache.Origin, error) {
	x.Helper()
	req := x.request(http.MethodGet, path, headers...)
	reply, held := x.service.Held(x.pulse.Now(), req, d)
	if !held {
		var err error
		if reply, err = x.service.Do(x.Context(), req, d); err != nil {
			return wire.Fetched{}, cache.Origin{}, err
		}
	}
	var f wire.Fetched
	if err := json.Unmarshal(reply.Body, &f); err != nil {
		x.Fatal(err)
	}
	return f, reply.Origin, nil
}

// want wants a fetch to bring a body, and says how the reply came about.
func (x *tester) want(body, how string, d cache.Directives, path string, headers ...string) wire.Fetched {
	x.Helper()
	f, o, err := x.get(d, path, headers...)
	got := string(o.Served)
	if o.Fwd != "" {
		got += " " + o.Fwd
	}
	if err != nil || f.Body != body || got != how {
		x.Errorf("%s brings %q by %q, %v; want %q by %q", path, f.Body, got, err, body, how)
	}
	return f
}

func (x *tester) wait(d time.Duration) { x.later.Add(int64(d)) }

func TestAFreshAnswerIsServedFromMemory(t *testing.T) {
	x := newTester(t)
	x.answers(200, "Cache-Control", "max-age=10", "Age", "4")
	x.want("1", "miss miss", cache.Directives{}, "/")
	x.wait(5 * time.Second)
	_, o, err := x.get(cache.Directives{}, "/")
	if err != nil || o.Served != cache.Hit || o.Age != 9*time.Second || o.TTL != time.Second {
		t.Errorf("%+v, %v", o, err)
	}
	x.wait(time.Second)
	x.want("2", "miss stale", cache.Directives{}, "/")
	x.want("2", "hit", cache.Directives{}, "/")
	x.want("3", "miss miss", cache.Directives{}, "/other")
}

func TestRequestsShareAnAnswerOnlyIfAllTheirHeadersAreEqual(t *testing.T) {
	x := newTester(t)
	x.answers(200, "Cache-Control", "max-age=10", "Vary", "Accept-Language")
	x.want("1", "miss miss", cache.Directives{}, "/", "Accept-Language", "de")
	x.want("2", "miss miss", cache.Directives{}, "/", "Accept-Language", "en")
	x.want("3", "miss miss", cache.Directives{}, "/", "Accept-Language", "de", "X-Api-Key", "k")
	x.want("4", "miss miss", cache.Directives{}, "/", "Accept-Language", "de", "Authorization", "k")
	x.want("1", "hit", cache.Directives{}, "/", "Accept-Language", "de")
	x.want("4", "hit", cache.Directives{}, "/", "Authorization", "k", "Accept-Language", "de")
	x.want("5", "miss bypass", cache.Directives{}, "/", "Accept-Language", "de", "Range", "bytes=0-1")
	x.want("6", "miss bypass", cache.Directives{}, "/", "Accept-Language", "de", "If-None-Match", `"x"`)
	x.want("7", "miss bypass", cache.Directives{}, "/", "Accept-Language", "de", "Cache-Control", "no-cache")
}

func TestWhatMustNotBeKeptIsAskedForEachTime(t *testing.T) {
	for _, headers := range [][]string{
		{"Cache-Control", "no-store, max-age=60"},
		{"Cache-Control", "max-age=60", "Vary", "Accept, *"},
		{"Cache-Control", "max-age=0"},
		{"Cache-Control", "max-age=nonsense"},
		{"Expires", "0"},
		{"Cache-Control", "max-age=60", "Age", "60"},
		{},
	} {
		x := newTester(t)
		x.answers(200, headers...)
		x.want("1", "miss miss", cache.Directives{}, "/")
		if _, _, err := x.get(cache.Directives{}, "/"); err != nil || x.asked.Load() != 2 {
			t.Errorf("%q: %d questions, %v", headers, x.asked.Load(), err)
		}
	}
	x := newTester(t)
	x.answers(200, "Cache-Control", "max-age=60")
	x.want("1", "miss miss", cache.Directives{NoStore: true}, "/")
	x.want("2", "miss miss", cache.Directives{}, "/")
}

func TestAStaleAnswerIsConfirmed(t *testing.T) {
	x := newTester(t)
	x.handle(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Etag", `"v1"`)
		w.Header().Set("Cache-Control", "max-age=10")
		w.Header().Set("X-Seen", fmt.Sprint(x.asked.Load()))
		if r.Header.Get("If-None-Match") == `"v1"` && r.Header.Get("If-Modified-Since") != "" {
			w.WriteHeader(http.StatusNotModified)
			return
		}
		w.Header().Set("Last-Modified", "Thu, 01 Jan 2026 00:00:00 GMT")
		_, _ = io.WriteString(w, "body")
	})
	x.want("body", "miss miss", cache.Directives{}, "/")
	x.wait(11 * time.Second)
	f := x.want("body", "miss stale", cache.Directives{}, "/")
	if f.Status != 200 || f.Headers["X-Seen"] != "2" || f.Headers["Content-Length"] != "4" {
		t.Errorf("a confirmed answer is %+v", f)
	}
	x.want("body", "hit", cache.Directives{}, "/")
	if f := x.want("body", "miss request", cache.Directives{NoCache: true}, "/"); f.Headers["X-Seen"] != "3" || f.Status != 200 {
		t.Errorf("%+v", f)
	}
}

func TestStaleIsServedOnlyAsTheAnswerAllows(t *testing.T) {
	forever := new(time.Duration(-1))
	for _, c := range []struct {
		control, failed, accepted string // how it is served where the host fails, and where the request accepts what is stale
	}{
		{"max-age=10, stale-if-error=60", "stale stale", "stale"},
		{"max-age=10, must-revalidate, stale-if-error=60", "503", "miss stale"},
		{"max-age=10, no-cache", "503", "miss stale"},
		{"max-age=10", "503", "stale"},
	} {
		x := newTester(t)
		x.answers(200, "Cache-Control", c.control, "Etag", `"x"`)
		x.want("1", "miss miss", cache.Directives{}, "/")
		x.wait(20 * time.Second)
		x.answers(503)
		f, o, err := x.get(cache.Directives{}, "/")
		how := strings.TrimSpace(string(o.Served) + " " + o.Fwd)
		if f.Status == 503 {
			how = "503"
		}
		if err != nil || how != c.failed {
			t.Errorf("%s: a failing host gives %q, %v, want %q", c.control, how, err, c.failed)
		}
		x.answers(200)
		_, o, err = x.get(cache.Directives{MaxStale: forever}, "/")
		if how := strings.TrimSpace(string(o.Served) + " " + o.Fwd); err != nil || how != c.accepted {
			t.Errorf("%s: a request that takes what is stale gets %q, %v, want %q", c.control, how, err, c.accepted)
		}
	}
	// A host that is not reached is a failure too, and staleness has an end.
	x := newTester(t)
	x.answers(200, "Cache-Control", "max-age=10, stale-if-error=60")
	x.want("1", "miss miss", cache.Directives{}, "/")
	x.handle(func(w http.ResponseWriter, _ *http.Request) {
		if c, _, err := http.NewResponseController(w).Hijack(); err == nil {
			_ = c.Close()
		}
	})
	x.wait(60 * time.Second)
	x.want("1", "stale stale", cache.Directives{}, "/")
	x.wait(11 * time.Second)
	if _, _, err := x.get(cache.Directives{}, "/"); err == nil {
		t.Error("what is too stale is served")
	}
}

func TestAStaleAnswerIsServedWhileItIsFetchedAgain(t *testing.T) {
	x := newTester(t)
	x.answers(200, "Cache-Control", "max-age=10, stale-while-revalidate=60")
	x.want("1", "miss miss", cache.Directives{}, "/")
	x.wait(20 * time.Second)
	x.want("1", "stale", cache.Directives{}, "/")
	for range 5000 { // until the refresh is kept
		if f, _, err := x.get(cache.Directives{}, "/"); err == nil && f.Body == "2" {
			return
		}
		<-time.After(time.Millisecond)
	}
	t.Error("it was not fetched again")
}

func TestAnUnsafeRequestDropsWhatIsHeldOfItsURL(t *testing.T) {
	x := newTester(t)
	x.answers(200, "Cache-Control", "max-age=60")
	x.want("1", "miss miss", cache.Directives{}, "/a")
	x.want("2", "miss miss", cache.Directives{}, "/b")
	x.want("3", "miss miss", cache.Directives{}, "/c")
	do := func(method string, status int, headers ...string) {
		t.Helper()
		x.answers(status, headers...)
		if _, err := x.service.Do(t.Context(), x.request(method, "/a"), cache.Directives{}); err != nil {
			t.Fatal(err)
		}
		x.answers(200, "Cache-Control", "max-age=60")
	}
	do("POST", 409)
	do("OPTIONS", 200)
	x.want("1", "hit", cache.Directives{}, "/a")
	do("PUT", 204, "Content-Location", "/b#f", "Location", "http://elsewhere.test/c")
	x.want("7", "miss miss", cache.Directives{}, "/a")
	x.want("8", "miss miss", cache.Directives{}, "/b")
	x.want("3", "hit", cache.Directives{}, "/c")
	x.handle(func(w http.ResponseWriter, _ *http.Request) {
		if c, _, err := http.NewResponseController(w).Hijack(); err == nil {
			_ = c.Close()
		}
	})
	if _, err := x.service.Do(t.Context(), x.request("DELETE", "/a"), cache.Directives{}); !errors.Is(err, pool.ErrUnknownOutcome) {
		t.Errorf("%v", err)
	}
	x.answers(200, "Cache-Control", "max-age=60")
	if f, _, err := x.get(cache.Directives{}, "/a"); err != nil || f.Body == "7" {
		t.Errorf("after an unknown outcome: %+v, %v", f, err)
	}
}

func TestEqualRequestsAtTheSameTimeAreOne(t *testing.T) {
	const n = 20
	for control, most := range map[string]int64{"max-age=60": 1, "no-store": n} {
		x := newTester(t)
		release := make(chan struct{})
		x.handle(func(w http.ResponseWriter, r *http.Request) {
			select {
			case <-release:
			case <-r.Context().Done():
			}
			w.Header().Set("Cache-Control", control)
		})
		var began, ended sync.WaitGroup
		var failed atomic.Int64
		began.Add(n)
		for range n {
			ended.Go(func() {
				req := x.request(http.MethodGet, "/")
				began.Done()
				if _, err := x.service.Do(context.Background(), req, cache.Directives{}); err != nil {
					failed.Add(1)
				}
			})
		}
		began.Wait()
		for x.asked.Load() == 0 {
			<-time.After(time.Millisecond)
		}
		close(release)
		ended.Wait()
		if asked := x.asked.Load(); failed.Load() != 0 || control == "max-age=60" && asked != 1 || control == "no-store" && asked != n {
			t.Errorf("%s: %d requests for %d calls, want %d; %d failed", control, asked, n, most, failed.Load())
		}
	}
}

// A connection that a freeze has silently broken costs a read a moment, and a write nothing at all.
func TestAFreezeIsInvisibleToAFetch(t *testing.T) {
	for _, method := range []string{http.MethodGet, http.MethodPost} {
		x := newTester(t)
		x.answers(200)
		do := func() error {
			_, err := x.service.Do(t.Context(), x.request(method, "/"), cache.Directives{})
			return err
		}
		if err := do(); err != nil {
			t.Fatal(err)
		}
		x.wire.BlackHole()
		x.wait(time.Minute)
		began := time.Now()
		err := do()
		if took := time.Since(began); err != nil || took > 10*time.Second {
			t.Errorf("%s after a freeze: %v after %v", method, err, took)
		}
		if n := x.asked.Load(); n != 2 {
			t.Errorf("%s came %d times", method, n)
		}
	}
}

func TestARedirectIsHeldByItsOwnRules(t *testing.T) {
	x := newTester(t)
	x.handle(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Cache-Control", "max-age=60")
		switch r.URL.Path {
		case "/permanent":
			http.Redirect(w, r, "/there", http.StatusMovedPermanently)
		case "/temporary":
			w.Header().Set("Cache-Control", "no-store")
			http.Redirect(w, r, "/there", http.StatusFound)
		}
	})
	x.want("", "miss miss", cache.Directives{}, "/permanent")
	x.want("", "hit", cache.Directives{}, "/permanent")
	if n := x.asked.Load(); n != 2 {
		t.Errorf("%d requests for a held redirect", n)
	}
	x.want("", "hit miss", cache.Directives{}, "/temporary") // what it leads to is held
	x.want("", "hit miss", cache.Directives{}, "/temporary")
	if n := x.asked.Load(); n != 4 {
		t.Errorf("%d requests", n)
	}
}
