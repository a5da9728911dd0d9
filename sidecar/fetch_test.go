package sidecar

import (
	"bytes"
	"compress/gzip"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"hearth/client/wire"
	"hearth/internal/testing/testnet"
	"hearth/pool"
)

// elsewhere is a server that may be fetched from, and an API that may do so.
type elsewhere struct {
	*api
	*testnet.Server
	asked atomic.Int64
}

func fetchFromHandler(t *testing.T, h http.HandlerFunc, change func(*pool.Config)) *elsewhere {
	t.Helper()
	e := &elsewhere{}
	s, err := testnet.Serve(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		e.asked.Add(1)
		h(w, r)
	}), testnet.Config{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	e.Server, e.api = s, fetchAPI(t, "http://"+s.Addr, change)
	return e
}

// fetch wants a fetch of a path to be answered, with more fields of the body.
func (e *elsewhere) fetch(t *testing.T, path, more string) (wire.Fetched, answer) {
	t.Helper()
	got := e.want(http.StatusOK, "POST", wire.PathFetch, `{"url":"`+e.URL+path+`"`+more+`}`)
	return decoded[wire.Fetched](t, got.body), got
}

// refused wants a fetch to end in a problem of a kind, which names the host.
func (e *elsewhere) refused(t *testing.T, kind wire.Kind, path, more string) wire.Problem {
	t.Helper()
	p := e.do("POST", wire.PathFetch, `{"url":"`+e.URL+path+`"`+more+`}`).problem(t)
	if p.Kind() != kind || p.Upstream != e.Addr {
		t.Errorf("%s%s: %+v, want %s of %s", path, more, p, kind, e.Addr)
	}
	return p
}

func TestAFetchBringsTheWholeAnswer(t *testing.T) {
	e := fetchFromHandler(t, func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		w.Header().Add("X-Many", "a")
		w.Header().Add("X-Many", "b")
		w.Header().Add("Set-Cookie", "a=1; Expires=Thu, 01 Jan 2026 00:00:00 GMT")
		w.Header().Add("Set-Cookie", "b=2")
		switch r.URL.Path {
		case "/binary":
			_, _ = w.Write([]byte{0xff, 0, 0xfe})
		case "/fails":
			w.WriteHeader(http.StatusInternalServerError)
		case "/missing":
			http.NotFound(w, r)
		case "/zipped":
			w.Header().Set("Content-Encoding", "gzip")
			z := gzip.NewWriter(w)
			_, _ = io.WriteString(z, "unpacked")
			_ = z.Close()
		default:
			fmt.Fprintf(w, "%s %s|%s|%s|%s|%s", r.Method, r.RequestURI, r.Host, r.Header.Get("X-Key"), r.Header.Get("User-Agent"), body)
		}
	}, nil)

	got, reply := e.fetch(t, "/a%2Fb?c=d", `,"headers":{"x-key":"k"}`)
	if want := "GET /a%2Fb?c=d|" + e.Addr + "|k|hearth/test|"; got.Status != 200 || got.Body != want || got.BodyBase64 != nil {
		t.Errorf("got %+v, want %s", got, want)
	}
	if got.Headers["X-Many"] != "a, b" || got.Headers["Set-Cookie"] != "a=1; Expires=Thu, 01 Jan 2026 00:00:00 GMT\nb=2" {
		t.Errorf("the headers are %v", got.Headers)
	}
	if reply.header.Get("Cache-Status") != "hearth; fwd=miss" || reply.header.Get("Server-Timing") == "" {
		t.Errorf("the reply's headers are %v", reply.header)
	}
	for more, want := range map[string]string{
		`,"method":"POST","body":"ä\n"`:                                "POST /|" + e.Addr + "||hearth/test|ä\n",
		`,"method":"PUT","body_base64":"/w=="`:                         "",
		`,"method":"PATCH","headers":{"User-Agent":"mine"},"body":"x"`: "PATCH /|" + e.Addr + "||mine|x",
		`,"method":"DELETE"`:                                           "DELETE /|" + e.Addr + "||hearth/test|",
		`,"method":"OPTIONS","body":null,"timeout_ms":5000`:            "OPTIONS /|" + e.Addr + "||hearth/test|",
		`,"method":"HEAD"`:                                             "",
		`,"method":"GET","headers":{"Accept-Language":"de"},"body":""`: "GET /|" + e.Addr + "||hearth/test|",
	} {
		got, _ := e.fetch(t, "/", more)
		if strings.Contains(more, "/w==") {
			got.Body, want = string(got.BodyBase64), "PUT /|"+e.Addr+"||hearth/test|\xff"
		}
		if got.Status != 200 || got.Body != want {
			t.Errorf("%s: %+v, want %q", more, got, want)
		}
	}
	if got, _ := e.fetch(t, "/binary", ""); got.Body != "" || !bytes.Equal(got.BodyBase64, []byte{0xff, 0, 0xfe}) {
		t.Errorf("what is no text is %+v", got)
	}
	if got, _ := e.fetch(t, "/missing", ""); got.Status != 404 || got.Body != "404 page not found\n" {
		t.Errorf("an error of the host is %+v", got)
	}
	for range 30 { // no number of them keeps the other calls from the host
		if got, _ := e.fetch(t, "/fails", ""); got.Status != 500 {
			t.Fatalf("an error of the host is %+v", got)
		}
	}
	if got, _ := e.fetch(t, "/zipped", ""); got.Body != "unpacked" || got.Headers["Content-Encoding"] != "" {
		t.Errorf("what was compressed is %+v", got)
	}
	if got, _ := e.fetch(t, "/zipped", `,"headers":{"Range":"bytes=0-4"}`); got.Headers["Content-Encoding"] != "gzip" {
		t.Errorf("what may be a part of something compressed is %+v", got)
	}
	got, _ = e.fetch(t, "/zipped", `,"headers":{"Accept-Encoding":"gzip"}`)
	if z, err := gzip.NewReader(bytes.NewReader(got.BodyBase64)); err != nil || got.Headers["Content-Encoding"] != "gzip" {
		t.Errorf("what a caller wants compressed is %+v, %v", got, err)
	} else if b, _ := io.ReadAll(z); string(b) != "unpacked" {
		t.Errorf("it unpacks to %q", b)
	}
}

func TestBadInputOfAFetchIsRefusedByItsField(t *testing.T) {
	e := fetchFromHandler(t, func(http.ResponseWriter, *http.Request) {}, nil)
	many := map[string]string{}
	for i := range 65 {
		many[fmt.Sprint("x-", i)] = "v"
	}
	tooMany, err := json.Marshal(many)
	if err != nil {
		t.Fatal(err)
	}
	for more, field := range map[string]string{
		`,"method":"CONNECT"`: "method", `,"method":"get"`: "method", `,"method":5`: "method", `,"method":"TRACE"`: "method",
		`,"headers":[]`: "headers", `,"headers":{"a":1}`: "headers", `,"headers":{"a":"x","b":null}`: "headers", `,"headers":{"a b":"x"}`: "headers", `,"headers":{"":"x"}`: "headers", `,"headers":{"a":"x\r\nb: y"}`: "headers",
		`,"headers":{"Host":"evil"}`: "headers", `,"headers":{"content-length":"5"}`: "headers", `,"headers":{"Transfer-Encoding":"chunked"}`: "headers",
		`,"headers":{"Connection":"close"}`: "headers", `,"headers":{"Proxy-Authorization":"x"}`: "headers", `,"headers":{"upgrade":"h2c"}`: "headers", `,"headers":{"TE":"trailers"}`: "headers",
		`,"headers":{"X-Hearth-Token":"x"}`: "headers", `,"headers":{"a":"1","A":"2"}`: "headers", `,"headers":` + string(tooMany): "headers",
		`,"body":{}`: "body", `,"body":"x"`: "body", `,"method":"HEAD","body":"x"`: "body", `,"method":"POST","body":"\ud800"`: "body",
		`,"method":"POST","body_base64":"%%"`: "body_base64", `,"method":"POST","body":"a","body_base64":"YQ=="`: "body_base64",
		`,"timeout_ms":0`: "timeout_ms", `,"timeout_ms":900001`: "timeout_ms", `,"timeout_ms":1.5`: "timeout_ms", `,"async":"yes"`: "async", `,"follow":true`: "follow",
	} {
		e.refuses(field, "POST", wire.PathFetch, `{"url":"`+e.URL+`/"`+more+`}`)
	}
	for _, header := range []string{`"x-mine":"a\u0000b"`, `"x-mine":null`, `"proxy-x-mine":"a"`} {
		p := e.do("POST", wire.PathFetch, `{"url":"`+e.URL+`/","headers":{`+header+`}}`).problem(t)
		if !strings.Contains(p.Detail, "x-mine") {
			t.Errorf("%s: the header is not named as the caller wrote it: %s", header, p.Detail)
		}
	}
	e.refuses("url", "POST", wire.PathFetch, `{}`)
	e.refuses("url", "POST", wire.PathFetch, `{"url":5}`)
	e.refuses("wait_ms", "GET", "/v1/jobs/x?wait_ms=30001", "")
	e.refuses("wait_ms", "GET", "/v1/jobs/x?wait_ms=-1", "")
	if n := e.asked.Load(); n != 0 {
		t.Errorf("%d requests went out", n)
	}
}

func TestFetchNeedsItsSetting(t *testing.T) {
	a := newAPI(t, newUpstreams(), nil)
	a.server.cfg.NoFetch = "HEARTH_FETCH_ALLOW is not set"
	got := a.do("POST", wire.PathFetch, `{"url":"https://a.test/"}`)
	if p := got.problem(t); p.Kind() != wire.KindNotConfigured || p.Status != 503 || p.Detail != "HEARTH_FETCH_ALLOW is not set" {
		t.Errorf("%d %s", got.status, got.body)
	}
	if got := a.do("GET", "/v1/jobs/x", ""); got.status != http.StatusNotFound { // no job can be
		t.Errorf("a job without the setting is %d %s", got.status, got.body)
	}
}

func TestAFetchWithoutAnAnswerNamesItsHost(t *testing.T) {
	e := fetchFromHandler(t, func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/hangs":
			<-r.Context().Done()
		case "/breaks":
			c, _, err := http.NewResponseController(w).Hijack()
			if err == nil {
				_ = c.Close()
			}
		case "/large":
			_, _ = w.Write(make([]byte, 2<<20))
		case "/bomb":
			w.Header().Set("Content-Encoding", "gzip")
			z := gzip.NewWriter(w)
			_, _ = z.Write(make([]byte, 64<<20))
			_ = z.Close()
		case "/headers":
			w.Header().Set("X-Large", strings.Repeat("x", 70<<10))
		case "/no-gzip":
			w.Header().Set("Content-Encoding", "gzip")
			_, _ = io.WriteString(w, "plain")
		case "/loop":
			http.Redirect(w, r, "/loop", http.StatusFound)
		}
	}, nil)
	if p := e.refused(t, wire.KindTimeout, "/hangs", `,"timeout_ms":50`); p.Status != 504 || !p.Retryable {
		t.Errorf("%+v", p)
	}
	if p := e.refused(t, wire.KindUnreachable, "/breaks", ""); p.Status != 502 || !p.Retryable {
		t.Errorf("%+v", p)
	}
	e.asked.Store(0)
	if p := e.refused(t, wire.KindUnknownOutcome, "/breaks", `,"method":"POST","body":"x"`); p.Status != 502 || p.Retryable || e.asked.Load() != 1 {
		t.Errorf("sent %d times: %+v", e.asked.Load(), p)
	}
	if p := e.refused(t, wire.KindUnknownOutcome, "/hangs", `,"method":"DELETE","timeout_ms":50`); p.Status != 502 || p.Retryable {
		t.Errorf("%+v", p)
	}
	for _, path := range []string{"/large", "/bomb", "/headers"} {
		if p := e.refused(t, wire.KindAnswerTooLarge, path, ""); p.Status != 502 || p.Retryable {
			t.Errorf("%+v", p)
		}
	}
	e.refused(t, wire.KindUnreachable, "/no-gzip", "")
	e.asked.Store(0)
	if p := e.refused(t, wire.KindRedirected, "/loop", ""); p.Status != 502 || p.Retryable || e.asked.Load() != 6 {
		t.Errorf("asked %d times: %+v", e.asked.Load(), p)
	}
	if got, _ := e.fetch(t, "/large", `,"method":"HEAD"`); got.Status != 200 || got.Body != "" {
		t.Errorf("a HEAD of what is large: %+v", got)
	}
}

// Another origin of the list gets the request, but none of its credentials.
func TestARedirectToAnotherOriginBringsNoCredentials(t *testing.T) {
	echo := func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		fmt.Fprintf(w, "%s %s|%s|%s|%s|%s|%s", r.Method, r.URL.Path, r.Header.Get("Authorization"), r.Header.Get("Cookie"), r.Header.Get("X-Api-Key"), r.Header.Get("Accept"), body)
	}
	other, err := testnet.Serve(http.HandlerFunc(echo), testnet.Config{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = other.Close() })
	first, err := testnet.Serve(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var status int
		if _, err := fmt.Sscanf(r.URL.Path, "/%d", &status); err != nil {
			echo(w, r)
			return
		}
		w.Header().Set("Location", r.URL.Query().Get("to"))
		w.WriteHeader(status)
	}), testnet.Config{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = first.Close() })
	a := fetchAPI(t, "http://"+first.Addr+",http://"+other.Addr, nil)
	const secrets = `"headers":{"Authorization":"Bearer s","Cookie":"c=s","X-Api-Key":"s","Accept":"text/plain","Content-Type":"text/plain"}`
	for _, c := range []struct {
		status           int
		method, to, want string
	}{
		{301, "GET", other.URL + "/x", "GET /x||||text/plain|"},
		{307, "GET", "/same", "GET /same|Bearer s|c=s|s|text/plain|"},
		{302, "POST", other.URL + "/x", "GET /x||||text/plain|"},
		{303, "PUT", "/same", "GET /same|Bearer s|c=s|s|text/plain|"},
		{302, "PUT", "/same", "PUT /same|Bearer s|c=s|s|text/plain|body"},
		{307, "POST", other.URL + "/x", "POST /x||||text/plain|body"},
		{308, "PATCH", "/same", "PATCH /same|Bearer s|c=s|s|text/plain|body"},
		{307, "GET", "//" + other.Addr + "/x#fragment", "GET /x||||text/plain|"},
		{307, "GET", strings.Replace(other.URL, "http", "HTTP", 1), "GET /||||text/plain|"},
		{302, "GET", "", ""}, // a redirect that names no address is an answer
	} {
		body := ""
		if c.method != "GET" {
			body = `,"body":"body"`
		}
		got := a.want(http.StatusOK, "POST", wire.PathFetch, fmt.Sprintf(`{"url":"%s/%d?to=%s","method":"%s",%s%s}`,
			first.URL, c.status, strings.ReplaceAll(c.to, "#", "%23"), c.method, secrets, body))
		if f := decoded[wire.Fetched](t, got.body); f.Body != c.want {
			t.Errorf("%+v: %+v", c, f)
		}
	}
}

func TestARequestsFreshnessHoldsForAFetch(t *testing.T) {
	e := fetchFromHandler(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Cache-Control", "max-age=60")
		_, _ = io.WriteString(w, r.Header.Get("Cache-Control"))
	}, nil)
	body := fetchFrom(t, e.URL+"/")
	if p := e.do("POST", wire.PathFetch, body, "Cache-Control", "only-if-cached").problem(t); p.Kind() != wire.KindNotCached {
		t.Errorf("%+v", p)
	}
	for _, c := range []struct {
		directive, status string
		asked             int64
	}{
		{"", "hearth; fwd=miss", 1},
		{"", "hearth; hit; ttl=59", 1},
		{"only-if-cached", "hearth; hit; ttl=59", 1},
		{"no-cache", "hearth; fwd=request", 2},
		{"max-age=0", "hearth; fwd=request", 3},
		{"no-store", "hearth; hit; ttl=59", 3},
	} {
		got := e.want(200, "POST", wire.PathFetch, body, "Cache-Control", c.directive)
		if status := got.header.Get("Cache-Status"); status != c.status && status != strings.Replace(c.status, "59", "60", 1) || e.asked.Load() != c.asked {
			t.Errorf("%q: %s after %d questions, want %+v", c.directive, status, e.asked.Load(), c)
		}
		if c.directive == "no-cache" && decoded[wire.Fetched](t, got.body).Body != "no-cache" {
			t.Errorf("the host is not told of no-cache: %s", got.body)
		}
	}
	e.want(200, "DELETE", "/v1/cache", "")
	e.fetch(t, "/", "")
	if e.asked.Load() != 4 {
		t.Errorf("what was dropped is served")
	}
	if pools := decoded[wire.Pools](t, e.want(200, "GET", "/debug/pools", "").body); pools[e.URL].Requests != 4 {
		t.Errorf("the pools are %+v", pools)
	}
	stats := e.want(200, "GET", "/debug/cache", "").body
	if !strings.Contains(stats, `"fetch":{`) {
		t.Errorf("the statistics have no fetch: %s", stats)
	}
}

func TestAJobIsReadOnce(t *testing.T) {
	release := make(chan struct{})
	e := fetchFromHandler(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/waits" {
			select {
			case <-release:
			case <-r.Context().Done():
			}
		}
		_, _ = w.Write([]byte{0xff})
	}, nil)
	start := func(path string) string {
		got := e.want(http.StatusAccepted, "POST", wire.PathFetch, `{"url":"`+e.URL+path+`","async":true}`)
		return decoded[wire.Job](t, got.body).Job
	}
	job := start("/waits")
	for _, wait := range []string{"", "?wait_ms=0", "?wait_ms=20"} {
		got := e.want(http.StatusAccepted, "GET", "/v1/jobs/"+job+wait, "")
		if decoded[wire.Job](t, got.body).Job != job {
			t.Errorf("a pending job is %s", got.body)
		}
	}
	// The caller's own time ends the wait too.
	began := time.Now()
	e.want(http.StatusAccepted, "GET", "/v1/jobs/"+job+"?wait_ms=30000", "", "X-Hearth-Timeout-Ms", "100")
	if took := time.Since(began); took > 20*time.Second {
		t.Errorf("it took %v", took)
	}
	for _, method := range []string{"HEAD", "DELETE"} {
		if p := e.do(method, "/v1/jobs/"+job, ""); p.status != http.StatusMethodNotAllowed || p.header.Get("Allow") != "GET" {
			t.Errorf("a %s is answered with %d, Allow: %s", method, p.status, p.header.Get("Allow"))
		}
	}
	close(release)
	got := e.want(http.StatusOK, "GET", "/v1/jobs/"+job+"?wait_ms=30000", "")
	if f := decoded[wire.Fetched](t, got.body); f.Status != 200 || base64.StdEncoding.EncodeToString(f.BodyBase64) != "/w==" {
		t.Errorf("the job brought %s", got.body)
	}
	for _, id := range []string{job, "never", strings.ToLower(job), "..%2f" + job} {
		if p := e.do("GET", "/v1/jobs/"+id, "").problem(t); p.Kind() != wire.KindNoSuchJob || p.Status != 404 {
			t.Errorf("%s: %+v", id, p)
		}
	}
	if p := e.do("GET", "/v1/jobs/"+job+"/x", "").problem(t); p.Kind() != wire.KindNoSuchCall {
		t.Errorf("%+v", p)
	}
	// A failure is the job's result too. What cannot be started is refused at once.
	failing := decoded[wire.Job](t, e.want(http.StatusAccepted, "POST", wire.PathFetch, `{"url":"`+e.URL+`/x","async":true,"timeout_ms":1,"method":"POST"}`).body).Job
	if got := e.do("GET", "/v1/jobs/"+failing+"?wait_ms=30000", ""); got.status != 200 && got.status != 502 && got.status != 504 {
		t.Errorf("%d %s", got.status, got.body)
	}
	if p := e.do("POST", wire.PathFetch, `{"url":"https://evil.test/","async":true}`).problem(t); p.Kind() != wire.KindNotAllowed {
		t.Errorf("%+v", p)
	}
	if other := start("/"); len(other) < 20 || other == job {
		t.Errorf("a job's name is %q", other)
	}
}
