package weaviatetest

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"

	"github.com/google/uuid"
)

// step is one request, and what must be in the answer of the stand-in and of a real server alike.
type step struct {
	name   string
	method string // of REST
	path   string
	body   string // of a search: a SearchRequest as JSON
	status int    // of REST; 200 if 0
	want   string // a part of the answer; "" asks for none
	loose  bool   // compare status and keys only: the text names Go types, or the order is any
}

const (
	cls  = "WtMessage"
	vec  = "WtVector"
	one  = "WtSingle"
	mt   = "WtTenant"
	kind = "WtKinds"
	text = `"dataType":["text"]`
)

func id(n int) string {
	return uuid.NewSHA1(uuid.NameSpaceOID, fmt.Appendf(nil, "wt%d", n)).String()
}

func quote(s string) string {
	b, err := json.Marshal(s)
	if err != nil {
		panic(err)
	}
	return string(b)
}

// ask is a search of a class.
func ask(name, class, args, want string) step {
	if args != "" {
		args = "," + args
	}
	return step{name: name, body: `{"collection":"` + class + `"` + args + `}`, want: want}
}

// get asks cls for rows of n.
func get(name, args, want string) step {
	if args != "" {
		args = "," + args
	}
	return ask(name, cls, `"properties":{"nonRefProperties":["n"]}`+args, want)
}

// rows is what get wants.
func rows(ns ...int) string {
	b, err := json.Marshal(append([]int{}, ns...))
	if err != nil {
		panic(err)
	}
	return `"rows":` + string(b)
}

// where is a filter of one property; and, or, and by combine such.
func where(op, property, value string) string {
	return `{"operator":"OPERATOR_` + op + `","target":{"property":"` + property + `"},` + value + `}`
}

func combine(op string, filters ...string) string {
	return `{"operator":"OPERATOR_` + op + `","filters":[` + strings.Join(filters, ",") + `]}`
}

func with(f string) string { return `"filters":` + f }

// equal filters by a text.
func equal(property, literal string) string {
	return with(where("EQUAL", property, `"valueText":`+literal))
}

// sorted sorts by one property after another, "-" for the last first.
func sorted(names ...string) string {
	var by []string
	for _, name := range names {
		name, desc := strings.CutPrefix(name, "-")
		by = append(by, fmt.Sprintf(`{"path":[%q],"ascending":%t}`, name, !desc))
	}
	return `"sortBy":[` + strings.Join(by, ",") + `]`
}

func add(n int, properties string) step {
	return batch(fmt.Sprintf("add %d", n), `{"class":"`+cls+`","id":"`+id(n)+`","properties":{"n":`+fmt.Sprint(n)+`,`+properties+`}}`, `"SUCCESS"`)
}

func batch(name, objects, want string) step {
	return step{name: name, method: "POST", path: "/v1/batch/objects", body: `{"objects":[` + objects + `]}`, want: want}
}

func objectPath(n int) string { return "/v1/objects/" + cls + "/" + id(n) }

// awkward chat ids, from n = 100 on.
var awkward = []string{
	"a", "b", " ", " a ", "\n", "a\x00b", "\x00", "a\tb", "😀", "\u2028x", `a"b\c`, "é", "e\u0301", strings.Repeat("x", 512),
	strings.Repeat("X", 512), "/a/../b", "\abell", "\vvt", "\x7f", "\ufeffx", "\ufffd", "", "a\u00a0", "\u200b", "{}[]#$", "a\u3000",
}

// cleanup deletes what steps made.
func cleanup() []step {
	var all []step
	for _, c := range []string{cls, vec, one, mt, kind} {
		all = append(all, step{name: "delete " + c, method: "DELETE", path: "/v1/schema/" + c})
	}
	for _, a := range []string{"WtAlias", "WtOther"} {
		all = append(all, step{name: "delete " + a, method: "DELETE", path: "/v1/aliases/" + a, status: anyStatus})
	}
	return all
}

// anyStatus is wanted where it does not matter.
const anyStatus = -1

func steps() []step {
	all := append(cleanup(), schemaSteps()...)
	all = append(all, filterSteps()...)
	all = append(all, sortSteps()...)
	all = append(all, bm25Steps()...)
	all = append(all, objectSteps()...)
	all = append(all, requestSteps()...)
	all = append(all, vectorSteps()...)
	all = append(all, kindSteps()...)
	all = append(all, tenantSteps()...)
	all = append(all, aliasSteps()...)
	return append(all, cleanup()...)
}

func schemaSteps() []step {
	schema := `{"class":"` + cls + `","vectorizer":"none","invertedIndexConfig":{"indexNullState":true},"properties":[` +
		`{"name":"chat_id",` + text + `,"tokenization":"field"},{"name":"role",` + text + `,"tokenization":"field"},` +
		`{"name":"content",` + text + `},{"name":"title",` + text + `},{"name":"created_at","dataType":["date"]},` +
		`{"name":"muted","dataType":["boolean"]},{"name":"f","dataType":["number"]},{"name":"n","dataType":["int"]},` +
		`{"name":"u","dataType":["uuid"]},{"name":"tags","dataType":["text[]"]}]}`
	post := func(name, body string, status int, want string) step {
		return step{name: name, method: "POST", path: "/v1/schema", body: body, status: status, want: want}
	}
	return []step{
		{name: "ready", method: "GET", path: "/v1/.well-known/ready"},
		{name: "live", method: "GET", path: "/v1/.well-known/live"},
		{name: "meta", method: "GET", path: "/v1/meta", want: `"version":"1.39.3"`},
		post("new class", schema, 200, `"tokenization":"word"`),
		post("class twice", schema, 422, "already exists"),
		post("class name", `{"class":"Wt Bad"}`, 422, "not a valid class name"),
		post("data type", `{"class":"WtBad","properties":[{"name":"x","dataType":["txt"]}]}`, 422, "unknown primitive"),
		post("vectorizer", `{"class":"WtBad","vectorizer":"text2vec-openai"}`, 422, "no module with name"),
		post("tokenization of no text", `{"class":"WtBad","properties":[{"name":"x","dataType":["uuid"],"tokenization":"word"}]}`, 422, "not allowed for data type 'uuid'"),
		post("vector index", `{"class":"WtBad","vectorIndexType":"foo"}`, 422, "unsupported vectorIndexType"),
		{name: "class", method: "GET", path: "/v1/schema/" + cls, want: `"vectorizer":"none"`},
		{name: "class, lower case", method: "GET", path: "/v1/schema/wtMessage"},
		{name: "unknown class", method: "GET", path: "/v1/schema/WtNope", status: 404},
		{name: "delete unknown class", method: "DELETE", path: "/v1/schema/WtNope"},
	}
}

func filterSteps() []step {
	chat := func(id string) string { return where("EQUAL", "chat_id", `"valueText":`+quote(id)) }
	role := func(role string) string { return where("EQUAL", "role", `"valueText":`+quote(role)) }
	all := []step{
		add(0, `"chat_id":"1-1","role":"user","title":"1-1","content":"hello world","muted":true,"f":2.5`),
		add(1, `"chat_id":"1-12","role":"assistant","title":"1-12","content":"the of hello hello","tags":["x","y"],"u":"`+id(7)+`"`),
		add(2, `"chat_id":"2-1","role":"user","title":"2-1 the"`),
		get("field is exact", equal("chat_id", `"1-1"`), rows(0)),
		get("word is not: the filter 1-1 is the token 1", equal("title", `"1-1"`), rows(0, 1, 2)),
		get("word, order free", equal("title", `"1 2"`), rows(2)),
		get("field keeps case", equal("role", `"User"`), rows()),
		get("word ignores case", equal("content", `"HELLO"`), rows(0, 1)),
		get("word, stop words left out", equal("content", `"the hello"`), rows(0, 1)),
		get("word, only stop words", equal("content", `"the"`), "only stopwords provided"),
		get("word, empty", equal("content", `""`), "only stopwords provided"),
		get("field, trimmed", equal("chat_id", `"  1-1\t"`), rows(0)),
		get("and, or", with(combine("AND", chat("1-1"), combine("OR", role("user"), role("assistant")))), rows(0)),
		get("or", with(combine("OR", chat("1-1"), role("user"))), rows(0, 2)),
		get("and of one", with(combine("AND", chat("1-1"))), rows(0)),
		get("and without operands", with(combine("AND")), "no children for operator"),
		get("or without operands", with(combine("OR")), "no children for operator"),
		get("on", `"filters":{"operator":"OPERATOR_EQUAL","on":["chat_id"],"valueText":"1-1"}`, rows(0)),
		get("boolean", with(where("EQUAL", "muted", `"valueBoolean":true`)), rows(0)),
		get("boolean, null is not false", with(where("EQUAL", "muted", `"valueBoolean":false`)), rows()),
		get("number", with(where("GREATER_THAN", "f", `"valueNumber":2`)), rows(0)),
		get("number as an int", with(where("GREATER_THAN", "f", `"valueInt":2`)), rows(0)),
		get("number as text", with(where("EQUAL", "f", `"valueText":"2.5"`)), rows(0)),
		get("number as another text", with(where("EQUAL", "f", `"valueText":"x"`)), "could not parse string"),
		get("int", with(where("LESS_THAN", "n", `"valueInt":2`)), rows(0, 1)),
		get("int as a number", with(where("EQUAL", "n", `"valueNumber":1`)), rows(1)),
		get("int as a fraction", with(where("EQUAL", "n", `"valueNumber":1.5`)), "received a floating point number 1.5"),
		get("list of texts", equal("tags", `"y"`), rows(1)),
		get("uuid", equal("u", `"`+id(7)+`"`), rows(1)),
		get("uuid in another spelling", equal("u", `"`+strings.ToUpper(strings.ReplaceAll(id(7), "-", ""))+`"`), rows(1)),
		get("no uuid", equal("u", `"zz"`), "parse uuid filter value: invalid UUID length: 2"),
		get("uuid, like", with(where("LIKE", "u", `"valueText":"a*"`)), "cannot be used on uuid/uuid[] props"),
		get("id", equal("_id", `"`+id(2)+`"`), rows(2)),
		get("id in capitals", equal("_id", `"`+strings.ToUpper(id(2))+`"`), rows()),
		get("no id", equal("_id", `"zz"`), rows()),
		get("id by another name", equal("id", `"`+id(2)+`"`), "no such prop with name 'id'"),
		get("not equal", with(combine("AND", where("LESS_THAN", "n", `"valueInt":9`), where("NOT_EQUAL", "chat_id", `"valueText":"1-1"`))), rows(1, 2)),
		get("not equal, by each word", with(combine("AND", where("LESS_THAN", "n", `"valueInt":9`), where("NOT_EQUAL", "content", `"valueText":"hello there world"`))), rows(2)),
		get("contains any", with(where("CONTAINS_ANY", "chat_id", `"valueTextArray":{"values":["1-1","1-12"]}`)), rows(0, 1)),
		get("contains all", with(where("CONTAINS_ALL", "tags", `"valueTextArray":{"values":["x","y"]}`)), rows(1)),
		get("contains any of ints", with(where("CONTAINS_ANY", "n", `"valueIntArray":{"values":[1,2]}`)), rows(1, 2)),
		get("contains any of nothing", with(where("CONTAINS_ANY", "chat_id", `"valueTextArray":{"values":[]}`)), "only stopwords provided"),
		get("contains any of a text", with(where("CONTAINS_ANY", "chat_id", `"valueText":"a"`)), "value type should be []string but is string"),
		get("greater than a text", with(where("GREATER_THAN", "chat_id", `"valueText":"1-12"`)), rows(2)),
		get("at most a text", with(where("LESS_THAN_EQUAL", "chat_id", `"valueText":"1-12"`)), rows(0, 1)),
		get("like", with(where("LIKE", "chat_id", `"valueText":"1-*"`)), rows(0, 1)),
		get("like, one letter", with(where("LIKE", "chat_id", `"valueText":"?-1"`)), rows(0, 2)),
		get("like, words", with(where("LIKE", "content", `"valueText":"HEL* wor*"`)), rows(0)),
		get("like, a stop word", with(where("LIKE", "content", `"valueText":"the"`)), rows(1)),
		get("null", with(combine("AND", where("LESS_THAN", "n", `"valueInt":9`), where("IS_NULL", "content", `"valueBoolean":true`))), rows(2)),
		get("not null", with(where("IS_NULL", "content", `"valueBoolean":false`)), rows(0, 1)),
		get("null, by a text", with(where("IS_NULL", "content", `"valueText":"x"`)), "expected value to be bool, got string"),
		get("times without their index", with(where("GREATER_THAN", "_creationTimeUnix", `"valueText":"2020-01-01T00:00:00Z"`)), "Timestamps must be indexed"),
		get("times, no time", with(where("GREATER_THAN", "_creationTimeUnix", `"valueText":"0"`)), "trying parse time"),
		get("unknown property", equal("zz", `"1"`), "no such prop with name 'zz'"),
		get("property in another case", equal("Chat_id", `"1-1"`), "no such prop with name 'Chat_id'"),
		get("value of another type", with(where("EQUAL", "chat_id", `"valueInt":1`)), "expected value to be string, got 'int'"),
		get("value of another type", with(where("EQUAL", "n", `"valueBoolean":true`)), "expected value to be int, got bool"),
		get("value of another type", with(where("EQUAL", "muted", `"valueText":"true"`)), "expected value to be bool, got string"),
		get("value of another type", with(where("EQUAL", "created_at", `"valueInt":1`)), "expected value to be time.Time"),
		get("value of another type", with(where("EQUAL", "u", `"valueInt":1`)), "expected uuid filter value to be a string"),
		get("list for equal", with(where("EQUAL", "chat_id", `"valueTextArray":{"values":["a"]}`)), "got '[]string'"),
		get("no value", `"filters":{"operator":"OPERATOR_EQUAL","target":{"property":"chat_id"}}`, "unknown value type"),
		get("no property", `"filters":{"operator":"OPERATOR_EQUAL","valueText":"1"}`, "uneven number of components"),
		get("long path", `"filters":{"operator":"OPERATOR_EQUAL","on":["chat_id","x"],"valueText":"1"}`, "uneven number of components"),
		get("no operator", `"filters":{"target":{"property":"chat_id"},"valueText":"1"}`, "unknown filter operator"),
		get("a fault inside", with(combine("AND", chat("1-1"), combine("OR", role("user"), where("EQUAL", "n", `"valueBoolean":true`)))), "nested clause at pos"),
		get("an operator inside", with(combine("AND", chat("1-1"), where("LIKE", "u", `"valueText":"a*"`))), "child operand at position 1"),
	}
	for i, s := range awkward {
		all = append(all, add(100+i, `"chat_id":`+quote(s)))
	}
	for i, s := range awkward {
		all = append(all, get(fmt.Sprintf("awkward %d", i), equal("chat_id", quote(s)), strconv.Itoa(100+i)))
	}
	return append(all,
		get("white space finds all white space", equal("chat_id", `" "`), rows(102, 104, 121)),
		get("what is trimmed is equal", equal("chat_id", `"a"`), rows(100, 103, 122, 125)),
	)
}

func sortSteps() []step {
	dates := []string{
		`"2024-01-02T03:04:05Z"`, `"2024-01-02T03:04:05Z"`, `"2024-01-02T05:04:05+02:00"`, `"2024-01-02T03:04:05.000000001Z"`,
		`"2024-01-02T03:04:05.0000001Z"`, `null`, `"2024-01-02T03:04:04.999Z"`, `"2023-01-02T03:04:04.999Z"`, `null`,
	}
	var all []step
	for i, d := range dates {
		all = append(all, add(200+i, `"chat_id":"sorted","created_at":`+d))
	}
	var many []string
	var ten []int
	for i := range 120 {
		many = append(many, fmt.Sprintf(`{"class":%q,"id":%q,"properties":{"n":%d,"chat_id":"many"}}`, cls, id(1000+i), 1000+i))
		if i < 10 {
			ten = append(ten, 1000+i)
		}
	}
	all = append(all,
		batch("120 objects", strings.Join(many, ","), "SUCCESS"),
		get("no limit is ten", equal("chat_id", `"many"`)+","+sorted("n"), rows(ten...)),
		get("more", equal("chat_id", `"many"`)+","+sorted("n")+`,"limit":200,"offset":118`, rows(1118, 1119)),
	)
	w := equal("chat_id", `"sorted"`)
	by := func(names ...string) string { return w + "," + sorted(names...) }
	return append(all,
		get("desc, null last, ties as they came", by("-created_at")+`,"limit":100`, rows(204, 203, 200, 201, 202, 206, 207, 205, 208)),
		get("asc, null first, ties as they came", by("created_at")+`,"limit":100`, rows(205, 208, 207, 206, 200, 201, 202, 203, 204)),
		get("desc through the index, no nulls", by("-created_at")+`,"limit":9`, rows(204, 203, 200, 201, 202, 206, 207)),
		get("asc through the index, no nulls", by("created_at")+`,"limit":9`, rows(207, 206, 200, 201, 202, 203, 204)),
		get("page", by("-created_at")+`,"limit":3,"offset":3`, rows(201, 202, 206)),
		get("past the end", by("-created_at")+`,"offset":30`, rows()),
		get("two criteria", by("-created_at", "-n")+`,"limit":6`, rows(204, 203, 202, 201, 200, 206)),
		get("by an int", by("-n")+`,"limit":2`, rows(208, 207)),
		get("unsorted, as they came", w+`,"limit":4`, rows(200, 201, 202, 203)),
		get("by id", by("_id"), ""), get("by id, its other name", by("id"), ""),
		get("by creation", by("-_creationTimeUnix", "-n")+`,"limit":3`, rows(208, 207, 206)), get("by update", by("_lastUpdateTimeUnix", "n")+`,"limit":3`, rows(200, 201, 202)),
		get("all, unsorted", `"limit":20`, ""),
		get("unknown sort", sorted("-zz"), "invalid 'sort' parameter"),
		get("sort by a uuid", sorted("u"), "sorting by uuid is currently not supported"),
		get("sort by nothing", `"sortBy":[{"path":[]}]`, "path parameter cannot be empty"),
		get("sort by a path", `"sortBy":[{"path":["a","b"]}]`, "path must have exactly one argument"),
		get("limit 0 is none", w+`,"limit":0`, rows(200, 201, 202, 203, 204, 205, 206, 207, 208)),
		get("limit too large", `"limit":10001`, "query maximum results exceeded"),
		get("offset too large", `"limit":100,"offset":9950`, "query maximum results exceeded"),
		get("as large as it may be", w+`,"limit":100,"offset":9900`, rows()),
		get("a range alone is cut before it is sorted", with(where("GREATER_THAN_EQUAL", "n", `"valueInt":1000`))+","+sorted("-n")+`,"limit":5`, ""),
		get("below alone too", with(where("LESS_THAN", "n", `"valueInt":1050`))+","+sorted("-n")+`,"limit":5`, ""),
		get("with another it is not", with(combine("AND", where("EQUAL", "chat_id", `"valueText":"many"`), where("GREATER_THAN_EQUAL", "n", `"valueInt":1000`)))+
			","+sorted("-n")+`,"limit":2`, rows(1119, 1118)),
		ask("dates come back as written", cls, `"properties":{"nonRefProperties":["created_at"]},`+by("-created_at")+`,"limit":5`, `"2024-01-02T05:04:05+02:00"`),
		get("dates are compared by instant", with(where("LESS_THAN", "created_at", `"valueText":"2024-01-02T05:04:05+02:00"`)), rows(206, 207)),
		get("no date", with(where("LESS_THAN", "created_at", `"valueText":"x"`)), "trying parse time"),
	)
}
