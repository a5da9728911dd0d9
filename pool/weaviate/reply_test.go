package weaviate

import (
	"errors"
	"math"
	"reflect"
	"testing"
	"unicode/utf8"

	pb "github.com/weaviate/weaviate/grpc/generated/protocol/v1"
	"google.golang.org/protobuf/proto"

	"hearth/pool"
)

// marshal is a message as it comes.
func marshal(m proto.Message) []byte {
	b, err := proto.Marshal(m)
	if err != nil {
		panic(err)
	}
	return b
}

// readRow is a row as an answer brings it.
func readRow(r *pb.SearchResult) row {
	rows, err := readReply(marshal(&pb.SearchReply{Results: []*pb.SearchResult{r}}), math.MaxInt64)
	if err != nil {
		panic(err)
	}
	return rows[0]
}

// sameRow says whether a row is what the generated code reads.
func sameRow(got row, want *pb.SearchResult) bool {
	m := want.GetMetadata()
	same := got.id == m.GetId() && got.created == m.GetCreationTimeUnix() && got.updated == m.GetLastUpdateTimeUnix() &&
		math.Float32bits(got.distance) == math.Float32bits(m.GetDistance()) && math.Float32bits(got.score) == math.Float32bits(m.GetScore())
	named := map[string]bool{}
	for _, p := range got.properties {
		named[p.name] = true
	}
	fields := want.GetProperties().GetNonRefProps().GetFields()
	same = same && len(named) == len(fields)
	for name, v := range fields {
		same = same && named[name] && sameValue(got.value(name), v)
	}
	vectors := got.vectors
	if len(m.GetVectorBytes()) > 0 {
		same = same && len(vectors) > 0
	}
	for _, v := range m.GetVectors() {
		found := false
		for _, g := range vectors {
			found = found || g.name == v.GetName() && g.littleEndian == string(v.GetVectorBytes())
		}
		same = same && found
	}
	return same
}

func sameValue(got value, want *pb.Value) bool {
	number := got.number
	got.number = 0
	switch v := want.GetKind().(type) {
	case nil:
		return got == value{}
	case *pb.Value_NumberValue:
		return got == value{kind: numberKind} && math.Float64bits(number) == math.Float64bits(v.NumberValue)
	case *pb.Value_StringValue:
		return got == value{kind: stringKind, text: v.StringValue}
	case *pb.Value_BoolValue:
		return got.kind == boolKind && got.text == "" && (got.integer != 0) == v.BoolValue
	case *pb.Value_ObjectValue:
		return got == value{kind: objectKind}
	case *pb.Value_ListValue:
		return got == value{kind: listKind}
	case *pb.Value_DateValue:
		return got == value{kind: dateKind, text: v.DateValue}
	case *pb.Value_UuidValue:
		return got == value{kind: uuidKind, text: v.UuidValue}
	case *pb.Value_IntValue:
		return got == value{kind: intKind, integer: v.IntValue}
	case *pb.Value_GeoValue:
		return got == value{kind: geoKind}
	case *pb.Value_BlobValue:
		return got == value{kind: blobKind}
	case *pb.Value_PhoneValue:
		return got == value{kind: phoneKind}
	case *pb.Value_NullValue:
		return got.kind == nullKind
	case *pb.Value_TextValue:
		return got == value{kind: textKind, text: v.TextValue}
	}
	return false
}

// everyKind is an answer that has every kind of value, and everything that is read of a row.
func everyKind() *pb.SearchReply {
	full := rowOf(map[string]*pb.Value{
		"number": {Kind: &pb.Value_NumberValue{NumberValue: -1.5}},
		"string": {Kind: &pb.Value_StringValue{StringValue: "old"}},
		"true":   boolValue(true),
		"false":  boolValue(false),
		"object": {Kind: &pb.Value_ObjectValue{ObjectValue: &pb.Properties{Fields: map[string]*pb.Value{"inner": textValue("x")}}}},
		"list":   {Kind: &pb.Value_ListValue{ListValue: &pb.ListValue{Kind: &pb.ListValue_TextValues{TextValues: &pb.TextValues{Values: []string{"x"}}}}}},
		"date":   dateValue("2026-01-01T00:00:00Z"),
		"uuid":   {Kind: &pb.Value_UuidValue{UuidValue: "e621e1f8-c36c-495a-93fc-0c247a3e6e5f"}},
		"int":    {Kind: &pb.Value_IntValue{IntValue: -10012345678}},
		"geo":    {Kind: &pb.Value_GeoValue{GeoValue: &pb.GeoCoordinate{Longitude: 1}}},
		"blob":   {Kind: &pb.Value_BlobValue{BlobValue: "eA=="}},
		"phone":  {Kind: &pb.Value_PhoneValue{PhoneValue: &pb.PhoneNumber{Input: "1"}}},
		"null":   {Kind: &pb.Value_NullValue{}},
		"text":   textValue("größer"),
		"empty":  textValue(""),
		"none":   {},
	})
	full.Metadata = &pb.MetadataResult{
		Id: "6f9619ff-8b86-4d01-b42d-00cf4fc964ff", CreationTimeUnix: 1, LastUpdateTimeUnix: -2, Distance: 0.25, Score: float32(math.Inf(1)),
		Certainty: 0.5, ExplainScore: "why", IdAsBytes: []byte{1}, VectorBytes: []byte{1, 2, 3, 4},
		Vectors: []*pb.Vectors{{Name: "a", Index: 1, VectorBytes: []byte{5, 6, 7, 8}}, {Name: "b", VectorBytes: []byte{9, 9, 9, 9}}},
	}
	return &pb.SearchReply{Took: 0.5, Results: []*pb.SearchResult{full, {}, rowOf(nil)}}
}

func TestARowIsReadAsTheGeneratedCodeReadsIt(t *testing.T) {
	for i, want := range everyKind().GetResults() {
		if got := readRow(want); !sameRow(got, want) {
			t.Errorf("row %d is %+v", i, got)
		}
	}
}

// FuzzReply reads what the generated code can read.
func FuzzReply(f *testing.F) {
	f.Add(marshal(everyKind()))
	f.Add(marshal(&pb.SearchReply{Results: []*pb.SearchResult{rowOf(map[string]*pb.Value{"role": textValue("user"), "at": dateValue("2026")})}}))
	f.Fuzz(func(t *testing.T, b []byte) {
		rows, err := readReply(b, math.MaxInt64)
		var want pb.SearchReply
		if proto.Unmarshal(b, &want) != nil {
			return
		}
		if err != nil || len(rows) != len(want.GetResults()) {
			t.Fatalf("%d rows, %v; want %d", len(rows), err, len(want.GetResults()))
		}
		for i, r := range want.GetResults() {
			if !sameRow(rows[i], r) {
				t.Errorf("row %d is %+v, want %v", i, rows[i], r)
			}
		}
	})
}

func TestWhatCannotBeReadIsAnError(t *testing.T) {
	whole := marshal(everyKind())
	for n := range whole {
		var want pb.SearchReply
		_, err := readReply(whole[:n], math.MaxInt64)
		if wantErr := proto.Unmarshal(whole[:n], &want); (err == nil) != (wantErr == nil) {
			t.Errorf("the first %d bytes: %v, want %v", n, err, wantErr)
		}
	}
	for what, r := range map[string]*pb.SearchResult{
		"a text": {Properties: &pb.PropertiesResult{NonRefProps: &pb.Properties{Fields: map[string]*pb.Value{"p": textValue("xx~~")}}}},
		"a name": {Properties: &pb.PropertiesResult{NonRefProps: &pb.Properties{Fields: map[string]*pb.Value{"xx~~": textValue("x")}}}},
		"an id":  {Metadata: &pb.MetadataResult{Id: "xx~~"}},
	} {
		b := marshal(&pb.SearchReply{Results: []*pb.SearchResult{r}})
		for i := range b {
			if b[i] == '~' {
				b[i] = 0xff
			}
		}
		if utf8.Valid(b) {
			t.Fatal("it is UTF-8")
		}
		if _, err := readReply(b, math.MaxInt64); !errors.Is(err, errNotUTF8) {
			t.Errorf("%s that is not UTF-8: %v", what, err)
		}
	}
}

func TestRowsTakeTheMemoryThatIsCounted(t *testing.T) {
	if size := reflect.TypeFor[row]().Size(); size != rowBytes {
		t.Errorf("a row takes %d bytes", size)
	}
	if size := reflect.TypeFor[property]().Size(); size != propertyBytes {
		t.Errorf("a property takes %d bytes", size)
	}
	if size := reflect.TypeFor[storedVector]().Size(); 5*size != vectorsGrow {
		t.Errorf("a vector takes %d bytes", size)
	}
	b := marshal(&pb.SearchReply{Results: []*pb.SearchResult{rowOf(map[string]*pb.Value{"role": textValue("user")})}})
	exact := int64(len(b)) + rowBytes + propertyBytes
	if _, err := readReply(b, exact); err != nil {
		t.Error(err)
	}
	if _, err := readReply(b, exact-1); !errors.Is(err, pool.ErrTooLarge) {
		t.Errorf("a byte too many: %v", err)
	}
}

// A row's own allocations are its list of properties and what its messages keep.
func TestAMessageIsReadWithFewAllocations(t *testing.T) {
	page := func(rows int) []byte {
		sent := &pb.SearchReply{}
		for range rows {
			sent.Results = append(sent.Results, rowOf(map[string]*pb.Value{"role": textValue("user"), "chat_id": textValue("a")}))
		}
		return marshal(sent)
	}
	cost := func(b []byte) float64 {
		return testing.AllocsPerRun(20, func() {
			if _, err := readReply(b, math.MaxInt64); err != nil {
				t.Fatal(err)
			}
		})
	}
	if per := (cost(page(110)) - cost(page(10))) / 100; per > 1 {
		t.Errorf("a row costs %v allocations", per)
	}
}
