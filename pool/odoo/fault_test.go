package odoo

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"hearth/pool"
)

// exception makes both protocols' accounts of one exception.
func exception(name, message string, arguments ...any) string {
	b, err := json.Marshal(map[string]any{
		"name": name, "message": message, "arguments": arguments, "context": map[string]any{},
		"debug": traceback + ":\n  File \"/usr/lib/odoo/secret.py\", line 1, in f\n    x()\n",
	})
	if err != nil {
		panic(err)
	}
	return string(b)
}

func rpcError(data string) string {
	return `{"jsonrpc": "2.0", "id": 1, "error": {"code": 0, "message": "Odoo Server Error", "data": ` + data + `}}`
}

func TestBothProtocolsFailTheSame(t *testing.T) {
	const (
		noUser  = "Record does not exist or has been deleted.\n(Record: res.users(2,), User: 2)"
		missing = "Record does not exist or has been deleted.\n(Record: res.partner(9,), User: 2)"
	)
	read := Call{Model: "res.partner", Method: "read", Args: raw(`[1]`)}
	search := Call{Model: "res.partner", Method: "search"}
	for _, tt := range []struct {
		name    string
		call    Call
		status  int    // of JSON-2
		json2   string // body; empty: as jsonrpc's data
		jsonrpc string // error.data
		want    Error  // its exported half
		only    string // the protocol that tells, if it is one alone
	}{
		{
			"a wrong key", read, 401, exception("werkzeug.exceptions.Unauthorized", "Invalid apikey", "Invalid apikey", 401),
			exception("odoo.exceptions.AccessDenied", "Access Denied"),
			Error{Kind: Failed, Name: "AccessDenied", Message: "Odoo refused the credentials: is HEARTH_ODOO_KEY right? A password needs HEARTH_ODOO_USER too"},
			"",
		},
		{
			"a user who is none", read, 403, exception("odoo.http.SessionExpiredException", "Session expired"),
			exception("odoo.exceptions.MissingError", noUser),
			Error{Kind: Failed, Name: "AccessDenied", Message: "Odoo refused the credentials: is HEARTH_ODOO_KEY right? A password needs HEARTH_ODOO_USER too"},
			"",
		},
		{
			"no access", read, 403, "", exception("odoo.exceptions.AccessError", "You are not allowed"),
			Error{Kind: Forbidden, Name: "AccessError", Message: "You are not allowed"},
			"",
		},
		{
			"a missing record", read, 404, "", exception("odoo.exceptions.MissingError", missing),
			Error{Kind: NotFound, Name: "MissingError", Message: missing},
			"",
		},
		{
			"an unknown model", read, 404, exception("werkzeug.exceptions.NotFound", "the model 'res.partner' does not exist"),
			exception("odoo.exceptions.UserError", "Object res.partner doesn't exist"),
			Error{Kind: NotFound, Name: "UnknownModel", Message: "the model res.partner does not exist"},
			"",
		},
		{
			"an unknown model in an older Odoo", read, 404, exception("werkzeug.exceptions.NotFound", "the model 'res.partner' does not exist"),
			exception("builtins.KeyError", "'res.partner'", "res.partner"),
			Error{Kind: NotFound, Name: "UnknownModel", Message: "the model res.partner does not exist"},
			"",
		},
		{
			"an unknown method", read, 404, exception("werkzeug.exceptions.NotFound", "The method 'res.partner.read' does not exist"),
			exception("builtins.AttributeError", "The method 'res.partner.read' does not exist"),
			Error{Kind: NotFound, Name: "UnknownMethod", Message: "the method res.partner.read does not exist"},
			"",
		},
		{
			"an unknown method in an older Odoo", read, 404, exception("werkzeug.exceptions.NotFound", "The method 'res.partner.read' does not exist"),
			exception("builtins.AttributeError", "type object 'res.partner' has no attribute 'read'"),
			Error{Kind: NotFound, Name: "UnknownMethod", Message: "the method res.partner.read does not exist"},
			"",
		},
		{
			"an unknown database", read, 404, noDB,
			exception("psycopg2.OperationalError", "connection to server at \"10.0.0.5\" failed: FATAL:  database \"demo\" does not exist\n"),
			Error{Kind: Failed, Name: "UnknownDatabase", Message: `nothing at Odoo's address serves the database "demo": is HEARTH_ODOO_DB right?`},
			"",
		},
		{
			"no argument", search, 422, exception("werkzeug.exceptions.UnprocessableEntity", "missing a required argument: 'domain'"),
			exception("builtins.TypeError", "BaseModel.search() missing 1 required positional argument: 'domain'"),
			Error{Kind: Rejected, Name: "BadArguments", Message: "the arguments do not fit search: missing a required argument: 'domain'"},
			"",
		},
		{
			"an argument too much", search, 422, exception("werkzeug.exceptions.UnprocessableEntity", "got an unexpected keyword argument 'foo'"),
			exception("builtins.TypeError", "search() got an unexpected keyword argument 'foo'"),
			Error{Kind: Rejected, Name: "BadArguments", Message: "the arguments do not fit search: got an unexpected keyword argument 'foo'"},
			"",
		},
		{
			"a TypeError within", search, 500, "", exception("builtins.TypeError", "unsupported operand type(s) for +: 'int' and 'str'"),
			Error{Kind: Failed, Name: "TypeError", Message: "unsupported operand type(s) for +: 'int' and 'str'"},
			"",
		},
		{
			"a domain that is none", search, 500, "", exception("builtins.TypeError", "Domain() invalid argument type for domain: 'xx'"),
			Error{Kind: Rejected, Name: "TypeError", Message: "Domain() invalid argument type for domain: 'xx'"},
			"",
		},
		{
			"a domain that is none in an older Odoo", search, 500, "", exception("builtins.ValueError", "Invalid leaf ('name', '=')"),
			Error{Kind: Rejected, Name: "ValueError", Message: "Invalid leaf ('name', '=')"},
			"",
		},
		{
			"a right that is none", search, 500, "", exception("builtins.AssertionError", "Invalid access mode"),
			Error{Kind: Rejected, Name: "AssertionError", Message: "Invalid access mode"},
			"",
		},
		{
			"an AssertionError within", search, 500, "", exception("builtins.AssertionError", "x is not y"),
			Error{Kind: Failed, Name: "AssertionError", Message: "x is not y"},
			"",
		},
		{
			"a field that is none, written",
			Call{Model: "res.partner", Method: "write", Args: raw(`[1]`, `{"nope":1}`)},
			500, "",
			exception("builtins.KeyError", "nope"),
			Error{Kind: Rejected, Name: "ValueError", Message: "Invalid field 'nope' on model 'res.partner'"},
			"",
		},
		{
			"a KeyError within a write",
			Call{Model: "res.partner", Method: "write", Args: raw(`[1]`, `{"name":1}`)},
			500, "",
			exception("builtins.KeyError", "nope"),
			Error{Kind: Failed, Name: "KeyError", Message: "nope"},
			"",
		},
		{
			"a text for a number", search, 500, "",
			exception("psycopg2.errors.InvalidTextRepresentation", "invalid input syntax for type integer: \"abc\"\nLINE 1: SELECT secret"),
			Error{Kind: Rejected, Name: "ValueError", Message: "invalid input syntax for type integer: \"abc\""},
			"",
		},
		{
			"an AttributeError within", read, 500, "", exception("builtins.AttributeError", "'bool' object has no attribute 'name'"),
			Error{Kind: Failed, Name: "AttributeError", Message: "'bool' object has no attribute 'name'"},
			"",
		},
		{
			"a KeyError within", read, 500, "", exception("builtins.KeyError", "'name'"),
			Error{Kind: Failed, Name: "KeyError", Message: "'name'"},
			"",
		},
		{
			"an unknown field", read, 500, "", exception("builtins.ValueError", "Invalid field 'x' on 'res.partner'"),
			Error{Kind: Rejected, Name: "ValueError", Message: "Invalid field 'x' on 'res.partner'"},
			"",
		},
		{
			"a rule broken", read, 422, "", exception("odoo.exceptions.ValidationError", "Contacts require a name"),
			Error{Kind: Rejected, Name: "ValidationError", Message: "Contacts require a name"},
			"",
		},
		{
			"a word to the user", read, 422, "", exception("odoo.exceptions.UserError", "not now"),
			Error{Kind: Rejected, Name: "UserError", Message: "not now"},
			"",
		},
		{
			"a word with a way out", read, 500, "", exception("odoo.exceptions.RedirectWarning", "set it up\n42\nGo", "set it up", 42, "Go"),
			Error{Kind: Rejected, Name: "RedirectWarning", Message: "set it up"},
			"",
		},
		{
			"a lock", read, 409, "", exception("odoo.exceptions.LockError", "locked"),
			Error{Kind: Conflict, Name: "LockError", Message: "locked", Retryable: true},
			"",
		},
		{
			"a race lost five times", read, 500, "", exception("psycopg2.errors.SerializationFailure", "could not serialize access\nCONTEXT: SQL"),
			Error{Kind: Conflict, Name: "ConcurrencyError", Message: "the records were being changed by somebody else", Retryable: true},
			"",
		},
		{
			"SQL", read, 500, "", exception("psycopg2.errors.UndefinedColumn", "column x does not exist\nLINE 1: SELECT x FROM res_users"),
			Error{Kind: Failed, Name: "UndefinedColumn", Message: "column x does not exist"},
			"",
		},
		{
			"a lost database", read, 500, "", exception("psycopg2.OperationalError", "connection to server at \"10.0.0.5\" failed"),
			Error{Kind: Failed, Name: "DatabaseError", Message: "Odoo lost its database or cannot reach it", Retryable: true},
			"",
		},
		{
			"a method made for browsers", read, 403, exception("werkzeug.exceptions.Forbidden", "not you"),
			exception("werkzeug.exceptions.Forbidden", "403 Forbidden: not you"),
			Error{Kind: Forbidden, Name: "Forbidden", Message: "not you"},
			"",
		},
		{
			"a traceback in the message", read, 500, "",
			exception("builtins.Exception", "it broke\n"+traceback+":\n  File \"/opt/odoo/x.py\", line 3\n    y()"),
			Error{Kind: Failed, Name: "Exception", Message: "it broke"},
			"",
		},
		{
			"nothing but a traceback", read, 500, "", exception("builtins.Exception", traceback+":\n  File \"/opt/odoo/x.py\", line 3"),
			Error{Kind: Failed, Name: "Exception", Message: "Odoo gave no reason"},
			"",
		},
		{
			"our key repeated", read, 500, "", exception("builtins.Exception", "cannot use "+key+" here"),
			Error{Kind: Failed, Name: "Exception", Message: "cannot use [key] here"},
			"",
		},
		{
			"a name that is none", read, 500, "", exception("builtins.<script>", "no"),
			Error{Kind: Failed, Name: "ServerError", Message: "no"},
			"",
		},
		{
			"a proxy in between", read, 502, "<html>", "",
			Error{Kind: Failed, Name: "BadAnswer", Message: "Odoo's address answered 502 with no error of Odoo's", Retryable: true},
			"",
		},
		{
			"another module's UserError", read, 422, exception("odoo.addons.x.Stop", "no"), "",
			Error{Kind: Rejected, Name: "Stop", Message: "no"},
			"json2",
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			body := tt.json2
			if body == "" {
				body = tt.jsonrpc
			}
			check := func(c *Client) {
				_, err := c.Call(t.Context(), tt.call)
				e := wantError(t, err)
				got := Error{Kind: e.Kind, Name: e.Name, Message: e.Message, Retryable: e.Retryable}
				if got != tt.want {
					t.Errorf("%s: got\n %+v, want\n %+v", c.cfg.Protocol, got, tt.want)
				}
				if strings.Contains(err.Error(), "secret.py") {
					t.Errorf("%s: %v", c.cfg.Protocol, err)
				}
			}
			check(overJSON2(answering(tt.status, body)))
			switch {
			case tt.jsonrpc != "":
				check(overJSONRPC(answering(200, rpcError(tt.jsonrpc))))
			case tt.only == "":
				check(overJSONRPC(answering(tt.status, body)))
			}
		})
	}
}

func TestAMessageIsBounded(t *testing.T) {
	for _, n := range []int{maxMessage - 1, maxMessage, maxMessage + 1, 100_000} {
		got := sanitize(strings.Repeat("é", n/2) + strings.Repeat("x", n%2))
		if len(got) > maxMessage || !utf8.ValidString(got) || (len(got) < n) != strings.HasSuffix(got, "…") {
			t.Errorf("%d bytes became %d: …%q", n, len(got), got[max(0, len(got)-9):])
		}
	}
	if got := sanitize("a\x00b\x1b[31m\tc\r\nd\xff"); got != "a b [31m c \nd�" {
		t.Errorf("%q", got)
	}
}

func FuzzAnswers(f *testing.F) {
	for _, body := range []string{
		`{}`, `null`, `[1]`, `<html>`, `{"name":1}`, envelope, noDB, badKey, uid7,
		exception("odoo.exceptions.UserError", "no"), rpcError(exception("odoo.exceptions.RedirectWarning", "a", "b", 1)),
		rpcError(exception("psycopg2.errors.DeadlockDetected", "x")), `{"jsonrpc":"2.0","error":{}}`, `{"jsonrpc":"2.0","error":{"data":null}}`,
		exception("builtins.TypeError", "read() missing"), exception("a.b", strings.Repeat("é", 2000)), `{"name":"x","message":"404 x: File \"y"}`,
	} {
		for _, status := range []int{200, 401, 404, 422, 500, 502} {
			f.Add(status, []byte(body))
		}
	}
	calls := []Call{
		{Model: "res.partner", Method: "read", Args: raw(`[1]`)},
		{Model: "res.partner", Method: "create", Args: raw(`{}`)},
	}
	f.Fuzz(func(t *testing.T, status int, body []byte) {
		for _, call := range calls {
			for _, w := range []protocol{newJSON2("demo", key), jsonrpc{"demo", 2, key}} {
				result, e := w.decode(call, &pool.Response{Status: status, Body: slices.Clone(body)})
				if e == nil {
					if !json.Valid(result) {
						t.Errorf("%T: result %q", w, result)
					}
					continue
				}
				if !slices.Contains([]Kind{Forbidden, NotFound, Conflict, Rejected, Failed}, e.Kind) {
					t.Errorf("%T: kind %s", w, e.Kind)
				}
				if !isMethod(e.Name) {
					t.Errorf("%T: name %q", w, e.Name)
				}
				if len(e.Message) > maxMessage || e.Message == "" || !utf8.ValidString(e.Message) || strings.Contains(e.Message, traceback) {
					t.Errorf("%T: message %q", w, e.Message)
				}
			}
		}
	})
}

func TestMisfit(t *testing.T) {
	for text, want := range map[string]string{
		"BaseModel.search() missing 2 required positional arguments: 'a' and 'b'": "missing a required argument: 'a'",
		"search() takes from 2 to 5 positional arguments but 9 were given":        "too many positional arguments",
		"ResPartner.search() got multiple values for argument 'domain'":           "multiple values for argument 'domain'",
		"BaseModel._search() missing 1 required positional argument: 'domain'":    "",
		"research() missing 1 required positional argument: 'domain'":             "",
		"search() argument after ** must be a mapping":                            "",
		"unsupported operand":                                   "",
		"search() found an item missing ":                       "",
		"search() never got an unexpected keyword argument 'x'": "",
		"search() has got multiple values for argument 'x'":     "",
		"search() says it takes 2":                              "",
	} {
		if got := misfit(text, "search"); got != want {
			t.Errorf("%q: %q, want %q", text, got, want)
		}
	}
}
