package weaviate

import (
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/weaviate/weaviate/entities/models"

	"hearth/pool"
)

// FuzzVerdict reads any answer to a batch write. An object counts as stored only if the answer names it, and says SUCCESS or nothing against it.
func FuzzVerdict(f *testing.F) {
	const id = "6f9619ff-8b86-4d01-b42d-00cf4fc964ff"
	for _, s := range []string{
		`[{"id":"` + id + `","result":{"status":"SUCCESS"}}]`, `[{"id":"` + id + `","result":{"errors":{"error":[{"message":"no"}]},"status":"FAILED"}}]`,
		`[{"id":"` + id + `","result":{}}]`, `[{"id":"` + id + `"}]`, `[null]`, `{}`, `[{"id":"` + strings.ToUpper(id) + `","result":{"errors":{}}}]`,
		`[{"id":"` + id + `","result":{"errors":{"error":[null]}}}]`,
	} {
		f.Add([]byte(s))
	}
	rest, err := pool.New(pool.Config{Name: "weaviate", URL: "http://weaviate"})
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(rest.Close)
	c := &Client{cfg: Config{REST: rest}, credentials: newCredentials(Config{})}
	f.Fuzz(func(t *testing.T, body []byte) {
		var answers []models.ObjectsGetResponse
		if json.Unmarshal(body, &answers) != nil {
			return
		}
		for _, a := range answers {
			err := c.verdict(a, id, &classInfo{replicas: 1}, false)
			refused, ours := errors.AsType[*Error](err)
			switch {
			case err == nil:
				status := ""
				if a.Result != nil && a.Result.Status != nil {
					status = *a.Result.Status
				}
				if a.Result == nil || a.Result.Errors != nil || !strings.EqualFold(a.ID.String(), id) || status != "" && status != "SUCCESS" {
					t.Errorf("%s counts as stored", body)
				}
			case !ours && !errors.Is(err, pool.ErrUnknownOutcome):
				t.Errorf("%s: %v", body, err)
			case ours && len(refused.Message) > 2<<10:
				t.Errorf("%s: %d bytes of message", body, len(refused.Message))
			}
		}
	})
}

// FuzzClass reads any schema. A class without a fault has the properties that it is asked for, of types that can be served.
func FuzzClass(f *testing.F) {
	for _, s := range []string{
		`{"class":"Message","properties":[{"name":"chat_id","dataType":["text"],"tokenization":"field"},{"name":"role","dataType":["text"]},{"name":"content","dataType":["text"]},{"name":"created_at","dataType":["date"]}]}`,
		`{"class":"Message","properties":[null,{"dataType":null}],"vectorConfig":{"a":{}},"multiTenancyConfig":null}`,
		`{"properties":[{"name":"chat_id","dataType":["uuid"]},{"name":"muted","dataType":["boolean"]},{"name":"muted_until","dataType":["date"]}],"replicationConfig":{"factor":3}}`, `{}`,
		`{"vectorConfig":{"a":{"vectorizer":7}},"moduleConfig":[],"vectorIndexConfig":"x"}`,
	} {
		f.Add([]byte(s))
	}
	c := &Client{cfg: Config{
		Message: MessageClass{Class: "Message", ChatID: "chat_id", Role: "role", Content: "content", CreatedAt: "created_at"},
		Mute:    MuteClass{Class: "ChatStatus", ChatID: "chat_id", Muted: "muted", Until: "muted_until"},
	}}
	c.message, c.mute = newClassLoader(c, "Message", c.messageClass), newClassLoader(c, "ChatStatus", c.muteClass)
	f.Fuzz(func(t *testing.T, body []byte) {
		var schema models.Class
		if json.Unmarshal(body, &schema) != nil {
			return
		}
		typeOf := func(name string) string {
			for _, p := range schema.Properties {
				if p != nil && strings.EqualFold(p.Name, name) && len(p.DataType) == 1 {
					return p.DataType[0]
				}
			}
			return ""
		}
		ids := []string{"text", "uuid", "int"}
		if k := c.messageClass(&schema); k.fault == nil &&
			(!slices.Contains(ids, typeOf("chat_id")) || typeOf("role") != "text" || typeOf("content") != "text" || typeOf("created_at") == "") {
			t.Errorf("%s passes for a class of messages", body)
		}
		if k := c.muteClass(&schema); k.fault == nil &&
			(!slices.Contains(ids, typeOf("chat_id")) || typeOf("muted") != "boolean" || typeOf("muted_until") != "date") {
			t.Errorf("%s passes for a class of mutes", body)
		}
	})
}
