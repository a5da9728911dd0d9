package sidecar

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/valyala/fasthttp"

	"hearth/cache"
	"hearth/client/wire"
)

// FuzzRequests sends any request to every call of a server without upstreams. No request makes the server fail, a body that is no JSON never passes, and
// a problem of a field names the field.
func FuzzRequests(f *testing.F) {
	add := func(route byte, target, cacheControl, timeout, body string) {
		f.Add(route, target, cacheControl, timeout, []byte(body))
	}
	for i, body := range []string{
		``, `{"text":"a","count":5,"mode":"auto","vector":[1,2],"roles":["user"]}`, ``, `{"muted":true,"until":"2026-01-01T00:00:00Z"}`,
		`[{"role":"user","content":"x","id":"a","created_at":"2026-01-01T00:00:00Z","properties":{"a":1}}]`,
		`{"chat_id":"a","text":"b","route_name":"c","num_messages":3,"timeout_ms":300}`, ``, `{"model":"res.partner","method":"read","args":[[1]],"kwargs":{"context":{}}}`,
		`{"requests":[{"id":"a","method":"GET","path":"/v1/chats/a/history"}],"timeout_ms":5}`, `{"url":"https://a.example/","headers":{"a":"b"},"async":true}`,
	} {
		add(byte(i), "a", "max-age=1, max-stale", "1500", body)
		add(byte(i), "%2F?x=1", `no-cache="`, "-1", body+"}")
	}
	all := routes()
	timings := slices.IndexFunc(all, func(r route) bool { return r.path == wire.PathTimings })
	add(byte(timings), "", "", "", `{"request_id":"1","function_ms":3.5,"timings":[{"operation":"a","duration_ms":1e3,"error":"no"},{"operation":"é","duration_ms":0,"error":true}]}`)
	s := newServer(f, Config{})
	here, there := net.Pipe()
	f.Cleanup(func() { here.Close(); there.Close() })
	f.Fuzz(func(t *testing.T, number byte, segment, cacheControl, timeout string, body []byte) {
		route := all[int(number)%len(all)]
		r := &fasthttp.RequestCtx{}
		r.Init2(here, nil, false)
		r.Request.Header.SetMethod(route.method)
		r.Request.Header.SetRequestURI(strings.NewReplacer("{chat_id}", segment, "{job}", segment).Replace(route.path))
		r.Request.Header.SetHost("localhost")
		r.Request.Header.Set("Cache-Control", cacheControl)
		r.Request.Header.Set(wire.HeaderTimeout, timeout)
		r.Request.Header.SetContentType("application/json")
		r.Request.SetBodyStream(bytes.NewReader(body), len(body))
		s.serve(t.Context(), r, false, nil)

		status, reply := r.Response.StatusCode(), r.Response.Body()
		if status/100 == 2 || route.path == pathNearPage && status == fasthttp.StatusPermanentRedirect {
			if !json.Valid(reply) && len(reply) > 0 && route.path != wire.PathMetrics && route.path != wire.PathPage {
				t.Errorf("%s: the reply is no JSON: %s", route.path, reply)
			}
			return
		}
		if route.path == wire.PathReady && status == fasthttp.StatusServiceUnavailable && json.Valid(reply) {
			return // it says how the upstreams stand
		}
		var p wire.Problem
		if err := json.Unmarshal(reply, &p); err != nil || p.Status != status || p.Kind() == "" || status >= 500 && p.Kind() == wire.KindInternal {
			t.Fatalf("%s: %d %s, %v", route.path, status, reply, err)
		}
		if p.Kind() == wire.KindBadField && (p.Field == "" || !strings.HasPrefix(p.Detail, p.Field)) {
			t.Errorf("%s: no field is named: %s", route.path, reply)
		}
		if takesBody(route) && status >= 500 && !json.Valid(body) && route.path != wire.PathFetch { // this server does not read what is to be fetched
			t.Errorf("%s: a body that is no JSON got past the decoder: %q", route.path, body)
		}
	})
}

func takesBody(r route) bool { return r.method == "POST" || r.method == "PUT" }

// FuzzQuery holds the query's parameters against net/url.
func FuzzQuery(f *testing.F) {
	for _, s := range []string{"a=1&b=2", "a=%31&a=2", "a=+&&b", "=1", "a=%zz", "%61=1", "c=1", "a=1;b=2"} {
		f.Add(s)
	}
	known := []string{"a", "b"}
	f.Fuzz(func(t *testing.T, query string) {
		r := &request{}
		if refusal := r.parseQuery([]byte(query), known); refusal != nil {
			if refusal.Field == "" || refusal.Status != 400 {
				t.Errorf("%q: %+v", query, refusal)
			}
			return
		}
		want, err := url.ParseQuery(strings.ReplaceAll(query, ";", "%3B")) // net/url takes no semicolon, and to us it is a letter
		if err != nil || len(want) != len(r.query) {
			t.Fatalf("%q is %v, want %v, %v", query, r.query, want, err)
		}
		for _, p := range r.query {
			if !slices.Equal(want[p.name], []string{string(p.value)}) {
				t.Errorf("%q: %s is %q, want %q", query, p.name, p.value, want[p.name])
			}
		}
	})
}

// FuzzTarget splits a target so that its parts make it up again.
func FuzzTarget(f *testing.F) {
	for _, s := range []string{"/a?b", "http://localhost/a//b/../c", "http://h?q", "*", "", "/%2F?a?b", "x://y://z"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, raw string) {
		got := parseTarget([]byte(raw))
		if got.absolute {
			rest := strings.TrimPrefix(raw, string(got.scheme)+"://"+string(got.host))
			if !strings.HasPrefix(rest, "/") {
				rest = "/" + rest
			}
			raw = rest
		}
		again := string(got.path)
		if strings.Contains(raw, "?") {
			again += "?" + string(got.query)
		}
		if cut, _, _ := strings.Cut(raw, "?"); string(got.path) != cut || again != raw {
			t.Errorf("%q is %q and %q", raw, got.path, got.query)
		}
	})
}

// FuzzCacheControl reads directives. They are the same when they are written anew, and a line that stands twice changes nothing.
func FuzzCacheControl(f *testing.F) {
	for _, s := range []string{"no-cache", "max-age=0, max-stale", `max-age="5"`, "MIN-FRESH = 7", "max-stale=99999999999999999999", `a="\",no-cache",no-store`, "max-age=-1", "only-if-cached=1"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, line string) {
		d, refusal := parseCacheControl([][]byte{[]byte(line)})
		if refusal != nil {
			if refusal.Field != "Cache-Control" {
				t.Errorf("%q: %+v", line, refusal)
			}
			return
		}
		for _, age := range []*time.Duration{d.MaxAge, d.MinFresh, d.MaxStale} {
			if age != nil && (*age < 0 && age != d.MaxStale || *age%time.Second != 0 && *age != -1) {
				t.Errorf("%q: %v", line, *age)
			}
		}
		for _, lines := range [][]string{{written(d)}, {line, line}} {
			var raw [][]byte
			for _, l := range lines {
				raw = append(raw, []byte(l))
			}
			if again, refusal := parseCacheControl(raw); refusal != nil || !same(again, d) {
				t.Errorf("%q became %q, which is %+v, %v", line, lines, again, refusal)
			}
		}
	})
}

// written are directives as a header has them.
func written(d cache.Directives) string {
	var all []string
	for name, is := range map[string]bool{"no-cache": d.NoCache, "no-store": d.NoStore, "only-if-cached": d.OnlyIfCached} {
		if is {
			all = append(all, name)
		}
	}
	for name, age := range map[string]*time.Duration{"max-age": d.MaxAge, "min-fresh": d.MinFresh, "max-stale": d.MaxStale} {
		switch {
		case age == nil:
		case *age < 0:
			all = append(all, name)
		default:
			all = append(all, fmt.Sprintf("%s=%d", name, int64(age.Seconds())))
		}
	}
	return strings.Join(all, ", ")
}
