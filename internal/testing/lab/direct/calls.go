// Package direct makes the calls of one preprocess straight to the upstreams, as handlers do without Hearth: by a new gRPC channel for
// each question to Weaviate, and by a new connection for each call to Odoo.
//
// Start at [Preprocess], which lists the calls, and [Ask], which makes them. [Python] makes the same calls in Python.
package direct

import (
	"encoding/json"

	pb "github.com/weaviate/weaviate/grpc/generated/protocol/v1"
	"google.golang.org/protobuf/proto"

	"hearth/internal/testing/lab"
)

// Call is one request to an upstream, as a handler without Hearth makes it: over gRPC to Weaviate, over HTTP to Odoo.
type Call struct {
	Name    string            `json:"name"`
	GRPC    bool              `json:"grpc"`
	Host    string            `json:"host"`
	Path    string            `json:"path"`
	Headers map[string]string `json:"headers,omitempty"`
	Body    []byte            `json:"body"`
}

// Preprocess lists the calls of one preprocess: a history of 10 per role, the mute, what is relevant, one model.
func Preprocess(u *lab.Upstreams, chat, text string) []Call {
	recent := func(role string) *pb.SearchRequest {
		r := messages(10, all(equal("chat_id", chat), equal("role", role)))
		r.SortBy = []*pb.SortBy{{Path: []string{"created_at"}}}
		return r
	}
	relevant := messages(5, all(equal("chat_id", chat), either(equal("role", "user"), equal("role", "assistant"))))
	relevant.Bm25Search = &pb.BM25{Query: text, Properties: []string{"content"}}
	return []Call{
		searchCall(u, "history_user", recent("user")),
		searchCall(u, "history_assistant", recent("assistant")),
		searchCall(u, "mute", search("ChatStatus", 1, equal("chat_id", chat), "chat_id", "muted", "muted_until")),
		searchCall(u, "relevant", relevant),
		odooCall(u, "model_fields", "res.partner/fields_get", map[string]any{
			"attributes": []string{"string", "type", "required", "readonly", "relation", "selection"},
		}),
		odooCall(u, "model_name", "ir.model/display_name_for", map[string]any{"models": []string{"res.partner"}}),
	}
}

// searchCall is a call to Weaviate.
func searchCall(u *lab.Upstreams, name string, req *pb.SearchRequest) Call {
	body, err := proto.Marshal(req)
	if err != nil {
		panic(err) // text always encodes
	}
	return Call{Name: name, GRPC: true, Host: u.WeaviateGRPC.Addr, Path: "/weaviate.v1.Weaviate/Search", Body: body}
}

// odooCall is a call to Odoo.
func odooCall(u *lab.Upstreams, name, path string, kwargs map[string]any) Call {
	body, err := json.Marshal(kwargs)
	if err != nil {
		panic(err) // text always encodes
	}
	return Call{Name: name, Host: u.OdooJSON.Addr, Path: "/json/2/" + path, Body: body, Headers: map[string]string{
		"Content-Type": "application/json", "Authorization": "bearer " + lab.OdooKey, "X-Odoo-Database": lab.OdooDB,
	}}
}

func messages(limit uint32, where *pb.Filters) *pb.SearchRequest {
	return search("Message", limit, where, "chat_id", "role", "content", "created_at")
}

func search(class string, limit uint32, where *pb.Filters, properties ...string) *pb.SearchRequest {
	return &pb.SearchRequest{
		Collection: class, Filters: where, Limit: limit,
		Properties:  &pb.PropertiesRequest{NonRefProperties: properties},
		Metadata:    &pb.MetadataRequest{Uuid: true},
		Uses_123Api: true, Uses_125Api: true, Uses_127Api: true,
	}
}

func equal(property, text string) *pb.Filters {
	return &pb.Filters{
		Operator: pb.Filters_OPERATOR_EQUAL, TestValue: &pb.Filters_ValueText{ValueText: text},
		Target: &pb.FilterTarget{Target: &pb.FilterTarget_Property{Property: property}},
	}
}

func all(filters ...*pb.Filters) *pb.Filters {
	return &pb.Filters{Operator: pb.Filters_OPERATOR_AND, Filters: filters}
}

func either(filters ...*pb.Filters) *pb.Filters {
	return &pb.Filters{Operator: pb.Filters_OPERATOR_OR, Filters: filters}
}

// OneByOne makes one call after another.
func OneByOne(calls []Call) (stages [][]Call) {
	for _, c := range calls {
		stages = append(stages, []Call{c})
	}
	return stages
}

// InTwoStages reads the history first, and the rest after it, as handlers of today do.
func InTwoStages(calls []Call) [][]Call { return [][]Call{calls[:2], calls[2:]} }

// AllAtOnce makes all calls at the same time.
func AllAtOnce(calls []Call) [][]Call { return [][]Call{calls} }
