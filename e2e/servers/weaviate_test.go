package servers

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"slices"
	"strings"
	"testing"

	"connectrpc.com/connect"
	pb "github.com/weaviate/weaviate/grpc/generated/protocol/v1"
)

func startWeaviate(t *testing.T, config WeaviateConfig) *Weaviate {
	t.Helper()
	w, err := StartWeaviate(t.Context(), t.TempDir(), config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(w.Stop)
	return w
}

// supportedHere skips, with E2E=optional, what this machine cannot run.
func supportedHere(t *testing.T, err error) {
	t.Helper()
	if errors.Is(err, ErrUnsupported) && os.Getenv("E2E") == "optional" {
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
}

const class = `{"class": %q, "properties": [{"name": "chat_id", "dataType": ["text"], "tokenization": "field"}, {"name": "content", "dataType": ["text"]}]}`

func (w *Weaviate) createClass(t *testing.T, name string) {
	t.Helper()
	if _, err := w.rest(t.Context(), w.AdminKey, http.MethodPost, "/v1/schema", fmt.Sprintf(class, name)); err != nil {
		t.Fatal(err)
	}
}

// search asks for a chat's objects, at most limit of them, and returns how many there are.
func search(ctx context.Context, client *http.Client, url, key, class string, limit uint32) (int, error) {
	req := connect.NewRequest(&pb.SearchRequest{
		Collection: class, Limit: limit, Uses_123Api: true, Uses_125Api: true, Uses_127Api: true,
		Filters: &pb.Filters{
			Operator: pb.Filters_OPERATOR_EQUAL, TestValue: &pb.Filters_ValueText{ValueText: "chat"},
			Target: &pb.FilterTarget{Target: &pb.FilterTarget_Property{Property: "chat_id"}},
		},
	})
	if key != "" {
		req.Header().Set("Authorization", "Bearer "+key)
	}
	rpc := connect.NewClient[pb.SearchRequest, pb.SearchReply](client, url+"/weaviate.v1.Weaviate/Search", connect.WithGRPC())
	res, err := rpc.CallUnary(ctx, req)
	if err != nil {
		return 0, err
	}
	return len(res.Msg.GetResults()), nil
}

// h2c is a client of HTTP/2 without TLS.
func h2c(t *testing.T) *http.Client {
	protocols := new(http.Protocols)
	protocols.SetUnencryptedHTTP2(true)
	transport := &http.Transport{Protocols: protocols}
	t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport}
}

// use does in a class what Hearth does, and joins what was refused.
func (w *Weaviate) use(t *testing.T, key, class string) error {
	t.Helper()
	const id = "6f1d7c34-4d1c-4c63-9c0b-3a0f2f0f4b11"
	object := fmt.Sprintf(`{"class": %q, "id": %q, "properties": {"chat_id": "chat", "content": "text"}}`, class, id)
	_, schema := w.rest(t.Context(), key, http.MethodGet, "/v1/schema/"+class, "")
	_, write := w.rest(t.Context(), key, http.MethodPost, "/v1/batch/objects", `{"objects": [`+object+`]}`)
	_, change := w.rest(t.Context(), key, http.MethodPatch, "/v1/objects/"+class+"/"+id, object)
	found, read := search(t.Context(), h2c(t), w.GRPCURL, key, class, 10)
	if read == nil && write == nil && found != 1 {
		t.Errorf("%s: %d objects, want the one that was written", class, found)
	}
	return errors.Join(schema, write, change, read)
}

func TestHearthsRoleIsTheSmallestThatWorks(t *testing.T) {
	w := startWeaviate(t, WeaviateConfig{Users: []Classes{GuideClasses()}})
	for _, class := range []string{"Message", "ChatStatus"} {
		w.createClass(t, class)
		if err := w.use(t, w.Key, class); err != nil {
			t.Errorf("the role of the guide, %s: %v", class, err)
		}
	}
	if err := w.use(t, w.StrangerKey, "Message"); err == nil {
		t.Error("a user without a role may do everything")
	}

	admin := func(method, path, body string) {
		t.Helper()
		if _, err := w.rest(t.Context(), w.AdminKey, method, path, body); err != nil {
			t.Fatal(err)
		}
	}
	type permission struct {
		Action      string            `json:"action"`
		Data        map[string]string `json:"data,omitempty"`
		Collections map[string]string `json:"collections,omitempty"`
	}
	guide, err := readGuide(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var role struct{ Permissions []permission }
	if err := json.Unmarshal([]byte(guide.role.body), &role); err != nil {
		t.Fatal(err)
	}
	if len(role.Permissions) == 0 {
		t.Fatalf("the role of the guide has no permission: %s", guide.role.body)
	}
	for i, missing := range role.Permissions {
		rest, err := json.Marshal(map[string]any{
			"name": "smaller", "permissions": slices.Delete(slices.Clone(role.Permissions), i, i+1),
		})
		if err != nil {
			t.Fatal(err)
		}
		admin(http.MethodPost, "/v1/authz/roles", string(rest))
		admin(http.MethodPost, "/v1/authz/users/"+Stranger+"/assign", `{"roles": ["smaller"], "userType": "db"}`)
		class := missing.Data["collection"] + missing.Collections["collection"]
		if err := w.use(t, w.StrangerKey, class); err == nil || !strings.Contains(err.Error(), missing.Action) {
			t.Errorf("without %s on %s: %v", missing.Action, class, err)
		}
		admin(http.MethodDelete, "/v1/authz/roles/smaller", "")
	}
}

func TestWeaviateIsSetUpAsAsked(t *testing.T) {
	for name, config := range map[string]WeaviateConfig{
		"with keys": {Users: []Classes{{Message: "Note*", Mute: "Quiet"}}, QueryMaximum: 50, Vectorizers: true},
		"open":      {},
	} {
		t.Run(name, func(t *testing.T) {
			w := startWeaviate(t, config)
			keys := config.Users != nil
			w.createClass(t, "Note_1")
			if err := w.use(t, w.Key, "Note_1"); err != nil {
				t.Error(err)
			}
			for what, key := range map[string]string{"no key": "", "a wrong key": "wrong"} {
				if err := w.use(t, key, "Note_1"); (err != nil) != keys && (keys || key == "") {
					t.Errorf("%s: %v", what, err)
				}
			}
			if _, err := w.rest(t.Context(), w.AdminKey, http.MethodPost, "/v1/graphql", `{"query": "{Get{Note_1{chat_id}}}"}`); (err != nil) != keys {
				t.Errorf("GraphQL: %v", err)
			}
			if _, err := search(t.Context(), h2c(t), w.GRPCURL, w.Key, "Note_1", 51); (err != nil) != (config.QueryMaximum == 50) {
				t.Errorf("51 rows: %v", err)
			}
			vectorized := `{"class": "Vectorized", "vectorizer": "text2vec-openai"}`
			if _, err := w.rest(t.Context(), w.AdminKey, http.MethodPost, "/v1/schema", vectorized); (err == nil) != config.Vectorizers {
				t.Errorf("a class with a vectorizer: %v", err)
			}
			// What was made is there after a restart.
			if err := w.Kill(); err != nil {
				t.Fatal(err)
			}
			if err := w.Restart(t.Context()); err != nil {
				t.Fatal(err)
			}
			if err := w.use(t, w.Key, "Note_1"); err != nil {
				t.Error(err)
			}
		})
	}
}
