package sidecar

import (
	"bytes"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"go.uber.org/goleak"

	"hearth/cache"
)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m,
		// After a shutdown fasthttp's cleaner sleeps on for up to ten seconds.
		goleak.IgnoreAnyFunction("github.com/valyala/fasthttp.(*workerPool).Start.func2"))
}

func TestPathsAreMatchedRaw(t *testing.T) {
	for _, c := range []struct {
		method, path string
		found        bool
		chat         string
		allowed      string
	}{
		{"GET", "/v1/chats/a/history", true, "a", "GET, HEAD"},
		{"HEAD", "/v1/chats/a/history", true, "a", "GET, HEAD"},
		{"POST", "/v1/chats/a/history", false, "a", "GET, HEAD"},
		{"PUT", "/v1/chats/a/mute", true, "a", "GET, HEAD, PUT"},
		{"GET", "/v1/chats/x%2F..%2Fvictim/history", true, "x%2F..%2Fvictim", "GET, HEAD"},
		{"GET", "/v1/chats/../history", true, "..", "GET, HEAD"},
		{"GET", "/v1/chats//history", true, "", "GET, HEAD"},
		{"GET", "/v1/chats/a/b/history", false, "", ""},
		{"GET", "/v1/chats/a/history/", false, "", ""},
		{"GET", "//v1/chats/a/history", false, "", ""},
		{"GET", "/V1/chats/a/history", false, "", ""},
		{"GET", "http://localhost/healthz", false, "", ""},
		{"GET", "/healthz", true, "", "GET, HEAD"},
		{"GET", "", false, "", ""},
	} {
		calls, chat := newRouter(routes()).find([]byte(c.path))
		found := slices.ContainsFunc(calls, func(r route) bool { return r.takes([]byte(c.method)) })
		if found != c.found || string(chat) != c.chat || methods(calls) != c.allowed {
			t.Errorf("%s %s: found %t, chat %q, allowed %v", c.method, c.path, found, chat, methods(calls))
		}
	}
}

func TestOnlyThisMachineIsLocal(t *testing.T) {
	for host, want := range map[string][2]bool{ // over TCP, over the socket
		"localhost": {true, true}, "LocalHost:2774": {true, true}, "127.0.0.1": {true, true}, "127.8.0.1:1": {true, true},
		"[::1]": {true, true}, "[::1]:2774": {true, true}, "hearth": {false, true}, "Hearth:80": {false, true},
		"": {false, false}, "example.com": {false, false}, "127.0.0.1.example.com": {false, false}, "localhost.example.com": {false, false},
		"10.0.0.1": {false, false}, "0.0.0.0": {false, false}, "[::]": {false, false}, "169.254.169.254": {false, false},
	} {
		if got := [2]bool{localHost([]byte(host), false), localHost([]byte(host), true)}; got != want {
			t.Errorf("%q: %v, want %v", host, got, want)
		}
	}
}

func TestCacheControl(t *testing.T) {
	d := func(s int) *time.Duration { return new(time.Duration(s) * time.Second) }
	for header, want := range map[string]cache.Directives{
		"":                                {},
		"no-cache":                        {NoCache: true},
		"No-Store , ONLY-IF-CACHED":       {NoStore: true, OnlyIfCached: true},
		"max-age=5, max-stale=7":          {MaxAge: d(5), MaxStale: d(7)},
		`max-age="5"`:                     {MaxAge: d(5)},
		"max-age=0":                       {MaxAge: d(0)},
		"max-age=99999999999999999999999": {MaxAge: d(1<<31 - 1)},
		"MIN-FRESH=3,max-age = 4":         {MinFresh: d(3), MaxAge: d(4)},

		// Of a directive given twice the stricter one counts, in either order.
		"max-age=0, max-age=1000":  {MaxAge: d(0)},
		"max-age=1000, max-age=0":  {MaxAge: d(0)},
		"min-fresh=9, min-fresh=1": {MinFresh: d(9)},
		"min-fresh=1, min-fresh=9": {MinFresh: d(9)},
		"max-stale=9, max-stale=1": {MaxStale: d(1)},
		"max-stale, max-stale=1":   {MaxStale: d(1)},
		"max-stale=1, max-stale":   {MaxStale: d(1)},
		"max-stale":                {MaxStale: new(time.Duration(-1))},

		// A quoted value is one value, whatever it holds.
		`x="a, no-cache", no-store`:                   {NoStore: true},
		`x="a\", no-cache", no-store`:                 {NoStore: true},
		`x="a\\", no-cache`:                           {NoCache: true},
		`x="max-age=1, no-cache`:                      {},
		`x="a, b" , max-age="\7"`:                     {MaxAge: d(7)},
		`no-cache="a, only-if-cached"`:                {NoCache: true},
		`=no-cache, no-store=, "no-cache", no-cache2`: {NoStore: true},
		"private, x=y, no-transform,, ,":              {},
	} {
		got, refusal := parseCacheControl([][]byte{[]byte(header)})
		if refusal != nil || !same(got, want) {
			t.Errorf("%q: %+v, %v", header, got, refusal)
		}
	}
	got, refusal := parseCacheControl([][]byte{[]byte("no-cache, max-age=9"), []byte("max-age=1"), []byte("max-stale, max-age=5")})
	if refusal != nil || !same(got, cache.Directives{NoCache: true, MaxAge: d(1), MaxStale: new(time.Duration(-1))}) {
		t.Errorf("three lines: %+v, %v", got, refusal)
	}
	for _, header := range []string{
		"max-age", "max-age=", "max-age=-1", "max-age=+1", "max-age=x", "max-age=1 2", `max-age="1"2`, `max-age=""`, "max-stale=1.5", "max-stale=", "min-fresh", "min-fresh=soon",
		"max-age=1, max-age=x",
	} {
		if _, refusal := parseCacheControl([][]byte{[]byte(header)}); refusal == nil || refusal.Field != "Cache-Control" {
			t.Errorf("%q: %v", header, refusal)
		}
	}
}

func same(a, b cache.Directives) bool {
	eq := func(x, y *time.Duration) bool { return (x == nil) == (y == nil) && (x == nil || *x == *y) }
	return a.NoCache == b.NoCache && a.NoStore == b.NoStore && a.OnlyIfCached == b.OnlyIfCached && eq(a.MaxAge, b.MaxAge) &&
		eq(a.MinFresh, b.MinFresh) && eq(a.MaxStale, b.MaxStale)
}

func TestETagsMatch(t *testing.T) {
	for header, want := range map[string]bool{
		"": false, `"a"`: true, `W/"a"`: true, `"b", "a"`: true, `"b"`: false, "*": true, "a": false, " * ": true,
		"\"b\"\n\"a\"": true, "\"a\"\n\"b\"": true, "\"b\"\n\"c\"": false, `"b","c" ,,	W/"a"`: true,
		`"b, "a`: false, `"b,"a""`: false, `"x\", "a"`: true, `w/"a"`: false, `W/ "a"`: false, `"a`: false, `b "a"`: false,
		"*\n\"b\"": false, `"b", *`: false, `*"a"`: false,
	} {
		if got := matchesETag(bytes.Split([]byte(header), []byte("\n")), `"a"`); got != want {
			t.Errorf("%q: %t", header, got)
		}
	}
}

func FuzzChatSegment(f *testing.F) {
	for _, s := range []string{"a", "a%2Fb", "%", "%zz", "%ff", "..", "+", strings.Repeat("%F0%9F%98%80", 128)} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, segment string) {
		r := &request{}
		refusal := r.decodeChat([]byte(segment))
		want, err := url.PathUnescape(segment)
		if refusal != nil {
			if refusal.Status != 400 || refusal.Field != "chat_id" {
				t.Errorf("%q: %v", segment, refusal)
			}
			return
		}
		chat := r.chat
		if err != nil || string(chat) != want || len(chat) == 0 || len(chat) > 512 || !utf8.Valid(chat) {
			t.Errorf("%q was let in as %q, want %q, %v", segment, chat, want, err)
		}
		if again, _ := url.PathUnescape(url.PathEscape(string(chat))); again != string(chat) {
			t.Errorf("%q is not one chat", chat)
		}
	})
}

func TestNamesAreSplitOnce(t *testing.T) {
	if got := splitNames(" a, b ,,a"); !slices.Equal(got, []string{"a", "b"}) {
		t.Error(got)
	}
}
