package weaviatetest

import (
	"net/http"
	"strings"
	"testing"
)

// keyed is a request with some headers. The wanted texts are the real server's, which answered so with the same roles.
type keyed struct {
	name   string
	header http.Header
	step
}

func bearer(key string) http.Header { return http.Header{"Authorization": {"Bearer " + key}} }

func (s server) checkKeyed(t *testing.T, all []keyed) {
	t.Helper()
	for _, k := range all {
		status, body := http.StatusOK, ""
		if k.method == "" {
			body = s.find(t, k.body, k.header)
		} else {
			status, body = s.rest(t, k.step, k.header)
		}
		if err := k.check(status, body); err != nil {
			t.Errorf("%s: %v", k.name, err)
		}
	}
}

func TestKeysAndRoles(t *testing.T) {
	read, schemaOnly := Permission{"read_data", "Message"}, Permission{"read_collections", "Message"}
	s := NewWith(Config{Keys: map[string]User{
		"rootkey": {"root", []Permission{
			{Action: "read_data"},
			{Action: "create_data"},
			{Action: "update_data"},
			{Action: "delete_data"},
			{Action: "read_collections"},
			{Action: "create_collections"},
			{Action: "delete_collections"},
		}},
		"nokey": {Name: "nobody"}, "readkey": {"reader", []Permission{read}}, "schemakey": {"looker", []Permission{schemaOnly}},
		"createkey": {"creator", []Permission{{"create_data", "Message"}}}, "updatekey": {"updater", []Permission{{"update_data", "Message"}}},
	}})
	s.MustAddClass(schema)
	const object = `{"objects":[{"class":"Message","id":"00000000-0000-4000-8000-000000000001","properties":{"chat_id":"x"}}]}`
	search := step{body: `{"collection":"Message"}`}
	with := func(st step, want string) step { st.want = want; return st }
	rest := func(method, path, body string, status int, want string) step {
		return step{method: method, path: path, body: body, status: status, want: want}
	}
	denied := func(user, action, to string) string {
		return "rbac: authorization, forbidden action: user '" + user + "' has insufficient permissions to " + action + " [[" + to + "]]"
	}
	const data, ofSchema = "Domain: data, Collection: Message, Tenant: *, Object: *", "Domain: collections, Collection: Message"
	standIn(t, s).checkKeyed(t, []keyed{
		{"no key, search", nil, with(search, `{"code":"unknown","message":"extract auth: unauthorized: invalid api key"}`)},
		{"no key, schema", nil, rest("GET", "/v1/schema/Message", "", 401, "anonymous access not enabled. Please authenticate through one of the available methods: [API-keys]")},
		{"no key, ready", nil, rest("GET", "/v1/.well-known/ready", "", 200, "")},
		{"wrong key, search", bearer("wrong"), with(search, "extract auth: unauthorized: invalid api key")},
		{"wrong key, schema", bearer("wrong"), rest("GET", "/v1/schema/Message", "", 401, `"message":"unauthorized: invalid api key"`)},
		{"wrong key, write", bearer("wrong"), rest("POST", "/v1/batch/objects", object, 401, "unauthorized")},
		{"root", bearer("rootkey"), rest("POST", "/v1/batch/objects", object, 200, `"SUCCESS"`)},
		{"root", bearer("rootkey"), with(search, `"textValue":"x"`)},
		{"nothing allowed, search", bearer("nokey"), with(search, `{"code":"permission_denied","message":"`+denied("nobody", "read_data", data)+`"}`)},
		{"nothing allowed, search of no class", bearer("nokey"), step{body: `{"collection":"None"}`, want: denied("nobody", "read_data", strings.Replace(data, "Message", "None", 1))}},
		{"nothing allowed, search of a tenant", bearer("nokey"), step{body: `{"collection":"Message","tenant":"a"}`, want: "Tenant: a, Object: *"}},
		{"nothing allowed, schema", bearer("nokey"), rest("GET", "/v1/schema/Message", "", 403, denied("nobody", "read_collections", ofSchema))},
		{"nothing allowed, no class", bearer("nokey"), rest("GET", "/v1/schema/None", "", 403, "read_collections [[Domain: collections, Collection: None]]")},
		{"nothing allowed, all classes", bearer("nokey"), rest("GET", "/v1/schema", "", 200, `{"classes":[]}`)},
		{"nothing allowed, meta", bearer("nokey"), rest("GET", "/v1/meta", "", 200, Version)},
		{"nothing allowed, own info", bearer("nokey"), rest("GET", "/v1/users/own-info", "", 200, `{"groups":null,"roles":null,"username":"nobody"}`)},
		{"nothing allowed, write", bearer("nokey"), rest("POST", "/v1/batch/objects", object, 403, denied("nobody", "update_data", data))},
		{"nothing allowed, new class", bearer("nokey"), rest("POST", "/v1/schema", `{"class":"New"}`, 403, "create_collections")},
		{"nothing allowed, delete", bearer("nokey"), rest("DELETE", "/v1/schema/Message", "", 403, "delete_collections")},
		{"nothing allowed, get", bearer("nokey"), rest("GET", "/v1/objects/Message/"+id(1), "", 403, "Tenant: *, Object: "+id(1))},
		{"nothing allowed, patch", bearer("nokey"), rest("PATCH", "/v1/objects/Message/"+id(1), "{}", 403, "code:403 err:rbac: authorization")},
		{"reading allowed, search", bearer("readkey"), with(search, `"textValue":"x"`)},
		{
			"reading allowed, search with a filter", bearer("readkey"),
			step{body: `{"collection":"Message","filters":{"operator":"OPERATOR_EQUAL","target":{"property":"chat_id"},"valueText":"x"}}`, want: "invalid 'where' filter: " + denied("reader", "read_collections", ofSchema)},
		},
		{"reading allowed, another class", bearer("readkey"), step{body: `{"collection":"None"}`, want: "permission_denied"}},
		{"reading allowed, schema", bearer("readkey"), rest("GET", "/v1/schema/Message", "", 403, denied("reader", "read_collections", ofSchema))},
		{
			"reading allowed, own info", bearer("readkey"),
			rest("GET", "/v1/users/own-info", "", 200, `"permissions":[{"action":"read_data","data":{"collection":"Message","object":"*","tenant":"*"}}]`),
		},
		{"schema allowed", bearer("schemakey"), rest("GET", "/v1/schema/Message", "", 200, `"class":"Message"`)},
		{"schema allowed, all classes", bearer("schemakey"), rest("GET", "/v1/schema", "", 200, `"class":"Message"`)},
		{"schema allowed, search", bearer("schemakey"), with(search, "permission_denied")},
		{"schema allowed, own info", bearer("schemakey"), rest("GET", "/v1/users/own-info", "", 200, `{"action":"read_collections","collections":{"collection":"Message"}}`)},
		{"half of writing allowed", bearer("createkey"), rest("POST", "/v1/batch/objects", object, 403, denied("creator", "update_data", data))},
		{"the other half", bearer("updatekey"), rest("POST", "/v1/batch/objects", object, 403, denied("updater", "create_data", data))},
	})
}

func TestModulesTakeTheirKeyFromTheRequest(t *testing.T) {
	s := NewWith(Config{Modules: []string{"text2vec-openai", "text2vec-cohere"}})
	openAI := http.Header{"X-Openai-Api-Key": {"sk"}}
	rest := func(path, body string, status int, want string) step {
		return step{method: "POST", path: path, body: body, status: status, want: want}
	}
	batch := func(class, properties, more, want string) step {
		return rest("/v1/batch/objects", `{"objects":[{"class":"`+class+`","properties":`+properties+more+`}]}`, 200, want)
	}
	const (
		properties = `,"properties":[{"name":"content","dataType":["text"]},{"name":"n","dataType":["int"]}]}`
		noKey      = "no api key found neither in request header: X-Openai-Api-Key nor in environment variable under OPENAI_APIKEY"
		panicked   = "panic occurred: runtime error: invalid memory address or nil pointer dereference"
		near       = `"nearText":{"query":["pear"]},"metadata":{"distance":true}`
	)
	standIn(t, s).checkKeyed(t, []keyed{
		{"class", nil, rest("/v1/schema", `{"class":"One","vectorizer":"text2vec-openai"`+properties, 200, `"vectorizer":"text2vec-openai"`)},
		{"named", nil, rest("/v1/schema", `{"class":"Named","vectorConfig":{"emb":{"vectorizer":{"text2vec-openai":{}}}}`+properties, 200, `"text2vec-openai":{}`)},
		{"another", nil, rest("/v1/schema", `{"class":"Other","vectorizer":"text2vec-cohere"`+properties, 200, "")},
		{"a module that is not there", nil, rest("/v1/schema", `{"class":"Bad","vectorizer":"text2vec-jinaai"`+properties, 422, `no module with name \"text2vec-jinaai\" present`)},
		{"a write without the key", nil, batch("One", `{"content":"pear"}`, "", panicked)},
		{"a write with a vector needs none", nil, batch("One", `{"content":"fig","n":3}`, `,"vector":[1],"id":"`+id(1)+`"`, `"SUCCESS"`)},
		{"another's write without the key", nil, batch("Other", `{"content":"pear"}`, "", "Cohere API Key: no api key found neither in request header: X-Cohere-Api-Key")},
		{"one object", nil, rest("/v1/objects", `{"class":"One","properties":{"content":"pear"}}`, 500, "vectorize target vector : update vector: API Key: "+noKey)},
		{"a patch without the key", nil, step{
			method: "PATCH", path: "/v1/objects/One/" + id(1), body: `{"properties":{"content":"fig"}}`, status: 500,
			want: "msg:merge and vectorize code:500 err:vectorize target vector : update vector: API Key: " + noKey,
		}},
		{"a write", openAI, batch("Named", `{"content":"a pear","n":1}`, "", `"SUCCESS"`)},
		{"a write", openAI, batch("Named", `{"content":"a fig","n":2}`, "", `"vectors":{"emb":[`)},
		{"a search", openAI, ask("", "Named", near, rows(1, 2))},
		{"a search without the key", nil, ask("", "Named", near, "vectorize keywords: remote client vectorize: API Key: "+noKey)},
		{"hybrid without the key", nil, ask("", "Named", `"hybridSearch":{"query":"pear","alpha":0.5}`, "remote client vectorize: API Key: "+noKey)},
		{"hybrid", openAI, ask("", "Named", `"hybridSearch":{"query":"pear","alpha":0.5}`, rows(1, 2))},
		{"keywords need no key", nil, ask("", "Named", `"bm25Search":{"query":"pear"}`, rows(1))},
		{"hybrid by keywords needs none", nil, ask("", "Named", `"hybridSearch":{"query":"pear"}`, rows(1))},
	})
}
