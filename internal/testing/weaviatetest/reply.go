package weaviatetest

import (
	"encoding/binary"
	"fmt"
	"math"

	"github.com/google/uuid"
	pb "github.com/weaviate/weaviate/grpc/generated/protocol/v1"
)

// findProperties lists what the reply shall have: what is asked for, or everything if nothing is said.
func (q *search) findProperties() error {
	want := q.GetProperties()
	if want == nil || want.GetReturnAllNonrefProperties() {
		q.properties = q.class.Properties
		return nil
	}
	if len(want.GetRefProperties())+len(want.GetObjectProperties()) > 0 {
		return fmt.Errorf("stand-in: references and objects are not covered")
	}
	for _, name := range want.GetNonRefProperties() {
		p := q.class.property(lowerFirst(name))
		if p == nil {
			return fmt.Errorf("get property by name %s for class %s: %w",
				lowerFirst(name), q.class.Name, noSuchProperty(lowerFirst(name), q.class.Name))
		}
		q.properties = append(q.properties, p)
	}
	return nil
}

func (q *search) result(h hit) *pb.SearchResult {
	out := &pb.SearchResult{Properties: &pb.PropertiesResult{TargetCollection: q.class.Name}, Metadata: q.metadata(h)}
	if len(q.properties) > 0 {
		fields := map[string]*pb.Value{}
		for _, p := range q.properties {
			fields[p.Name] = p.value(h.Properties[p.Name])
		}
		out.Properties.NonRefProps = &pb.Properties{Fields: fields}
	}
	return out
}

func (q *search) metadata(h hit) *pb.MetadataResult {
	want, out := q.GetMetadata(), &pb.MetadataResult{}
	if want.GetUuid() {
		id := uuid.MustParse(h.ID)
		out.Id, out.IdAsBytes = h.ID, id[:]
	}
	if want.GetCreationTimeUnix() {
		out.CreationTimeUnix, out.CreationTimeUnixPresent = h.Created, true
	}
	if want.GetLastUpdateTimeUnix() {
		out.LastUpdateTimeUnix, out.LastUpdateTimeUnixPresent = h.Updated, true
	}
	if want.GetDistance() && h.distance != nil {
		out.Distance, out.DistancePresent = *h.distance, true
	}
	if want.GetCertainty() && h.distance != nil {
		out.Certainty, out.CertaintyPresent = 1-*h.distance/2, true
	}
	if want.GetScore() { // also of what has none
		out.Score, out.ScorePresent = h.score, true
	}
	out.ExplainScorePresent = want.GetExplainScore() // the text itself is not covered
	if want.GetIsConsistent() && q.class.Replication.Factor > 1 {
		out.IsConsistent, out.IsConsistentPresent = new(true), true
	}
	names := want.GetVectors()
	if want.GetVector() {
		out.Vector, out.VectorBytes = h.Vector, bytesOf(h.Vector)
		if q.class.VectorConfig != nil {
			names = q.class.targets()
		}
	}
	for _, name := range names {
		if v := h.Vectors[name]; len(v) > 0 {
			out.Vectors = append(out.Vectors, &pb.Vectors{Name: name, VectorBytes: bytesOf(v)})
		}
	}
	return out
}

// value is a stored value as the reply has it. What is null and what was never set look alike.
func (p *property) value(v any) *pb.Value {
	switch v := v.(type) {
	case bool:
		return &pb.Value{Kind: &pb.Value_BoolValue{BoolValue: v}}
	case float64:
		if p.kind() == "int" {
			return &pb.Value{Kind: &pb.Value_IntValue{IntValue: int64(v)}}
		}
		return &pb.Value{Kind: &pb.Value_NumberValue{NumberValue: v}}
	case string:
		switch p.kind() {
		case "date":
			return &pb.Value{Kind: &pb.Value_DateValue{DateValue: v}}
		case "uuid":
			return &pb.Value{Kind: &pb.Value_UuidValue{UuidValue: v}}
		}
		return &pb.Value{Kind: &pb.Value_TextValue{TextValue: v}}
	case []any:
		return &pb.Value{Kind: &pb.Value_ListValue{ListValue: p.listValue(v)}}
	}
	return &pb.Value{Kind: &pb.Value_NullValue{}}
}

func (p *property) listValue(v []any) *pb.ListValue {
	switch p.base() {
	case "int":
		var b []byte
		for _, n := range each[float64](v) {
			b = binary.LittleEndian.AppendUint64(b, uint64(int64(n)))
		}
		return &pb.ListValue{Kind: &pb.ListValue_IntValues{IntValues: &pb.IntValues{Values: b}}}
	case "number":
		var b []byte
		for _, n := range each[float64](v) {
			b = binary.LittleEndian.AppendUint64(b, math.Float64bits(n))
		}
		return &pb.ListValue{Kind: &pb.ListValue_NumberValues{NumberValues: &pb.NumberValues{Values: b}}}
	case "boolean":
		return &pb.ListValue{Kind: &pb.ListValue_BoolValues{BoolValues: &pb.BoolValues{Values: each[bool](v)}}}
	case "date":
		return &pb.ListValue{Kind: &pb.ListValue_DateValues{DateValues: &pb.DateValues{Values: each[string](v)}}}
	case "uuid":
		return &pb.ListValue{Kind: &pb.ListValue_UuidValues{UuidValues: &pb.UuidValues{Values: each[string](v)}}}
	}
	return &pb.ListValue{Kind: &pb.ListValue_TextValues{TextValues: &pb.TextValues{Values: each[string](v)}}}
}

func each[T any](v []any) []T {
	out := make([]T, len(v))
	for i, e := range v {
		out[i] = e.(T)
	}
	return out
}

func bytesOf(v []float32) []byte {
	var b []byte
	for _, f := range v {
		b = binary.LittleEndian.AppendUint32(b, math.Float32bits(f))
	}
	return b
}

// floatsOf leaves out what does not fill four bytes.
func floatsOf(b []byte) []float32 {
	v := make([]float32, len(b)/4)
	for i := range v {
		v[i] = math.Float32frombits(binary.LittleEndian.Uint32(b[4*i:]))
	}
	return v
}
