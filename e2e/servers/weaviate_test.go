package servers

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
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

// supportedHere skips the test, with E2E=optional, if this machine cannot run the server.
func supportedHere(t *testing.T, err error) {
	t.Helper()
	if errors.Is(err, ErrUnsupported) && os.Getenv("E2E") == "optional" {
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// admin makes a call as an administrator.
func (w *Weaviate) admin(t *testing.T, method, path, body string) {
	t.Helper()
	if _, err := w.rest(t.Context(), w.AdminKey, method, path, body); err != nil {
		t.Fatal(err)
	}
}

// createClass makes a class; tenancy is its multiTenancyConfig.
func (w *Weaviate) createClass(t *testing.T, name, tenancy string) {
	t.Helper()
	const properties = `[{"name": "chat_id", "dataType": ["text"], "tokenization": "field"}, {"name": "content", "dataType": ["text"]}]`
	w.admin(t, http.MethodPost, "/v1/schema", fmt.Sprintf(`{"class": %q, "multiTenancyConfig": {%s}, "properties": %s}`, name, tenancy, properties))
}

// search asks for a chat's objects, at most limit of them, and returns how many there are.
func search(ctx context.Context, client *http.Client, url, key string, in place, limit uint32) (int, error) {
	req := connect.NewRequest(&pb.SearchRequest{
		Collection: in.class, Tenant: in.tenant, Limit: limit, Uses_127Api: true,
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

// place is a class, or a tenant of one.
type place struct{ class, tenant string }

// use makes the calls that Hearth makes in a place, and joins their errors.
func (w *Weaviate) use(t *testing.T, key string, in place) error {
	t.Helper()
	const id = "6f1d7c34-4d1c-4c63-9c0b-3a0f2f0f4b11"
	object := fmt.Sprintf(`{"class": %q, "tenant": %q, "id": %q, "properties": {"chat_id": "chat", "content": "text"}}`, in.class, in.tenant, id)
	_, schema := w.rest(t.Context(), key, http.MethodGet, "/v1/schema/"+in.class, "")
	answer, write := w.rest(t.Context(), key, http.MethodPost, "/v1/batch/objects", `{"objects": [`+object+`]}`)
	if write == nil && !strings.Contains(string(answer), `"SUCCESS"`) {
		write = fmt.Errorf("batch: %s", answer)
	}
	_, change := w.rest(t.Context(), key, http.MethodPatch, "/v1/objects/"+in.class+"/"+id, object)
	found, read := search(t.Context(), h2c(t), w.GRPCURL, key, in, 10)
	if read == nil && write == nil && found != 1 {
		t.Errorf("%v: %d objects, want the one that was written", in, found)
	}
	return errors.Join(schema, write, change, read)
}

func TestWeaviateIsSetUpAsAsked(t *testing.T) {
	for name, config := range map[string]WeaviateConfig{
		"with keys": {Users: []Classes{{Message: "Note*", Mute: "Quiet"}}, QueryMaximum: 50, Vectorizers: true},
		"open":      {},
	} {
		t.Run(name, func(t *testing.T) {
			w := startWeaviate(t, config)
			keys := config.Users != nil
			note := place{class: "Note_1"}
			w.createClass(t, note.class, "")
			if err := w.use(t, w.Key, note); err != nil {
				t.Error(err)
			}
			if err := w.use(t, "", note); (err != nil) != keys {
				t.Errorf("without a key: %v", err)
			}
			if _, err := w.rest(t.Context(), w.AdminKey, http.MethodPost, "/v1/graphql", `{"query": "{Get{Note_1{chat_id}}}"}`); (err != nil) != keys {
				t.Errorf("GraphQL: %v", err)
			}
			if _, err := search(t.Context(), h2c(t), w.GRPCURL, w.Key, note, 51); (err != nil) != (config.QueryMaximum == 50) {
				t.Errorf("51 rows: %v", err)
			}
			vectorized := `{"class": "Vectorized", "vectorizer": "text2vec-openai"}`
			if _, err := w.rest(t.Context(), w.AdminKey, http.MethodPost, "/v1/schema", vectorized); (err == nil) != config.Vectorizers {
				t.Errorf("a class with a vectorizer: %v", err)
			}
			// The class is there after a restart.
			if err := w.Kill(); err != nil {
				t.Fatal(err)
			}
			if err := w.Restart(t.Context()); err != nil {
				t.Fatal(err)
			}
			if err := w.use(t, w.Key, note); err != nil {
				t.Error(err)
			}
		})
	}
}
