package sidecar

import (
	"bytes"
	"cmp"
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"hearth/cache"
	"hearth/client/wire"
	"hearth/internal/testing/odootest"
	"hearth/internal/testing/testnet"
	"hearth/internal/testing/weaviatetest"
	"hearth/pool"
	"hearth/pool/odoo"
	"hearth/pool/weaviate"
	"hearth/sidecar/chat"
)

// api is a running server before stand-ins of Weaviate and Odoo, each of which is asked once for each answer if there are no retries. What
// it has fetched stays fresh for an hour.
type api struct {
	testing.TB
	server   *Server
	service  chat.Config
	weaviate *weaviatetest.Server
	odoo     *odootest.Server
	url      string
}

// upstreams are stand-ins that several servers may share.
type upstreams struct {
	weaviate *weaviatetest.Server
	odoo     *odootest.Server
	noUntil  bool          // the class of mutes has no property for a mute's end
	policy   pool.Policy   // of the pools
	timeout  time.Duration // of their calls; 0: the default
	retries  int           // of a call; 0: none
}

func newUpstreams() upstreams {
	return upstreams{weaviate: weaviatetest.New(), odoo: odootest.New(odootest.Config{})}
}

// withClasses adds the two classes, with chat ids of a type.
func (u upstreams) withClasses(messageID, muteID string) upstreams {
	idOf := func(kind string) string {
		if kind == "text" {
			return `{"name":"chat_id","dataType":["text"],"tokenization":"field"}`
		}
		return `{"name":"chat_id","dataType":["` + kind + `"]}`
	}
	u.weaviate.MustAddClass(`{"class":"Message","properties":[` + idOf(messageID) + `,{"name":"role","dataType":["text"],"tokenization":"field"},` +
		`{"name":"content","dataType":["text"]},{"name":"created_at","dataType":["date"]}]}`)
	u.weaviate.MustAddClass(`{"class":"ChatStatus","properties":[` + idOf(muteID) + `,{"name":"muted","dataType":["boolean"]},{"name":"muted_until","dataType":["date"]}]}`)
	return u
}

// newServer makes a server, with an empty service and cache if its config has none.
func newServer(t testing.TB, cfg Config) *Server {
	t.Helper()
	var err error
	if cfg.Cache == nil {
		if cfg.Cache, err = cache.New(cache.Config{Bytes: 1}); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(cfg.Cache.Close)
	}
	if cfg.Chat == nil {
		if cfg.Chat, err = chat.New(chat.Config{Cache: cfg.Cache}); err != nil {
			t.Fatal(err)
		}
	}
	s, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// newAPI starts a server with a change to its config; nil: none.
func newAPI(t testing.TB, u upstreams, change func(*Config, *chat.Config)) *api {
	t.Helper()
	poolOf := func(name string, h http.Handler, grpc bool) *pool.Pool {
		s, err := testnet.Serve(h, testnet.Config{HTTP2: grpc})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = s.Close() })
		p, err := pool.New(pool.Config{Name: name, URL: s.URL, GRPC: grpc, Retries: cmp.Or(u.retries, -1), Policy: u.policy, Timeout: u.timeout})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(p.Close)
		return p
	}
	memory, err := cache.New(cache.Config{Failure: chat.FailureOf})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(memory.Close)
	mute := weaviate.MuteClass{Class: "ChatStatus", ChatID: "chat_id", Muted: "muted", Until: "muted_until"}
	if u.noUntil {
		mute.Until = ""
	}
	w, err := weaviate.New(weaviate.Config{
		REST: poolOf("weaviate", u.weaviate, false), GRPC: poolOf("weaviate", u.weaviate, true),
		Message: weaviate.MessageClass{Class: "Message", ChatID: "chat_id", Role: "role", Content: "content", CreatedAt: "created_at"},
		Mute:    mute,
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(w.Close)
	o, err := odoo.New(odoo.Config{Pool: poolOf("odoo", u.odoo, false), DB: "demo", Key: "key", Protocol: odoo.JSON2})
	if err != nil {
		t.Fatal(err)
	}
	service := chat.Config{
		Weaviate: w, Odoo: o,
		Cache: memory, Policies: map[cache.Resource]cache.Policy{},
		OdooModels: []string{"res.partner"}, OdooRoutes: []string{"odoo_erp"},
	}
	for _, r := range cache.Resources() {
		service.Policies[r] = cache.Policy{Fresh: time.Hour}
	}
	cfg := Config{Cache: memory}
	if change != nil {
		change(&cfg, &service)
	}
	a := &api{TB: t, service: service, weaviate: u.weaviate, odoo: u.odoo}
	if cfg.Chat, err = chat.New(service); err != nil {
		t.Fatal(err)
	}
	a.server = newServer(t, cfg)
	l := listenerFor(t)
	end := a.server.running(t, l)
	t.Cleanup(func() {
		if err := end(); err != nil {
			t.Error(err)
		}
	})
	a.url = "http://" + l.Addr().String()
	return a
}

// answer is a reply that was read.
type answer struct {
	status int
	header http.Header
	body   string
}

func (a answer) hit() bool { return strings.HasPrefix(a.header.Get("Cache-Status"), "hearth; hit") }

func (a answer) problem(t testing.TB) wire.Problem {
	t.Helper()
	var p wire.Problem
	if err := json.Unmarshal([]byte(a.body), &p); err != nil || a.header.Get("Content-Type") != "application/problem+json" || p.Status != a.status {
		t.Fatalf("%d %s %s is no problem: %v", a.status, a.header.Get("Content-Type"), a.body, err)
	}
	return p
}

// do asks with headers, each a name and a value.
func (a *api) do(method, path, body string, headers ...string) answer {
	a.Helper()
	req, err := http.NewRequestWithContext(a.Context(), method, a.url+path, strings.NewReader(body))
	if err != nil {
		a.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	for i := 0; i < len(headers); i += 2 {
		if len(req.Header.Values(headers[i])) == 1 && headers[i] == "Content-Type" {
			req.Header.Del(headers[i])
		}
		req.Header.Add(headers[i], headers[i+1])
	}
	resp, err := http.DefaultTransport.RoundTrip(req)
	if err != nil {
		a.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		a.Fatal(err)
	}
	return answer{resp.StatusCode, resp.Header, string(text)}
}

// want asks, and fails the test unless the status is the one wanted.
func (a *api) want(status int, method, path, body string, headers ...string) answer {
	a.Helper()
	got := a.do(method, path, body, headers...)
	if got.status != status {
		a.Fatalf("%s %s %.200s: %d %.500s, want %d", method, path, body, got.status, got.body, status)
	}
	return got
}

// refuses asks, and fails the test unless the answer is a 400 that names the field; an empty field: any 2xx.
func (a *api) refuses(field, method, path, body string, headers ...string) {
	a.Helper()
	got := a.do(method, path, body, headers...)
	if field == "" {
		if got.status/100 != 2 {
			a.Errorf("%s %.80s %.200s: %d %.300s, want it to be taken", method, path, body, got.status, got.body)
		}
		return
	}
	if got.status != http.StatusBadRequest || got.problem(a.TB).Field != field {
		a.Errorf("%s %.80s %.200s: %d %.300s, want a 400 of %s", method, path, body, got.status, got.body, field)
	}
}

func decoded[T any](t *testing.T, body string) (v T) {
	t.Helper()
	d := json.NewDecoder(bytes.NewReader([]byte(body)))
	d.DisallowUnknownFields()
	if err := d.Decode(&v); err != nil {
		t.Fatalf("%s: %v", body, err)
	}
	return v
}
