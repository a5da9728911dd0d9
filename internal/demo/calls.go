package main

import (
	"encoding/json"
	"fmt"
)

// call is one request to an upstream, as a handler without Hearth makes it.
type call struct {
	Name    string            `json:"name"`
	Host    string            `json:"host"`
	Path    string            `json:"path"`
	Headers map[string]string `json:"headers"`
	Body    string            `json:"body"`
}

// directCalls are all that one preprocess needs: a history of 10 per role, the mute, what is relevant, one model.
func directCalls(u *upstreams, chat, text string) []call {
	const message = "chat_id role content created_at _additional{id}"
	recent := func(role string) string {
		return fmt.Sprintf(`{Get{Message(where:{operator:And,operands:[%s,%s]},sort:[{path:["created_at"],order:desc}],limit:10){%s}}}`,
			equal("chat_id", chat), equal("role", role), message)
	}
	relevant := fmt.Sprintf(`{Get{Message(bm25:{query:%s,properties:["content"]},where:{operator:And,operands:[%s,{operator:Or,operands:[%s,%s]}]},limit:5){%s}}}`,
		quote(text), equal("chat_id", chat), equal("role", "user"), equal("role", "assistant"), message)
	mute := fmt.Sprintf(`{Get{ChatStatus(where:%s,limit:1){chat_id muted muted_until}}}`, equal("chat_id", chat))

	graphQL := func(name, query string) call {
		return call{name, u.weaviate.Addr, "/v1/graphql", map[string]string{"Content-Type": "application/json"}, encode(map[string]string{"query": query})}
	}
	odoo := func(name, path string, kwargs map[string]any) call {
		return call{name, u.odoo.Addr, "/json/2/" + path, map[string]string{
			"Content-Type": "application/json", "Authorization": "bearer " + odooKey, "X-Odoo-Database": odooDB,
		}, encode(kwargs)}
	}
	return []call{
		graphQL("history_user", recent("user")),
		graphQL("history_assistant", recent("assistant")),
		graphQL("mute", mute),
		graphQL("relevant", relevant),
		odoo("model_fields", "res.partner/fields_get", map[string]any{
			"attributes": []string{"string", "type", "required", "readonly", "relation", "selection"},
		}),
		odoo("model_name", "ir.model/display_name_for", map[string]any{"models": []string{"res.partner"}}),
	}
}

// The three ways to make them. As handlers do it today, the history comes first and the rest after it.
func oneByOne(calls []call) (stages [][]call) {
	for _, c := range calls {
		stages = append(stages, []call{c})
	}
	return stages
}

func inTwoStages(calls []call) [][]call { return [][]call{calls[:2], calls[2:]} }

func allAtOnce(calls []call) [][]call { return [][]call{calls} }

func equal(property, value string) string {
	return fmt.Sprintf("{path:[%s],operator:Equal,valueText:%s}", quote(property), quote(value))
}

func quote(s string) string { return encode(s) }

func encode(v any) string {
	b, err := json.Marshal(v)
	if err != nil {
		panic(err) // text always encodes
	}
	return string(b)
}
