package weaviate

import (
	"encoding/json"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/weaviate/weaviate/entities/models"
)

// classOf reads a schema as that of the class of messages, or of mutes.
func classOf(t *testing.T, cfg Config, schema string, mutes bool) *classInfo {
	t.Helper()
	var parsed models.Class
	if err := json.Unmarshal([]byte(schema), &parsed); err != nil {
		t.Fatal(err)
	}
	c := &Client{cfg: cfg}
	c.message, c.mute = newClassLoader(c, cfg.Message.Class, c.messageClass), newClassLoader(c, cfg.Mute.Class, c.muteClass)
	if mutes {
		return c.muteClass(&parsed)
	}
	return c.messageClass(&parsed)
}

// withProperty is Hearth's own class of messages, one of whose properties is another.
func withProperty(name, property string) string {
	own := map[string]string{
		"chat_id": `{"name":"chat_id","dataType":["text"],"tokenization":"field"}`, "role": `{"name":"role","dataType":["text"],"tokenization":"field"}`,
		"content": `{"name":"content","dataType":["text"]}`, "created_at": `{"name":"created_at","dataType":["date"]}`,
	}
	own[name] = property
	list := []string{own["chat_id"], own["role"], own["content"], own["created_at"]}
	list = slices.DeleteFunc(list, func(p string) bool { return p == "" })
	return `{"class":"Message","properties":[` + strings.Join(list, ",") + "]}"
}

func TestPropertiesThatCannotBeServed(t *testing.T) {
	const set = ": set HEARTH_MESSAGE_FIELDS (chat, role, content, time) to "
	const others = set + "other properties, or use another class, as `hearth schema` makes them"
	for name, c := range map[string]struct{ name, property, want string }{
		"no chat":            {"chat_id", "", `has no property "chat_id"` + set + "properties that it has: role, content, created_at"},
		"no role":            {"role", "", `has no property "role"` + set + "properties that it has: chat_id, content, created_at"},
		"no content":         {"content", "", `has no property "content"` + set + "properties that it has: chat_id, role, created_at"},
		"no time":            {"created_at", "", `has no property "created_at"` + set + "properties that it has: chat_id, role, content"},
		"a number for chat":  {"chat_id", `{"name":"chat_id","dataType":["number"]}`, `: property "chat_id" is of type number, not text, uuid or int` + others},
		"chats":              {"chat_id", `{"name":"chat_id","dataType":["text[]"]}`, `: property "chat_id" is of type text[], not text, uuid or int` + others},
		"a number for role":  {"role", `{"name":"role","dataType":["int"]}`, `: property "role" is of type int, not text` + others},
		"an int for content": {"content", `{"name":"content","dataType":["int"]}`, `: property "content" is of type int, not text` + others},
		"a boolean for time": {"created_at", `{"name":"created_at","dataType":["boolean"]}`, `: property "created_at" is of type boolean, not date, int, number or text` + others},
		"a chat without an index": {
			"chat_id", `{"name":"chat_id","dataType":["text"],"indexFilterable":false,"indexSearchable":false}`,
			`: property "chat_id" is not filterable (indexFilterable is false): no chat can be found by it`,
		},
		"an int chat without an index": {
			"chat_id", `{"name":"chat_id","dataType":["int"],"indexFilterable":false}`,
			`: property "chat_id" is not filterable (indexFilterable is false): no chat can be found by it`,
		},
		"a role without an index": {
			"role", `{"name":"role","dataType":["text"],"indexFilterable":false,"indexSearchable":false}`,
			`: property "role" is not filterable (indexFilterable is false): no messages of the user can be told from others`,
		},
	} {
		k := classOf(t, testConfig(), withProperty(c.name, c.property), false)
		want := "class Message" + c.want
		if strings.HasPrefix(c.want, "has ") {
			want = "class Message " + c.want
		}
		if k.fault == nil || k.fault.Kind != WrongClass || k.fault.Message != want || k.settled() {
			t.Errorf("%s: %v, want %s", name, k.fault, want)
		}
	}
	k := classOf(t, testConfig(), `{"class":"Message"}`, false)
	if k.fault == nil || !strings.HasPrefix(k.fault.Message, `class Message has no property "chat_id"`) || !strings.HasSuffix(k.fault.Message, "that it has: none") {
		t.Errorf("of a class without properties: %v", k.fault)
	}
}

func TestWhatIsLearnedOfTheClassOfMessages(t *testing.T) {
	with := func(change func(*classInfo)) *classInfo {
		k := &classInfo{name: "Message", time: dateTime, ranges: true, searchable: true}
		change(k)
		return k
	}
	plain := with(func(*classInfo) {})
	byCreation, tenant := testConfig(), testConfig()
	byCreation.Message.CreatedAt, tenant.Tenant = CreationTime, "acme"
	extra := func(more string) string { return strings.TrimSuffix(withProperty("", ""), "}") + "," + more + "}" }
	for name, c := range map[string]struct {
		cfg    Config
		schema string
		want   *classInfo
	}{
		"our own":                    {testConfig(), withProperty("", ""), plain},
		"uuids":                      {testConfig(), withProperty("chat_id", `{"name":"chat_id","dataType":["uuid"]}`), with(func(k *classInfo) { k.chatID = uuidID })},
		"ints":                       {testConfig(), withProperty("chat_id", `{"name":"chat_id","dataType":["int"]}`), with(func(k *classInfo) { k.chatID = intID })},
		"words":                      {testConfig(), withProperty("chat_id", `{"name":"chat_id","dataType":["text"],"tokenization":"word"}`), with(func(k *classInfo) { k.mixing = "word" })},
		"texts searchable alone":     {testConfig(), withProperty("chat_id", `{"name":"chat_id","dataType":["text"],"tokenization":"field","indexFilterable":false}`), plain},
		"texts filterable alone":     {testConfig(), withProperty("role", `{"name":"role","dataType":["text"],"indexSearchable":false,"indexFilterable":true}`), plain},
		"ints for time":              {testConfig(), withProperty("created_at", `{"name":"created_at","dataType":["int"]}`), with(func(k *classInfo) { k.time = intTime })},
		"numbers for time":           {testConfig(), withProperty("created_at", `{"name":"created_at","dataType":["number"]}`), with(func(k *classInfo) { k.time = numberTime })},
		"texts for time":             {testConfig(), withProperty("created_at", `{"name":"created_at","dataType":["text"]}`), with(func(k *classInfo) { k.time, k.ranges = textTime, false })},
		"times without an index":     {testConfig(), withProperty("created_at", `{"name":"created_at","dataType":["date"],"indexFilterable":false}`), with(func(k *classInfo) { k.ranges = false })},
		"times of storing":           {byCreation, withProperty("created_at", ""), with(func(k *classInfo) { k.time, k.ranges = creationTime, false })},
		"content not searchable":     {testConfig(), withProperty("content", `{"name":"content","dataType":["text"],"indexSearchable":false}`), with(func(k *classInfo) { k.searchable = false })},
		"content searchable":         {testConfig(), withProperty("content", `{"name":"content","dataType":["text"],"indexSearchable":true,"indexFilterable":false}`), plain},
		"replicas":                   {testConfig(), extra(`"replicationConfig":{"factor":3}`), with(func(k *classInfo) { k.replicas = 3 })},
		"one replica":                {testConfig(), extra(`"replicationConfig":{"factor":1}`), with(func(k *classInfo) { k.replicas = 1 })},
		"tenants":                    {tenant, extra(`"multiTenancyConfig":{"enabled":true}`), with(func(k *classInfo) { k.tenants = true })},
		"tenants that are made":      {tenant, extra(`"multiTenancyConfig":{"enabled":true,"autoTenantCreation":true}`), with(func(k *classInfo) { k.tenants, k.makesTenants = true, true })},
		"tenants that are not there": {tenant, extra(`"multiTenancyConfig":{"enabled":false,"autoTenantCreation":true}`), plain},
		"a tenant of another class":  {tenant, withProperty("", ""), plain},
	} {
		k := classOf(t, c.cfg, c.schema, false)
		got := []any{k.name, k.hidden, k.chatID, k.mixing, k.time, k.ranges, k.tenants, k.makesTenants, k.replicas, k.searchable}
		want := []any{c.want.name, false, c.want.chatID, c.want.mixing, c.want.time, c.want.ranges, c.want.tenants, c.want.makesTenants, c.want.replicas, c.want.searchable}
		if k.fault != nil || !slices.Equal(got, want) || !k.settled() || k.mayLag() != (k.replicas > 1) {
			t.Errorf("%s: %v, %v, want %v", name, k.fault, got, want)
		}
	}
	k := classOf(t, testConfig(), extra(`"multiTenancyConfig":{"enabled":true}`), false)
	if k.fault == nil || k.fault.Kind != "" || k.fault.Message != "class Message has multi-tenancy: set HEARTH_WEAVIATE_TENANT" {
		t.Errorf("tenants and none set: %v", k.fault)
	}
}

func TestAClassThatIsNotShownIsTakenForOneOfOurs(t *testing.T) {
	cfg := testConfig()
	cfg.Tenant, cfg.Vector, cfg.Consistency = "acme", "meaning", "ALL"
	c := &Client{cfg: cfg}
	k := c.messageClass(nil)
	if !k.hidden || k.settled() || !k.mayLag() || k.name != "Message" || k.chatID != textID || k.time != dateTime || !k.ranges || !k.searchable ||
		!k.tenants || k.vector != "meaning" || k.fault != nil {
		t.Errorf("messages: %+v", k)
	}
	if k = c.muteClass(nil); !k.hidden || k.name != "ChatStatus" || !k.tenants || k.fault != nil {
		t.Errorf("mutes: %+v", k)
	}
	c.cfg.Message.CreatedAt, c.cfg.Tenant = CreationTime, ""
	if k = c.messageClass(nil); k.time != creationTime || k.ranges || k.tenants {
		t.Errorf("messages by the time of storing: %+v", k)
	}
	if c.consistency(k) != "" || c.consistency(&classInfo{replicas: 1}) != "" || c.consistency(&classInfo{replicas: 2}) != "ALL" {
		t.Error("a consistency level is for replicas")
	}
	if !(*classInfo)(nil).mayLag() {
		t.Error("what is not known may lag")
	}
}

func TestTheClassOfMutes(t *testing.T) {
	const set = ": set HEARTH_MUTE_FIELDS (chat, muted, until) to "
	property := func(name, kind string) string {
		return `{"name":"` + name + `","dataType":["` + kind + `"],"tokenization":"field"}`
	}
	class := func(list ...string) string {
		return `{"class":"ChatStatus","properties":[` + strings.Join(list, ",") + "]}"
	}
	chat, muted, until := property("chat_id", "text"), property("muted", "boolean"), property("muted_until", "date")
	noEnd := testConfig()
	noEnd.Mute.Until = ""
	for name, c := range map[string]struct {
		cfg          Config
		schema, want string
	}{
		"our own":             {testConfig(), class(chat, muted, until), ""},
		"without an end":      {noEnd, class(chat, muted), ""},
		"no end":              {testConfig(), class(chat, muted), `class ChatStatus has no property "muted_until"` + set + "properties that it has: chat_id, muted"},
		"no muted":            {testConfig(), class(chat, until), `class ChatStatus has no property "muted"` + set + "properties that it has: chat_id, muted_until"},
		"no chat":             {testConfig(), class(muted, until), `class ChatStatus has no property "chat_id"` + set + "properties that it has: muted, muted_until"},
		"a text for muted":    {testConfig(), class(chat, property("muted", "text"), until), `class ChatStatus: property "muted" is of type text, not boolean`},
		"a number for an end": {testConfig(), class(chat, muted, property("muted_until", "number")), `class ChatStatus: property "muted_until" is of type number, not date`},
	} {
		k := classOf(t, c.cfg, c.schema, true)
		if (k.fault == nil) != (c.want == "") || k.fault != nil && (!strings.HasPrefix(k.fault.Message, c.want) || k.fault.Kind != WrongClass) {
			t.Errorf("%s: %v, want %s", name, k.fault, c.want)
		}
	}
	if k := classOf(t, testConfig(), class(property("chat_id", "int"), muted, until), true); k.chatID != intID || k.name != "ChatStatus" {
		t.Errorf("ints: %+v", k)
	}
	tenants := strings.TrimSuffix(class(chat, muted, until), "}") + `,"multiTenancyConfig":{"enabled":true}}`
	if k := classOf(t, testConfig(), tenants, true); k.fault == nil || !strings.Contains(k.fault.Message, "HEARTH_WEAVIATE_TENANT") {
		t.Errorf("tenants and none set: %v", k.fault)
	}
}

func TestTheVectorToSearchBy(t *testing.T) {
	const made, none = `{"vectorizer":{"text2vec-x":{}}}`, `{"vectorizer":{"none":{}}}`
	for name, c := range map[string]struct {
		set, schema string
		vector      string
		ambiguous   string // what it says
		vectorizer  bool
		made        []string
	}{
		"none":                       {"", `"vectorizer":"none"`, "", "", false, nil},
		"not told":                   {"", `"replicationConfig":{}`, "", "", false, nil},
		"made":                       {"", `"vectorizer":"text2vec-x"`, "", "", true, []string{""}},
		"one named":                  {"", `"vectorConfig":{"a":` + none + `}`, "a", "", false, nil},
		"one named, made":            {"", `"vectorConfig":{"a":` + made + `}`, "a", "", true, []string{"a"}},
		"one named that tells none":  {"", `"vectorConfig":{"a":{}}`, "a", "", false, nil},
		"several":                    {"", `"vectorConfig":{"b":` + made + `,"a":` + none + `}`, "", "class Message has several vectors: set HEARTH_WEAVIATE_VECTOR to one of a, b", false, []string{"b"}},
		"one of several":             {"a", `"vectorConfig":{"b":` + made + `,"a":` + none + `}`, "a", "", false, []string{"b"}},
		"one of several, made":       {"b", `"vectorConfig":{"b":` + made + `,"a":` + none + `}`, "b", "", true, []string{"b"}},
		"another than there are":     {"c", `"vectorConfig":{"b":` + made + `,"a":` + none + `}`, "c", `class Message has no vector named "c", as HEARTH_WEAVIATE_VECTOR says: it has a, b`, false, []string{"b"}},
		"one where none has a name":  {"c", `"vectorizer":"text2vec-x"`, "c", `class Message has no vector named "c", as HEARTH_WEAVIATE_VECTOR says: it has none`, false, []string{""}},
		"one beside the unnamed one": {"", `"vectorizer":"text2vec-x","vectorConfig":{"a":` + made + `}`, "", "", true, []string{"", "a"}},
		"the unnamed one by itself":  {"", `"vectorizer":"none","vectorConfig":{"a":` + made + `,"b":` + made + `}`, "", "", false, []string{"a", "b"}},
	} {
		cfg := testConfig()
		cfg.Vector = c.set
		k := classOf(t, cfg, strings.TrimSuffix(withProperty("", ""), "}")+","+c.schema+"}", false)
		if k.fault != nil || k.vector != c.vector || k.ambiguous != c.ambiguous || k.vectorizer != c.vectorizer || !slices.Equal(k.made, c.made) {
			t.Errorf("%s: %v, vector %q, %q, vectorizer %t, made %q", name, k.fault, k.vector, k.ambiguous, k.vectorizer, k.made)
		}
		// A message that brings the vector to search by has only the others made.
		others := slices.ContainsFunc(c.made, func(name string) bool { return name != c.vector })
		if k.vectorizes(false) != (len(c.made) > 0) || k.vectorizes(true) != others {
			t.Errorf("%s: makes vectors %t, beside one that is brought %t", name, k.vectorizes(false), k.vectorizes(true))
		}
	}
}

func TestFiltersOfChats(t *testing.T) {
	if f := intID.filter("p", "-7"); f.GetValueInt() != -7 || f.GetTarget().GetProperty() != "p" {
		t.Errorf("an int: %v", f)
	}
	for kind, name := range map[idKind]string{textID: "7", uuidID: "e621e1f8-c36c-495a-93fc-0c247a3e6e5f"} {
		if f := kind.filter("p", name); f.GetValueText() != name || f.GetTarget().GetProperty() != "p" {
			t.Errorf("kind %v: %v", kind, f)
		}
	}
	if f := intID.filter("p", "x"); f.GetValueText() != "x" {
		t.Errorf("no int: %v", f)
	}
	if f := anyOf("p", []string{"a"}); f.GetValueText() != "a" {
		t.Errorf("one: %v", f)
	}
	if f := anyOf("p", []string{"a", "b"}); len(f.GetFilters()) != 2 || f.GetFilters()[1].GetValueText() != "b" || f.GetOperator().String() != "OPERATOR_OR" {
		t.Errorf("two: %v", f)
	}
	c := &Client{cfg: testConfig()}
	c.message = newClassLoader(c, "Message", c.messageClass)
	if got := c.KnownMessageChat("007"); got != "007" {
		t.Errorf("before the class is known 007 is %s", got)
	}
	c.message.known = &classInfo{chatID: intID}
	if got := c.KnownMessageChat("007"); got != "7" {
		t.Errorf("007 is %s", got)
	}
	if got := c.KnownMessageChat("x"); got != "x" {
		t.Errorf("x is %s", got)
	}
}

func TestWhichClassesMixChats(t *testing.T) {
	c := &Client{}
	c.message, c.mute = newClassLoader(c, "Message", c.messageClass), newClassLoader(c, "ChatStatus", c.muteClass)
	for class, want := range map[*classInfo]map[string]string{
		nil: {}, {}: {}, {mixing: "word"}: {"Message": "word"},
	} {
		c.message.known = class
		if got := c.Mixing(); !maps.Equal(got, want) {
			t.Errorf("%v, want %v", got, want)
		}
	}
}
