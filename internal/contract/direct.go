package contract

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"testing"
	"time"
)

// direct goes to Weaviate past every sidecar, as another program would.
type direct struct {
	url  string
	key  string // empty: anonymous
	http *http.Client
}

func newDirect(t testing.TB, url, key, caFile string) *direct {
	t.Helper()
	return &direct{url: url, key: key, http: newClient(t, caFile)}
}

// object is an object of any class.
type object struct {
	Class      string         `json:"class"`
	ID         string         `json:"id"`
	Properties map[string]any `json:"properties"`
	Vector     []float32      `json:"vector,omitempty"`
}

func messageObject(class, id, chat, role, content string, at time.Time) object {
	return object{Class: class, ID: id, Properties: map[string]any{
		"chat_id": chat, "role": role, "content": content, "created_at": at.UTC().Format(time.RFC3339Nano),
	}}
}

func (d *direct) do(t testing.TB, method, path string, body any) (int, []byte) {
	t.Helper()
	encoded, err := json.Marshal(body)
	if err != nil {
		t.Fatal(err)
	}
	req, err := http.NewRequest(method, d.url+path, bytes.NewReader(encoded)) //nolint:noctx // cleanups have no context
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	if d.key != "" {
		req.Header.Set("Authorization", "Bearer "+d.key)
	}
	resp, err := d.http.Do(req)
	if err != nil {
		t.Fatalf("%s %s: %v", method, path, err)
	}
	defer resp.Body.Close()
	got, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, got
}

func (d *direct) createClass(t testing.TB, class map[string]any) {
	t.Helper()
	if status, got := d.do(t, http.MethodPost, "/v1/schema", class); status != http.StatusOK {
		t.Fatalf("create a class: %d %s", status, got)
	}
	t.Cleanup(func() { d.dropClass(t, class["class"].(string)) })
}

func (d *direct) dropClass(t testing.TB, class string) {
	t.Helper()
	if status, got := d.do(t, http.MethodDelete, "/v1/schema/"+class, nil); status != http.StatusOK {
		t.Errorf("drop class %s: %d %s", class, status, got)
	}
}

// insert writes objects, all of which must be taken.
func (d *direct) insert(t testing.TB, objects ...object) {
	t.Helper()
	status, got := d.do(t, http.MethodPost, "/v1/batch/objects", map[string]any{"objects": objects})
	var answers []struct {
		Result struct {
			Errors any    `json:"errors"`
			Status string `json:"status"`
		} `json:"result"`
	}
	if status != http.StatusOK || json.Unmarshal(got, &answers) != nil || len(answers) != len(objects) {
		t.Fatalf("insert: %d %s", status, got)
	}
	for _, a := range answers {
		if a.Result.Errors != nil {
			t.Fatalf("insert: %s", got)
		}
	}
}

func (d *direct) remove(t testing.TB, class, id string) {
	t.Helper()
	if status, got := d.do(t, http.MethodDelete, "/v1/objects/"+class+"/"+id, nil); status != http.StatusNoContent {
		t.Fatalf("remove: %d %s", status, got)
	}
}

// properties of one object; nil: there is no such object.
func (d *direct) properties(t testing.TB, class, id string) map[string]any {
	t.Helper()
	status, got := d.do(t, http.MethodGet, "/v1/objects/"+class+"/"+id, nil)
	if status == http.StatusNotFound {
		return nil
	}
	var o object
	if err := json.Unmarshal(got, &o); status != http.StatusOK || err != nil {
		t.Fatalf("get %s: %d %s", id, status, got)
	}
	return o.Properties
}

// ids are the objects of a chat.
func (d *direct) ids(t testing.TB, class, chat string) (ids []string) {
	t.Helper()
	quoted, _ := json.Marshal(chat)
	query := fmt.Sprintf(`{Get{%s(where:{path:["chat_id"],operator:Equal,valueText:%s},limit:1000){chat_id _additional{id}}}}`, class, quoted)
	status, got := d.do(t, http.MethodPost, "/v1/graphql", map[string]any{"query": query})
	var answer struct {
		Data struct {
			Get map[string][]struct {
				ChatID     string            `json:"chat_id"`
				Additional map[string]string `json:"_additional"`
			}
		} `json:"data"`
		Errors []any `json:"errors"`
	}
	if err := json.Unmarshal(got, &answer); status != http.StatusOK || err != nil || answer.Errors != nil {
		t.Fatalf("find objects of %q: %d %s", chat, status, got)
	}
	for _, o := range answer.Data.Get[class] {
		if o.ChatID == chat {
			ids = append(ids, o.Additional["id"])
		}
	}
	return ids
}
