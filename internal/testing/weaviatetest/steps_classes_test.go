package weaviatetest

import (
	"fmt"
	"strings"
)

// kindSteps are about what a property may be.
func kindSteps() []step {
	o := func(n int, properties string) string {
		return fmt.Sprintf(`{"class":%q,"id":%q,"properties":{"n":%d,%s}}`, kind, id(700+n), n, properties)
	}
	find := func(name, f, want string) step {
		return ask(name, kind, `"properties":{"nonRefProperties":["n"]},`+with(f), want)
	}
	bad := func(name, properties, want string) step { return batch("bad "+name, o(90, properties), want) }
	unhyphened := strings.ToUpper(strings.ReplaceAll(id(7), "-", ""))
	return []step{
		{
			name: "kinds", method: "POST", path: "/v1/schema", body: `{"class":"` + kind + `","vectorizer":"none","invertedIndexConfig":{"indexTimestamps":true},"properties":[` +
				`{"name":"n","dataType":["int"]},{"name":"f","dataType":["number"]},{"name":"b","dataType":["boolean"]},{"name":"d","dataType":["date"]},{"name":"u","dataType":["uuid"]},` +
				`{"name":"ia","dataType":["int[]"]},{"name":"fa","dataType":["number[]"]},{"name":"ba","dataType":["boolean[]"]},{"name":"da","dataType":["date[]"]},{"name":"ua","dataType":["uuid[]"]},` +
				`{"name":"lower",` + text + `,"tokenization":"lowercase"},{"name":"white",` + text + `,"tokenization":"whitespace"},{"name":"tri",` + text + `,"tokenization":"trigram"},` +
				`{"name":"hidden",` + text + `,"indexFilterable":false,"indexSearchable":false},{"name":"m","dataType":["int"],"indexFilterable":false}]}`,
		},
		batch("all kinds", o(0, `"f":-1.5,"b":true,"d":"2024-01-02T03:04:05+02:00","u":"`+unhyphened+`","ia":[1,-2],"fa":[0.5,2],"ba":[true,false],"da":["2024-01-02T03:04:05Z"],`+
			`"ua":["`+unhyphened+`"],"lower":"A-b C","white":"A-b C","tri":"Hello","m":1,"hidden":"x"`), `"u":"`+id(7)+`"`),
		batch("empty lists", o(1, `"ia":[],"fa":[],"ba":[],"da":[],"ua":[],"u":null`), `"SUCCESS"`),
		batch("a uuid in braces", o(2, `"u":"{`+id(7)+`}"`), `"u":"`+id(7)+`"`),
		batch("a uuid as a URN", o(3, `"u":"urn:uuid:`+id(8)+`"`), `"u":"`+id(8)+`"`),
		ask("all kinds, read", kind, equal("_id", `"`+id(700)+`"`), `"uuidValue":"`+id(7)+`"`),
		ask("empty lists, read", kind, equal("_id", `"`+id(701)+`"`), `"intValues":{}`),
		bad("uuid", `"u":"zz"`, "requires a string of UUID format, but the given value is 'zz'"), bad("uuid", `"u":5`, "requires a string of UUID format"),
		bad("uuid", `"u":""`, "requires a string of UUID format"), bad("number", `"f":"5"`, "requires a float"), bad("number", `"f":true`, "requires a float"),
		bad("int list", `"ia":["x"]`, "invalid integer array value: [x]"), bad("int list", `"ia":[1.5]`, "invalid integer array value: [1.5]"), bad("int list", `"ia":5`, "not an integer array, but json.Number"),
		bad("number list", `"fa":["x"]`, "invalid integer array value"), bad("number list", `"fa":5`, "not an integer array, but json.Number"), bad("uuid list", `"ua":["zz"]`, "invalid uuid array value: [zz]"),
		bad("uuid list", `"ua":"x"`, "not a uuid array, but string"), bad("boolean list", `"ba":["x"]`, "invalid boolean array value"), bad("boolean list", `"ba":5`, "not a boolean array, but json.Number"),
		bad("date list", `"da":["x"]`, "invalid date array value: [x]"), bad("date list", `"da":5`, "not a date array, but json.Number"), bad("text", `"lower":["x"]`, "not a string, but []interface {}"),
		find("equal uuid", where("EQUAL", "u", `"valueText":"`+id(8)+`"`), rows(3)), find("not equal uuid", where("NOT_EQUAL", "u", `"valueText":"`+id(7)+`"`), rows(1, 3)),
		find("an int of a list", where("EQUAL", "ia", `"valueInt":-2`), rows(0)), find("a uuid of a list", where("EQUAL", "ua", `"valueText":"`+id(7)+`"`), rows(0)),
		find("a date of a list", where("EQUAL", "da", `"valueText":"2024-01-02T04:04:05+01:00"`), rows(0)), find("a boolean of a list", where("EQUAL", "ba", `"valueBoolean":false`), rows(0)),
		find("lowercase", where("EQUAL", "lower", `"valueText":"a-B"`), rows(0)), find("lowercase, a part of a word", where("EQUAL", "lower", `"valueText":"a"`), rows()),
		find("lowercase, nothing", where("EQUAL", "lower", `"valueText":" "`), "only stopwords provided"), find("lowercase, a stop word", where("EQUAL", "lower", `"valueText":"the"`), rows()),
		find("whitespace", where("EQUAL", "white", `"valueText":"C A-b"`), rows(0)), find("whitespace keeps case", where("EQUAL", "white", `"valueText":"c"`), rows()),
		find("trigram", where("EQUAL", "tri", `"valueText":"EL-L"`), rows(0)), find("trigram, too short", where("EQUAL", "tri", `"valueText":"el"`), "only stopwords provided"),
		find("by creation", where("GREATER_THAN", "_creationTimeUnix", `"valueText":"2020-01-01T00:00:00Z"`), rows(0, 1, 2, 3)),
		find("by update", where("LESS_THAN_EQUAL", "_lastUpdateTimeUnix", `"valueText":"2020-01-01T00:00:00Z"`), rows()),
		find("a text without an index", where("EQUAL", "hidden", `"valueText":"x"`), "Filtering by property 'hidden' requires inverted index"),
		find("an int without an index", combine("AND", where("EQUAL", "n", `"valueInt":1`), where("EQUAL", "m", `"valueInt":1`)), "Filtering by property 'm' requires inverted index"),
		find("null without its index", where("IS_NULL", "u", `"valueBoolean":true`), "Nullstate must be indexed"),
		ask("keywords by trigram", kind, `"properties":{"nonRefProperties":["n"]},"bm25Search":{"query":"ell","properties":["tri"]}`, rows(0)),
		ask("keywords without an index", kind, `"bm25Search":{"query":"x","properties":["hidden"]}`, "Searching by property 'hidden' requires inverted index"),
		ask("sort by a boolean", kind, `"properties":{"nonRefProperties":["n"]},`+sorted("-b", "n"), rows(0, 1, 2, 3)),
		ask("sort by a text", kind, `"properties":{"nonRefProperties":["n"]},`+sorted("lower", "-n"), rows(3, 2, 1, 0)),
		{name: "put a uuid", method: "PUT", path: "/v1/objects/" + kind + "/" + id(703), body: `{"class":"` + kind + `","id":"` + id(703) + `","properties":{"n":3,"u":"` + unhyphened + `"}}`, want: id(7)},
		{name: "patch a uuid", method: "PATCH", path: "/v1/objects/" + kind + "/" + id(703), body: `{"properties":{"u":"zz"}}`, status: 422, want: "requires a string of UUID format"},
	}
}

func aliasSteps() []step {
	on := func(name, method, path, body string, status int, want string) step {
		return step{name: name, method: method, path: path, body: body, status: status, want: want}
	}
	const all, mine, object = "/v1/aliases", "/v1/aliases/WtAlias", `{"class":"WtAlias","id":"%s","properties":{"n":800}}`
	return []step{
		on("new alias", "POST", all, `{"alias":"WtAlias","class":"WtMessage"}`, 200, `"alias":"WtAlias"`),
		on("alias twice", "POST", all, `{"alias":"WtAlias","class":"WtMessage"}`, 422, "alias already exists"),
		on("alias in lower case", "POST", all, `{"alias":"wtOther","class":"wtMessage"}`, 200, `"alias":"WtOther"`),
		on("alias of no class", "POST", all, `{"alias":"WtNone","class":"WtNope"}`, 422, `does not exist`),
		on("alias that is a class", "POST", all, `{"alias":"WtTenant","class":"WtMessage"}`, 500, "class WtTenant already exists"),
		on("alias without a name", "POST", all, `{"alias":"","class":"WtMessage"}`, 422, "is not a valid alias name"),
		on("class that is an alias", "POST", "/v1/schema", `{"class":"WtAlias"}`, 422, "alias name WtAlias already exists"),
		on("alias", "GET", mine, "", 200, `"class":"WtMessage"`), on("no alias", "GET", all+"/WtNone", "", 404, ""),
		on("the schema is the class's", "GET", "/v1/schema/WtAlias", "", 200, `"class":"WtMessage"`),
		ask("search by an alias", "WtAlias", equal("chat_id", `"bm"`)+`,"limit":2,"properties":{"nonRefProperties":["n"]}`, `"targetCollection":"WtMessage"`),
		ask("search by an alias in lower case", "wtAlias", `"limit":1`, `"targetCollection":"WtMessage"`),
		batch("write by an alias", fmt.Sprintf(object, id(800)), `"class":"WtMessage"`),
		on("object by an alias", "GET", "/v1/objects/WtAlias/"+id(800), "", 200, `"class":"WtMessage"`),
		on("patch by an alias", "PATCH", "/v1/objects/WtAlias/"+id(800), `{"properties":{"n":801}}`, 204, ""),
		on("delete by an alias", "DELETE", "/v1/objects/WtAlias/"+id(800), "", 204, ""), on("it is gone", "GET", "/v1/objects/WtMessage/"+id(800), "", 404, ""),
		on("move an alias", "PUT", mine, `{"class":"WtVector"}`, 200, `"class":"WtVector"`),
		ask("search by it now", "WtAlias", `"limit":1`, `"targetCollection":"WtVector"`),
		on("move no alias", "PUT", all+"/WtNone", `{"class":"WtVector"}`, 404, ""),
		on("deleting by an alias deletes nothing", "DELETE", "/v1/schema/WtAlias", "", 200, ""), on("alias is still there", "GET", mine, "", 200, ""),
		on("delete an alias", "DELETE", mine, "", 204, ""), on("delete it again", "DELETE", mine, "", 404, ""),
		ask("search by what is gone", "WtAlias", "", "could not find class WtAlias in schema"),
	}
}
