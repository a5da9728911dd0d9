package weaviatetest

import "fmt"

func bm25Steps() []step {
	docs := [][2]string{
		{"pear apple pear", "fig"},
		{"pear", "pear fig fig"},
		{"fig", "pear"},
		{"Größe naïve-test x_y 3.14", "日本 語"},
		{"kiwi kiwi the", "kiwi"},
		{"plum", "plum"},
		{"plum", "plum"},
	}
	var all []step
	for i, d := range docs {
		all = append(all, add(300+i, fmt.Sprintf(`"chat_id":"bm","content":%q,"title":%q`, d[0], d[1])))
	}
	bm := func(query, properties, more, want string) step {
		args := `bm25:{query:` + quote(query) + properties + `}` + more
		return gql("bm25 "+args, `{Get{`+cls+`(`+args+`){n _additional{id score}}}}`, want)
	}
	content, both := `,properties:["content"]`, `,properties:["content","title"]`
	inChat := `,` + equal("chat_id", `"bm"`)
	return append(all,
		bm("pear", content, "", `"n":301`), bm("pear", content, inChat, `"n":300`), bm("pear fig", both, "", ""),
		bm("pear fig", `,properties:["content^2","title"]`, "", ""), bm("pear pear fig", both, "", ""), bm("GRÖSSE größe", content, "", `"n":303`),
		bm("NAÏVE", content, "", `"n":303`), bm("x", content, "", `"n":303`), bm("日本", `,properties:["title"]`, "", `"n":303`),
		bm("plum", content, "", `"n":306`), bm("kiwi", "", "", `"n":304`), bm("kiwi", `,properties:[]`, "", `"n":304`),
		bm("bm", `,properties:["chat_id"]`, ",limit:1", ""), bm("pear", content, `,`+equal("chat_id", `"none"`), rows()),
		bm("pear", content, `,limit:1,offset:1`, ""), bm("zebra", content, "", rows()),
		bm("the", content, "", rows()), bm("the of", content, "", rows()), bm("?!", content, "", rows()), bm(" ", content, "", rows()),
		bm("the pear", content, "", `"n":301`), bm("", content, "", "must have query set"),
		bm("pear", `,properties:["zz"]`, "", "requires inverted index"), bm("pear", `,properties:["created_at"]`, "", "requires inverted index"),
		bm("pear", content, `,sort:[{path:["n"]}]`, "bm25 search is not compatible with sort"),
		bm("pear", content, `,limit:0`, "invalid default limit: 0"), bm("pear", `,foo:1`, "", "Unknown field."),
		bm("pear", content, `,nearVector:{vector:[1]}`, "conflict"), bm("pear", content, inChat+`,limit:20`, ""),
		gql("score without a search", `{Get{`+cls+`(limit:1){_additional{score distance certainty explainScore vector}}}}`, `"score":"0"`),
	)
}

func objectSteps() []step {
	o := func(n int, properties string) string {
		return fmt.Sprintf(`{"class":%q,"id":%q,"properties":{%s}}`, cls, id(n), properties)
	}
	on := func(name, method string, n int, body string, status int, want string) step {
		return step{name: name, method: method, path: objectPath(n), body: body, status: status, want: want}
	}
	post := func(name, body string, status int, want string) step {
		return step{name: name, method: "POST", path: "/v1/objects", body: body, status: status, want: want}
	}
	return []step{
		batch("verdicts", o(400, `"chat_id":"o"`)+","+o(401, `"created_at":"yesterday"`)+","+o(402, `"chat_id":5`)+","+o(403, `"nope":"x"`)+","+
			o(404, `"created_at":7`)+","+o(405, `"muted":"x"`)+","+o(406, `"n":"x"`)+","+o(407, `"n":1.5`)+","+o(408, `"chat_id":["x"]`)+","+
			o(409, `"u":"zz"`)+`,{"class":"WtNope","id":"`+id(9)+`","properties":{}},`+o(410, `"created_at":"2024-01-02 03:04:05Z"`), `"FAILED"`),
		{name: "what failed is not there", method: "GET", path: objectPath(401), status: 404},
		{
			name: "a malformed id refuses the whole batch", method: "POST", path: "/v1/batch/objects", status: 422,
			body: `{"objects":[` + o(420, `"chat_id":"o"`) + `,{"class":"` + cls + `","id":"zz"}]}`, want: "body.objects.1.id in body",
		},
		{name: "and stores nothing of it", method: "GET", path: objectPath(420), status: 404},
		{name: "empty batch", method: "POST", path: "/v1/batch/objects", body: `{"objects":[]}`, status: 422, want: "cannot be empty"},
		{name: "no list", method: "POST", path: "/v1/batch/objects", body: `{}`, status: 422, want: "cannot be empty"},
		{name: "no JSON", method: "POST", path: "/v1/batch/objects", body: `{x`, status: 400, loose: true},
		{name: "a list", method: "POST", path: "/v1/batch/objects", body: `[]`, status: 400, loose: true},
		{name: "no body", method: "POST", path: "/v1/batch/objects", status: 422, want: "body in body is required"},
		{name: "no class", method: "POST", path: "/v1/batch/objects", body: `{"objects":[{"properties":{}}]}`},
		{
			name: "consistency level", method: "POST", path: "/v1/batch/objects?consistency_level=QUORUM",
			body: `{"objects":[` + o(400, `"chat_id":"o","role":"user"`) + `]}`, want: `"SUCCESS"`,
		},
		{
			name: "unknown consistency level", method: "POST", path: "/v1/batch/objects?consistency_level=FOO", status: 400,
			body: `{"objects":[` + o(400, `"chat_id":"o"`) + `]}`, want: "unrecognized consistency level 'FOO'",
		},
		batch("tenant where there are none", fmt.Sprintf(`{"class":%q,"id":%q,"tenant":"a"}`, cls, id(400)), "multi-tenancy disabled"),
		batch("an upsert replaces", o(400, `"n":400,"chat_id":"o","created_at":"2024-01-02T03:04:05.123456789+02:00","content":null`), `"SUCCESS"`),
		on("no role any more, the date as written", "GET", 400, "", 200, `"properties":{"chat_id":"o","created_at":"2024-01-02T03:04:05.123456789+02:00","n":400}`),
		batch("twice in one batch", o(411, `"n":1`)+","+o(411, `"n":2,"content":"last"`), `"SUCCESS"`),
		on("the last one stays", "GET", 411, "", 200, `"n":2`),
		batch("names in another case", `{"class":"wtMessage","id":"`+id(412)+`","properties":{"N":1}}`, `"properties":{"n":1}`),
		batch("a large integer", o(413, `"n":123456789012`), `"n":123456789012`),
		gql("is null in GraphQL", `{Get{`+cls+`(`+equal("id", `"`+id(413)+`"`)+`){n}}}`, `{"n":null}`),
		on("unknown id", "GET", 499, "", 404, ""),
		{name: "no id", method: "GET", path: "/v1/objects/" + cls + "/zz", status: 422, want: "must be of type uuid"},
		{name: "unknown class", method: "GET", path: "/v1/objects/WtNope/" + id(1), status: 404},
		{name: "tenant where there are none", method: "GET", path: objectPath(400) + "?tenant=a", status: 422, want: "multi-tenancy disabled"},
		post("existing", o(400, `"n":1`), 422, "already exists"),
		post("new", o(430, `"n":430,"chat_id":"p","created_at":"2024-01-02T03:04:05.5Z"`), 200, `"2024-01-02T03:04:05.5Z"`),
		post("wrong type", o(431, `"chat_id":7`), 422, "not a string"),
		post("unknown property", o(431, `"zzz":7`), 422, "no such prop"),
		post("unknown class", `{"class":"WtNope"}`, 422, "not found in schema"),
		on("patch, null clears", "PATCH", 430, `{"class":"`+cls+`","properties":{"role":"user","created_at":null}}`, 204, ""),
		on("patched", "GET", 430, "", 200, `"properties":{"chat_id":"p","n":430,"role":"user"}`),
		on("patch without class", "PATCH", 430, `{"properties":{"muted":true}}`, 204, ""),
		on("patch with another's id", "PATCH", 430, `{"id":"`+id(1)+`","properties":{"muted":false}}`, 204, ""),
		on("patched", "GET", 430, "", 200, `"muted":false`),
		on("patch unknown id", "PATCH", 499, `{"properties":{"role":"user"}}`, 404, ""),
		on("patch wrong type", "PATCH", 430, `{"properties":{"created_at":"x"}}`, 422, "RFC3339"),
		on("patch unknown property", "PATCH", 430, `{"properties":{"zz":"x"}}`, 422, "no such prop"),
		{name: "patch unknown class", method: "PATCH", path: "/v1/objects/WtNope/" + id(1), body: `{"properties":{}}`, status: 404},
		on("put replaces", "PUT", 430, `{"class":"`+cls+`","id":"`+id(430)+`","properties":{"role":"put"}}`, 200, `"properties":{"role":"put"}`),
		on("put without id", "PUT", 430, `{"class":"`+cls+`","properties":{}}`, 422, "immutable"),
		on("put unknown id is a 500", "PUT", 499, `{"class":"`+cls+`","id":"`+id(499)+`","properties":{}}`, 500, "no object with id"),
		on("delete", "DELETE", 430, "", 204, ""), on("delete again", "DELETE", 430, "", 204, ""), on("gone", "GET", 430, "", 404, ""),
		{name: "delete, unknown class", method: "DELETE", path: "/v1/objects/WtNope/" + id(1), status: 500, want: "non-existing index"},
	}
}

func graphqlSteps() []step {
	ask := func(name, path, body string, status int, want string) step {
		return step{name: name, method: "POST", path: path, body: body, status: status, want: want}
	}
	good := `{Get{` + cls + `(limit:1){chat_id}}}`
	return []step{
		gql("unknown class", `{Get{WtNope{x}}}`, `Cannot query field \"WtNope\" on type \"GetObjectsObj\".`),
		gql("class in lower case", `{Get{wtMessage{n}}}`, "Cannot query field"),
		gql("unknown field", `{Get{`+cls+`{zzz}}}`, `Cannot query field \"zzz\" on type \"WtMessage\".`),
		gql("unknown additional", `{Get{`+cls+`{_additional{zzz}}}}`, "Cannot query field"),
		gql("unknown argument", `{Get{`+cls+`(foo:1){n}}}`, `Unknown argument \"foo\"`),
		gql("no vectorizer", `{Get{`+cls+`(nearText:{concepts:["x"]}){n}}}`, `Unknown argument \"nearText\"`),
		gql("no tenants", `{Get{`+cls+`(tenant:"x"){n}}}`, `Unknown argument \"tenant\"`),
		gql("no replicas", `{Get{`+cls+`(consistencyLevel:ONE){n}}}`, `Unknown argument \"consistencyLevel\"`),
		gql("no named vectors", `{Get{`+cls+`{_additional{vectors{x}}}}}`, "Cannot query field"),
		gql("unknown root", `{Foo{x}}`, `on type \"WeaviateObj\"`),
		gql("no selection", `{Get{`+cls+`}}`, "must have a sub selection"),
		gql("aliases", `{Get{a:`+cls+`(limit:1){c:chat_id} b:`+cls+`(limit:1){n __typename}}}`, `"__typename":"WtMessage"`),
		gql("the same twice", `{Get{`+cls+`(limit:1){chat_id} `+cls+`(limit:1){role}}}`, "Only one Field expected here"),
		gql("one good, one bad", `{Get{a:`+cls+`(limit:1){n} b:`+cls+`(`+equal("zz", `"1"`)+`){n}}}`, `"b":null`),
		gql("two gets", `{a:Get{`+cls+`(limit:1){n}} b:Get{`+cls+`(limit:2){n}}}`, `"b":{"WtMessage"`),
		gql("unfinished", `{Get{`+cls+`(`, "Syntax Error"), gql("nothing", `{}`, "Syntax Error"),
		ask("no query", "/v1/graphql", `{}`, 422, "query cannot be empty"),
		ask("no JSON", "/v1/graphql", `{`, 400, ""), ask("no body", "/v1/graphql", ``, 422, "body in body is required"),
		ask("operation name", "/v1/graphql", `{"query":"query A{__typename}","operationName":"B"}`, 200, "Unknown operation named"),
		ask("batch", "/v1/graphql/batch", `[{"query":`+quote(good)+`},{"query":"{Get{WtMessage(limit:1){zz}}}"},{"query":"{Get{"},{"query":""},{},`+
			`{"query":"{Get{WtMessage(limit:0){n}}}"},{"query":`+quote(good)+`}]`, 200, "422: The request is well-formed"),
		ask("empty batch", "/v1/graphql/batch", `[]`, 422, `{"error":null}`),
		ask("a batch of null", "/v1/graphql/batch", `[null]`, 200, `[null]`),
		{name: "no batch", method: "POST", path: "/v1/graphql/batch", body: `{"query":"{x}"}`, status: 400, loose: true},
		{name: "unknown path", method: "GET", path: "/v1/zzz", status: 404, want: "was not found"},
		{name: "wrong method", method: "PUT", path: "/v1/graphql", status: 405, want: "is not allowed, but [POST] are"},
	}
}

func vectorSteps() []step {
	vectors := []string{`[1,0,0]`, `[0.9,0.1,0]`, `[0,1,0]`, `[0.1,0,1]`, `[-1,0,0]`, ``, `[0.5,0.5,0]`}
	texts := []string{"pear apple", "pear", "apple pie", "zebra", "pear pear", "pear mango", "mango"}
	all := []step{{
		name: "named vectors", method: "POST", path: "/v1/schema",
		body: `{"class":"` + vec + `","vectorConfig":{"emb":{"vectorizer":{"none":{}},"vectorIndexType":"hnsw"},"alt":{"vectorizer":{"none":{}},` +
			`"vectorIndexType":"hnsw"}},"properties":[{"name":"chat_id",` + text + `,"tokenization":"field"},{"name":"content",` + text + `},{"name":"n","dataType":["int"]}]}`,
	}}
	put := func(n int, vectors, want string) step {
		return batch("vector", fmt.Sprintf(`{"class":%q,"id":%q,"vectors":{%s},"properties":{"n":%d,"chat_id":"v","content":%q}}`,
			vec, id(500+n), vectors, n, texts[n%7]), want)
	}
	for i, v := range vectors {
		if v != "" {
			v = `"emb":` + v
		}
		all = append(all, put(i, v, "SUCCESS"))
	}
	ask := func(name, args, want string) step {
		return gql(name, `{Get{`+vec+`(`+args+`){n _additional{distance score}}}}`, want)
	}
	near := func(name, in, more, want string) step { return ask(name, `nearVector:{`+in+`}`+more, want) }
	hybrid := func(name, in, more, want string) step { return ask(name, `hybrid:{`+in+`}`+more, want) }
	const emb, v = `,targetVectors:["emb"]`, `vector:[1,0,0]`
	w := `,` + equal("chat_id", `"v"`)
	return append(all,
		put(20, `"emb":[1,2]`, "vector dimensions do not match"), put(21, `"nope":[1,2,3]`, "does not have configuration for vector nope"),
		batch("single vector", fmt.Sprintf(`{"class":%q,"id":%q,"vector":[1]}`, vec, id(522)), "does not have single vector index"),
		step{name: "vectors in REST", method: "GET", path: "/v1/objects/" + vec + "/" + id(500) + "?include=vector", want: `"vectors":{"emb":[1,0,0]}`},
		gql("vectors in GraphQL", `{Get{`+vec+`(`+equal("id", `"`+id(500)+`"`)+`){_additional{vector vectors{emb}}}}}`, `"emb":[1,0,0]`),
		near("near", v+emb, ``, ""), near("near, filtered", v+emb, w+`,limit:2`, ""), near("near, distance", v+emb+`,distance:0.5`, "", ""),
		near("near, sorted", v+emb, `,sort:[{path:["n"],order:desc}],limit:3`, ""), near("near, no target", v, "", "please specify target vector name"),
		near("near, unknown target", v+`,targetVectors:["nope"]`, "", "not found"), near("near, length", `vector:[1,0]`+emb, "", "vector lengths don't match"),
		near("near, no vector", `targetVectors:["emb"]`, "", "is required field"),
		hybrid("hybrid", `query:"pear",properties:["content"],`+v+emb, "", "0.92"), hybrid("hybrid, half", `query:"pear",alpha:0.5,`+v+emb, ",limit:1", ""),
		hybrid("hybrid, keywords only", `query:"pear",alpha:0`, ",limit:2", ""), hybrid("hybrid, vector only", `query:"pear",alpha:1,`+v+emb, w, ""),
		hybrid("hybrid, no words", `query:"the",`+v+emb, "", ""), hybrid("hybrid, no vector", `query:"pear"`+emb, "", "VectorFromInput was called without vectorizer"),
		hybrid("hybrid, alpha", `query:"pear",alpha:2`, "", "alpha should be between"), hybrid("hybrid, no target", `query:"pear",`+v, "", "please specify target vector name"),
		hybrid("hybrid, sort", `query:"pear",`+v+emb, `,sort:[{path:["n"]}]`, "hybrid search is not compatible with sort"),
		hybrid("hybrid, filtered", `query:"pear",alpha:0.5,`+v+emb, w+`,limit:2`, ""),
		hybrid("hybrid, length", `query:"pear",vector:[1]`+emb, "", "vector lengths don't match"),
	)
}

func tenantSteps() []step {
	o := func(tenant string) string {
		return fmt.Sprintf(`{"class":%q,"id":%q,"tenant":%q,"properties":{"n":%d}}`, mt, id(600), tenant, len(tenant))
	}
	path, tenants := "/v1/objects/"+mt+"/"+id(600), "/v1/schema/"+mt+"/tenants"
	return []step{
		{
			name: "tenants", method: "POST", path: "/v1/schema", body: `{"class":"` + mt + `","vectorizer":"none",` +
				`"multiTenancyConfig":{"enabled":true,"autoTenantCreation":true},"properties":[{"name":"n","dataType":["int"]}]}`,
		},
		{name: "no tenant", method: "POST", path: "/v1/batch/objects", body: `{"objects":[` + o("") + `]}`, status: 422, want: "empty tenant name"},
		batch("one id, two tenants", o("A")+","+o("BB"), `"tenant":"BB"`),
		gql("a tenant", `{Get{`+mt+`(tenant:"BB"){n}}}`, `[{"n":2}]`),
		gql("no tenant", `{Get{`+mt+`{n}}}`, "without tenant"),
		gql("unknown tenant", `{Get{`+mt+`(tenant:"C"){n}}}`, "tenant not found"),
		{name: "get", method: "GET", path: path + "?tenant=A", want: `"tenant":"A"`},
		{name: "get, none", method: "GET", path: path, status: 422, want: "without tenant"},
		{name: "get, unknown", method: "GET", path: path + "?tenant=C", status: 422, want: "tenant not found"},
		{name: "patch", method: "PATCH", path: path, body: `{"tenant":"A","properties":{"n":5}}`, status: 204},
		{name: "patch, in the query", method: "PATCH", path: path + "?tenant=A", body: `{"properties":{"n":6}}`, status: 422, want: "without tenant"},
		{name: "patched", method: "GET", path: path + "?tenant=A", want: `"n":5`},
		{name: "delete", method: "DELETE", path: path + "?tenant=A", status: 204},
		{name: "gone", method: "GET", path: path + "?tenant=A", status: 404},
		{name: "only there", method: "GET", path: path + "?tenant=BB"},
		{name: "has a tenant", method: "GET", path: tenants + "/BB", want: `"name":"BB"`},
		{name: "has no tenant", method: "GET", path: tenants + "/C", status: 404},
		{name: "has a tenant of a class without", method: "GET", path: "/v1/schema/" + cls + "/tenants/C", status: 422, want: "not enabled"},
		{name: "has a tenant of no class", method: "GET", path: "/v1/schema/Wtnone/tenants/C", status: 422, want: "class not found"},
		{name: "add tenants", method: "POST", path: tenants, body: `[{"name":"BB"},{"name":"C"}]`, want: `"C"`},
		{name: "has it now", method: "GET", path: tenants + "/C", want: `"HOT"`},
		gql("an empty tenant", `{Get{`+mt+`(tenant:"C"){n}}}`, `[]`),
		{name: "add a bad tenant", method: "POST", path: tenants, body: `[{"name":"a b"}]`, status: 422, want: "not a valid tenant name"},
		{name: "add an empty tenant", method: "POST", path: tenants, body: `[{"name":""}]`, status: 422, want: "empty tenant name"},
		{name: "add to a class without", method: "POST", path: "/v1/schema/" + cls + "/tenants", body: `[{"name":"A"}]`, status: 422, want: "not enabled"},
		{name: "add to no class", method: "POST", path: "/v1/schema/Wtnone/tenants", body: `[{"name":"A"}]`, status: 422, want: "class not found"},
	}
}
