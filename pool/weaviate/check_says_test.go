package weaviate

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"hearth/client/wire"
	"hearth/internal/testing/weaviatetest"
)

// says renders what Check finds, a line for each question.
func says(t *testing.T, c *Client) string {
	t.Helper()
	var b strings.Builder
	for _, f := range c.Check(t.Context()) {
		fmt.Fprintf(&b, "%s %s: %s\n", f.Verdict, f.Question, strings.NewReplacer(c.cfg.REST.BaseURL(), "URL").Replace(f.Detail))
	}
	return b.String()
}

// checked is a class of messages with some rows, and Hearth's own class of mutes with two.
func checked(t *testing.T, schema string, net weaviatetest.Config, change func(*Config), rows ...string) *tester {
	t.Helper()
	x := testerOf(t, schema, change, net)
	x.server.MustAddClass(muteSchema + "}")
	for i, properties := range rows {
		x.serve(http.MethodPost, "/v1/objects", fmt.Sprintf(`{"class":"Message","id":"00000000-0000-0000-0000-%012d","properties":{%s}}`, i+1, properties))
	}
	return x
}

func TestWhatCheckSays(t *testing.T) {
	const server = "ok server: Weaviate 1.39.3; reads over gRPC at URL, writes over REST at URL\n"
	const (
		noMute   = "ok class ChatStatus: \nok mute: chat \"hearth-check\": muted is false\n"
		noRights = "remark write: not proven: without a key the server does not tell what may be written\n"
	)
	user := func(chat, content string) string {
		return `"chat_id":"` + chat + `","role":"user","content":"` + content + `","created_at":"2026-01-01T00:00:00Z"`
	}
	assistant := func(chat, content string) string {
		return strings.Replace(user(chat, content), `"user"`, `"assistant"`, 1)
	}
	other := func(role string) string { return strings.Replace(user("a", "x"), `"user"`, `"`+role+`"`, 1) }
	own := withProperty("", "")
	for name, c := range map[string]struct {
		schema string
		net    weaviatetest.Config
		change func(*Config)
		rows   []string
		want   string
	}{
		"an empty class": {
			own, weaviatetest.Config{}, nil, nil, server + `ok class Message: 
remark roles: the class is empty: is HEARTH_MESSAGE_CLASS the one with the messages?
ok history: chat "hearth-check": 0 of the user's messages, 0 of the assistant's
ok bm25: 
remark vector: not proven: the class has no vectorizer, and the message looked at has no vector
` + noMute + noRights,
		},
		"a usual class": {
			own, weaviatetest.Config{}, nil, []string{user("a", "one two three four five six"), user("a", "x"), assistant("a", "y")}, server + `ok class Message: 
ok roles: of 3 messages: user 2, assistant 1
ok history: chat "a": 2 of the user's messages, 1 of the assistant's
ok bm25: 
remark vector: not proven: the class has no vectorizer, and the message looked at has no vector
` + noMute + noRights,
		},
		"other roles": {
			own, weaviatetest.Config{}, nil, []string{user("a", "x"), assistant("a", "y"), other("system"), other("tool"), other("tool")}, server + `ok class Message: 
remark roles: of 5 messages: tool 2, assistant 1, system 1, user 1; no part of a history: tool, system
ok history: chat "a": 1 of the user's messages, 1 of the assistant's
ok bm25: 
remark vector: not proven: the class has no vectorizer, and the message looked at has no vector
` + noMute + noRights,
		},
		"roles by other names": {
			own, weaviatetest.Config{}, nil, []string{other("human"), other("human"), other("ai")}, server + `ok class Message: 
failed roles: of 3 messages: human 2, ai 1; none is of HEARTH_MESSAGE_ROLES, so every history is empty: set HEARTH_MESSAGE_ROLES=human,ai
ok history: chat "hearth-check": 0 of the user's messages, 0 of the assistant's
ok bm25: 
remark vector: not proven: the class has no vectorizer, and the message looked at has no vector
` + noMute + noRights,
		},
		"one side by another name": {
			own, weaviatetest.Config{}, nil, []string{user("a", "x"), other("bot")}, server + `ok class Message: 
failed roles: of 2 messages: bot 1, user 1; all of HEARTH_MESSAGE_ROLES are of one side, so every history is half: set HEARTH_MESSAGE_ROLES=user,bot
ok history: chat "a": 1 of the user's messages, 0 of the assistant's
ok bm25: 
remark vector: not proven: the class has no vectorizer, and the message looked at has no vector
` + noMute + noRights,
		},
		"both sides and a further name": {
			own, weaviatetest.Config{}, nil, []string{user("a", "x"), assistant("a", "y"), other("bot")}, server + `ok class Message: 
remark roles: of 3 messages: assistant 1, bot 1, user 1; no part of a history: bot: set HEARTH_MESSAGE_ROLES=user,assistant|bot
ok history: chat "a": 1 of the user's messages, 1 of the assistant's
ok bm25: 
remark vector: not proven: the class has no vectorizer, and the message looked at has no vector
` + noMute + noRights,
		},
		"no role and no time": {
			own, weaviatetest.Config{}, nil, []string{`"chat_id":"a","content":"x"`, assistant("a", "y")}, server + `ok class Message: 
remark roles: of 2 messages: (none) 1, assistant 1; no part of a history: (none)
remark times: 1 of 2 messages have no created_at: Weaviate may leave them out of a history, where they count as the oldest
ok history: chat "a": 0 of the user's messages, 1 of the assistant's
ok bm25: 
remark vector: not proven: the class has no vectorizer, and the message looked at has no vector
` + noMute + noRights,
		},
		"chats by words": {
			withProperty("chat_id", `{"name":"chat_id","dataType":["text"],"tokenization":"word"}`), weaviatetest.Config{}, nil, nil, server + `ok class Message: 
remark class Message: the chat's property has tokenization "word", not "field": searches find other chats too, which are left out at a cost
remark roles: the class is empty: is HEARTH_MESSAGE_CLASS the one with the messages?
ok history: chat "hearth-check": 0 of the user's messages, 0 of the assistant's
ok bm25: 
remark vector: not proven: the class has no vectorizer, and the message looked at has no vector
` + noMute + noRights,
		},
		"uuids, no search by words": {
			`{"class":"Message","properties":[{"name":"chat_id","dataType":["uuid"]},{"name":"role","dataType":["text"]},
				{"name":"content","dataType":["text"],"indexSearchable":false},{"name":"created_at","dataType":["date"]}]}`, weaviatetest.Config{}, nil, nil, server + `ok class Message: 
remark roles: the class is empty: is HEARTH_MESSAGE_CLASS the one with the messages?
ok history: chat "00000000-0000-0000-0000-000000000000": 0 of the user's messages, 0 of the assistant's
failed bm25: class Message: property "content" is not searchable by bm25 (indexSearchable is false)
remark vector: not proven: the class has no vectorizer, and the message looked at has no vector
` + noMute + noRights,
		},
		"ints, by the time of storing": {
			withProperty("chat_id", `{"name":"chat_id","dataType":["int"]}`), weaviatetest.Config{}, func(c *Config) { c.Message.CreatedAt = CreationTime }, nil, server + `ok class Message: 
remark roles: the class is empty: is HEARTH_MESSAGE_CLASS the one with the messages?
ok history: chat "0": 0 of the user's messages, 0 of the assistant's
ok bm25: 
remark vector: not proven: the class has no vectorizer, and the message looked at has no vector
` + noMute + noRights,
		},
		"another property of chats": {
			withProperty("chat_id", `{"name":"session_id","dataType":["text"]}`), weaviatetest.Config{}, nil, nil, server +
				`failed class Message: class Message has no property "chat_id": set HEARTH_MESSAGE_FIELDS (chat, role, content, time) to properties that it has: session_id, role, content, created_at; try HEARTH_MESSAGE_FIELDS=session_id,role,content,created_at
` + noMute + noRights,
		},
		"a chat that mixes ways to write a time": {
			withProperty("created_at", `{"name":"created_at","dataType":["text"]}`),
			weaviatetest.Config{},
			nil,
			[]string{user("a", "x"), assistant("a", "y"), strings.Replace(user("b", "x"), "Z", ".5+01:00", 1), assistant("b", "y")},
			server + `ok class Message: 
ok roles: of 4 messages: assistant 2, user 2
remark times: the histories of 1 of 2 chats may be errors: class Message: property "created_at" mixes ways to write a time (2026-01-01T00:00:00Z and others): their order is not that of time (_creationTimeUnix in place of the property goes by the time of storing)
ok history: chat "a": 1 of the user's messages, 1 of the assistant's
ok bm25: 
remark vector: not proven: the class has no vectorizer, and the message looked at has no vector
` + noMute + noRights,
		},
		"a time of a name that says nothing": {
			`{"class":"Message","properties":[{"name":"chat_id","dataType":["uuid"]},{"name":"role","dataType":["text"]},{"name":"body","dataType":["text"]},{"name":"when","dataType":["text"]},{"name":"seen","dataType":["boolean"]},{"name":"no","dataType":["int"]}]}`,
			weaviatetest.Config{},
			nil, nil, server +
				`failed class Message: class Message has no property "content": set HEARTH_MESSAGE_FIELDS (chat, role, content, time) to properties that it has: chat_id, role, body, when, seen, no; try HEARTH_MESSAGE_FIELDS=chat_id,role,body,_creationTimeUnix; if one of these properties has the message's time, put it in place of _creationTimeUnix: when, no
` + noMute + noRights,
		},
		"another class": {
			strings.Replace(own, `"Message"`, `"Messages"`, 1), weaviatetest.Config{}, nil, nil, server +
				"failed class Message: class Message does not exist: set HEARTH_MESSAGE_CLASS to one that does, or create it with `hearth schema`; there are: ChatStatus, Messages\n" + noMute + noRights,
		},
		"several vectors": {
			strings.TrimSuffix(own, "}") + `,"vectorConfig":{"a":{"vectorizer":{"none":{}},"vectorIndexType":"hnsw"},"b":{"vectorizer":{"none":{}},"vectorIndexType":"hnsw"}}}`, weaviatetest.Config{}, nil, nil, server + `ok class Message: 
remark roles: the class is empty: is HEARTH_MESSAGE_CLASS the one with the messages?
ok history: chat "hearth-check": 0 of the user's messages, 0 of the assistant's
ok bm25: 
remark vector: class Message has several vectors: set HEARTH_WEAVIATE_VECTOR to one of a, b; until then relevance is by bm25, and messages with a vector are refused
` + noMute + noRights,
		},
		"a vector that is not there": {
			own, weaviatetest.Config{}, func(c *Config) { c.Vector = "c" }, nil, server + `ok class Message: 
remark roles: the class is empty: is HEARTH_MESSAGE_CLASS the one with the messages?
ok history: chat "hearth-check": 0 of the user's messages, 0 of the assistant's
ok bm25: 
failed vector: class Message has no vector named "c", as HEARTH_WEAVIATE_VECTOR says: it has none
` + noMute + noRights,
		},
	} {
		x := checked(t, c.schema, c.net, c.change, c.rows...)
		if got := says(t, x.Client); got != c.want {
			t.Errorf("%s: it says\n%swant\n%s", name, got, c.want)
		}
	}
}

func TestCheckAsksByTheVectorsOfTheClassItself(t *testing.T) {
	for name, c := range map[string]struct{ vectors, set string }{
		"unnamed":        {`"vector":[1,2]`, ""},
		"named":          {`"vectors":{"b":[1,2],"a":[1]}`, "b"},
		"another is set": {`"vectors":{"b":[1],"a":[1,2]}`, "a"},
	} {
		schema := withProperty("", "")
		if c.set != "" {
			schema = strings.TrimSuffix(schema, "}") + `,"vectorConfig":{"a":{"vectorizer":{"none":{}},"vectorIndexType":"hnsw"},"b":{"vectorizer":{"none":{}},"vectorIndexType":"hnsw"}}}`
		}
		x := checked(t, schema, weaviatetest.Config{}, func(cfg *Config) { cfg.Vector = c.set })
		x.serve(http.MethodPost, "/v1/objects", `{"class":"Message","properties":{"chat_id":"a","role":"user","content":"one two three four five six","created_at":"2026-01-01T00:00:00Z"},`+c.vectors+`}`)
		asked := x.asked()
		if got := says(t, x.Client); !strings.Contains(got, "ok near_vector: vectors of 2 numbers\n") {
			t.Errorf("%s: it says\n%s", name, got)
		}
		words := ""
		for _, r := range asked() {
			if b := r.GetBm25Search(); b != nil {
				words = b.GetQuery()
			}
		}
		if words != "one two three four five" {
			t.Errorf("%s: it looks for %q", name, words)
		}
	}
}

func TestCheckAsksTheVectorizers(t *testing.T) {
	schema := strings.TrimSuffix(withProperty("", ""), "}") + `,"vectorizer":"text2vec-openai"}`
	x := checked(t, schema, weaviatetest.Config{Modules: []string{"text2vec-openai"}}, nil)
	if got := says(t, x.Client); !strings.Contains(got, "failed near_text: ") || !strings.Contains(got, "HEARTH_WEAVIATE_HEADERS") {
		t.Errorf("without a key:\n%s", got)
	}
	with := func(c *Config) { c.Headers = map[string]string{"X-OpenAI-Api-Key": "a key of some length"} }
	x = checked(t, schema, weaviatetest.Config{Modules: []string{"text2vec-openai"}}, with)
	if got := says(t, x.Client); !strings.Contains(got, "ok near_text: \n") || strings.Contains(got, "vector ") {
		t.Errorf("with a key:\n%s", got)
	}
	two := strings.TrimSuffix(withProperty("", ""), "}") + `,"vectorConfig":{"a":{"vectorizer":{"none":{}},"vectorIndexType":"hnsw"},"b":{"vectorizer":{"text2vec-openai":{}},"vectorIndexType":"hnsw"}}}`
	x = checked(t, two, weaviatetest.Config{Modules: []string{"text2vec-openai"}}, func(c *Config) { c.Vector = "a" })
	if got := says(t, x.Client); !strings.Contains(got, "failed vector b: ") {
		t.Errorf("of another vector that the server makes:\n%s", got)
	}
}

func TestCheckOfMutes(t *testing.T) {
	x := checked(t, withProperty("", ""), weaviatetest.Config{}, nil)
	if err := x.SetMute(t.Context(), "a", wire.Mute{Muted: true}, messageID); err != nil {
		t.Fatal(err)
	}
	if got := says(t, x.Client); !strings.Contains(got, "ok mute: chat \"a\": muted is true\n") {
		t.Errorf("it says\n%s", got)
	}
	x.serve(http.MethodPost, "/v1/aliases", `{"alias":"Mutes","class":"ChatStatus"}`)
	cfg := testConfig()
	cfg.Mute.Class = "Mutes"
	if got := says(t, clientOf(t, x.server, cfg)); !strings.Contains(got, "ok class Mutes: an alias of ChatStatus\n") {
		t.Errorf("it says\n%s", got)
	}
	cfg.Mute.Muted = "silent"
	x.server.MustAddClass(`{"class":"Silence","properties":[{"name":"chat","dataType":["int"]},{"name":"is_muted","dataType":["boolean"]},{"name":"until","dataType":["date"]}]}`)
	cfg.Mute.Class = "Silence"
	if got := says(t, clientOf(t, x.server, cfg)); !strings.Contains(got, "; try HEARTH_MUTE_FIELDS=chat,is_muted,until\n") {
		t.Errorf("it says\n%s", got)
	}
	cfg.Mute = MuteClass{"Silence", "chat", "is_muted", ""}
	if got := says(t, clientOf(t, x.server, cfg)); !strings.Contains(got, "ok mute: chat \"0\": muted is false\n") {
		t.Errorf("it says\n%s", got)
	}
}

func TestWhatCheckSaysOfRights(t *testing.T) {
	const ownInfo = "/v1/users/own-info"
	all := []string{"create_data", "update_data"}
	roles := func(collection, tenant string, actions ...string) string {
		list := []string{}
		for _, a := range actions {
			list = append(list, fmt.Sprintf(`{"action":%q,"data":{"collection":%q,"tenant":%q},"tenants":{"collection":%q,"tenant":%q}}`, a, collection, tenant, collection, tenant))
		}
		return `{"username":"u","roles":[{"name":"one","permissions":[]},{"name":"two","permissions":[` + strings.Join(list, ",") + `]}]}`
	}
	for name, c := range map[string]struct {
		key, tenant string
		makes       bool // a write makes the tenant
		status      int
		answer      string
		want        string
	}{
		"may":                          {"k", "", false, 200, roles("*", "*", all...), "ok: user u may write by its roles"},
		"may in one class":             {"k", "", false, 200, roles("Message", "", all...), "failed: user u lacks create_data on ChatStatus, update_data on ChatStatus"},
		"may create":                   {"k", "", false, 200, roles("*", "", "create_data"), "failed: user u lacks update_data on Message, update_data on ChatStatus"},
		"may in a tenant":              {"k", "acme", false, 200, roles("*", "ac*", all...), "ok: user u may write by its roles"},
		"may in another tenant":        {"k", "acme", false, 200, roles("*", "b*", all...), "failed: user u lacks create_data on Message, update_data on Message, create_data on ChatStatus, update_data on ChatStatus"},
		"may make no tenants":          {"k", "acme", true, 200, roles("*", "*", all...), "failed: user u lacks create_tenants on Message"},
		"may make tenants":             {"k", "acme", true, 200, roles("*", "*", append([]string{"create_tenants"}, all...)...), "ok: user u may write by its roles"},
		"no roles":                     {"k", "", false, 200, `{"username":"u"}`, "remark: not proven: the server tells of no roles of this user"},
		"no JSON":                      {"k", "", false, 200, `<html>`, "remark: not proven: the server tells of no roles of this user"},
		"an older server":              {"k", "", false, 404, ``, "remark: not proven: the server does not tell what this user may do (404)"},
		"without a key":                {"", "", false, 401, ``, "remark: not proven: without a key the server does not tell what may be written"},
		"with a key that is no longer": {"k", "", false, 401, ``, "remark: not proven: the server does not tell what this user may do (401)"},
		"no answer":                    {"k", "", false, 0, ``, "remark: not proven: "},
	} {
		cfg := testConfig()
		cfg.APIKey, cfg.Tenant = c.key, c.tenant
		k := &check{Client: clientOf(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path != ownInfo {
				t.Errorf("asked for %s", r.URL.Path)
			}
			if c.status == 0 {
				panic(http.ErrAbortHandler)
			}
			w.WriteHeader(c.status)
			_, _ = io.WriteString(w, c.answer)
		}), cfg)}
		k.message.known = &classInfo{name: "Message", makesTenants: c.makes}
		k.write(t.Context())
		f := k.findings
		if len(f) != 1 || f[0].Question != "write" {
			t.Fatalf("%s: %+v", name, f)
		}
		got := string(f[0].Verdict) + ": " + f[0].Detail
		if c.status == 0 {
			got = got[:min(len(got), len(c.want))] // and why there was no answer
		}
		if got != c.want {
			t.Errorf("%s: %s, want %s", name, got, c.want)
		}
	}
}
