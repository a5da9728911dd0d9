package odootest

import (
	"encoding/json"
	"fmt"
	"maps"
)

// step is one request, and what the answers of the stand-in and of a real server must have in common.
// In its body $key, $db, $uid and $login stand for the server's own, and $1, $2 … for the ids it has given out.
type step struct {
	name   string
	method string // POST if empty
	path   string
	header map[string]string
	body   string
	status int    // 200 if 0
	want   string // a part of the answer, ids as $1
	keep   bool   // the answer is an id, or a list of one, to be remembered
	shape  bool   // compare kinds of values only: the data differ
	text   bool   // compare the status only: the answer is a page for people
}

func j2(call, body string, status int, want string) step {
	return step{
		name: call + " " + body, path: "/json/2/" + call, body: body, status: status, want: want,
		header: map[string]string{"Authorization": "bearer $key", "X-Odoo-Database": "$db"},
	}
}

func (s step) with(header, value string) step {
	h := map[string]string{}
	maps.Copy(h, s.header)
	if h[header] = value; value == "" {
		delete(h, header)
	}
	s.header = h
	s.name += " " + header + ": " + value
	return s
}

func (s step) kept() step   { s.keep = true; return s }
func (s step) shaped() step { s.shape = true; return s }
func (s step) asText() step { s.text = true; return s }

func rpc(service, method, args, want string) step {
	return step{
		name: service + "." + method + args, path: "/jsonrpc", want: want,
		body: fmt.Sprintf(`{"jsonrpc":"2.0","method":"call","id":7,"params":{"service":%q,"method":%q,"args":%s}}`, service, method, args),
	}
}

func kw(model, method, args, kwargs, want string) step {
	return rpc("object", "execute_kw", fmt.Sprintf(`["$db",$uid,"$key",%q,%q,%s,%s]`, model, method, args, kwargs), want)
}

const mine = `["name","in",["Wt A","Wt B","Wt C"]]`

func steps() []step {
	all := append(json2Steps(), rpcSteps()...)
	return append(all, frameSteps()...)
}

func json2Steps() []step {
	p := func(method, body string, status int, want string) step {
		return j2("res.partner/"+method, body, status, want)
	}
	return []step{
		p("create", `{"vals_list":[{"name":"Wt A","is_company":true}]}`, 200, "[$1]").kept(),
		p("create", `{"vals_list":{"name":"Wt B","parent_id":$1}}`, 200, "[$2]").kept(),
		p("create", `{"vals_list":[{"nope":1}]}`, 500, "Invalid field 'nope' in 'res.partner'"),
		p("create", `{"vals_list":[{}]}`, 422, "Contacts require a name"),
		p("search", `{"domain":[`+mine+`],"order":"id"}`, 200, "[$1,$2]"),
		p("search", `{"domain":[`+mine+`],"order":"id desc","limit":1}`, 200, "[$2]"),
		p("search", `{"domain":[["id",">",$1],`+mine+`]}`, 200, "[$2]"), p("search", `{"domain":[["id","<",$2],`+mine+`]}`, 200, "[$1]"),
		p("search", `{"domain":["&",["name","!=","Wt A"],`+mine+`]}`, 200, "[$2]"),
		p("search", `{"domain":[["name","=","wt a"]]}`, 200, "[]"), p("search", `{"domain":[["email","=",false],`+mine+`],"offset":1,"order":"id"}`, 200, "[$2]"),
		p("search_count", `{"domain":[["name","ilike","wT"]]}`, 200, "2"),
		p("search_read", `{"domain":[`+mine+`],"fields":["name","email","parent_id","category_id","active","type"],"order":"id"}`, 200, `"parent_id":[$1,"Wt A"]`),
		p("read", `{"ids":[$2],"fields":["display_name"]}`, 200, "Wt A, Wt B"), p("read", `{"ids":[99999],"fields":["name"]}`, 200, "[]"),
		p("read", `{"fields":["name"]}`, 200, "[]"), p("read", `{"ids":[$1],"fields":["nope"]}`, 500, "Invalid field 'nope' on 'res.partner'"),
		p("read", `{"ids":[$1],"fields":["create_date","write_date","user_id","comment","phone"]}`, 200, "").shaped(),
		p("write", `{"ids":[$1],"vals":{"email":"a@example.com"}}`, 200, "true"), p("read", `{"ids":[$1],"fields":["email"]}`, 200, "a@example.com"),
		p("write", `{"ids":[99999],"vals":{"name":"z"}}`, 404, "odoo.exceptions.MissingError"), p("write", `{"vals":{"name":"x"}}`, 200, "true"),
		p("write", `{"ids":[$1]}`, 422, "missing a required argument: 'vals'"), p("write", `{"ids":[$1],"vals":{"nope":1}}`, 500, "builtins.KeyError"),
		p("name_search", `{"name":"Wt B"}`, 200, `[[$2,"Wt A, Wt B"]]`), p("has_access", `{"operation":"read"}`, 200, "true"),
		p("has_access", `{"operation":"nope"}`, 500, "Invalid access mode"), p("action_archive", `{"ids":[$2]}`, 200, "null").shaped(),
		p("search", `{"domain":[`+mine+`]}`, 200, "[$1]"), p("search", `{"domain":[`+mine+`],"context":{"active_test":false},"order":"id"}`, 200, "[$1,$2]"),
		p("search", `{"domain":[`+mine+`,["active","=",false]]}`, 200, "[$2]"), p("unlink", `{"ids":[$2]}`, 200, "true"),
		p("unlink", `{"ids":[$2]}`, 404, "odoo.exceptions.MissingError"), p("unlink", `{"ids":[]}`, 200, "true"),
		p("search_read", `{"domain":[["nope","=",1]]}`, 500, "Invalid field res.partner.nope in condition ('nope', '=', 1)"),
		p("search_read", `{"domain":[["name","~~",1]]}`, 500, "Invalid operator in condition"),
		p("search_read", `{"domain":"x"}`, 500, "Domain() invalid argument type for domain: 'x'"),
		p("search_read", `{"domain":[["name","="]]}`, 500, "Domain() invalid item in domain: ['name', '=']"),
		p("search_read", `{"domain":[],"foo":1}`, 500, "unexpected keyword argument 'foo'"),
		p("search_read", `{"args":[[]]}`, 500, "unexpected keyword argument 'args'"), p("search", `{"domain":[],"foo":1}`, 422, "foo"),
		p("search_read", `{"domain":[],"fields":["name"],"order":"nope"}`, 500, "Invalid field 'nope' on model 'res.partner'"),
		p("search_read", `{"domain":[],"fields":["name"],"limit":-1}`, 500, "LIMIT must not be negative"),
		p("search", `{"ids":[1],"domain":[]}`, 422, "cannot call res.partner.search with ids"), p("search_count", `{}`, 422, "missing a required argument: 'domain'"),
		p("search_count", `[[]]`, 422, "missing a required argument: 'domain'"), p("search_count", ``, 422, "missing a required argument"),
		p("search_count", `{"domain":[],"context":{"lang":"xx_XX"}}`, 422, "Invalid language code: xx_XX"),
		p("search_count", `{"domain":[],"context":5}`, 500, "'int' object is not iterable"), p("search_count", `{"domain":[]}`, 200, "").shaped(),
		p("fields_get", `{"allfields":["id","name","display_name","email","active","is_company","type","parent_id","category_id","create_date","user_id"],`+
			`"attributes":["string","type","required","readonly","relation","selection"]}`, 200, `"selection":[["contact","Contact"]`),
		p("fields_get", `{"allfields":["nope"],"attributes":["type"]}`, 200, "{}"),
		p("fields_get", `{"allfields":["name","email","active"],"attributes":["string","type"],"context":{"lang":"es_ES"}}`, 200, "Nombre"),
		j2("ir.model/display_name_for", `{"models":["res.partner"],"context":{"lang":"es_ES"}}`, 200, `"display_name":"Contacto"`),
		j2("res.users/has_group", `{"ids":[$uid],"group_ext_id":"base.group_user"}`, 200, "true"), j2("res.users/has_group", `{"ids":[$uid]}`, 422, "missing a required argument: 'group_ext_id'"),
		j2("ir.config_parameter/get_param", `{"key":"web.base.url"}`, 200, "http://"), j2("ir.config_parameter/get_param", `{"key":"no.such","default":5}`, 200, "5"),
		j2("ir.config_parameter/get_param", `{"key":"no.such"}`, 200, "false"), p("name_get", `{"ids":[1]}`, 404, "The method 'res.partner.name_get' does not exist"),
		j2("res.lang/search_count", `{"domain":[["code","=","es_ES"]]}`, 200, "1"), j2("res.lang/search_count", `{"domain":[["code","=","fr_FR"]]}`, 200, "0"),
		j2("res.users/fields_get", `{"allfields":["login","partner_id","lang","name"],"attributes":["string","type","required","readonly","relation"]}`, 200, "res.partner"),
		j2("res.users/context_get", `{}`, 200, `"lang":"en_US"`), p("context_get", `{}`, 404, "does not exist"),
		j2("ir.model/display_name_for", `{"models":["res.partner","res.nope"]}`, 200, `"display_name":"Contact"`),
		j2("ir.model/search_read", `{"domain":[["model","=","res.partner"]],"fields":["name","model"]}`, 200, "Contact").shaped(),
		j2("res.nope/search", `{"domain":[]}`, 404, "the model 'res.nope' does not exist"), p("nope", `{}`, 404, "The method 'res.partner.nope' does not exist"),
		p("_search", `{}`, 403, "Private methods"), p("browse", `{"ids":[1]}`, 403, "Private methods"),
		p("search_count", `{"domain":[]}`, 401, "Invalid apikey").with("Authorization", "bearer bad"), p("search_count", `{"domain":[]}`, 401, "User not authenticated").with("Authorization", ""),
		p("search_count", `{"domain":[]}`, 200, "").with("Authorization", "Bearer $key").shaped(), p("search_count", `{"domain":[]}`, 200, "").with("X-Odoo-Database", "").shaped(),
		p("search_count", `{"domain":[]}`, 404, "404 Not Found").with("X-Odoo-Database", "nope").asText(), p("search_count", `{"domain":[]}`, 415, "415").with("Content-Type", "text/plain").asText(),
		p("search_count", `{x`, 400, "could not parse the body as json").shaped(), p("unlink", `{"ids":[$1]}`, 200, "true"),
	}
}

func rpcSteps() []step {
	p := func(method, args, kwargs, want string) step { return kw("res.partner", method, args, kwargs, want) }
	return []step{
		rpc("common", "version", `[]`, `"server_version":"19.0"`), rpc("common", "authenticate", `["$db","$login","$key",{}]`, `"result":$uid`),
		rpc("common", "authenticate", `["$db","$login","bad",{}]`, `"result":false`), rpc("common", "login", `["$db","$login","bad"]`, `"result":false`),
		rpc("common", "nope", `[]`, "Method not found: nope"), rpc("nope", "x", `[]`, "builtins.KeyError"),
		rpc("common", "authenticate", `["nope","a","b",{}]`, "psycopg2.OperationalError").shaped(),
		p("create", `[{"name":"Wt C"}]`, `{}`, `"result":$3`).kept(), p("create", `[[{"name":"Wt C"}]]`, `{}`, `"result":[$4]`).kept(),
		p("search", `[[`+mine+`]]`, `{"order":"id"}`, `"result":[$3,$4]`), p("search_read", `[[`+mine+`],["name"],0,1,"id"]`, `{}`, `[{"id":$3,"name":"Wt C"}]`),
		p("read", `[[$3],["name","parent_id"]]`, `{}`, `"parent_id":false`), p("read", `[[99999],["name"]]`, `{}`, `"result":[]`), p("read", `[[$3]]`, `{"fields":["name"]}`, "Wt C"),
		p("write", `[[$3],{"phone":"1"}]`, `{}`, `"result":true`), p("write", `[[99999],{"name":"x"}]`, `{}`, "odoo.exceptions.MissingError"),
		p("action_archive", `[[$4]]`, `{}`, `"id":7`).shaped(), p("has_access", `[[],"read"]`, `{}`, `"result":true`), p("name_search", `["Wt C"]`, `{}`, `[[$3,"Wt C"]]`),
		p("create", `[{}]`, `{}`, "odoo.exceptions.ValidationError"), p("search", `[[["nope","=",1]]]`, `{}`, "builtins.ValueError"), p("nope", `[]`, `{}`, "builtins.AttributeError"),
		kw("res.nope", "search", `[[]]`, `{}`, "Object res.nope doesn't exist"), p("_search", `[]`, `{}`, "odoo.exceptions.AccessError"),
		p("search_count", `[]`, `{}`, "missing 1 required positional argument: 'domain'"), p("search_read", `[]`, `{"args":1}`, "unexpected keyword argument 'args'"),
		p("search_count", `[[]]`, `{"context":{"lang":"xx_XX"}}`, "Invalid language code"), kw("ir.model", "display_name_for", `[["res.partner"]]`, `{}`, "Contact"),
		rpc("object", "execute_kw", `["$db",$uid,"bad","res.partner","search_count",[[]]]`, "odoo.exceptions.AccessDenied"),
		rpc("object", "execute_kw", `["$db",99,"$key","res.partner","search_count",[[]]]`, "odoo.exceptions.MissingError"),
		rpc("object", "execute", `["$db",$uid,"$key","res.partner","search_count",[["id","=",$3]]]`, "").shaped(),
		p("unlink", `[[$3,$4]]`, `{}`, `"result":true`),
	}
}

// frameSteps are about the requests around the calls.
func frameSteps() []step {
	version := `"params":{"service":"common","method":"version","args":[]}`
	return []step{
		{name: "version", method: "GET", path: "/web/version", want: `"version":"19.0"`},
		{name: "a batch", path: "/jsonrpc", body: `[{` + version + `}]`, status: 400, want: "Invalid JSON-RPC data"},
		{name: "no JSON", path: "/jsonrpc", body: `{x`, status: 400, want: "Invalid JSON data"},
		{name: "no body", path: "/jsonrpc", status: 400, want: "Invalid JSON data"},
		{name: "no id", path: "/jsonrpc", body: `{` + version + `}`, want: `"id":null`},
		{name: "text id", path: "/jsonrpc", body: `{"id":"abc",` + version + `}`, want: `"id":"abc"`},
		{name: "no args", path: "/jsonrpc", body: `{"params":{"service":"common","method":"version"}}`, want: "required positional argument: 'args'"},
		step{name: "text", path: "/jsonrpc", body: `{}`, status: 415}.with("Content-Type", "text/plain").asText(),
		step{name: "get JSON-2", method: "GET", path: "/json/2/res.partner/search", status: 404, want: "Did you mean POST"}.with("Authorization", "bearer $key"),
		step{name: "unknown page", method: "GET", path: "/nope", status: 404}.asText(),
	}
}

// compact rewrites JSON without white space, as Python puts some in; what is no JSON stays.
func compact(body string) string {
	v, err := decode([]byte(body))
	if err != nil {
		return body
	}
	b, err := json.Marshal(v)
	if err != nil {
		return body
	}
	return string(b)
}
