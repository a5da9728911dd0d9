package main

import (
	"encoding/json"
	"errors"
	"math"
	"reflect"
	"strings"
	"testing"
	"time"

	pb "github.com/weaviate/weaviate/grpc/generated/protocol/v1"
	"go.uber.org/goleak"
	"google.golang.org/protobuf/proto"

	"hearth/client"
	"hearth/internal/testing/lab"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestVerdict(t *testing.T) {
	for _, tc := range []struct {
		name               string
		a, b, d, beyond, f float64
		missed             int
	}{
		{"kept", 1000, 300, 70, 66, 1, 0},
		{"held too slow", 1000, 300, 70, 66, 1.1, 1},
		{"cold too slow for a", 1000, 300, 71, 66, 1, 1},
		{"cold too slow for b", 1000, 200, 70, 66, 1, 1},
		{"a second round trip", 2000, 500, 126, 120, 1, 1},
		{"all too slow", 1000, 900, 400, 400, 400, 4},
		{"nothing measured", math.NaN(), 1, 1, math.NaN(), 1, 4},
	} {
		d := &demo{trips: lab.Samples{60}}
		d.a, d.b, d.c, d.d, d.e, d.f = variants()
		d.a.MS, d.b.MS, d.d.MS, d.f.MS = lab.Samples{tc.a}, lab.Samples{tc.b}, lab.Samples{tc.d}, lab.Samples{tc.f}
		d.d.beyond = lab.Samples{tc.beyond}
		var out strings.Builder
		err := d.verdict(&out)
		if n := strings.Count(out.String(), "MISSED"); n != tc.missed || errors.Is(err, errPromise) != (tc.missed > 0) {
			t.Errorf("%s: %v\n%s", tc.name, err, out.String())
		}
	}
}

func TestConnectionsAreThoseOfEachPool(t *testing.T) {
	var out strings.Builder
	dials := func(n int64) client.PoolStats { return client.PoolStats{Dials: n} }
	weaviate := client.UpstreamStats{PoolStats: dials(3), REST: new(dials(1)), GRPC: new(dials(2))}
	odoo := client.UpstreamStats{PoolStats: dials(4)}
	err := connections(&out, client.Pools{"weaviate": weaviate, "odoo": odoo})
	if want := "opened 7 connections: 1 to Weaviate over REST, 2 over gRPC, 4 to Odoo"; err != nil || !strings.Contains(out.String(), want) {
		t.Errorf("%q, %v", out.String(), err)
	}
	if err := connections(&out, client.Pools{"weaviate": {PoolStats: dials(3)}, "odoo": odoo}); err == nil {
		t.Error("pools that are not there were counted")
	}
}

// Both ways must be read alike, or comparing them says nothing.
func TestBothWaysAreReadAlike(t *testing.T) {
	const early, late = "2026-03-01T12:00:00.12Z", "2026-03-01T12:00:00.120001Z"
	text := func(s string) *pb.Value { return &pb.Value{Kind: &pb.Value_TextValue{TextValue: s}} }
	object := func(id string, fields map[string]*pb.Value) *pb.SearchResult {
		return &pb.SearchResult{
			Metadata:   &pb.MetadataResult{Id: id},
			Properties: &pb.PropertiesResult{NonRefProps: &pb.Properties{Fields: fields}},
		}
	}
	said := func(id, role, at string) *pb.SearchResult {
		return object(id, map[string]*pb.Value{
			"role": text(role), "content": text("of " + id), "created_at": {Kind: &pb.Value_DateValue{DateValue: at}},
		})
	}
	reply := func(list ...*pb.SearchResult) []byte {
		b, err := proto.Marshal(&pb.SearchReply{Results: list})
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	replies := map[string][]byte{
		"history_user":      reply(said("3", "user", late), said("1", "user", early)),
		"history_assistant": reply(said("2", "assistant", early)),
		"mute":              reply(object("4", map[string]*pb.Value{"muted": {Kind: &pb.Value_BoolValue{BoolValue: true}}})),
		"relevant":          reply(said("2", "assistant", early)),
		"model_name":        []byte(`[{"display_name":"Contact"}]`),
		"model_fields":      []byte(`{"name":{},"email":{}}`),
	}
	direct, _, err := sample{Replies: replies}.read()
	if err != nil {
		t.Fatal(err)
	}
	message := func(id, role string) client.Message {
		return client.Message{ID: id, Role: role, Content: "of " + id, CreatedAt: time.Now()}
	}
	found := &client.Preprocess{
		MuteStatus:       &client.MuteStatus{Muted: true},
		RelevantMessages: []client.ScoredMessage{{Message: message("2", "assistant")}},
		OdooModels:       map[string]client.Model{"res.partner": {Name: "Contact", Fields: map[string]json.RawMessage{"email": nil, "name": nil}}},
		History:          &client.History{AllMessages: []client.Message{message("1", "user"), message("2", "assistant"), message("3", "user")}},
	}
	through, _, err := sample{Preprocess: found}.read()
	if err != nil || !reflect.DeepEqual(direct, through) {
		t.Errorf("%+v\n%+v, %v", direct, through, err)
	}

	replies["mute"] = []byte("no reply of Weaviate")
	if _, _, err := (sample{Replies: replies}).read(); err == nil || !strings.HasPrefix(err.Error(), "mute: ") {
		t.Errorf("a reply that cannot be read: %v", err)
	}
	found.Errors = map[string]*client.Problem{client.PartMute: {Detail: "no such class"}}
	if _, _, err := (sample{Preprocess: found}).read(); err == nil || !strings.Contains(err.Error(), "no such class") {
		t.Errorf("a part that failed: %v", err)
	}
}
