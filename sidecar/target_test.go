package sidecar

import (
	"bufio"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"

	"hearth/client/wire"
)

func TestTargetsAreSplitAsTheirFormWants(t *testing.T) {
	type parts struct {
		absolute                  bool
		scheme, host, path, query string
	}
	for raw, want := range map[string]parts{
		"/":                            {path: "/"},
		"/a?b?c":                       {path: "/a", query: "b?c"},
		"//a/b":                        {path: "//a/b"},
		"/a://b/c":                     {path: "/a://b/c"},
		"/a?b=c://d":                   {path: "/a", query: "b=c://d"},
		"*":                            {path: "*"},
		"http://localhost/a%2Fb?c":     {absolute: true, scheme: "http", host: "localhost", path: "/a%2Fb", query: "c"},
		"HTTP://LocalHost:2774//a":     {absolute: true, scheme: "HTTP", host: "LocalHost:2774", path: "//a"},
		"http://[::1]:2774":            {absolute: true, scheme: "http", host: "[::1]:2774", path: "/"},
		"http://localhost?a":           {absolute: true, scheme: "http", host: "localhost", path: "/", query: "a"},
		"http:///a":                    {absolute: true, scheme: "http", path: "/a"},
		"http://u@localhost/a://b":     {absolute: true, scheme: "http", host: "u@localhost", path: "/a://b"},
		"http://localhost\\.evil.org/": {absolute: true, scheme: "http", host: "localhost\\.evil.org", path: "/"},
	} {
		split := parseTarget([]byte(raw))
		got := parts{split.absolute, string(split.scheme), string(split.host), string(split.path), string(split.query)}
		if got != want {
			t.Errorf("%s: %+v, want %+v", raw, got, want)
		}
	}
}

// raw sends one request as it is written, and returns the answer and its body.
func raw(t *testing.T, s *Server, request string) (*http.Response, string) {
	t.Helper()
	l := listenerFor(t)
	end := s.running(t, l)
	defer func() {
		if err := end(); err != nil {
			t.Error(err)
		}
	}()
	c, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if _, err := io.WriteString(c, request); err != nil {
		t.Fatal(err)
	}
	resp, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp, string(body)
}

func TestAnAbsoluteTargetIsServedIfItIsThisMachine(t *testing.T) {
	for target, want := range map[string]int{
		"http://localhost:2774/healthz": 200, "http://127.0.0.1/healthz": 200, "HTTP://[::1]/healthz": 200, "/healthz": 200,
		"http://evil.example/healthz": 403, "http://localhost.evil.example/healthz": 403, "http://evil.example@localhost/healthz": 403,
		"http://localhost@evil.example/healthz": 403, "http:///healthz": 403, "https://localhost/healthz": 403, "ws://localhost/healthz": 403,
		"http://localhost": 404, "http://localhost/http://localhost/healthz": 404,
		"http://localhost/v1/chats/a%2F..%2Fb/mute": 503, // a chat's, of an upstream that is not configured
	} {
		resp, body := raw(t, newServer(t, Config{}), "GET "+target+" HTTP/1.1\r\nHost: localhost\r\n\r\n")
		if resp.StatusCode != want {
			t.Errorf("%s: %d %s, want %d", target, resp.StatusCode, body, want)
		}
	}
	for request, want := range map[string]int{
		"GET http://localhost/healthz HTTP/1.1\r\nHost: evil.example\r\n\r\n":                                    403,
		"GET http://localhost/healthz HTTP/1.1\r\n\r\n":                                                          400,
		"GET /healthz HTTP/1.1\r\nHost: localhost\r\nHost: localhost\r\n\r\n":                                    400,
		"GET /healthz HTTP/1.1\r\nHost: localhost\r\nOrigin: http://a\r\n\r\n":                                   403,
		"GET /healthz HTTP/1.1\r\nHost: a\r\nOrigin: http://localhost\r\nOrigin: http://a\r\n\r\n":               403,
		"GET /healthz HTTP/1.1\r\nHost: localhost\r\nOrigin: http://localhost\r\nOrigin: http://a\r\n\r\n":       403,
		"GET /healthz HTTP/1.1\r\nHost: localhost\r\nSec-Fetch-Site: none\r\nSec-Fetch-Site: cross-site\r\n\r\n": 403,
	} {
		if resp, body := raw(t, newServer(t, Config{}), request); resp.StatusCode != want {
			t.Errorf("%q: %d %s, want %d", request, resp.StatusCode, body, want)
		}
	}
}

func TestParametersThatACallDoesNotTakeAreRefused(t *testing.T) {
	for target, field := range map[string]string{
		"/v1/chats/a/history?nums=5": "nums", "/v1/chats/a/history?Num_messages=5": "Num_messages", "/v1/chats/a/history?num_messages=5&x": "x",
		"/v1/chats/a/history?num_messages=5&full_text_len=1&num_messages=5": "num_messages", "/v1/chats/a/history?num_messages=5&num%5fmessages=5": "num_messages",
		"/v1/chats/a/history?num_messages=%zz": "num_messages", "/v1/chats/a/history?%zz=1": "%zz", "/v1/chats/a/history?=1": "query",
		"/v1/chats/a/history?num_messages=5;full_text_len=1": "num_messages",
		"/v1/chats/a/mute?num_messages=5":                    "num_messages", "/v1/odoo/models?name=a": "name", "/v1/odoo/models?names=a&names=b": "names",
		"/healthz?x=1": "x", "/readyz?x": "x", "/debug/cache?x=": "x", "/debug/pools?x": "x",
		"http://localhost/healthz?x=1": "x",
	} {
		resp, body := raw(t, newServer(t, Config{}), "GET "+target+" HTTP/1.1\r\nHost: localhost\r\n\r\n")
		var p wire.Problem
		if err := json.Unmarshal([]byte(body), &p); err != nil || resp.StatusCode != 400 || p.Field != field || !strings.HasPrefix(p.Detail, field) {
			t.Errorf("%s: %d %s, want a problem of %s", target, resp.StatusCode, body, field)
		}
	}
	for _, target := range []string{"/healthz?", "/healthz?&", "/v1/chats/a/history?&num_messages=5&&full_text_len=1&", "/v1/chats/a/history?num%5Fmessages=5"} {
		if resp, body := raw(t, newServer(t, Config{}), "GET "+target+" HTTP/1.1\r\nHost: localhost\r\n\r\n"); resp.StatusCode == 400 {
			t.Errorf("%s: %s", target, body)
		}
	}
}

func TestARefusedTokenSaysWhereTheRightOneComesFrom(t *testing.T) {
	for variable, words := range map[string][]string{
		"HEARTH_TOKEN":                      {"HEARTH_TOKEN", "AWS_SESSION_TOKEN", "AWS_CONTAINER_AUTHORIZATION_TOKEN"},
		"AWS_SESSION_TOKEN":                 {"derived from the AWS_SESSION_TOKEN", "overwrites", "HEARTH_TOKEN"},
		"AWS_CONTAINER_AUTHORIZATION_TOKEN": {"derived from the AWS_CONTAINER_AUTHORIZATION_TOKEN", "overwrites", "HEARTH_TOKEN"},
	} {
		for _, header := range []string{"", "X-Hearth-Token: wrong\r\n"} {
			resp, body := raw(t, newServer(t, Config{Token: "s3cret", TokenFrom: variable}), "GET /readyz HTTP/1.1\r\nHost: localhost\r\n"+header+"\r\n")
			for _, w := range words {
				if resp.StatusCode != 401 || !strings.Contains(body, w) || strings.Contains(body, "s3cret") {
					t.Errorf("%s: %d %s, want %q in it", variable, resp.StatusCode, body, w)
				}
			}
		}
	}
}
