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

func TestBothProtocolsSendTheSameCall(t *testing.T) {
	for _, tt := range []struct {
		name    string
		call    Call
		json2   string // body
		jsonrpc string // model, method, args, kwargs
	}{
		{
			"search by position",
			Call{Model: "res.partner", Method: "search", Args: raw(`[["a","=",1]]`, `5`, `10`, `"id"`)},
			`{"domain":[["a","=",1]],"limit":10,"offset":5,"order":"id"}`, `["res.partner","search",[[["a","=",1]],5,10,"id"],{}]`,
		},
		{
			"search by name",
			Call{Model: "res.partner", Method: "search", Kwargs: kw(`{"domain":[],"context":{"lang":"fr_FR"}}`)},
			`{"context":{"lang":"fr_FR"},"domain":[]}`, `["res.partner","search",[[]],{"context":{"lang":"fr_FR"}}]`,
		},
		{
			"search_count by name",
			Call{Model: "res.partner", Method: "search_count", Kwargs: kw(`{"domain":[],"limit":3}`)},
			`{"domain":[],"limit":3}`, `["res.partner","search_count",[[]],{"limit":3}]`,
		},
		{
			"name_search by name",
			Call{Model: "res.partner", Method: "name_search", Kwargs: kw(`{"domain":[],"limit":3}`)},
			`{"domain":[],"limit":3}`, `["res.partner","name_search",["",[]],{"limit":3}]`,
		},
		{
			"name_search by name, with a name",
			Call{Model: "res.partner", Method: "name_search", Kwargs: kw(`{"domain":[],"name":"x"}`)},
			`{"domain":[],"name":"x"}`, `["res.partner","name_search",["x",[]],{}]`,
		},
		{
			"name_search, mixed",
			Call{Model: "res.partner", Method: "name_search", Args: raw(`"x"`), Kwargs: kw(`{"domain":[]}`)},
			`{"domain":[],"name":"x"}`, `["res.partner","name_search",["x",[]],{}]`,
		},
		{
			"name_search by name alone",
			Call{Model: "res.partner", Method: "name_search", Kwargs: kw(`{"name":"x"}`)},
			`{"name":"x"}`, `["res.partner","name_search",[],{"name":"x"}]`,
		},
		{
			"has_group of a user",
			Call{Model: "res.users", Method: "has_group", Args: raw(`2`, `"base.group_user"`)},
			`{"group_ext_id":"base.group_user","ids":[2]}`, `["res.users","has_group",[[2],"base.group_user"],{}]`,
		},
		{
			"get_param by position",
			Call{Model: "ir.config_parameter", Method: "get_param", Args: raw(`"web.base.url"`, `"x"`)},
			`{"default":"x","key":"web.base.url"}`, `["ir.config_parameter","get_param",["web.base.url","x"],{}]`,
		},
		{
			"read with a list",
			Call{Model: "res.partner", Method: "read", Args: raw(`[1,2]`, `["name"]`)},
			`{"fields":["name"],"ids":[1,2]}`, `["res.partner","read",[[1,2],["name"]],{}]`,
		},
		{
			"read with a number and a name",
			Call{Model: "res.partner", Method: "read", Args: raw(`7`), Kwargs: kw(`{"fields":["name"]}`)},
			`{"fields":["name"],"ids":[7]}`, `["res.partner","read",[[7]],{"fields":["name"]}]`,
		},
		{
			"read with ids by name",
			Call{Model: "res.partner", Method: "read", Kwargs: kw(`{"ids":7,"fields":["name"]}`)},
			`{"fields":["name"],"ids":[7]}`, `["res.partner","read",[[7]],{"fields":["name"]}]`,
		},
		{
			"a record method without records",
			Call{Model: "res.partner", Method: "has_access", Kwargs: kw(`{"operation":"read"}`)},
			`{"ids":[],"operation":"read"}`, `["res.partner","has_access",[[]],{"operation":"read"}]`,
		},
		{
			"write",
			Call{Model: "res.partner", Method: "write", Args: raw(`[1]`, `{"name":"x"}`)},
			`{"ids":[1],"vals":{"name":"x"}}`, `["res.partner","write",[[1],{"name":"x"}],{}]`,
		},
		{
			"create by name",
			Call{Model: "res.partner", Method: "create", Kwargs: kw(`{"vals_list":{"name":"x"}}`)},
			`{"vals_list":{"name":"x"}}`, `["res.partner","create",[{"name":"x"}],{}]`,
		},
		{
			"create by position",
			Call{Model: "res.partner", Method: "create", Args: raw(`[{"name":"x"}]`)},
			`{"vals_list":[{"name":"x"}]}`, `["res.partner","create",[[{"name":"x"}]],{}]`,
		},
		{
			"an unknown record method",
			Call{Model: "sale.order", Method: "action_confirm", Args: raw(`[3]`)},
			`{"ids":[3]}`, `["sale.order","action_confirm",[[3]],{}]`,
		},
		{
			"an unknown record method by name",
			Call{Model: "sale.order", Method: "message_post", Kwargs: kw(`{"ids":3,"body":"hi"}`)},
			`{"body":"hi","ids":[3]}`, `["sale.order","message_post",[[3]],{"body":"hi"}]`,
		},
		{
			"a context of null",
			Call{Model: "res.users", Method: "context_get", Kwargs: kw(`{"context":null}`)},
			`{}`, `["res.users","context_get",[],{}]`,
		},
		{
			"null stays null",
			Call{Model: "m", Method: "search", Args: raw(`[]`, `0`, `null`)},
			`{"domain":[],"limit":null,"offset":0}`, `["m","search",[[],0,null],{}]`,
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			two, rpc := answering(200, `[]`), answering(200, `{"jsonrpc":"2.0","result":[]}`)
			if _, err := overJSON2(two).Call(t.Context(), tt.call); err != nil {
				t.Fatal("json2:", err)
			}
			if _, err := overJSONRPC(rpc).Call(t.Context(), tt.call); err != nil {
				t.Fatal("jsonrpc:", err)
			}
			sent := two.requests()[0]
			if got, want := sent.Path, "/json/2/"+tt.call.Model+"/"+tt.call.Method; got != want {
				t.Errorf("path %s, want %s", got, want)
			}
			if got := compact(t, sent.Body); got != tt.json2 {
				t.Errorf("json2 sent\n %s, want\n %s", got, tt.json2)
			}
			if got := execution(t, rpc.requests()[0].Body); got != tt.jsonrpc {
				t.Errorf("jsonrpc sent\n %s, want\n %s", got, tt.jsonrpc)
			}
			read := overJSON2(two).IsRead(tt.call.Method)
			if sent.Repeatable != read || rpc.requests()[0].Repeatable != read {
				t.Errorf("repeatable is not %v", read)
			}
		})
	}
}

func TestCredentialsTravelWhereEachProtocolWantsThem(t *testing.T) {
	two := answering(200, `1`)
	if _, err := overJSON2(two).Call(t.Context(), contextGet()); err != nil {
		t.Fatal(err)
	}
	h := two.requests()[0].Header
	if h.Get("Authorization") != "bearer "+key || h.Get("X-Odoo-Database") != "demo" || h.Get("Content-Type") != "application/json" {
		t.Errorf("header %v", h)
	}
	rpc := answering(200, `{"jsonrpc":"2.0","result":1}`)
	if _, err := overJSONRPC(rpc).Call(t.Context(), contextGet()); err != nil {
		t.Fatal(err)
	}
	r := rpc.requests()[0]
	if r.Header.Get("Authorization") != "" || !strings.Contains(string(r.Body), `"args":["demo",2,"`+key+`","res.users"`) {
		t.Errorf("header %v, body %s", r.Header, r.Body)
	}
}

func TestBothProtocolsAnswerTheSame(t *testing.T) {
	read := Call{Model: "res.partner", Method: "read", Args: raw(`[1]`)}
	create := func(vals string) Call { return Call{Model: "res.partner", Method: "create", Args: raw(vals)} }
	for _, tt := range []struct {
		name           string
		call           Call
		json2, jsonrpc string
		want           string
	}{
		{"records", read, `[{"id": 1}]`, `{"jsonrpc":"2.0","id":1,"result":[{"id": 1}]}`, `[{"id": 1}]`},
		{"false", read, `false`, `{"jsonrpc":"2.0","id":1,"result":false}`, `false`},
		{"nothing", read, `null`, `{"jsonrpc":"2.0","id":1}`, `null`},
		{"one created", create(`{}`), `[5]`, `{"jsonrpc":"2.0","id":1,"result":5}`, `5`},
		{"a list created", create(`[{}]`), `[5]`, `{"jsonrpc":"2.0","id":1,"result":[5]}`, `[5]`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			two, err := overJSON2(answering(200, tt.json2)).Call(t.Context(), tt.call)
			if err != nil || string(two) != tt.want {
				t.Errorf("json2: %s, %v, want %s", two, err, tt.want)
			}
			rpc, err := overJSONRPC(answering(200, tt.jsonrpc)).Call(t.Context(), tt.call)
			if err != nil || string(rpc) != tt.want {
				t.Errorf("jsonrpc: %s, %v, want %s", rpc, err, tt.want)
			}
		})
	}
}

func TestWhatCannotBeRightIsNotSent(t *testing.T) {
	const both, json2Only = true, false
	long := strings.Repeat("a", maxName+1)
	for _, tt := range []struct {
		name  string
		call  Call
		both  bool
		field string
	}{
		{"no model", Call{Method: "read"}, both, "model"},
		{"a path for a model", Call{Model: "res.partner/../x", Method: "read"}, both, "model"},
		{"an empty part", Call{Model: "res..partner", Method: "read"}, both, "model"},
		{"a dot at the end", Call{Model: "res.", Method: "read"}, both, "model"},
		{"a dot at the start", Call{Model: ".res", Method: "read"}, both, "model"},
		{"a long model", Call{Model: long, Method: "read"}, both, "model"},
		{"no method", Call{Model: "m"}, both, "method"},
		{"a private method", Call{Model: "m", Method: "_read"}, both, "method"},
		{"a number for a method", Call{Model: "m", Method: "1read"}, both, "method"},
		{"a dotted method", Call{Model: "m", Method: "a.b"}, both, "method"},
		{"a long method", Call{Model: "m", Method: long}, both, "method"},
		{"args of no JSON", Call{Model: "m", Method: "search", Args: raw(`[]`, `{`)}, both, "args[1]"},
		{"kwargs of no JSON", Call{Model: "m", Method: "search", Kwargs: map[string]json.RawMessage{"domain": nil}}, both, "kwargs.domain"},
		{"a name given twice", Call{Model: "m", Method: "search", Args: raw(`[]`), Kwargs: kw(`{"domain":[]}`)}, both, "kwargs.domain"},
		{"ids given twice", Call{Model: "m", Method: "read", Args: raw(`[1]`), Kwargs: kw(`{"ids":[1]}`)}, both, "args"},
		{"ids of no record method", Call{Model: "m", Method: "search", Kwargs: kw(`{"ids":[1],"domain":[]}`)}, both, "kwargs.ids"},
		{"ids that are none", Call{Model: "m", Method: "foo", Kwargs: kw(`{"ids":"1"}`)}, both, "kwargs.ids"},
		{"ids that are null", Call{Model: "m", Method: "foo", Kwargs: kw(`{"ids":null}`)}, both, "kwargs.ids"},
		{"fields for ids", Call{Model: "m", Method: "read", Args: raw(`["name"]`)}, both, "args[0]"},
		{"null among the ids", Call{Model: "m", Method: "read", Args: raw(`[1,null]`)}, both, "args[0]"},
		{"a fraction among the ids", Call{Model: "m", Method: "read", Args: raw(`[1.5]`)}, both, "args[0]"},
		{"too many", Call{Model: "m", Method: "search_count", Args: raw(`[]`, `1`, `2`)}, json2Only, "args"},
		{"no user of a group", Call{Model: "res.users", Method: "has_group", Args: raw(`"base.group_user"`)}, json2Only, "kwargs.ids"},
		{"an unknown method's args", Call{Model: "m", Method: "foo", Args: raw(`[1]`, `2`)}, json2Only, "args"},
		{"an unknown method's text", Call{Model: "m", Method: "foo", Args: raw(`"x"`)}, json2Only, "args"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			for i, c := range []*Client{overJSON2(neverAsked(t)), overJSONRPC(neverAsked(t))} {
				if i == 1 && !tt.both {
					continue
				}
				_, err := c.Call(t.Context(), tt.call)
				if e, ok := errors.AsType[*ArgumentError](err); !ok || e.Field != tt.field {
					t.Errorf("%s: got %v, want a fault of %s", c.cfg.Protocol, err, tt.field)
				}
			}
		})
	}
}

func neverAsked(t *testing.T) *fake {
	return &fake{Handler: http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		t.Errorf("sent %s %s", r.URL, body)
	})}
}

func TestACallIsLeftAsItWas(t *testing.T) {
	call := Call{Model: "res.partner", Method: "read", Args: raw(`7`, `[]`), Kwargs: kw(`{"context":null}`)}
	for _, c := range []*Client{overJSON2(answering(200, `1`)), overJSONRPC(answering(200, `{"jsonrpc":"2.0"}`))} {
		if _, err := c.Call(t.Context(), call); err != nil {
			t.Fatal(err)
		}
	}
	if len(call.Args) != 2 || string(call.Args[0]) != "7" || len(call.Kwargs) != 1 {
		t.Errorf("changed to %v", call)
	}
}

func TestTheOutcomeOfAWrite(t *testing.T) {
	broken := &pool.Error{Upstream: "odoo", Sent: true, Err: io.ErrUnexpectedEOF}
	unsent := &pool.Error{Upstream: "odoo", Err: io.ErrUnexpectedEOF}
	lostDB := `{"name":"psycopg2.OperationalError","message":"server closed the connection unexpectedly"}`
	for _, tt := range []struct {
		name      string
		err       error
		status    int
		body      string
		unknown   bool
		retryable bool // what a read's error says; a write's never does if its outcome is unknown
	}{
		{name: "broken off", err: broken, unknown: true},
		{name: "never sent", err: unsent},
		{name: "a proxy lost Odoo", status: 502, body: "<html>", unknown: true, retryable: true},
		{name: "a proxy gave up", status: 504, body: "<html>", unknown: true, retryable: true},
		{name: "a proxy found nobody", status: 503, body: "<html>", unknown: true, retryable: true},
		{name: "no Odoo's 500", status: 500, body: "oops", unknown: true},
		{name: "no JSON", status: 200, body: "<html>", unknown: true},
		{name: "Odoo lost its database", status: 500, body: lostDB, unknown: true, retryable: true},
		{name: "too many requests", status: 429, body: "<html>", retryable: true},
		{name: "moved", status: 301, body: "<html>"},
		{name: "too large", status: 413, body: "<html>"},
		{name: "Odoo refused", status: 422, body: `{"name":"odoo.exceptions.UserError","message":"no"}`},
		{name: "Odoo failed", status: 500, body: `{"name":"builtins.ZeroDivisionError","message":"no"}`},
		{name: "locked", status: 409, body: `{"name":"odoo.exceptions.LockError","message":"no"}`, retryable: true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			for _, method := range []string{"write", "read"} {
				sent := 0
				c := overJSON2(doerFunc(func(context.Context, pool.Request) (*pool.Response, error) {
					sent++
					return &pool.Response{Status: tt.status, Body: []byte(tt.body)}, tt.err
				}))
				_, err := c.Call(t.Context(), Call{Model: "res.partner", Method: method, Args: raw(`[1]`)})
				unknown := tt.unknown && method == "write"
				if err == nil || errors.Is(err, pool.ErrUnknownOutcome) != unknown {
					t.Errorf("%s: got %v, want an unknown outcome: %v", method, err, unknown)
				}
				if tt.err != nil && !errors.Is(err, tt.err) {
					t.Errorf("%s: %v does not hold its cause", method, err)
				}
				if tt.err == nil {
					if e := wantError(t, err); e.Retryable != (tt.retryable && !unknown) {
						t.Errorf("%s: retryable %v", method, e.Retryable)
					}
				}
				if sent != 1 {
					t.Errorf("%s: sent %d times", method, sent)
				}
			}
		})
	}
}

// Until Odoo 17 it is a question about oneself.
func TestHasGroupAsOlderVersionsTakeIt(t *testing.T) {
	for _, call := range []Call{
		{Model: "res.users", Method: "has_group", Args: raw(`"base.group_user"`)},
		{Model: "res.users", Method: "has_group", Kwargs: kw(`{"group_ext_id":"base.group_user"}`)},
	} {
		f := answering(200, `{"jsonrpc":"2.0","result":true}`)
		if _, err := overJSONRPC(f).Call(t.Context(), call); err != nil {
			t.Fatal(err)
		}
		if got := execution(t, f.requests()[0].Body); strings.Contains(got, "[]") == (len(call.Args) > 0) {
			t.Errorf("sent %s", got)
		}
	}
}

func TestWhatMayWriteIsNoRead(t *testing.T) {
	c := overJSON2(neverAsked(t))
	for _, method := range []string{"name_get", "get_param", "has_group", "has_groups", "check_access_rule", "get_metadata", "web_read_group", "user_has_groups"} {
		if !c.IsRead(method) {
			t.Errorf("%s is a write", method)
		}
	}
	for _, method := range []string{"default_get", "onchange", "export_data", "web_read", "name_create", "copy_data", "get_access_action", "create", "set_param", "Read", ""} {
		if c.IsRead(method) {
			t.Errorf("%s is a read", method)
		}
	}
	if own := newClient(neverAsked(t), Config{Key: key, Reads: []string{"default_get"}}); !own.IsRead("default_get") || own.IsRead("read") {
		t.Error("a list of one's own does not hold alone")
	}
}
