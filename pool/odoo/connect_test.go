package odoo

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"

	"hearth/internal/guard"
	"hearth/pool"
)

// server is an Odoo of some version as far as connecting goes.
type server struct {
	web     string // answer to /web/version; empty: 404
	json2   int    // status of the probe
	body    string // of the probe
	own     string // answer to context_get over JSON-RPC; empty: a user with a language
	common  string // answer to common.version
	uid     string // answer to common.authenticate
	without bool   // no /jsonrpc
}

func (s server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	answer := func(status int, text string) {
		w.WriteHeader(status)
		_, _ = io.WriteString(w, text)
	}
	switch {
	case r.URL.Path == "/web/version" && s.web != "":
		answer(200, s.web)
	case strings.HasPrefix(r.URL.Path, "/json/2/") && s.json2 != 0:
		answer(s.json2, s.body)
	case r.URL.Path == "/jsonrpc" && !s.without && strings.Contains(string(body), `"version"`):
		answer(200, s.common)
	case r.URL.Path == "/jsonrpc" && !s.without && strings.Contains(string(body), `"authenticate"`):
		answer(200, s.uid)
	case r.URL.Path == "/jsonrpc" && !s.without:
		answer(200, cmp.Or(s.own, `{"jsonrpc":"2.0","result":{"lang":"fr_BE","tz":false}}`))
	default:
		answer(404, "<!doctype html>")
	}
}

const (
	web19    = `{"version_info": [19, 0, 0, "final", 0, ""], "version": "19.0"}`
	common17 = `{"jsonrpc":"2.0","result":{"server_version":"17.0","server_version_info":[17,0,0,"final",0,""]}}`
	common19 = `{"jsonrpc":"2.0","result":{"server_version":"19.0"}}`
	uid7     = `{"jsonrpc":"2.0","result":7}`
	uidNone  = `{"jsonrpc":"2.0","result":false}`
	badKey   = `{"name":"werkzeug.exceptions.Unauthorized","message":"Invalid apikey"}`
	noDB     = `<p>No database is selected and the requested URL was not found`
	envelope = `{"jsonrpc": "2.0", "id": null, "error": {"code": 404, "message": "404: Not Found"}}`
)

func TestConnecting(t *testing.T) {
	const v, p, r = "/web/version", "/json/2/res.users/context_get", "/jsonrpc"
	probed := server{web: web19, json2: 200, body: `{"uid": 2, "lang": "fr_BE"}`}
	refused := server{web: web19, json2: 401, body: badKey, uid: uid7}
	old := server{common: common17, uid: uid7}
	with := func(s server, change func(*server)) server { change(&s); return s }
	user := Config{DB: "demo", User: "admin", Key: key}
	known := Config{DB: "demo", UID: 2, Key: key}
	keyOnly := Config{DB: "demo", Key: key}
	as := func(p Protocol, version string, uid int) State { return State{true, p, version, uid, "fr_BE"} }
	set := func(c Config, p Protocol) Config { c.Protocol = p; return c }
	for _, tt := range []struct {
		name  string
		cfg   Config
		srv   server
		want  State
		fault string   // what the error begins with
		asked []string // in any order
	}{
		{"19 with a key", keyOnly, probed, as(JSON2, "19.0", 2), "", []string{p, v}},
		{"19 with a user and a key", user, probed, as(JSON2, "19.0", 2), "", []string{p, v}},
		{"19 that hides its version", user, with(probed, func(s *server) { s.web = "" }), as(JSON2, "", 2), "", []string{p, v}},
		{"19 with a password", user, refused, as(JSONRPC, "19.0", 7), "", []string{p, r, r, v}},
		{"19 with a password and the uid", known, refused, as(JSONRPC, "19.0", 2), "", []string{p, r, v}},
		{"19 with a wrong key alone", keyOnly, refused, State{}, "AccessDenied", []string{p, v}},
		{"19 with a wrong password", user, with(refused, func(s *server) { s.uid = uidNone }), State{}, "AccessDenied", []string{p, r, v}},
		{"19 hidden, with a password", user, with(refused, func(s *server) { s.web, s.common = "", common19 }), as(JSONRPC, "19.0", 7), "", []string{p, r, r, r, v}},
		{"19 without the database", user, with(refused, func(s *server) { s.json2, s.body = 404, noDB }), State{}, "UnknownDatabase", []string{p, v}},
		{"19 not well", user, with(refused, func(s *server) { s.json2, s.body = 500, `{"name":"builtins.OSError"}` }), State{}, "OSError", []string{p, v}},
		{"19 hidden and not well", user, with(refused, func(s *server) { s.web, s.common, s.json2, s.body = "", common19, 503, "" }), State{}, "BadAnswer", []string{p, r, r, v}},
		{"a later one without JSON-RPC, with a wrong key", user, with(refused, func(s *server) { s.without = true }), State{}, "AccessDenied", []string{p, r, v}},
		{"17 with a user", user, old, as(JSONRPC, "17.0", 7), "", []string{p, r, r, r, v}},
		{"17 with a uid", known, old, as(JSONRPC, "17.0", 2), "", []string{p, r, r, v}},
		{"17 with a key alone", keyOnly, old, State{}, `NoProtocol: nothing at Odoo's address speaks json2 for the database "demo"`, []string{p, v}},
		{"17 with its JSON for 404", user, with(old, func(s *server) { s.json2, s.body = 200, envelope }), as(JSONRPC, "17.0", 7), "", []string{p, r, r, r, v}},
		{"17 that wants a database chosen", user, with(old, func(s *server) { s.json2, s.body = 404, noDB }), as(JSONRPC, "17.0", 7), "", []string{p, r, r, r, v}},
		{"17 that redirects", user, with(old, func(s *server) { s.json2, s.web = 303, "<html>" }), as(JSONRPC, "17.0", 7), "", []string{p, r, r, r, v}},
		{"19 whose JSON-2 is blocked", user, with(refused, func(s *server) { s.json2, s.body = 404, "<html>" }), as(JSONRPC, "19.0", 7), "", []string{p, r, r, v}},
		{"19 with a password, and JSON-RPC without the database", user, with(refused, func(s *server) {
			s.uid = rpcError(exception("psycopg2.OperationalError", `database "demo" does not exist`))
		}), State{}, "UnknownDatabase", []string{p, r, v}},
		{"19 whose version is strange", user, with(probed, func(s *server) { s.web = `{"version":"new"}` }), as(JSON2, "", 2), "", []string{p, v}},
		{"19 whose version is no text", user, with(probed, func(s *server) { s.web = `{"version":19}` }), as(JSON2, "", 2), "", []string{p, v}},
		{"17 whose version is strange", known, with(old, func(s *server) { s.common = `{"jsonrpc":"2.0","result":{"server_version":"new"}}` }), State{}, "BadAnswer: Odoo's address answered 200 with its version", []string{p, r, v}},
		{"17 whose version is no text", known, with(old, func(s *server) { s.common = `{"jsonrpc":"2.0","result":{"server_version":17}}` }), State{}, "BadAnswer", []string{p, r, v}},
		{"no Odoo", user, server{without: true}, State{}, "NoProtocol: nothing at Odoo's address speaks jsonrpc", []string{p, r, r, v}},
		{"json2 chosen", set(keyOnly, JSON2), probed, as(JSON2, "", 2), "", []string{p}},
		{"jsonrpc chosen", set(user, JSONRPC), old, as(JSONRPC, "", 7), "", []string{r, r}},
		{"jsonrpc chosen with the uid", set(known, JSONRPC), server{}, as(JSONRPC, "", 2), "", []string{r}},
		{"jsonrpc chosen, wrong password", set(user, JSONRPC), server{uid: uidNone}, State{}, "AccessDenied", []string{r}},
		{"jsonrpc chosen, no uid", set(user, JSONRPC), server{uid: `{"jsonrpc":"2.0","result":0}`}, State{}, "AccessDenied", []string{r}},
		{"jsonrpc chosen, negative uid", set(user, JSONRPC), server{uid: `{"jsonrpc":"2.0","result":-1}`}, State{}, "AccessDenied", []string{r}},
		{"jsonrpc chosen, strange uid", set(user, JSONRPC), server{uid: `{"jsonrpc":"2.0","result":"7"}`}, State{}, "AccessDenied", []string{r}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			f := &fake{Handler: tt.srv}
			c := newClient(f, tt.cfg)
			if c.State() != (State{}) || len(f.seen) != 0 {
				t.Fatal("New settled something")
			}
			err := c.Connect(t.Context())
			if tt.fault != "" {
				if e := wantError(t, err); !strings.HasPrefix(e.Error()+": ", "odoo: "+tt.fault+": ") || e.Kind != Failed {
					t.Errorf("got %s %v, want %s", e.Kind, e, tt.fault)
				}
			} else if err != nil {
				t.Error(err)
			}
			if c.State() != tt.want {
				t.Errorf("state %+v, want %+v", c.State(), tt.want)
			}
			asked := f.paths()
			slices.Sort(asked)
			slices.Sort(tt.asked)
			if !slices.Equal(asked, tt.asked) {
				t.Errorf("asked %v, want %v", asked, tt.asked)
			}
			for _, r := range f.requests() {
				if !r.Repeatable {
					t.Errorf("%s may not be repeated", r.Path)
				}
			}
		})
	}
}

// unreachable fails for the paths that begin so, as a pool does.
func unreachable(d Doer, path string) Doer {
	return doerFunc(func(ctx context.Context, r pool.Request) (*pool.Response, error) {
		resp, err := d.Do(ctx, r)
		if strings.HasPrefix(r.Path, path) {
			return nil, &pool.Error{Upstream: "odoo", Err: io.ErrUnexpectedEOF}
		}
		return resp, err
	})
}

func TestConnectingWhereAnAnswerIsMissing(t *testing.T) {
	probed := server{web: web19, json2: 200, body: `{"uid": 2, "lang": "fr_BE"}`}
	user := Config{DB: "demo", User: "admin", Key: key}
	c := newClient(unreachable(&fake{Handler: probed}, "/web/version"), user)
	if err := c.Connect(t.Context()); err != nil || c.State() != (State{true, JSON2, "", 2, "fr_BE"}) {
		t.Errorf("without its version: %+v, %v", c.State(), err)
	}
	f := &fake{Handler: server{common: common17, uid: uid7}}
	err := newClient(unreachable(f, "/json/2/"), user).Connect(t.Context())
	if _, ok := errors.AsType[*pool.Error](err); !ok || slices.Contains(f.paths(), "/jsonrpc") {
		t.Errorf("without the answer to the probe: %v, asked %v", err, f.paths())
	}
}

func TestTheVersionOfAnErrorPageCountsForNothing(t *testing.T) {
	f := &fake{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/web/version" {
			w.WriteHeader(http.StatusNotFound)
			_, _ = io.WriteString(w, web19)
			return
		}
		_, _ = io.WriteString(w, `{"uid": 2, "lang": "fr_BE"}`)
	})}
	c := newClient(f, Config{Key: key})
	if err := c.Connect(t.Context()); err != nil || c.State().Version != "" {
		t.Errorf("%+v, %v", c.State(), err)
	}
}

func TestConnectingIsLogged(t *testing.T) {
	for own, want := range map[string]string{
		`{"jsonrpc":"2.0","result":{"lang":"fr_BE"}}`:            `level=INFO msg="odoo connected" protocol=jsonrpc version="" uid=2 lang=fr_BE` + "\n",
		rpcError(exception("odoo.exceptions.AccessError", "no")): "level=WARN msg=\"odoo does not tell the user's language: calls name no language\" error=\"odoo: AccessError: no\"\n" + `level=INFO msg="odoo connected" protocol=jsonrpc version="" uid=2 lang=""` + "\n",
	} {
		var log bytes.Buffer
		logger := slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
			if a.Key == slog.TimeKey {
				return slog.Attr{}
			}
			return a
		}}))
		c := newClient(&fake{Handler: server{own: own}}, Config{DB: "demo", UID: 2, Key: key, Protocol: JSONRPC, Logger: logger})
		if err := c.Connect(t.Context()); err != nil || log.String() != want {
			t.Errorf("%v, logged\n%s, want\n%s", err, log.String(), want)
		}
	}
}

func TestTheConfigIsCheckedAtOnce(t *testing.T) {
	d := answering(200, "")
	c, err := New(Config{Protocol: "xml", UID: -1, Lang: "Spanish"})
	for _, part := range []string{"xml", "uid", "key", "Spanish", "pool"} {
		if err == nil || c != nil || !strings.Contains(err.Error(), part) {
			t.Errorf("%v does not name %s", err, part)
		}
	}
	for name, cfg := range map[string]Config{
		"a user":     {Pool: d, Protocol: JSONRPC, DB: "demo", Key: key},
		"a database": {Pool: d, Protocol: JSONRPC, User: "admin", UID: 2, Key: key},
		"a pool":     {Key: key},
		"a key":      {Pool: d},
	} {
		if _, err := New(cfg); err == nil {
			t.Errorf("it passes without %s", name)
		}
	}
	if _, err := New(Config{Pool: d, Key: key}); err != nil {
		t.Error(err)
	}
}

func TestAFailureToConnectIsNotRemembered(t *testing.T) {
	srv := server{uid: uidNone}
	c := newClient(&fake{Handler: &srv}, Config{DB: "demo", User: "admin", Key: key, Protocol: JSONRPC})
	if err := c.Connect(t.Context()); err == nil {
		t.Fatal("connected")
	}
	srv.uid = uid7
	if err := c.Ping(t.Context()); err != nil {
		t.Fatal(err)
	}
	if c.State().UID != 7 {
		t.Errorf("state %+v", c.State())
	}
}

func TestCallersShareOneConnectAndMayLeave(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var (
			mu   sync.Mutex
			asks int
			gate = make(chan struct{})
		)
		c := newClient(doerFunc(func(ctx context.Context, r pool.Request) (*pool.Response, error) {
			mu.Lock()
			asks++
			mu.Unlock()
			select {
			case <-gate:
			case <-ctx.Done():
				return nil, &pool.Error{Upstream: "odoo", Err: ctx.Err()}
			}
			return &pool.Response{Status: 200, Body: []byte(uid7)}, nil
		}), Config{DB: "demo", User: "admin", Key: key, Protocol: JSONRPC, Lang: "es_ES"})

		leaver, leave := context.WithCancelCause(t.Context())
		why := errors.New("gone")
		left := make(chan error, 1)
		go func() { left <- c.Connect(leaver) }()
		synctest.Wait()
		var stayers sync.WaitGroup
		for range 5 {
			stayers.Go(func() {
				if err := c.Connect(t.Context()); err != nil {
					t.Error(err)
				}
			})
		}
		synctest.Wait()
		leave(why)
		if err := <-left; !errors.Is(err, why) {
			t.Errorf("who left got %v", err)
		}
		close(gate)
		stayers.Wait()
		if asks != 1 || c.State().UID != 7 {
			t.Errorf("asked %d times, state %+v", asks, c.State())
		}
	})
}

func TestQuestionsThatCanGoTogetherDo(t *testing.T) {
	for lang, rounds := range map[string][]int{"": {2, 2, 1}, "es_ES": {2, 2}} {
		synctest.Test(t, func(t *testing.T) { connectInRounds(t, lang, rounds) })
	}
}

// connectInRounds wants so many questions at the same time in each round.
func connectInRounds(t *testing.T, lang string, rounds []int) {
	gate := make(chan struct{})
	var mu sync.Mutex
	var waiting []string
	old := &fake{Handler: server{common: common17, uid: uid7}}
	c := newClient(doerFunc(func(ctx context.Context, r pool.Request) (*pool.Response, error) {
		mu.Lock()
		waiting = append(waiting, r.Path)
		mu.Unlock()
		<-gate
		return old.Do(ctx, r)
	}), Config{DB: "demo", User: "admin", Key: key, Lang: lang})
	done := make(chan error, 1)
	go func() { done <- c.Connect(t.Context()) }()
	for _, want := range rounds {
		synctest.Wait()
		mu.Lock()
		n := len(waiting)
		waiting = nil
		mu.Unlock()
		if n != want {
			t.Errorf("%d at the same time, want %d", n, want)
		}
		for range n {
			gate <- struct{}{}
		}
	}
	if err := <-done; err != nil {
		t.Error(err)
	}
}

func TestAnOdooThatLostItsProtocolIsAskedAnew(t *testing.T) {
	srv := server{common: common17, uid: uid7}
	c := newClient(&fake{Handler: &srv}, Config{DB: "demo", User: "admin", Key: key})
	if err := c.Ping(t.Context()); err != nil || c.State().Protocol != JSONRPC {
		t.Fatal(err, c.State())
	}
	srv = server{web: web19, json2: 200, body: `{}`, without: true} // upgraded
	if e := wantError(t, c.Ping(t.Context())); e.Name != "NoProtocol" {
		t.Error(e)
	}
	if err := c.Ping(t.Context()); err != nil || c.State().Protocol != JSON2 {
		t.Error(err, c.State())
	}
}

type addressed struct {
	Doer
	url string
}

func (a addressed) BaseURL() string { return a.url }

func TestIdentity(t *testing.T) {
	base := Config{DB: "demo", User: "admin", Key: key}
	id := func(url string, change func(*Config)) string {
		cfg := base
		change(&cfg)
		return newClient(addressed{url: url}, cfg).Identity()
	}
	same := func(*Config) {}
	ids := []string{
		id("http://a", same), id("http://b", same),
		id("http://a", func(c *Config) { c.DB = "x" }), id("http://a", func(c *Config) { c.User = "x" }),
		id("http://a", func(c *Config) { c.UID = 1 }), id("http://a", func(c *Config) { c.Key = "x" }),
		id("http://a", func(c *Config) { c.Lang = "es_ES" }), id("http://a", func(c *Config) { c.Lang = "fr_FR" }),
		id("http://a", func(c *Config) { c.DB, c.User = "demo\" \"a", "dmin" }),
		newClient(answering(200, ""), base).Identity(),
	}
	if id("http://a", same) != ids[0] || id("http://a", func(c *Config) { c.Protocol = JSON2 }) != ids[0] {
		t.Error("the same user has two identities")
	}
	slices.Sort(ids)
	if len(slices.Compact(ids)) != 10 {
		t.Errorf("two users share an identity: %v", ids)
	}
	for _, id := range ids {
		if strings.Contains(id, key) || len(id) != 32 {
			t.Errorf("identity %s", id)
		}
	}
}

func TestMajor(t *testing.T) {
	for version, want := range map[string]int{
		"19.0": 19, "18.0+e": 18, "saas~18.3": 18, "saas-17.4": 17, "": 0, "x": 0, "19.0-20260101": 19, "99999999999999999999": 9999,
		"20.0": 20, "9": 9, "v09": 9, "19:5": 19, "19/5": 19, "٣.0": 0,
	} {
		if got := major(version); got != want {
			t.Errorf("%q: %d, want %d", version, got, want)
		}
	}
}

type panicking struct{}

func (panicking) Do(context.Context, pool.Request) (*pool.Response, error) { panic("boom") }

func TestAPanicEndsOneCallOnly(t *testing.T) {
	c := newClient(panicking{}, Config{DB: "demo", User: "u", Key: "k"})
	_, modelErr := c.Model(t.Context(), "res.partner")
	for _, err := range []error{c.Connect(t.Context()), modelErr} {
		if !errors.Is(err, guard.ErrPanic) {
			t.Errorf("it is %v", err)
		}
	}
}
