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
		return ask("bm25 "+query+properties+more, cls, `"properties":{"nonRefProperties":["n"]},"metadata":{"uuid":true,"score":true},`+
			`"bm25Search":{"query":`+quote(query)+properties+`}`+more, want)
	}
	content, both := `,"properties":["content"]`, `,"properties":["content","title"]`
	inChat := `,` + equal("chat_id", `"bm"`)
	return append(all,
		bm("pear", content, "", rows(301, 300)), bm("pear", content, inChat, rows(301, 300)), bm("pear fig", both, "", ""),
		bm("pear fig", `,"properties":["content^2","title"]`, "", ""), bm("pear pear fig", both, "", ""), bm("GRÖSSE größe", content, "", rows(303)),
		bm("NAÏVE", content, "", rows(303)), bm("x", content, "", rows(303)), bm("日本", `,"properties":["title"]`, "", rows(303)),
		bm("plum", content, "", rows(305, 306)), bm("kiwi", "", "", rows(304)), bm("kiwi", `,"properties":[]`, "", rows(304)),
		bm("pear", `,"properties":["Content"]`, "", rows(301, 300)),
		bm("bm", `,"properties":["chat_id"]`, `,"limit":1`, ""), bm("pear", content, `,`+equal("chat_id", `"none"`), rows()),
		bm("pear", content, `,"limit":1,"offset":1`, rows(300)), bm("zebra", content, "", rows()),
		bm("the", content, "", rows()), bm("the of", content, "", rows()), bm("?!", content, "", rows()), bm(" ", content, "", rows()),
		bm("the pear", content, "", rows(301, 300)), bm("", content, "", "must have query set"),
		bm("pear", `,"properties":["zz"]`, "", "requires inverted index"), bm("pear", `,"properties":["created_at"]`, "", "requires inverted index"),
		bm("pear", content, `,`+sorted("n"), "sorting cannot be combined with search"),
		bm("pear", content, `,"limit":10001`, "query maximum results exceeded"),
		bm("pear", content, `,`+equal("content", `"the"`), "only stopwords provided"),
		bm("pear", content, `,"nearVector":{"vector":[1]}`, "conflict"), bm("pear", content, inChat+`,"limit":20`, ""),
		ask("score without a search", cls, `"limit":1,"metadata":{"score":true,"distance":true,"certainty":true,"explainScore":true,"vector":true,"isConsistent":true}`,
			`"scorePresent":true`),
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
		batch("a larger one", o(414, `"n":9007199254740993`), `"n":9007199254740`),
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
		on("put unknown id", "PUT", 499, `{"class":"`+cls+`","id":"`+id(499)+`","properties":{}}`, 404, ""),
		on("delete", "DELETE", 430, "", 204, ""), on("delete again", "DELETE", 430, "", 204, ""), on("gone", "GET", 430, "", 404, ""),
		{name: "delete, unknown class", method: "DELETE", path: "/v1/objects/WtNope/" + id(1), status: 500, want: "non-existing index"},
	}
}

func requestSteps() []step {
	return []step{
		ask("unknown class", "WtNope", "", "could not find class WtNope in schema"),
		ask("no class", "", "", "could not find class  in schema"),
		ask("class in lower case", "wtMessage", `"limit":1`, `"targetCollection":"WtMessage"`),
		ask("everything", cls, equal("_id", `"`+id(1)+`"`)+`,"metadata":{"uuid":true,"creationTimeUnix":true,"lastUpdateTimeUnix":true}`, `"nullValue":null`),
		ask("everything, said so", cls, equal("_id", `"`+id(1)+`"`)+`,"properties":{"returnAllNonrefProperties":true}`, `"textValues"`),
		ask("nothing", cls, equal("_id", `"`+id(1)+`"`)+`,"properties":{}`, `"metadata":{}`),
		ask("a property in another case", cls, equal("_id", `"`+id(1)+`"`)+`,"properties":{"nonRefProperties":["Chat_id"]}`, `"chat_id"`),
		ask("unknown property", cls, `"properties":{"nonRefProperties":["zz"]}`, "get property by name zz for class WtMessage"),
		ask("a large integer", cls, equal("_id", `"`+id(413)+`"`)+`,"properties":{"nonRefProperties":["n"]}`, `"123456789012"`),
		ask("a large integer, inexact", cls, equal("_id", `"`+id(414)+`"`)+`,"properties":{"nonRefProperties":["n"]}`, `"9007199254740992"`),
		ask("no tenants", cls, `"tenant":"x"`, "has multi-tenancy disabled, but request was with tenant"),
		ask("no vectorizer", cls, `"nearText":{"query":["x"]}`, "could not vectorize input for collection WtMessage with search-type nearText"),
		ask("no vectorizer, hybrid", cls, `"hybridSearch":{"query":"x","alpha":0.5}`, "VectorFromInput was called without vectorizer"),
		ask("consistency level", cls, equal("_id", `"`+id(1)+`"`)+`,"consistencyLevel":"CONSISTENCY_LEVEL_QUORUM","properties":{}`, `"targetCollection"`),
		{name: "unknown path", method: "GET", path: "/v1/zzz", status: 404, want: "was not found"},
		{name: "wrong method", method: "PUT", path: "/v1/users/own-info", body: "{}", status: 405, want: "is not allowed, but [GET] are"},
		{name: "own info without keys", method: "GET", path: "/v1/users/own-info", status: 401},
	}
}

func vectorSteps() []step {
	vectors := []string{`[1,0,0]`, `[0.9,0.1,0]`, `[0,1,0]`, `[0.1,0,1]`, `[-1,0,0]`, ``, `[0.5,0.5,0]`}
	texts := []string{"pear apple", "pear", "apple pie", "zebra", "pear pear", "pear mango", "mango"}
	all := []step{
		{
			name: "named vectors", method: "POST", path: "/v1/schema",
			body: `{"class":"` + vec + `","vectorConfig":{"emb":{"vectorizer":{"none":{}},"vectorIndexType":"hnsw"},"alt":{"vectorizer":{"none":{}},` +
				`"vectorIndexType":"flat"}},"properties":[{"name":"chat_id",` + text + `,"tokenization":"field"},{"name":"content",` + text + `},{"name":"n","dataType":["int"]}]}`,
		},
		{
			name: "one named vector", method: "POST", path: "/v1/schema",
			body: `{"class":"` + one + `","vectorConfig":{"emb":{"vectorizer":{"none":{}}}},"properties":[{"name":"n","dataType":["int"]}]}`,
		},
		batch("the only vector by no name", fmt.Sprintf(`{"class":%q,"id":%q,"vector":[1,0],"properties":{"n":1}}`, one, id(530)), `"vectors":{"emb":[1,0]}`),
		batch("and by name", fmt.Sprintf(`{"class":%q,"id":%q,"vectors":{"emb":[0,1]},"properties":{"n":2}}`, one, id(531)), `"SUCCESS"`),
	}
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
	find := func(name, args, want string) step {
		return ask(name, vec, `"properties":{"nonRefProperties":["n"]},"metadata":{"uuid":true,"distance":true,"score":true,"certainty":true},`+args, want)
	}
	near := func(name, in, more, want string) step { return find(name, `"nearVector":{`+in+`}`+more, want) }
	hybrid := func(name, in, more, want string) step { return find(name, `"hybridSearch":{`+in+`}`+more, want) }
	const emb, alt, v = `,"targets":{"targetVectors":["emb"]}`, `,"targets":{"targetVectors":["alt"]}`, `"vector":[1,0,0]`
	w := `,` + equal("chat_id", `"v"`)
	return append(all,
		put(20, `"emb":[1,2]`, "vector dimensions do not match"), put(21, `"nope":[1,2,3]`, "does not have configuration for vector nope"), put(22, `"alt":[0,1,0]`, "SUCCESS"),
		batch("single vector", fmt.Sprintf(`{"class":%q,"id":%q,"vector":[1]}`, vec, id(522)), "does not have single vector index"),
		step{name: "vectors in REST", method: "GET", path: "/v1/objects/" + vec + "/" + id(500) + "?include=vector", want: `"vectors":{"emb":[1,0,0]}`},
		ask("vectors by name", vec, equal("_id", `"`+id(500)+`"`)+`,"metadata":{"vectors":["emb","nope"]}`, `"name":"emb"`),
		ask("all vectors", vec, equal("_id", `"`+id(500)+`"`)+`,"metadata":{"vector":true}`, `"name":"emb"`),
		near("near", v+emb, ``, rows(0, 1, 6, 3, 2, 4)), near("near, in bytes", `"vectorBytes":"AACAPwAAAAAAAAAA"`+emb, ``, rows(0, 1, 6, 3, 2, 4)),
		near("near, target of old", v+`,"targetVectors":["emb"]`, `,"limit":2`, rows(0, 1)),
		near("near, vector for its target", `"vectorForTargets":[{"name":"emb","vectorBytes":"AACAPwAAAAAAAAAA"}]`+emb, `,"limit":2`, rows(0, 1)),
		near("near, filtered", v+emb, w+`,"limit":2`, rows(0, 1)), near("near, a page", v+emb, w+`,"limit":2,"offset":2`, rows(6, 3)),
		near("near, distance", v+emb+`,"distance":0.5`, "", rows(0, 1, 6)), near("near, certainty", v+emb+`,"certainty":0.9`, "", rows(0, 1)),
		near("near, distance and certainty", v+emb+`,"certainty":0.9,"distance":0.5`, "", "cannot provide distance and certainty"),
		near("near, sorted", v+emb, `,`+sorted("n"), "sorting cannot be combined with search"), near("near, no target", v, "", "has multiple vectors, but no target vectors were provided"),
		near("near, length", `"vector":[1,0]`+emb, "", "vector lengths don't match"), near("near, length, flat", `"vector":[1,0]`+alt, "", "2 vs 3: vector lengths don't match"),
		near("near, no vector", `"targets":{"targetVectors":["emb"]}`, "", "near_vector: vector is required"),
		near("near, too many", v+emb, `,"limit":10001`, "query maximum results exceeded"),
		near("near, only stop words", v+emb, `,`+equal("content", `"the"`), "build inverted filter allow list"),
		ask("the only vector is taken", one, `"properties":{"nonRefProperties":["n"]},"nearVector":{"vector":[1,0]},"metadata":{"distance":true}`, rows(1, 2)),
		ask("unknown target", one, `"nearVector":{"vector":[1,0],"targets":{"targetVectors":["nope"]}}`, "does not have named vector nope configured. Available named vectors [emb]"),
		find("no vectorizer for the target", `"nearText":{"query":["x"],"targets":{"targetVectors":["emb"]}}`, "could not vectorize input"),
		find("no target for a text", `"nearText":{"query":["x"]}`, "but no target vectors were provided"),
		hybrid("hybrid", `"query":"pear","alpha":0.75,"properties":["content"],`+v+emb, "", rows(1, 0, 6, 3, 2, 4, 22, 5)), hybrid("hybrid, half", `"query":"pear","alpha":0.5,`+v+emb, `,"limit":1`, ""),
		hybrid("hybrid, keywords only", `"query":"pear"`+emb, `,"limit":2`, ""), hybrid("hybrid, vector only", `"query":"pear","alpha":1,`+v+emb, w, ""),
		hybrid("hybrid, vector in its own message", `"query":"pear","alpha":0.5,"nearVector":{`+v+`}`+emb, w, ""),
		hybrid("hybrid, two vectors", `"query":"pear","alpha":0.5,"nearVector":{`+v+`},`+v+emb, w, "cannot combine nearVector and vector"),
		hybrid("hybrid, no words", `"query":"the","alpha":0.75,`+v+emb, "", ""), hybrid("hybrid, no query", `"query":"","alpha":0.75,`+v+emb, "", ""),
		hybrid("hybrid, no vector", `"query":"pear","alpha":0.75`+emb, "", "VectorFromInput was called without vectorizer"),
		hybrid("hybrid, no target", `"query":"pear","alpha":0.5,`+v, "", "has multiple vectors, but no target vectors were provided"),
		hybrid("hybrid, no target, no vector", `"query":"pear"`, "", "has multiple vectors, but no target vectors were provided"),
		hybrid("hybrid, sort", `"query":"pear","alpha":0.5,`+v+emb, `,`+sorted("n"), "sorting cannot be combined with search"),
		hybrid("hybrid, filtered", `"query":"pear","alpha":0.5,`+v+emb, w+`,"limit":2`, ""), hybrid("hybrid, a page", `"query":"pear","alpha":0.5,`+v+emb, w+`,"limit":2,"offset":2`, ""),
		hybrid("hybrid, length", `"query":"pear","alpha":1,"vector":[1]`+emb, "", "vector lengths don't match"),
		hybrid("hybrid, too many", `"query":"pear","alpha":1,`+v+emb, `,"limit":10001`, "query maximum results exceeded"),
		hybrid("hybrid, too many, keywords only", `"query":"pear"`+emb, `,"limit":10001`, rows(4, 1, 22, 0, 5)),
		hybrid("hybrid, too far", `"query":"pear","alpha":0.5,`+v+emb, `,"limit":10,"offset":9995`, rows()),
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
		ask("a tenant", mt, `"tenant":"BB"`, rows(2)),
		ask("no tenant", mt, ``, "has multi-tenancy enabled, but request was without tenant"),
		ask("unknown tenant", mt, `"tenant":"C"`, `tenant not found: \"C\"`),
		ask("unknown tenant, keywords", mt, `"tenant":"C","bm25Search":{"query":"x"}`, "tenant not found"),
		ask("unknown tenant, vector", mt, `"tenant":"C","nearVector":{"vector":[1]}`, "tenant not found"),
		ask("unknown tenant, hybrid", mt, `"tenant":"C","hybridSearch":{"query":"x"}`, "tenant not found"),
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
		ask("an empty tenant", mt, `"tenant":"C"`, rows()),
		{name: "deactivate", method: "PUT", path: tenants, body: `[{"name":"BB","activityStatus":"COLD"}]`, want: `"COLD"`},
		{name: "inactive", method: "GET", path: tenants + "/BB", want: `"COLD"`},
		ask("search of an inactive tenant", mt, `"tenant":"BB"`, "tenant not active: 'BB'"),
		{name: "get of an inactive tenant", method: "GET", path: path + "?tenant=BB", status: 422, want: "tenant not active"},
		batch("write to an inactive tenant", o("BB"), "tenant not active: 'BB'"),
		{name: "activate", method: "PUT", path: tenants, body: `[{"name":"BB","activityStatus":"ACTIVE"}]`, want: `"HOT"`},
		ask("search of an active tenant", mt, `"tenant":"BB"`, rows(2)),
		{name: "activate no tenant", method: "PUT", path: tenants, body: `[{"name":"N","activityStatus":"HOT"}]`, status: 422, want: "shard not found: N"},
		{name: "unknown status", method: "PUT", path: tenants, body: `[{"name":"BB","activityStatus":"WARM"}]`, status: 422, want: "should be one of"},
		{name: "add an inactive tenant", method: "POST", path: tenants, body: `[{"name":"D","activityStatus":"INACTIVE"}]`, want: `"COLD"`},
		{name: "it is inactive", method: "GET", path: tenants + "/D", want: `"COLD"`},
		{name: "add a bad tenant", method: "POST", path: tenants, body: `[{"name":"a b"}]`, status: 422, want: "not a valid tenant name"},
		{name: "add an empty tenant", method: "POST", path: tenants, body: `[{"name":""}]`, status: 422, want: "empty tenant name"},
		{name: "add to a class without", method: "POST", path: "/v1/schema/" + cls + "/tenants", body: `[{"name":"A"}]`, status: 422, want: "not enabled"},
		{name: "add to no class", method: "POST", path: "/v1/schema/Wtnone/tenants", body: `[{"name":"A"}]`, status: 422, want: "class not found"},
	}
}
