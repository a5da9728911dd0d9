package odoo

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"go.uber.org/goleak"

	"hearth/pool"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var _ Doer = (*pool.Pool)(nil)

const key = "0123456789abcdef"

// fake is Odoo's side of a test: a handler reached without a network, and what it was asked.
type fake struct {
	http.Handler
	mu   sync.Mutex
	seen []pool.Request
}

func (f *fake) Do(ctx context.Context, req pool.Request) (*pool.Response, error) {
	f.mu.Lock()
	f.seen = append(f.seen, req)
	f.mu.Unlock()
	r := httptest.NewRequestWithContext(ctx, req.Method, req.Path, strings.NewReader(string(req.Body)))
	maps.Copy(r.Header, req.Header)
	w := httptest.NewRecorder()
	f.ServeHTTP(w, r)
	if w.Code/100 == 3 { // as a pool does
		return nil, &pool.Error{Upstream: "odoo", Err: &pool.RedirectError{Status: w.Code}}
	}
	return &pool.Response{Status: w.Code, Header: w.Header(), Body: w.Body.Bytes()}, nil
}

func (f *fake) requests() []pool.Request {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.seen
}

func (f *fake) paths() (paths []string) {
	for _, r := range f.requests() {
		paths = append(paths, r.Path)
	}
	return paths
}

// answering gives the same answer to everything.
func answering(status int, body string) *fake {
	return &fake{Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(status)
		_, _ = io.WriteString(w, body)
	})}
}

type doerFunc func(context.Context, pool.Request) (*pool.Response, error)

func (f doerFunc) Do(ctx context.Context, r pool.Request) (*pool.Response, error) { return f(ctx, r) }

// newClient makes a client of a config that is right.
func newClient(d Doer, cfg Config) *Client {
	cfg.Pool = d
	c, err := New(cfg)
	if err != nil {
		panic(err)
	}
	return c
}

// overJSON2 is connected, as a user without a language.
func overJSON2(d Doer) *Client {
	c := newClient(d, Config{DB: "demo", Key: key, Protocol: JSON2})
	c.keep(&session{protocol: c.json2(key), state: State{Connected: true, Protocol: JSON2}})
	return c
}

// overJSONRPC is connected, as a user without a language.
func overJSONRPC(d Doer) *Client {
	c := newClient(d, Config{DB: "demo", UID: 2, Key: key, Protocol: JSONRPC})
	c.keep(&session{protocol: jsonrpc{db: "demo", uid: 2, key: key}, state: State{Connected: true, Protocol: JSONRPC, UID: 2}})
	return c
}

// raw makes arguments of JSON texts.
func raw(texts ...string) (list []json.RawMessage) {
	for _, t := range texts {
		list = append(list, json.RawMessage(t))
	}
	return list
}

// kw makes named arguments of an object.
func kw(object string) (m map[string]json.RawMessage) {
	if err := json.Unmarshal([]byte(object), &m); err != nil {
		panic(err)
	}
	return m
}

func compact(t *testing.T, text []byte) string {
	t.Helper()
	var v any
	if err := json.Unmarshal(text, &v); err != nil {
		t.Fatalf("%q: %v", text, err)
	}
	b, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// execution returns what follows the credentials in execute_kw: model, method, args, kwargs.
func execution(t *testing.T, body []byte) string {
	t.Helper()
	var b struct {
		Params struct {
			Service, Method string
			Args            []json.RawMessage
		}
	}
	if err := json.Unmarshal(body, &b); err != nil {
		t.Fatal(err)
	}
	if b.Params.Service != "object" || b.Params.Method != "execute_kw" || len(b.Params.Args) != 7 {
		t.Fatalf("no execute_kw: %s", body)
	}
	rest, err := json.Marshal(b.Params.Args[3:])
	if err != nil {
		t.Fatal(err)
	}
	return string(rest)
}

func wantError(t *testing.T, err error) *Error {
	t.Helper()
	e, ok := errors.AsType[*Error](err)
	if !ok {
		t.Fatalf("got %v, want an *Error", err)
	}
	return e
}
