package fetch

import (
	"bytes"
	"context"
	"encoding/json"
	"net/http"
	"time"
	"unicode/utf8"

	"hearth/cache"
	"hearth/client/wire"
	"hearth/pool/web"
)

// load asks for what a request wants. If something is held that its server can confirm, the server is asked to.
func (s *Service) load(ctx context.Context, req web.Request, d cache.Directives, held []byte) (cache.Answer, error) {
	asked := req
	asked.Header = req.Header.Clone()
	if asked.Header == nil {
		asked.Header = http.Header{}
	}
	if d.NoCache { // the caches between Hearth and the server must not answer either
		asked.Header.Set("Cache-Control", "no-cache")
	}
	var old wire.Fetched
	if held != nil && json.Unmarshal(held, &old) == nil {
		copyValue(asked.Header, "If-None-Match", old.Headers["Etag"])
		copyValue(asked.Header, "If-Modified-Since", old.Headers["Last-Modified"])
	}
	began := time.Now()
	answer, err := s.web.Do(ctx, asked)
	if err != nil {
		return cache.Answer{}, err
	}
	took := time.Since(began)
	reply := fetched(answer)
	if answer.Status == http.StatusNotModified && old.Status != 0 {
		reply = confirmed(old, reply.Headers)
	}
	body, err := encode(reply)
	if err != nil {
		return cache.Answer{}, err
	}
	a := cache.Answer{Body: body, Failed: failed(answer.Status)}
	a.Policy, a.Age, a.Keep = rulesOf(reply, began, took)
	return a, nil
}

func copyValue(h http.Header, name, value string) {
	if value != "" {
		h.Set(name, value)
	}
}

// failed says whether a status is one of those that stale-if-error is for (RFC 5861).
func failed(status int) bool {
	switch status {
	case http.StatusInternalServerError, http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		return true
	}
	return false
}

// confirmed is a held answer with the headers of the 304 that confirms it. The headers that describe the body stay.
func confirmed(old wire.Fetched, headers map[string]string) wire.Fetched {
	for name, value := range headers {
		switch name {
		case "Content-Length", "Content-Encoding", "Content-Type", "Content-Range":
		default:
			old.Headers[name] = value
		}
	}
	for _, name := range []string{"Age", "Date"} { // those of the old answer are out of date
		if headers[name] == "" {
			delete(old.Headers, name)
		}
	}
	return old
}

// fetched is an answer as a caller gets it.
func fetched(a *web.Answer) wire.Fetched {
	f := wire.Fetched{Status: a.Status, Headers: a.Text()}
	if utf8.Valid(a.Body) {
		f.Body = string(a.Body)
	} else {
		f.BodyBase64 = a.Body
	}
	return f
}

func encode(f wire.Fetched) ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(f); err != nil {
		return nil, err
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n")), nil
}
