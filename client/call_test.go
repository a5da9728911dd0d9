package client_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"reflect"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"hearth/client"
)

// text answers with a status and a body.
func text(status int, contentType, body string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", contentType)
		w.WriteHeader(status)
		_, _ = io.WriteString(w, body)
	}
}

// meeting answers none of its n calls before all of them have come.
func meeting(n int) http.HandlerFunc {
	var (
		mu   sync.Mutex
		come int // guarded by mu
		all  = make(chan struct{})
	)
	return func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		come++
		if come == n {
			close(all)
		}
		mu.Unlock()
		select {
		case <-all:
			_, _ = io.WriteString(w, "{}")
		case <-r.Context().Done():
		}
	}
}

// together makes n calls at once.
func together(t *testing.T, n int, call func(context.Context) error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	var calls sync.WaitGroup
	for range n {
		calls.Go(func() {
			if err := call(ctx); err != nil {
				t.Error(err)
			}
		})
	}
	calls.Wait()
}

func TestWhatEachCallSends(t *testing.T) {
	ctx := t.Context()
	at := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	for _, tc := range []struct {
		want string // method, target and body
		call func(*client.Client) error
	}{
		{"GET /v1/chats/a/history?num_messages=7&full_text_len=3 ", func(c *client.Client) error {
			_, err := c.History(ctx, "a", 7, 3)
			return err
		}},
		{"GET /v1/chats/%2E/mute ", func(c *client.Client) error { _, err := c.Mute(ctx, "."); return err }},
		{"GET /v1/chats/%2E%2E/mute ", func(c *client.Client) error { _, err := c.Mute(ctx, ".."); return err }},
		{"GET /v1/chats/.../mute ", func(c *client.Client) error { _, err := c.Mute(ctx, "..."); return err }},
		{"GET /v1/chats/%7Bchat_id%7D%2F%25/mute ", func(c *client.Client) error { _, err := c.Mute(ctx, "{chat_id}/%"); return err }},
		{`POST /v1/chats/a/relevant {"text":"<b> & c","count":2,"mode":"hybrid","vector":[0.5],"roles":["user"]}`, func(c *client.Client) error {
			_, err := c.Relevant(ctx, "a", client.RelevantRequest{
				Text: "<b> & c", Count: 2, Mode: "hybrid", Vector: []float32{0.5}, Roles: []string{client.RoleUser},
			})
			return err
		}},
		{`PUT /v1/chats/a/mute {"muted":true,"until":"2026-03-01T12:00:00Z"}`, func(c *client.Client) error {
			return c.SetMute(ctx, "a", client.Mute{Muted: true, Until: &at})
		}},
		{`PUT /v1/chats/a/mute {"muted":false}`, func(c *client.Client) error { return c.SetMute(ctx, "a", client.Mute{}) }},
		{
			`POST /v1/chats/a/messages [{"role":"user","content":"b","id":"1","created_at":"2026-03-01T12:00:00Z","properties":{"x":1}}]`,
			func(c *client.Client) error {
				_, err := c.Append(ctx, "a", []client.NewMessage{
					{Role: client.RoleUser, Content: "b", ID: "1", CreatedAt: at, Properties: map[string]any{"x": 1}},
				})
				return err
			},
		},
		{`POST /v1/preprocess {"chat_id":".","text":"b","route_name":"r","full_text_len":0,"timeout_ms":9}`, func(c *client.Client) error {
			_, err := c.Preprocess(ctx, client.PreprocessRequest{ChatID: ".", Text: "b", RouteName: "r", FullTextLen: new(0), TimeoutMS: 9})
			return err
		}},
		{"GET /v1/odoo/models ", func(c *client.Client) error { _, err := c.OdooModels(ctx, nil); return err }},
		{"GET /v1/odoo/models?names=res.partner%2Ca%26b ", func(c *client.Client) error {
			_, err := c.OdooModels(ctx, []string{"res.partner", "a&b"})
			return err
		}},
		{`POST /v1/odoo/call {"model":"m","method":"read","args":[[1]],"kwargs":{"x":"y"}}`, func(c *client.Client) error {
			_, err := c.OdooCall(ctx, client.Call{Model: "m", Method: "read", Args: []any{[]int{1}}, Kwargs: map[string]any{"x": "y"}})
			return err
		}},
		{"DELETE /v1/cache ", func(c *client.Client) error { _, err := c.DropCache(ctx); return err }},
		{"DELETE /v1/cache?chat=a%26b ", func(c *client.Client) error { _, err := c.DropChat(ctx, "a&b"); return err }},
		{"DELETE /v1/cache?model=a%26b ", func(c *client.Client) error { _, err := c.DropModel(ctx, "a&b"); return err }},
		{"GET /readyz ", func(c *client.Client) error { _, err := c.Ready(ctx); return err }},
		{"GET /debug/cache ", func(c *client.Client) error { _, err := c.DebugCache(ctx); return err }},
		{"GET /debug/pools ", func(c *client.Client) error { _, err := c.DebugPools(ctx); return err }},
		{"GET /debug/cache ", func(c *client.Client) error { _, err := c.CacheStats(ctx); return err }},
		{"GET /debug/pools ", func(c *client.Client) error { _, err := c.PoolStats(ctx); return err }},
		{"GET /debug/invocations ", func(c *client.Client) error { _, err := c.Invocations(ctx); return err }},
		{"GET /debug/advice ", func(c *client.Client) error { _, err := c.Advice(ctx); return err }},
	} {
		f := newFake(t)
		if err := tc.call(newClient(t, client.Config{Addr: f.addr()})); err != nil {
			t.Errorf("%s: %v", tc.want, err)
		}
		calls := f.calls()
		if len(calls) != 1 {
			t.Fatalf("%s: sent %+v", tc.want, calls)
		}
		got := calls[0]
		if line := got.method + " " + got.target + " " + strings.TrimSuffix(got.body, "\n"); line != tc.want {
			t.Errorf("sent %s\nwant %s", line, tc.want)
		}
		want := http.Header{"User-Agent": {"Go-http-client/1.1"}}
		if got.body != "" {
			want["Content-Type"], want["Content-Length"] = []string{"application/json"}, []string{strconv.Itoa(len(got.body))}
		}
		if !reflect.DeepEqual(got.header, want) { // no empty token, and no encoding that the client cannot read
			t.Errorf("%s: headers %v, want %v", tc.want, got.header, want)
		}
	}
}

func TestAChatIDHas512BytesAtMost(t *testing.T) {
	f := newFake(t)
	c := newClient(t, client.Config{Addr: f.addr()})
	_, err := c.Mute(t.Context(), strings.Repeat("é", 256))
	must(t, err)
	_, err = c.Mute(t.Context(), strings.Repeat("é", 256)+"a")
	if p, ok := errors.AsType[*client.Problem](err); !ok || p.Field != "chat_id" {
		t.Errorf("%v", err)
	}
	if n := len(f.calls()); n != 1 {
		t.Errorf("%d calls were sent", n)
	}
}

func TestAHeaderThatIsGivenTwiceIsTheLastOne(t *testing.T) {
	f := newFake(t)
	ctx := context.WithValue(t.Context(), "x-amzn-trace-id", "Root=1") //nolint:staticcheck // the key that aws-lambda-go uses
	_, err := newClient(t, client.Config{Addr: f.addr()}).Mute(ctx, "a", client.WithHeader("Cache-Control", "no-cache"),
		client.WithHeader("Cache-Control", "no-store"), client.WithHeader("X-Amzn-Trace-Id", "Root=2"))
	must(t, err)
	h := f.calls()[0].header
	if got := h["Cache-Control"]; !reflect.DeepEqual(got, []string{"no-store"}) {
		t.Errorf("Cache-Control %q", got)
	}
	if got := h["X-Amzn-Trace-Id"]; !reflect.DeepEqual(got, []string{"Root=2"}) {
		t.Errorf("the trace that the caller gave became %q", got)
	}
}

func TestTheSecondTryHasAConnectionOfItsOwn(t *testing.T) {
	both := meeting(2)
	f := newFake(t, both, both, hangUp)
	c := newClient(t, client.Config{Addr: f.addr()})
	call := func(ctx context.Context) error { return c.SetMute(ctx, "a", client.Mute{}) }
	together(t, 2, call) // so that two connections are kept
	must(t, call(t.Context()))
	calls := f.calls()
	if len(calls) != 4 {
		t.Fatalf("sent %d times", len(calls))
	}
	for _, earlier := range calls[:3] {
		if calls[3].from == earlier.from {
			t.Error("the second try went over a connection that was kept")
		}
	}
}

func TestAWriteWhoseSecondTryFindsNobodyHasAnUnknownOutcome(t *testing.T) {
	calls := map[string]func(*client.Client) error{
		"write": func(c *client.Client) error { return c.SetMute(t.Context(), "a", client.Mute{}) },
		"read":  func(c *client.Client) error { _, err := c.Mute(t.Context(), "a"); return err },
	}
	for name, call := range calls {
		var f *fake
		f = newFake(t, func(w http.ResponseWriter, r *http.Request) {
			_ = f.Listener.Close() // Hearth ends
			hangUp(w, r)
		})
		err := call(newClient(t, client.Config{Addr: f.addr()}))
		if !errors.Is(err, client.ErrUnreachable) || errors.Is(err, client.ErrUnknownOutcome) != (name == "write") {
			t.Errorf("%s: %v", name, err)
		}
		if n := len(f.calls()); n != 1 {
			t.Errorf("%s: sent %d times", name, n)
		}
	}
}

// A sidecar acts on a body as soon as it has all of it, and the client cannot know how far it has come.
func TestAWriteThatIsGivenUpWithinItsBodyHasAnUnknownOutcome(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	over := make(chan struct{})
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Server", client.ServerName)
		if r.URL.Path != client.PathHealth {
			cancel() // the body is not read
			<-over
		}
	}))
	defer s.Close()
	defer close(over)
	large := strings.Repeat("a", 32<<20)
	_, err := newClient(t, client.Config{Addr: s.Listener.Addr().String()}).OdooCall(ctx, client.Call{Args: []any{large}})
	if !errors.Is(err, context.Canceled) || !errors.Is(err, client.ErrUnknownOutcome) {
		t.Errorf("%v", err)
	}
}

func TestConnectionsAreBoundedAndKept(t *testing.T) {
	const most = 64
	full, next := meeting(most), meeting(most)
	answers := make([]http.HandlerFunc, 0, 3*most)
	for range 2 * most {
		answers = append(answers, full)
	}
	for range most {
		answers = append(answers, next)
	}
	f := newFake(t, answers...)
	c := newClient(t, client.Config{Addr: f.addr()})
	call := func(ctx context.Context) error { _, err := c.Mute(ctx, "a"); return err }
	together(t, 2*most, call)
	if n := f.connections(); n != most {
		t.Errorf("%d connections for %d calls at once, want %d", n, 2*most, most)
	}
	together(t, most, call)
	if n := f.connections(); n != most {
		t.Errorf("%d calls at once opened %d connections more, want none", most, n-most)
	}
	c.Close()
	must(t, call(t.Context()))
	if n := f.connections(); n != most+1 {
		t.Errorf("after Close a call opened %d connections, want 1", n-most)
	}
}

// connections returns the number of connections that were opened.
func (f *fake) connections() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	from := map[string]bool{}
	for _, s := range f.seen {
		from[s.from] = true
	}
	return len(from)
}

func TestNotReadyIsAnAnswer(t *testing.T) {
	const body = `{"ready":false,"upstreams":{"odoo":{"state":"not reached","detail":"refused"}}}`
	f := newFake(t, text(http.StatusServiceUnavailable, "application/json", body), text(http.StatusServiceUnavailable, "application/json", body))
	c := newClient(t, client.Config{Addr: f.addr()})
	r, err := c.Ready(t.Context())
	must(t, err)
	if want := (client.UpstreamState{State: "not reached", Detail: "refused"}); r.Ready || r.Upstreams["odoo"] != want {
		t.Errorf("%+v", r)
	}
	_, err = c.Mute(t.Context(), "a")
	if p, ok := errors.AsType[*client.Problem](err); !ok || p.Status != http.StatusServiceUnavailable {
		t.Errorf("a call that was answered 503: %v", err)
	}
}

func TestAnswersThatAreProblems(t *testing.T) {
	long := strings.Repeat("a", 299)
	for _, tc := range []struct {
		name   string
		answer http.HandlerFunc
		want   client.Problem
	}{
		{
			"a problem",
			text(502, "application/problem+json", `{"type":"/docs/errors.md#odoo","title":"a","status":502,"detail":"b","upstream":"odoo","retryable":true}`),
			client.Problem{Type: "/docs/errors.md#odoo", Title: "a", Status: 502, Detail: "b", Upstream: "odoo", Retryable: true},
		},
		{
			"with a parameter of its type",
			text(400, "Application/Problem+JSON; charset=utf-8", `{"title":"a","field":"f"}`),
			client.Problem{Title: "a", Status: 400, Field: "f"},
		},
		{
			"of another status than its own",
			text(503, "application/problem+json", `{"title":"a","status":200}`),
			client.Problem{Title: "a", Status: 503},
		},
		{
			"JSON of another type",
			text(500, "application/json", `{"title":"a","retryable":true}`),
			client.Problem{Title: "Internal Server Error", Status: 500, Detail: `{"title":"a","retryable":true}`},
		},
		{
			"no JSON",
			text(404, "application/problem+json", `{"title":`),
			client.Problem{Title: "Not Found", Status: 404, Detail: `{"title":`},
		},
		{
			"a long text",
			text(500, "text/plain", long+"éa"),
			client.Problem{Title: "Internal Server Error", Status: 500, Detail: long}, // é was cut in two
		},
	} {
		t.Run(tc.name, func(t *testing.T) {
			_, err := newClient(t, client.Config{Addr: newFake(t, tc.answer).addr()}).Mute(t.Context(), "a")
			p, ok := errors.AsType[*client.Problem](err)
			if !ok || !reflect.DeepEqual(*p, tc.want) {
				t.Errorf("got  %+v\nwant %+v", err, tc.want)
			}
		})
	}
}

func TestTheProblemsOfSeveralModelsComeInTheOrderOfTheirNames(t *testing.T) {
	var names []string
	errs := client.ModelErrors{}
	for name := range strings.SplitSeq("abcdefghij", "") {
		names = append(names, name)
		errs[name] = &client.Problem{Title: name}
	}
	var titles []string
	for _, err := range errs.Unwrap() {
		titles = append(titles, err.(*client.Problem).Title) //nolint:errorlint // those of Unwrap, unwrapped
	}
	if !reflect.DeepEqual(titles, names) {
		t.Errorf("Unwrap: %v", titles)
	}
	if want := "a: hearth: a; b: hearth: b; c: hearth: c;"; !strings.HasPrefix(errs.Error(), want) {
		t.Errorf("Error: %s", errs)
	}
}
