package odoo

import (
	"io"
	"net/http"
	"strings"
	"testing"
)

func TestACallIsInTheUsersLanguageUnlessItsContextNamesOne(t *testing.T) {
	for _, tt := range []struct{ kwargs, sent string }{
		{`{}`, `{"context":{"lang":"es_ES"}}`},
		{`{"context":null}`, `{"context":{"lang":"es_ES"}}`},
		{`{"context":{}}`, `{"context":{"lang":"es_ES"}}`},
		{`{"context":{"tz":"UTC"}}`, `{"context":{"lang":"es_ES","tz":"UTC"}}`},
		{`{"context":{"lang":"fr_FR"}}`, `{"context":{"lang":"fr_FR"}}`},
		{`{"context":{"lang":false}}`, `{"context":{"lang":false}}`},
		{`{"context":{"lang":null}}`, `{"context":{"lang":null}}`},
		{`{"context":5}`, `{"context":5}`},
	} {
		for _, method := range []string{"get_param", "set_param"} {
			call := Call{Model: "ir.config_parameter", Method: method, Kwargs: kw(tt.kwargs)}
			two, rpc := answering(200, `[]`), answering(200, `{"jsonrpc":"2.0","result":[]}`)
			if _, err := newClient(two, Config{Key: key, Protocol: JSON2, Lang: "es_ES"}).Call(t.Context(), call); err != nil {
				t.Fatal(err)
			}
			if _, err := newClient(rpc, Config{DB: "demo", UID: 2, Key: key, Protocol: JSONRPC, Lang: "es_ES"}).Call(t.Context(), call); err != nil {
				t.Fatal(err)
			}
			if got := compact(t, two.requests()[0].Body); got != tt.sent {
				t.Errorf("%s of %s: json2 sent %s, want %s", method, tt.kwargs, got, tt.sent)
			}
			want := `["ir.config_parameter","` + method + `",[],` + tt.sent + `]`
			if got := execution(t, rpc.requests()[0].Body); got != want {
				t.Errorf("%s of %s: jsonrpc sent %s, want %s", method, tt.kwargs, got, want)
			}
		}
	}
}

func TestTheLanguageIsTheUsersOwnOrTheOneConfigured(t *testing.T) {
	for _, tt := range []struct {
		name, configured, own string // own is what context_get brings
		want                  string
	}{
		{"the user's own", "", `{"lang":"sr@latin","tz":"UTC"}`, "sr@latin"},
		{"configured", "es_ES", `{"lang":"fr_FR"}`, "es_ES"},
		{"none", "", `{"lang":false}`, ""},
		{"not told", "", `{}`, ""},
		{"strange", "", `{"lang":"x y"}`, ""},
		{"no object", "", `[]`, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			for _, p := range []Protocol{Auto, JSON2, JSONRPC} {
				f := &fake{Handler: server{web: web19, json2: 200, body: tt.own, own: `{"jsonrpc":"2.0","result":` + tt.own + `}`}}
				c := newClient(f, Config{DB: "demo", UID: 2, Key: key, Protocol: p, Lang: tt.configured})
				if err := c.Connect(t.Context()); err != nil {
					t.Fatal(err)
				}
				if got := c.State().Lang; got != tt.want {
					t.Errorf("%s: %q, want %q", p, got, tt.want)
				}
				if asked := len(f.requests()); p != Auto && tt.configured != "" && asked > 0 {
					t.Errorf("%s: asked %d questions for nothing", p, asked)
				}
			}
		})
	}
}

func TestAUserWhoseLanguageIsNotTold(t *testing.T) {
	own := rpcError(exception("odoo.exceptions.AccessError", "no"))
	c := newClient(&fake{Handler: server{own: own}}, Config{DB: "demo", UID: 2, Key: key, Protocol: JSONRPC})
	if err := c.Connect(t.Context()); err != nil || c.State().Lang != "" {
		t.Errorf("a refusal is no reason not to go on: %v, %+v", err, c.State())
	}
	for name, own := range map[string]string{
		"the credentials are refused": rpcError(exception("odoo.exceptions.AccessDenied", "no")),
		"Odoo lost its database":      rpcError(exception("psycopg2.OperationalError", "gone")),
		"no Odoo":                     "<html>",
		"there is no JSON-RPC":        rpcError(exception("werkzeug.exceptions.NotFound", "The requested URL was not found on the server.")),
		"the user is locked":          rpcError(exception("odoo.exceptions.LockError", "locked")),
	} {
		c := newClient(&fake{Handler: server{own: own}}, Config{DB: "demo", UID: 2, Key: key, Protocol: JSONRPC})
		if err := c.Connect(t.Context()); err == nil {
			t.Errorf("%s, and yet it is connected: %+v", name, c.State())
		}
	}
}

func TestALanguageThatOdooHasNot(t *testing.T) {
	f := answering(422, exception("odoo.exceptions.UserError", "Invalid language code: es_ES"))
	c := newClient(f, Config{Key: key, Protocol: JSON2, Lang: "es_ES"})
	_, err := c.Call(t.Context(), Call{Model: "res.partner", Method: "search", Args: raw(`[]`)})
	if e := wantError(t, err); e.Kind != Failed || e.Name != "UnknownLanguage" || !strings.Contains(e.Message, "HEARTH_ODOO_LANG") {
		t.Errorf("got %s %v", e.Kind, e)
	}
	_, err = c.Call(t.Context(), Call{Model: "res.partner", Method: "search", Args: raw(`[]`), Kwargs: kw(`{"context":{"lang":"es_ES"}}`)})
	if e := wantError(t, err); e.Kind != Rejected || strings.Contains(e.Message, "HEARTH_ODOO_LANG") {
		t.Errorf("the caller's own language: got %s %v", e.Kind, e)
	}
}

func TestAUserWhoseLanguageIsNoLongerActiveIsAskedForTheNewOne(t *testing.T) {
	active := "es_ES"
	f := &fake{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch body, _ := io.ReadAll(r.Body); {
		case strings.HasSuffix(r.URL.Path, "/context_get"):
			_, _ = io.WriteString(w, `{"uid":7,"lang":"`+active+`"}`)
		case strings.Contains(string(body), active):
			_, _ = io.WriteString(w, `[]`)
		default:
			w.WriteHeader(422)
			_, _ = io.WriteString(w, exception("odoo.exceptions.UserError", "Invalid language code: es_ES"))
		}
	})}
	c := newClient(f, Config{Key: key, Protocol: JSON2})
	write := Call{Model: "res.partner", Method: "write", Args: raw(`[1]`, `{}`)}
	if _, err := c.Call(t.Context(), write); err != nil {
		t.Fatal(err)
	}
	active = "fr_FR"
	_, err := c.Call(t.Context(), write)
	if e := wantError(t, err); e.Name != "UnknownLanguage" || !e.Retryable {
		t.Errorf("got %+v", e)
	}
	if _, err := c.Call(t.Context(), write); err != nil || c.State().Lang != "fr_FR" {
		t.Errorf("asked again: %v, in %q", err, c.State().Lang)
	}
}

func TestAnotherLanguageIsAnotherIdentity(t *testing.T) {
	srv := server{web: web19, json2: 200, body: `{"lang":"en_US"}`}
	c := newClient(&fake{Handler: &srv}, Config{DB: "demo", UID: 2, Key: key})
	ids := map[string]bool{c.Identity(): true}
	for _, lang := range []string{"en_US", "en_US", "es_ES", "en_US"} {
		srv.body = `{"lang":"` + lang + `"}`
		c.session.Store(nil) // as where Odoo was changed for another version
		if err := c.Connect(t.Context()); err != nil {
			t.Fatal(err)
		}
		ids[c.Identity()] = true
	}
	if len(ids) != 3 {
		t.Errorf("identities are %v, want three", ids)
	}
}

func TestCheckTellsAllThatCanBeKnown(t *testing.T) {
	languages := `1`
	f := &fake{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch body, _ := io.ReadAll(r.Body); {
		case r.URL.Path == "/json/2/res.lang/search_count":
			_, _ = io.WriteString(w, languages)
		case strings.HasPrefix(r.URL.Path, "/json/2/"):
			_, _ = io.WriteString(w, `{"uid":7,"lang":"en_US"}`)
		case strings.Contains(string(body), "version"):
			_, _ = io.WriteString(w, common19)
		default:
			w.WriteHeader(404)
		}
	})}
	c := newClient(f, Config{DB: "demo", Key: key, Protocol: JSON2, Lang: "es_ES"})
	state, err := c.Check(t.Context())
	if want := (State{true, JSON2, "19.0", 7, "es_ES"}); err != nil || state != want {
		t.Errorf("got %+v, %v, want %+v", state, err, want)
	}
	languages = `0`
	if _, err := c.Check(t.Context()); wantError(t, err).Name != "UnknownLanguage" {
		t.Error(err)
	}
	languages = `1`
	silent := newClient(unreachable(f, "/jsonrpc"), Config{DB: "demo", Key: key, Protocol: JSON2, Lang: "es_ES"})
	if state, err := silent.Check(t.Context()); err == nil || state.UID != 7 {
		t.Errorf("without a version: %+v, %v", state, err)
	}
	told := server{web: web19, json2: 200, body: `{"uid":7,"lang":"en_US"}`}
	if state, err := newClient(&fake{Handler: told}, Config{Key: key, Protocol: JSON2}).Check(t.Context()); err != nil || state.Version != "19.0" {
		t.Errorf("with a version for everybody: %+v, %v", state, err)
	}
	_, err = newClient(answering(401, badKey), Config{DB: "demo", Key: key, Protocol: JSON2}).Check(t.Context())
	if e := wantError(t, err); e.Name != "AccessDenied" {
		t.Error(e)
	}
}

func TestCodesOfLanguages(t *testing.T) {
	for _, code := range []string{"es", "sw", "es_ES", "es_419", "ar_001", "kab_DZ", "sr@latin", "sr@Cyrl", "ca_ES@valencia"} {
		if !ValidLang(code) {
			t.Errorf("%s is refused", code)
		}
	}
	for _, code := range []string{"", "e", "ES", "es-ES", "es_es", "es_ES ", "es_ES\n", "es_", "es@", "Spanish", "es_ESP", "es_ES.UTF-8", `es"`} {
		if ValidLang(code) {
			t.Errorf("%q is taken", code)
		}
	}
}
