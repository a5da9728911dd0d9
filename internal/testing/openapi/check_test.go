package openapi

import (
	"net/http"
	"strings"
	"testing"
)

func TestTheCheckFindsWhatTheDocumentDoesNotHave(t *testing.T) {
	doc := load(t)
	const until = `{"muted":true,"until":"2100-01-01T00:00:00Z"}`
	good := func() exchange {
		return exchange{
			Method: "GET", Target: "/v1/chats/x/mute", Header: http.Header{}, Status: 200, Reply: []byte(until),
			ReplyHeader: http.Header{"Content-Type": {"application/json"}, "Cache-Status": {"hearth; hit; ttl=3"}, "Age": {"2"}, "Server-Timing": {"mute;dur=0.012, total;dur=0.012"}, "Etag": {`"x"`}},
		}
	}
	if err := check(doc, good()); err != nil {
		t.Fatal(err)
	}
	problem := func(e *exchange, status int, body string) {
		e.Status, e.Reply, e.ReplyHeader = status, []byte(body), http.Header{"Content-Type": {"application/problem+json"}}
	}
	for what, spoil := range map[string]func(*exchange){
		"a path":                         func(e *exchange) { e.Target = "/v1/chats/x/none" },
		"a method":                       func(e *exchange) { e.Method = "DELETE" },
		"a status":                       func(e *exchange) { e.Status = 203 },
		"a parameter":                    func(e *exchange) { e.Target += "?x=1" },
		"a request's body":               func(e *exchange) { e.Body = []byte("{}") },
		"a header":                       func(e *exchange) { e.ReplyHeader.Set("X-New", "1") },
		"a reply without its header":     func(e *exchange) { e.ReplyHeader.Del("Age") },
		"a reply with a wrong header":    func(e *exchange) { e.ReplyHeader.Set("Cache-Status", "hearth; hit") },
		"a 304 without its header":       func(e *exchange) { e.Status, e.Reply = 304, nil; e.ReplyHeader.Del("Etag") },
		"a media type":                   func(e *exchange) { e.ReplyHeader.Set("Content-Type", "text/plain") },
		"a field":                        func(e *exchange) { e.Reply = []byte(`{"muted":true,"new":1}`) },
		"a type":                         func(e *exchange) { e.Reply = []byte(`{"muted":1}`) },
		"a reply without its field":      func(e *exchange) { e.Reply = []byte(`{}`) },
		"a format":                       func(e *exchange) { e.Reply = []byte(`{"muted":true,"until":"tomorrow"}`) },
		"a field beside another's value": func(e *exchange) { e.Reply = []byte(strings.Replace(until, "true", "false", 1)) },
		"a kind of problem": func(e *exchange) {
			problem(e, 502, `{"type":"/docs/errors.md#odoo","title":"x","status":502,"retryable":false}`)
		},
		"a problem of another status": func(e *exchange) {
			problem(e, 502, `{"type":"/docs/errors.md#weaviate","title":"x","status":503,"retryable":false}`)
		},
		"a problem's field": func(e *exchange) {
			problem(e, 502, `{"type":"/docs/errors.md#weaviate","title":"x","status":502,"retryable":false,"new":1}`)
		},
		"a 405 without Allow": func(e *exchange) {
			problem(e, 405, `{"type":"/docs/errors.md#method","title":"x","status":405,"retryable":false}`)
		},
		"a 404 for a call": func(e *exchange) {
			problem(e, 404, `{"type":"/docs/errors.md#no-such-call","title":"x","status":404,"retryable":false}`)
		},
		"a request that it allows": func(e *exchange) {
			problem(e, 400, `{"type":"/docs/errors.md#bad-field","title":"x","status":400,"retryable":false}`)
		},
		"a problem within a problem": func(e *exchange) {
			problem(e, 502, `{"type":"/docs/errors.md#weaviate","title":"x","status":502,"retryable":false,"errors":{"a":{"title":"x"}}}`)
		},
	} {
		e := good()
		spoil(&e)
		if check(doc, e) == nil {
			t.Errorf("%s is not missed:\n%v", what, e)
		}
	}
}
