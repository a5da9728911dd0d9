package extension

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"testing"
)

// FuzzEvent reads any answer to /next. What a plain reading finds is found, and a SHUTDOWN with odd fields is one all the same.
func FuzzEvent(f *testing.F) {
	for _, s := range []string{
		`{"eventType":"INVOKE","deadlineMs":1,"requestId":"a","tracing":{"type":"X","value":"Root=1"}}`, `{"eventType":"SHUTDOWN","shutdownReason":7,"deadlineMs":"x"}`,
		`{}`, `null`, `[]`, `{"eventType":7}`, `{"eventType":"INVOKE"`, `<html>`,
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		e := &Extension{http: &http.Client{Transport: answering(body)}, cfg: Config{RuntimeAPI: "runtime"}}
		event, err := e.next(t.Context())
		var plain struct{ EventType string }
		wellFormed := json.Unmarshal(body, &plain) == nil && plain.EventType != ""
		switch {
		case err == nil && event.Type == "":
			t.Errorf("%s: an event without a type", body)
		case wellFormed && (err != nil || event.Type != plain.EventType):
			t.Errorf("%s: %q, %v", body, event.Type, err)
		case err == nil && !json.Valid(body):
			t.Errorf("%s: what is no JSON is an event", body)
		}
	})
}

// answering is a transport whose every answer has this body.
type answering []byte

func (a answering) RoundTrip(*http.Request) (*http.Response, error) {
	return &http.Response{StatusCode: http.StatusOK, Header: http.Header{}, Body: io.NopCloser(bytes.NewReader(a))}, nil
}
