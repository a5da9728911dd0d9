package contract

import (
	"bytes"
	"io"
	"net/http"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"

	"hearth/client"
	"hearth/internal/testing/testnet"
)

// overlap delays the answer of a load until after a write: what the load puts into the cache must not hide the write.
func (s *suite) overlap(t *testing.T) {
	h := s.start(t, longLived()...)
	const chat = "overlap"
	domain := map[string]any{"domain": []any{[]any{"email", "=", "overlap@example.com"}}}
	for _, c := range []struct {
		name  string
		held  func(*http.Request) bool
		knobs *testnet.Knobs
		url   string
		read  func() (reply, error)
		write func()
	}{
		{
			"history", s.historyOf("user"), s.Weaviate, s.WeaviateGRPC,
			func() (reply, error) { return h.try(t.Context(), http.MethodGet, historyPath(chat, 10, 5), nil) },
			func() { h.say(t, chat, "user", "buoy") },
		},
		{
			"mute", s.muteOf(), s.Weaviate, s.WeaviateGRPC,
			func() (reply, error) { return h.try(t.Context(), http.MethodGet, chatPath(chat, "mute"), nil) },
			func() { h.setMute(t, chat, map[string]any{"muted": true}) },
		},
		{
			"relevant", s.relevantMessages(), s.Weaviate, s.WeaviateGRPC,
			func() (reply, error) {
				return h.try(t.Context(), http.MethodPost, chatPath(chat, "relevant"), map[string]any{"text": "buoy"})
			},
			func() { h.say(t, chat, "user", "buoy") },
		},
		{
			"call", pathHas("/search_count"), s.Odoo, s.OdooURL,
			func() (reply, error) {
				return h.try(t.Context(), http.MethodPost, "/v1/odoo/call", client.Call{Model: "res.partner", Method: "search_count", Kwargs: domain})
			},
			func() {
				result[int](t, h.call(t, "res.partner", "create", []any{map[string]any{"name": "Buoy", "email": "overlap@example.com"}}, nil))
			},
		},
		{
			"history that was dropped", s.historyOf("user"), s.Weaviate, s.WeaviateGRPC,
			func() (reply, error) { return h.try(t.Context(), http.MethodGet, historyPath(chat, 10, 5), nil) },
			func() {
				s.weaviate.insert(t, messageObject(s.messageClass, uuid.NewString(), chat, "user", "buoy of another's", instant(0)))
				h.do(t, http.MethodDelete, "/v1/cache?chat="+chat, nil)
			},
		},
		{
			"mute that was dropped", s.muteOf(), s.Weaviate, s.WeaviateGRPC,
			func() (reply, error) { return h.try(t.Context(), http.MethodGet, chatPath("overlap 2", "mute"), nil) },
			func() {
				s.weaviate.insert(t, object{Class: s.muteClass, ID: uuid.NewString(), Properties: map[string]any{"chat_id": "overlap 2", "muted": true}})
				h.do(t, http.MethodDelete, "/v1/cache?chat=overlap%202", nil)
			},
		},
	} {
		read := make(chan struct{})
		release := make(chan struct{})
		c.knobs.SetHook(s.hold(t, c.held, c.url, read, release))
		type answer struct {
			reply
			err error
		}
		early := make(chan answer, 1)
		go func() {
			r, err := c.read()
			early <- answer{r, err}
		}()
		select {
		case <-read:
		case <-time.After(10 * time.Second):
			t.Fatalf("%s: nothing was asked", c.name)
		}
		c.write()
		close(release)
		before := <-early
		c.knobs.SetHook(nil)
		if before.err != nil || before.status != http.StatusOK {
			t.Fatalf("%s: the read that was overtaken: %v, %v", c.name, before.reply, before.err)
		}
		after, err := c.read()
		if err != nil {
			t.Fatal(err)
		}
		h.do(t, http.MethodDelete, "/v1/cache", nil)
		right, err := c.read()
		if err != nil {
			t.Fatal(err)
		}
		if string(after.body) != string(right.body) || cached(t, right).hit {
			t.Errorf("%s: after an overtaken read and a write, the reply is %v, loaded anew %v", c.name, after, right)
		}
		if string(before.body) == string(right.body) && c.name != "history" { // to which what was acknowledged is added
			t.Errorf("%s: the read was not overtaken: %v", c.name, before.reply)
		}
	}
}

// hold sends the first request that matches on to the server at url, closes read, and passes the answer on after release.
func (s *suite) hold(t *testing.T, match func(*http.Request) bool, url string, read chan<- struct{}, release <-chan struct{}) testnet.Hook {
	var held atomic.Bool
	clients := map[int]*http.Client{1: newClient(t, s.CAFile), 2: newHTTP2Client(t, s.CAFile)}
	return func(w http.ResponseWriter, r *http.Request) bool {
		if !match(r) || !held.CompareAndSwap(false, true) {
			return false
		}
		body, err := io.ReadAll(r.Body)
		if err != nil {
			panic(http.ErrAbortHandler)
		}
		again, err := http.NewRequestWithContext(r.Context(), r.Method, url+r.URL.RequestURI(), bytes.NewReader(body))
		if err != nil {
			panic(http.ErrAbortHandler)
		}
		again.Header = r.Header.Clone()
		resp, err := clients[r.ProtoMajor].Do(again)
		if err != nil {
			panic(http.ErrAbortHandler)
		}
		defer resp.Body.Close()
		body, err = io.ReadAll(resp.Body)
		close(read)
		select {
		case <-release:
		case <-r.Context().Done():
		}
		if err != nil {
			panic(http.ErrAbortHandler)
		}
		copyAnswer(w, resp, body)
		return true
	}
}

// copyAnswer sends an answer on as it is, gRPC's status in the trailers included.
func copyAnswer(w http.ResponseWriter, resp *http.Response, body []byte) {
	for name, values := range resp.Header {
		if name != "Content-Length" && name != "Trailer" {
			w.Header()[name] = values
		}
	}
	w.WriteHeader(resp.StatusCode)
	_, _ = w.Write(body) // a caller that left cannot be told
	for name, values := range resp.Trailer {
		w.Header()[http.TrailerPrefix+name] = values
	}
}
