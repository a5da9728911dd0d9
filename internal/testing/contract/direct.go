package contract

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"testing"
	"time"

	"connectrpc.com/connect"
	pb "github.com/weaviate/weaviate/grpc/generated/protocol/v1"
)

// direct talks to Weaviate without a sidecar, as another program would.
type direct struct {
	url    string
	key    string // empty: anonymous
	http   *http.Client
	search *connect.Client[pb.SearchRequest, pb.SearchReply]
}

func newDirect(t testing.TB, u Upstreams) *direct {
	t.Helper()
	return &direct{
		url: u.WeaviateURL, key: u.WeaviateAdminKey, http: newClient(t, u.CAFile),
		search: connect.NewClient[pb.SearchRequest, pb.SearchReply](newHTTP2Client(t, u.CAFile), u.WeaviateGRPC+searchPath, connect.WithGRPC()),
	}
}

// object is an object of any class.
type object struct {
	Class      string               `json:"class"`
	ID         string               `json:"id"`
	Tenant     string               `json:"tenant,omitempty"`
	Properties map[string]any       `json:"properties"`
	Vector     []float32            `json:"vector,omitempty"`
	Vectors    map[string][]float32 `json:"vectors,omitempty"`
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
	return d.propertiesOf(t, class, "", id)
}

func (d *direct) propertiesOf(t testing.TB, class, tenant, id string) map[string]any {
	t.Helper()
	path := "/v1/objects/" + class + "/" + id
	if tenant != "" {
		path += "?tenant=" + tenant
	}
	status, got := d.do(t, http.MethodGet, path, nil)
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
	rows := d.ask(t, &pb.SearchRequest{
		Collection: class, Limit: 1000, Filters: equalText("chat_id", chat),
		Properties: &pb.PropertiesRequest{NonRefProperties: []string{"chat_id"}}, Metadata: &pb.MetadataRequest{Uuid: true},
	})
	for _, o := range rows {
		if o.GetProperties().GetNonRefProps().GetFields()["chat_id"].GetTextValue() == chat {
			ids = append(ids, o.GetMetadata().GetId())
		}
	}
	return ids
}

// ask sends a search that must be answered.
func (d *direct) ask(t testing.TB, search *pb.SearchRequest) []*pb.SearchResult {
	t.Helper()
	search.Uses_123Api, search.Uses_125Api, search.Uses_127Api = true, true, true
	req := connect.NewRequest(search)
	if d.key != "" {
		req.Header().Set("Authorization", "Bearer "+d.key)
	}
	reply, err := d.search.CallUnary(t.Context(), req)
	if err != nil {
		t.Fatalf("search %v: %v", search, err)
	}
	return reply.Msg.GetResults()
}

func equalText(property, text string) *pb.Filters {
	return &pb.Filters{
		Operator: pb.Filters_OPERATOR_EQUAL, TestValue: &pb.Filters_ValueText{ValueText: text},
		Target: &pb.FilterTarget{Target: &pb.FilterTarget_Property{Property: property}},
	}
}
