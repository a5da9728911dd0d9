package weaviatetest

import (
	"encoding/json"
	"fmt"
	"strings"

	"github.com/google/uuid"
)

// step is one request, and what must be in the answer of the stand-in and of a real server alike.
type step struct {
	name   string
	method string
	path   string
	body   string
	status int    // 200 if 0
	want   string // a part of the answer; "" asks for none
	loose  bool   // compare status and keys only: the text names Go types
}

const (
	cls  = "WtMessage"
	vec  = "WtVector"
	mt   = "WtTenant"
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

func gql(name, query, want string) step {
	return step{name: name, method: "POST", path: "/v1/graphql", body: `{"query":` + quote(query) + `}`, want: want}
}

// get asks cls for rows of n.
func get(name, args, want string) step {
	if args != "" {
		args = "(" + args + ")"
	}
	return gql(name, "{Get{"+cls+args+"{n}}}", want)
}

// rows is what get wants.
func rows(ns ...int) string {
	out := make([]string, len(ns))
	for i, n := range ns {
		out[i] = fmt.Sprintf(`{"n":%d}`, n)
	}
	return `"` + cls + `":[` + strings.Join(out, ",") + `]`
}

func add(n int, properties string) step {
	return batch(fmt.Sprintf("add %d", n), `{"class":"`+cls+`","id":"`+id(n)+`","properties":{"n":`+fmt.Sprint(n)+`,`+properties+`}}`, `"SUCCESS"`)
}

func batch(name, objects, want string) step {
	return step{name: name, method: "POST", path: "/v1/batch/objects", body: `{"objects":[` + objects + `]}`, want: want}
}

func objectPath(n int) string { return "/v1/objects/" + cls + "/" + id(n) }

func equal(prop, literal string) string {
	return `where:{path:["` + prop + `"],operator:Equal,valueText:` + literal + `}`
}

// awkward chat ids, from n = 100 on.
var awkward = []string{
	"a", "b", " ", " a ", "\n", "a\x00b", "\x00", "a\tb", "😀", "\u2028x", `a"b\c`, "é", "e\u0301", strings.Repeat("x", 512),
	strings.Repeat("X", 512), "/a/../b", "\abell", "\vvt", "\x7f", "\ufeffx", "\ufffd", "", "a\u00a0", "\u200b", "{}[]#$", "a\u3000",
}

// cleanup deletes what steps made.
func cleanup() []step {
	var all []step
	for _, c := range []string{cls, vec, mt} {
		all = append(all, step{name: "delete " + c, method: "DELETE", path: "/v1/schema/" + c})
	}
	return all
}

func steps() []step {
	all := append(cleanup(), schemaSteps()...)
	all = append(all, filterSteps()...)
	all = append(all, sortSteps()...)
	all = append(all, bm25Steps()...)
	all = append(all, objectSteps()...)
	all = append(all, graphqlSteps()...)
	all = append(all, vectorSteps()...)
	all = append(all, tenantSteps()...)
	return append(all, cleanup()...)
}

func schemaSteps() []step {
	schema := `{"class":"` + cls + `","vectorizer":"none","properties":[` +
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
		{name: "meta", method: "GET", path: "/v1/meta", want: `"version":"1.35.2"`},
		post("new class", schema, 200, `"tokenization":"word"`),
		post("class twice", schema, 422, "already exists"),
		post("class name", `{"class":"Wt Bad"}`, 422, "not a valid class name"),
		post("data type", `{"class":"WtBad","properties":[{"name":"x","dataType":["txt"]}]}`, 422, "unknown primitive"),
		post("vectorizer", `{"class":"WtBad","vectorizer":"text2vec-openai"}`, 422, "no module with name"),
		{name: "class", method: "GET", path: "/v1/schema/" + cls, want: `"vectorizer":"none"`},
		{name: "class, lower case", method: "GET", path: "/v1/schema/wtMessage"},
		{name: "unknown class", method: "GET", path: "/v1/schema/WtNope", status: 404},
		{name: "delete unknown class", method: "DELETE", path: "/v1/schema/WtNope"},
	}
}

func filterSteps() []step {
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
		get("and, or", `where:{operator:And,operands:[{path:["chat_id"],operator:Equal,valueText:"1-1"},{operator:Or,operands:[`+
			`{path:["role"],operator:Equal,valueText:"user"},{path:["role"],operator:Equal,valueText:"assistant"}]}]}`, rows(0)),
		get("or", `where:{operator:Or,operands:[{path:["chat_id"],operator:Equal,valueText:"1-1"},`+
			`{path:["role"],operator:Equal,valueText:"user"}]}`, rows(0, 2)),
		get("and without operands", `where:{operator:And,operands:[]}`, "add at least one operand"),
		get("path as a string", `where:{path:"chat_id",operator:Equal,valueText:"1-1"}`, rows(0)),
		get("valueString", `where:{path:["chat_id"],operator:Equal,valueString:"1-1"}`, rows(0)),
		get("boolean", `where:{path:["muted"],operator:Equal,valueBoolean:true}`, rows(0)),
		get("boolean, null is not false", `where:{path:["muted"],operator:Equal,valueBoolean:false}`, rows()),
		get("number", `where:{path:["f"],operator:GreaterThan,valueNumber:2}`, rows(0)),
		get("int", `where:{path:["n"],operator:LessThan,valueInt:2}`, rows(0, 1)),
		get("list of texts", equal("tags", `"y"`), rows(1)),
		get("uuid", equal("u", `"`+id(7)+`"`), rows(1)),
		get("id", equal("id", `"`+id(2)+`"`), rows(2)),
		get("not equal", `where:{operator:And,operands:[{path:["n"],operator:LessThan,valueInt:9},`+
			`{path:["chat_id"],operator:NotEqual,valueText:"1-1"}]}`, rows(1, 2)),
		get("contains any", `where:{path:["chat_id"],operator:ContainsAny,valueText:["1-1","1-12"]}`, rows(0, 1)),
		get("unknown property", equal("zz", `"1"`), "no such prop with name 'zz'"),
		get("value of another type", `where:{path:["chat_id"],operator:Equal,valueInt:1}`, `cannot use \"valueInt\"`),
		get("value of another type", `where:{path:["n"],operator:Equal,valueText:"1"}`, `cannot use \"valueText\"`),
		get("value of another kind", `where:{path:["chat_id"],operator:Equal,valueText:1}`, "Expected type"),
		get("list for equal", equal("chat_id", `["a","b"]`), "expected value to be string"),
		get("no value", `where:{path:["chat_id"],operator:Equal}`, "no value"),
		get("no path", `where:{operator:Equal,valueText:"1"}`, "must have at least one element"),
		get("long path", `where:{path:["chat_id","x"],operator:Equal,valueText:"1"}`, "missing an argument after 'x'"),
		get("no operator", `where:{path:["chat_id"],valueText:"1"}`, "unrecognized operator"),
		get("unknown operator", `where:{path:["chat_id"],operator:Eq,valueText:"1"}`, "found Eq"),
		get("unknown key", `where:{path:["chat_id"],operator:Equal,valueText:"1",foo:1}`, "Unknown field."),
	}
	for i, s := range awkward {
		all = append(all, add(100+i, `"chat_id":`+quote(s)))
	}
	for i, s := range awkward {
		all = append(all, get(fmt.Sprintf("awkward %d", i), equal("chat_id", quote(s)), fmt.Sprintf(`{"n":%d}`, 100+i)))
	}
	return append(all,
		get("white space finds all white space", equal("chat_id", `" "`), rows(102, 104, 121)),
		get("what is trimmed is equal", equal("chat_id", `"a"`), rows(100, 103, 122, 125)),
		get("an escaped pair is no emoji", equal("chat_id", `"\ud83d\ude00"`), rows()),
		get("a lone surrogate is U+FFFD", equal("chat_id", `"\ud800"`), rows(120)),
		get("\\u{}", equal("chat_id", `"\u{1F600}"`), "Syntax Error"),
		get("\\v", equal("chat_id", `"\v"`), "Syntax Error"),
		get("raw newline", equal("chat_id", "\"a\nb\""), "Syntax Error"),
		get("raw bell", equal("chat_id", "\"\a\""), "Syntax Error"),
		get("raw NUL", equal("chat_id", "\"\x00\""), "Syntax Error"),
		get("raw DEL", equal("chat_id", "\"\x7f\""), rows(118)),
		get("escaped slash", equal("chat_id", `"\/a\/..\/b"`), rows(115)),
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
	var hundred []int
	for i := range 120 {
		many = append(many, fmt.Sprintf(`{"class":%q,"id":%q,"properties":{"n":%d,"chat_id":"many"}}`, cls, id(1000+i), 1000+i))
		if i < 100 {
			hundred = append(hundred, 1000+i)
		}
	}
	all = append(all,
		batch("120 objects", strings.Join(many, ","), "SUCCESS"),
		get("no limit is 100", equal("chat_id", `"many"`)+`,sort:[{path:["n"],order:asc}]`, rows(hundred...)),
		get("more", equal("chat_id", `"many"`)+`,sort:[{path:["n"],order:asc}],limit:200,offset:118`, rows(1118, 1119)),
	)
	w := equal("chat_id", `"sorted"`)
	at := func(args string) string { return w + `,sort:[{path:["created_at"]` + args + `}]` }
	return append(all,
		get("desc, null last, ties as they came", at(`,order:desc`), rows(204, 203, 200, 201, 202, 206, 207, 205, 208)),
		get("asc, null first, ties as they came", at(`,order:asc`), rows(205, 208, 207, 206, 200, 201, 202, 203, 204)),
		get("asc is the default", at(``), rows(205, 208, 207, 206, 200, 201, 202, 203, 204)),
		get("desc through the index, no nulls", at(`,order:desc`)+`,limit:9`, rows(204, 203, 200, 201, 202, 206, 207)),
		get("asc through the index, no nulls", at(`,order:asc`)+`,limit:9`, rows(207, 206, 200, 201, 202, 203, 204)),
		get("through the index, no order", at(``)+`,limit:9`, "unsupported sort order"),
		get("page", at(`,order:desc`)+`,limit:3,offset:3`, rows(201, 202, 206)),
		get("past the end", at(`,order:desc`)+`,offset:30`, rows()),
		get("two criteria", w+`,sort:[{path:["created_at"],order:desc},{path:["n"],order:desc}],limit:6`, rows(204, 203, 202, 201, 200, 206)),
		get("sort as an object", w+`,sort:{path:"n",order:desc},limit:2`, rows(208, 207)),
		get("unsorted, as they came", w+`,limit:4`, rows(200, 201, 202, 203)),
		get("sort by id", w+`,sort:[{path:["_id"]}]`, ""),
		get("all, unsorted", `limit:20`, ""),
		get("unknown sort", `sort:[{path:["zz"],order:desc}]`, "invalid 'sort' parameter"),
		get("unknown order", `sort:[{path:["n"],order:down}]`, "found down"),
		get("limit 0", `limit:0`, "invalid default limit: 0"),
		get("limit below 0", w+`,limit:-1`, rows(200, 201, 202, 203, 204, 205, 206, 207, 208)),
		get("limit too large", `limit:10001`, "query maximum results exceeded"),
		get("offset too large", `limit:100,offset:9950`, "query maximum results exceeded"),
		get("limit as text", `limit:"5"`, "found"),
		gql("dates come back as written", `{Get{`+cls+`(`+at(`,order:desc`)+`,limit:5){created_at}}}`, `"2024-01-02T05:04:05+02:00"`),
		get("dates are compared by instant", `where:{path:["created_at"],operator:LessThan,valueDate:"2024-01-02T05:04:05+02:00"}`, rows(206, 207)),
		get("no date", `where:{path:["created_at"],operator:LessThan,valueDate:"x"}`, "trying parse time"),
	)
}
