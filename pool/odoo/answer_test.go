package odoo

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"

	"hearth/pool"
)

// told is what a caller is told of an answer: the result, or the error's kind, name and message.
type told struct {
	result  string
	kind    Kind
	name    string
	message string // what it holds
}

func (want told) check(t *testing.T, result []byte, err error) {
	t.Helper()
	if want.name == "" {
		if err != nil || string(result) != want.result {
			t.Errorf("got %s, %v, want %s", result, err, want.result)
		}
		return
	}
	e, ok := errors.AsType[*Error](err)
	if !ok || e.Kind != want.kind || e.Name != want.name || !strings.Contains(e.Message, want.message) {
		t.Errorf("got %s, %v, want %s %s %s", result, err, want.kind, want.name, want.message)
	}
}

func TestAnswersOverJSON2(t *testing.T) {
	read := Call{Model: "res.partner", Method: "read", Args: raw(`[1]`)}
	create := Call{Model: "res.partner", Method: "create", Args: raw(` {} `)}
	noProtocol := told{kind: Failed, name: "NoProtocol", message: `json2 for the database "demo"`}
	for name, c := range map[string]struct {
		call   Call
		status int
		body   string
		want   told
	}{
		"an error of JSON-RPC":                          {read, 200, `{"jsonrpc":"2.0","id":null,"error":{"code":404}}`, noProtocol},
		"an object with the words of JSON-RPC":          {read, 200, `{"jsonrpc":"2.0","id":1}`, told{result: `{"jsonrpc":"2.0","id":1}`}},
		"an object with an error of another protocol":   {read, 200, `{"jsonrpc":"1.0","error":{}}`, told{result: `{"jsonrpc":"1.0","error":{}}`}},
		"an object with an error":                       {read, 200, `{"error":{}}`, told{result: `{"error":{}}`}},
		"a list of errors of JSON-RPC":                  {read, 200, `[{"jsonrpc":"2.0","error":{}}]`, told{result: `[{"jsonrpc":"2.0","error":{}}]`}},
		"no JSON":                                       {read, 200, `{`, told{kind: Failed, name: "BadAnswer", message: "answered 200 with no JSON"}},
		"nothing there":                                 {read, 404, `<html>`, noProtocol},
		"an error without a name":                       {read, 404, `{"message":"x"}`, noProtocol},
		"no POST there":                                 {read, 405, `<html>`, noProtocol},
		"no database chosen":                            {read, 404, noDB, told{kind: Failed, name: "UnknownDatabase", message: `"demo"`}},
		"a page that fails with those words":            {read, 500, noDB, told{kind: Failed, name: "BadAnswer", message: "answered 500 with no error of Odoo's"}},
		"a proxy that wants to know more":               {read, 401, `<html>`, told{kind: Failed, name: "BadAnswer", message: "answered 401"}},
		"one record created":                            {create, 200, ` [ 5 ] `, told{result: `5`}},
		"two records created":                           {create, 200, `[5,6]`, told{result: `[5,6]`}},
		"an id in a list of its own":                    {create, 200, `[[5]]`, told{result: `[[5]]`}},
		"something else created":                        {create, 200, `[true]`, told{result: `[true]`}},
		"nothing created":                               {create, 200, `[]`, told{result: `[]`}},
		"an id already":                                 {create, 200, `5`, told{result: `5`}},
		"one record of a method that is not create":     {read, 200, `[5]`, told{result: `[5]`}},
		"one record created by name":                    {Call{Model: "m", Method: "create", Kwargs: kw(`{"vals_list":{}}`)}, 200, `[5]`, told{result: `5`}},
		"a list of one record created by name":          {Call{Model: "m", Method: "create", Kwargs: kw(`{"vals_list":[{}]}`)}, 200, `[5]`, told{result: `[5]`}},
		"a model that is named in an exception's place": {read, 404, `{"name":"NotFound","message":"x"}`, told{kind: NotFound, name: "NotFound", message: "x"}},
	} {
		t.Run(name, func(t *testing.T) {
			result, err := overJSON2(answering(c.status, c.body)).Call(t.Context(), c.call)
			c.want.check(t, result, err)
		})
	}
}

func TestAnswersOverJSONRPC(t *testing.T) {
	const self = "Record does not exist or has been deleted.\n(Record: res.users(2,), User: 2)"
	noJSONRPC := told{kind: Failed, name: "BadAnswer", message: "answered 200 with no JSON-RPC"}
	noProtocol := told{kind: Failed, name: "NoProtocol", message: "nothing at Odoo's address speaks jsonrpc"}
	for name, c := range map[string]struct {
		status int
		body   string
		want   told
	}{
		"any object":                {200, `{}`, noJSONRPC},
		"any object with a result":  {200, `{"result":5}`, noJSONRPC},
		"a list":                    {200, `["jsonrpc"]`, noJSONRPC},
		"a text":                    {200, `"2.0"`, noJSONRPC},
		"a page":                    {200, `<html>`, noJSONRPC},
		"half an answer":            {200, `{"jsonrpc":"2.0","result":5`, noJSONRPC},
		"nothing there":             {404, `<html>`, noProtocol},
		"no POST there":             {405, `{"jsonrpc":"2.0","result":5}`, noProtocol},
		"a page that fails":         {500, `{"jsonrpc":"2.0","result":5}`, told{kind: Failed, name: "BadAnswer", message: "answered 500 with no error of Odoo's"}},
		"our own user is missing":   {200, rpcError(exception("odoo.exceptions.MissingError", self)), told{kind: Failed, name: "AccessDenied", message: "refused"}},
		"another user is missing":   {200, rpcError(exception("odoo.exceptions.MissingError", strings.Replace(self, "User: 2", "User: 3", 1))), told{kind: NotFound, name: "MissingError"}},
		"a word about our own user": {200, rpcError(exception("odoo.exceptions.UserError", self)), told{kind: Rejected, name: "UserError"}},
	} {
		t.Run(name, func(t *testing.T) {
			result, err := overJSONRPC(answering(c.status, c.body)).Call(t.Context(), Call{Model: "m", Method: "read", Args: raw(`[1]`)})
			c.want.check(t, result, err)
		})
	}
}

func TestWhatJSONRPCSends(t *testing.T) {
	f := &fake{Handler: server{common: common17, uid: uid7}}
	if err := newClient(f, Config{DB: "demo", User: "admin", Key: key}).Connect(t.Context()); err != nil {
		t.Fatal(err)
	}
	want := map[string]bool{
		`{"jsonrpc":"2.0","id":1,"method":"call","params":{"service":"common","method":"version","args":[]}}`:                                                            false,
		`{"jsonrpc":"2.0","id":1,"method":"call","params":{"service":"common","method":"authenticate","args":["demo","admin","` + key + `",{}]}}`:                        false,
		`{"jsonrpc":"2.0","id":1,"method":"call","params":{"service":"object","method":"execute_kw","args":["demo",7,"` + key + `","res.users","context_get",[],null]}}`: false,
	}
	for _, r := range f.requests() {
		if r.Path != "/jsonrpc" {
			continue
		}
		seen, ok := want[string(r.Body)]
		if !ok || seen || r.Method != http.MethodPost || r.Header.Get("Content-Type") != "application/json" {
			t.Errorf("%s %v %s", r.Method, r.Header, r.Body)
		}
		want[string(r.Body)] = true
	}
	for body, seen := range want {
		if !seen {
			t.Errorf("not sent: %s", body)
		}
	}
}

func TestAnAnswerThatIsCleanIsNotCopied(t *testing.T) {
	in := []byte(`{"name":"Zoë","qty":-1.5}`)
	if out := clean(in); &out[0] != &in[0] {
		t.Error("it was copied")
	}
}

// TestEveryFaultHasItsMeaning goes through the exceptions of Odoo, Python, PostgreSQL and werkzeug.
func TestEveryFaultHasItsMeaning(t *testing.T) {
	const (
		conflict = "the records were being changed by somebody else"
		lost     = "Odoo lost its database or cannot reach it"
		url      = "The requested URL was not found on the server."
	)
	search := Call{Model: "res.partner", Method: "search"}
	write := Call{Model: "res.partner", Method: "write", Args: raw(`[1]`, `{"nope":1}`)}
	writeByName := Call{Model: "res.partner", Method: "write", Kwargs: kw(`{"ids":[1],"vals":{"nope":1}}`)}
	for _, c := range []struct {
		call      Call
		status    int // of JSON-2; 0: over JSON-RPC
		exception string
		want      Error // its exported half
	}{
		{search, 0, exception("odoo.exceptions.ConcurrencyError", "x"), Error{Kind: Conflict, Name: "ConcurrencyError", Message: "x", Retryable: true}},
		{search, 0, exception("odoo.exceptions.Warning", "x"), Error{Kind: Rejected, Name: "Warning", Message: "x"}},
		{search, 0, exception("odoo.exceptions.except_orm", "x"), Error{Kind: Rejected, Name: "except_orm", Message: "x"}},
		{search, 0, exception("odoo.exceptions.RedirectWarning", "a\n1\nb"), Error{Kind: Rejected, Name: "RedirectWarning", Message: "a\n1\nb"}},
		{search, 0, exception("odoo.exceptions.RedirectWarning", "a\n1\nb", ""), Error{Kind: Rejected, Name: "RedirectWarning", Message: "a\n1\nb"}},
		{search, 0, exception("odoo.exceptions.RedirectWarning", "a\n1\nb", 1), Error{Kind: Rejected, Name: "RedirectWarning", Message: "a\n1\nb"}},
		{search, 0, exception("odoo.exceptions.UserError", "Object res.partner.bank doesn't exist"), Error{Kind: Rejected, Name: "UserError", Message: "Object res.partner.bank doesn't exist"}},

		{search, 0, exception("builtins.ValueError", "Invalid operator in condition ('a', '~', 1)"), Error{Kind: Rejected, Name: "ValueError", Message: "Invalid operator in condition ('a', '~', 1)"}},
		{search, 0, exception("builtins.AssertionError", "Domains to normalize must have a 'domain' form"), Error{Kind: Rejected, Name: "AssertionError", Message: "Domains to normalize must have a 'domain' form"}},
		{search, 0, exception("builtins.ValueError", "Wrong value for res.partner.type: 'x'"), Error{Kind: Rejected, Name: "ValueError", Message: "Wrong value for res.partner.type: 'x'"}},
		{search, 0, exception("builtins.ValueError", "not an Invalid field 'x'"), Error{Kind: Failed, Name: "ValueError", Message: "not an Invalid field 'x'"}},
		{search, 0, exception("builtins.KeyError", "'res.partner'"), Error{Kind: NotFound, Name: "UnknownModel", Message: "the model res.partner does not exist"}},
		{search, 500, exception("builtins.KeyError", "'res.partner'"), Error{Kind: Failed, Name: "KeyError", Message: "'res.partner'"}},
		{write, 0, exception("builtins.KeyError", "'nope'"), Error{Kind: Rejected, Name: "ValueError", Message: "Invalid field 'nope' on model 'res.partner'"}},
		{writeByName, 0, exception("builtins.KeyError", "'nope'"), Error{Kind: Rejected, Name: "ValueError", Message: "Invalid field 'nope' on model 'res.partner'"}},
		{Call{Model: "res.partner", Method: "foo", Kwargs: kw(`{"vals":{"nope":1}}`)}, 0, exception("builtins.KeyError", "'nope'"), Error{Kind: Failed, Name: "KeyError", Message: "'nope'"}},
		{search, 500, exception("builtins.TypeError", "search() got an unexpected keyword argument 'foo'"), Error{Kind: Failed, Name: "TypeError", Message: "search() got an unexpected keyword argument 'foo'"}},
		{search, 404, exception("builtins.AttributeError", "type object 'x' has no attribute 'search'"), Error{Kind: Failed, Name: "AttributeError", Message: "type object 'x' has no attribute 'search'"}},
		{search, 404, exception("ZeroDivisionError", "x"), Error{Kind: NotFound, Name: "ZeroDivisionError", Message: "x"}},
		{search, 500, exception("odoo.addons.x.Stop", "x"), Error{Kind: Failed, Name: "Stop", Message: "x"}},
		{search, 403, exception("odoo.addons.x.Stop", "x"), Error{Kind: Forbidden, Name: "Stop", Message: "x"}},
		{search, 404, exception("odoo.addons.x.Stop", "x"), Error{Kind: NotFound, Name: "Stop", Message: "x"}},
		{search, 409, exception("odoo.addons.x.Stop", "x"), Error{Kind: Conflict, Name: "Stop", Message: "x", Retryable: true}},
		{search, 422, exception("odoo.addons.x.Stop", "x"), Error{Kind: Rejected, Name: "Stop", Message: "x"}},
		{search, 0, exception("x."+strings.Repeat("a", maxName), "x"), Error{Kind: Failed, Name: strings.Repeat("a", maxName), Message: "x"}},
		{search, 0, exception("x."+strings.Repeat("a", maxName+1), "x"), Error{Kind: Failed, Name: "ServerError", Message: "x"}},
		{search, 0, exception("x.", "x"), Error{Kind: Failed, Name: "ServerError", Message: "x"}},
		{search, 0, exception(".UserError", "x"), Error{Kind: Rejected, Name: "UserError", Message: "x"}},

		{search, 0, exception("werkzeug.exceptions.Conflict", "409 Conflict: x"), Error{Kind: Conflict, Name: "Conflict", Message: "x", Retryable: true}},
		{search, 0, exception("werkzeug.exceptions.BadRequest", "400 Bad Request: x"), Error{Kind: Rejected, Name: "BadRequest", Message: "x"}},
		{search, 0, exception("werkzeug.exceptions.UnprocessableEntity", "422 Unprocessable Entity: x"), Error{Kind: Rejected, Name: "UnprocessableEntity", Message: "x"}},
		{search, 0, exception("werkzeug.exceptions.NotFound", "404 Not Found: x"), Error{Kind: NotFound, Name: "NotFound", Message: "x"}},
		{search, 0, exception("werkzeug.exceptions.NotFound", url), Error{Kind: Failed, Name: "NoProtocol", Message: "nothing at Odoo's address speaks jsonrpc"}},
		{search, 404, exception("werkzeug.exceptions.NotFound", url), Error{Kind: Failed, Name: "NoProtocol", Message: `nothing at Odoo's address speaks json2 for the database "demo"`}},
		{search, 404, exception("werkzeug.exceptions.NotFound", "no: "+url), Error{Kind: NotFound, Name: "NotFound", Message: "no: " + url}},
		{search, 0, exception("werkzeug.exceptions.ImATeapot", "418 I'm a teapot: x"), Error{Kind: Failed, Name: "ImATeapot", Message: "x"}},

		{search, 0, exception("psycopg2.errors.DeadlockDetected", "x"), Error{Kind: Conflict, Name: "ConcurrencyError", Message: conflict, Retryable: true}},
		{search, 0, exception("psycopg2.errors.LockNotAvailable", "x"), Error{Kind: Conflict, Name: "ConcurrencyError", Message: conflict, Retryable: true}},
		{search, 0, exception("psycopg2.extensions.TransactionRollbackError", "x"), Error{Kind: Conflict, Name: "ConcurrencyError", Message: conflict, Retryable: true}},
		{search, 0, exception("psycopg2.errors.InvalidRowCountInLimitClause", "LIMIT must not be negative\nSQL"), Error{Kind: Rejected, Name: "ValueError", Message: "LIMIT must not be negative"}},
		{search, 0, exception("psycopg2.errors.InvalidRowCountInResultOffsetClause", "OFFSET must not be negative"), Error{Kind: Rejected, Name: "ValueError", Message: "OFFSET must not be negative"}},
		{search, 0, exception("psycopg2.InterfaceError", "connection already closed"), Error{Kind: Failed, Name: "DatabaseError", Message: lost, Retryable: true}},
		{search, 0, exception("psycopg2.errors.AdminShutdown", "x"), Error{Kind: Failed, Name: "DatabaseError", Message: lost, Retryable: true}},
		{search, 0, exception("psycopg2.errors.CrashShutdown", "x"), Error{Kind: Failed, Name: "DatabaseError", Message: lost, Retryable: true}},
		{search, 0, exception("psycopg2.OperationalError", `database "other" does not exist`), Error{Kind: Failed, Name: "DatabaseError", Message: lost, Retryable: true}},
		{search, 0, exception("odoo.psycopg2.LockNotAvailable", "x"), Error{Kind: Failed, Name: "LockNotAvailable", Message: "x"}},
	} {
		client := overJSONRPC(answering(200, rpcError(c.exception)))
		if c.status != 0 {
			client = overJSON2(answering(c.status, c.exception))
		}
		_, err := client.Call(t.Context(), c.call)
		e, ok := errors.AsType[*Error](err)
		if !ok || (Error{Kind: e.Kind, Name: e.Name, Message: e.Message, Retryable: e.Retryable}) != c.want {
			t.Errorf("%d %s:\n got %+v\nwant %+v", c.status, c.exception, e, c.want)
		}
	}
}

func TestWithoutStatus(t *testing.T) {
	for text, want := range map[string]string{
		"404 Not Found: gone":    "gone",
		"599 x: y: z":            "y: z",
		"400 : y":                "400 : y",
		"404 Not Found":          "404 Not Found",
		"399 Odd: x":             "399 Odd: x",
		"600 Odd: x":             "600 Odd: x",
		"4044 Odd: x":            "4044 Odd: x",
		"404: x":                 "404: x",
		"Note: x":                "Note: x",
		"a: x":                   "a: x",
		": x":                    ": x",
		"not 404 Not Found: x":   "not 404 Not Found: x",
		"4 of 5 are wrong: look": "4 of 5 are wrong: look",
	} {
		if got := withoutStatus(text); got != want {
			t.Errorf("%q becomes %q, want %q", text, got, want)
		}
	}
}

func TestSanitize(t *testing.T) {
	for text, want := range map[string]string{
		"  it broke \n": "it broke",
		"one\ntwo":      "one\ntwo",
		"it broke\n  File \"/x.py\", line 1\nhere": "it broke\nhere",
		"see File \"/x.py\"":                       "see File \"/x.py\"",
		"a\xff\xffb":                               "a�b",
		"a\x1fb\x7fc d":                            "a b c d",
		"it broke\n" + traceback + "\nx()":         "it broke",
		strings.Repeat("x", maxMessage):            strings.Repeat("x", maxMessage),
		strings.Repeat(" ", maxText-1) + "xy":      "x",
	} {
		if got := sanitize(text); got != want {
			t.Errorf("%.40q becomes %.40q", text, got)
		}
	}
}

func TestAnErrorWithoutAReasonSaysSo(t *testing.T) {
	_, err := overJSON2(answering(422, exception("odoo.exceptions.UserError", " \n"))).Call(t.Context(), Call{Model: "m", Method: "read"})
	told{kind: Rejected, name: "UserError", message: "Odoo gave no reason"}.check(t, nil, err)
}

// Not every status that Odoo does not send says something of the call.
func TestWhatAStatusSaysThatIsNotOdoos(t *testing.T) {
	for _, c := range []struct {
		status                     int
		retryable, refused, unsure bool
	}{
		{200, false, false, true},
		{299, false, false, true},
		{300, false, false, false},
		{400, false, false, false},
		{401, false, true, false},
		{402, false, false, false},
		{403, false, true, false},
		{404, false, false, false},
		{429, true, false, false},
		{499, false, false, false},
		{500, false, false, true},
		{501, false, false, true},
		{502, true, false, true},
		{503, true, false, true},
		{504, true, false, true},
		{505, false, false, true},
	} {
		e := unexpectedAnswer("x", c.status)
		if e.Retryable != c.retryable || e.refused != c.refused || e.mayHaveRun != c.unsure {
			t.Errorf("%d: %+v", c.status, e)
		}
	}
	if e := protocolMissing(JSON2, ""); strings.Contains(e.Message, "database") {
		t.Errorf("without a database: %v", e)
	}
}

func TestAShortKeyDoesNotTearUpWords(t *testing.T) {
	for secret, want := range map[string]string{"abcde": "no abcdef", "abcdef": "no [key]"} {
		c := newClient(answering(422, exception("odoo.exceptions.UserError", "no abcdef")), Config{Key: secret, Protocol: JSON2, Lang: "es_ES"})
		_, err := c.Call(t.Context(), Call{Model: "m", Method: "read"})
		if e := wantError(t, err); e.Message != want {
			t.Errorf("got %q, want %q", e.Message, want)
		}
	}
	uid := rpcError(exception("odoo.exceptions.UserError", "no "+key))
	_, err := newClient(&fake{Handler: server{uid: uid}}, Config{DB: "demo", User: "admin", Key: key, Protocol: JSONRPC}).Call(t.Context(), contextGet())
	if e := wantError(t, err); e.Message != "no [key]" {
		t.Errorf("while connecting: %q", e.Message)
	}
}

// A write that fails in a way that no pool tells of may have been carried out.
func TestAWriteThatFailsInAStrangeWayIsUnknown(t *testing.T) {
	strange := errors.New("strange")
	c := overJSON2(doerFunc(func(context.Context, pool.Request) (*pool.Response, error) { return nil, strange }))
	for method, unknown := range map[string]bool{"write": true, "read": false} {
		_, err := c.Call(t.Context(), Call{Model: "res.partner", Method: method, Args: raw(`[1]`)})
		if !errors.Is(err, strange) || errors.Is(err, pool.ErrUnknownOutcome) != unknown {
			t.Errorf("%s: %v", method, err)
		}
	}
}

// Only with Auto, and only where the protocol is gone, is there something else to find out.
func TestASessionIsKeptThroughRefusals(t *testing.T) {
	probe := `{"uid":7}`
	for name, c := range map[string]struct {
		protocol Protocol
		status   int
		keeps    bool
	}{
		"gone":           {Auto, 404, false},
		"gone, chosen":   {JSON2, 404, true},
		"not well":       {Auto, 503, true},
		"key refused":    {Auto, 401, true},
		"not to be read": {Auto, 200, true},
	} {
		status, body := 200, probe
		client := newClient(&fake{Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(status)
			_, _ = io.WriteString(w, body)
		})}, Config{Key: key, Protocol: c.protocol})
		if err := client.Connect(t.Context()); err != nil {
			t.Fatal(err)
		}
		status, body = c.status, "<html>"
		if err := client.Ping(t.Context()); err == nil || client.State().Connected != c.keeps {
			t.Errorf("%s: %v, connected %t", name, err, client.State().Connected)
		}
	}
}

func TestTheLanguageGoesWithAnOddContext(t *testing.T) {
	for kwargs, want := range map[string]string{
		`{"context":[]}`:  `{"context":[]}`,
		`{"context":"x"}`: `{"context":"x"}`,
		`{"context":{}}`:  `{"context":{"lang":"es_ES"}}`,
		`{"x":1}`:         `{"context":{"lang":"es_ES"},"x":1}`,
	} {
		f := answering(200, `1`)
		call := Call{Model: "m", Method: "foo", Kwargs: kw(kwargs)}
		if _, err := newClient(f, Config{Key: key, Protocol: JSON2, Lang: "es_ES"}).Call(t.Context(), call); err != nil {
			t.Fatal(err)
		}
		if got := compact(t, f.requests()[0].Body); got != want {
			t.Errorf("%s is sent as %s", kwargs, got)
		}
	}
	own := kw(`{"x":1}`)
	if _, added := (Call{Kwargs: own}).inLanguage("es_ES"); !added || len(own) != 1 {
		t.Errorf("the caller's arguments have become %s", own)
	}
	if call, added := (Call{}).inLanguage("es_ES"); !added || string(call.Kwargs["context"]) != `{"lang":"es_ES"}` {
		t.Errorf("without any arguments: %s", call.Kwargs)
	}
	if call, added := (Call{Kwargs: kw(`{"context":null}`)}).inLanguage("es_ES"); added || string(call.Kwargs["context"]) != "null" {
		t.Errorf("a context that is none: %s", call.Kwargs)
	}
}

func TestWhatAModelIsAskedFor(t *testing.T) {
	f := partners(200, `[{"display_name":"Contact","name":"x"}]`)
	if _, err := overJSON2(f).Model(t.Context(), "res.partner"); err != nil {
		t.Fatal(err)
	}
	want := map[string]string{
		"/json/2/res.partner/fields_get":    `{"attributes":["string","type","required","readonly","relation","selection"]}`,
		"/json/2/ir.model/display_name_for": `{"models":["res.partner"]}`,
	}
	for _, r := range f.requests() {
		if got := compact(t, r.Body); got != want[r.Path] {
			t.Errorf("%s is sent %s, want %s", r.Path, got, want[r.Path])
		}
		delete(want, r.Path)
	}
	if len(want) != 0 {
		t.Errorf("not asked: %v", want)
	}
}

func TestTheReadList(t *testing.T) {
	c := overJSON2(neverAsked(t))
	for method := range strings.FieldsSeq(`
		read search search_read search_count name_get name_search read_group formatted_read_group formatted_read_grouping_sets
		web_search_read web_read_group web_name_search read_progress_bar get_metadata get_external_id get_field_translations
		check_object_reference get_object_reference xmlid_to_res_id
		fields_get fields_view_get load_views get_view get_views display_name_for search_panel_select_range search_panel_select_multi_range
		check_access_rights check_access_rule check_field_access_rights has_access has_group has_groups user_has_groups
		context_get get_param get_installed`) {
		if !c.IsRead(method) {
			t.Errorf("%s is taken for a write", method)
		}
		delete(c.reads, method)
	}
	if len(c.reads) != 0 {
		t.Errorf("further reads: %v", c.reads)
	}
}

func TestALanguageThatIsAskedForAndNotTold(t *testing.T) {
	f := &fake{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/json/2/res.lang/search_count" {
			w.WriteHeader(http.StatusForbidden)
			_, _ = io.WriteString(w, exception("odoo.exceptions.AccessError", "no"))
			return
		}
		_, _ = io.WriteString(w, `{"uid":7,"version":"19.0"}`)
	})}
	_, err := newClient(f, Config{Key: key, Protocol: JSON2, Lang: "es_ES"}).Check(t.Context())
	told{kind: Forbidden, name: "AccessError", message: "no"}.check(t, nil, err)
	var body struct{ Domain [][]json.RawMessage }
	last := f.requests()[len(f.requests())-1]
	if err := json.Unmarshal(last.Body, &body); err != nil || string(body.Domain[0][2]) != `"es_ES"` {
		t.Errorf("asked %s, %v", last.Body, err)
	}
}
