package weaviate

import (
	"bytes"
	"errors"
	"io"
	"net/http"
	"runtime"
	"slices"
	"strings"
	"testing"

	pb "github.com/weaviate/weaviate/grpc/generated/protocol/v1"
	"google.golang.org/protobuf/encoding/protowire"

	"hearth/client/wire"
	"hearth/pool"
)

func TestAnAnswerOfManySmallThingsCostsASmallMultipleOfItsBytes(t *testing.T) {
	const size = 1 << 20
	within := func(inner []byte, fields ...protowire.Number) []byte {
		for _, f := range fields {
			inner = protowire.AppendBytes(protowire.AppendTag(nil, f, protowire.BytesType), inner)
		}
		return inner
	}
	many := func(one []byte) []byte { return bytes.Repeat(one, size/len(one)) }
	nested := within(nil, 2)
	for range 2000 {
		nested = within(nested, 2)
	}
	const results, properties, nonRef, fields, value, list, text, metadata, vectors = 2, 1, 11, 1, 2, 5, 8, 2, 23
	for name, b := range map[string][]byte{
		"rows":    many(within(nil, results)),
		"vectors": within(many(within(nil, vectors)), metadata, results),
		"values":  within(many(within(nil, fields)), nonRef, properties, results),
		"texts":   within(many(within(nil, 1)), text, list, value, fields, nonRef, properties, results),
		"unknown": many(within(nil, 99)),
		"nested":  nested,
	} {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		err := codec{most: size}.Unmarshal(b, &reply{})
		runtime.ReadMemStats(&after)
		if cost := int64(after.TotalAlloc - before.TotalAlloc); cost > 2*mostGrowth*size {
			t.Errorf("%s: %d bytes cost %d: %v", name, len(b), cost, err)
		}
	}
}

func TestALawfulAnswerIsNotRefused(t *testing.T) {
	sent := &pb.SearchReply{}
	for range mostRows {
		row := rowOf(map[string]*pb.Value{"role": textValue("user")})
		row.Metadata.Id = "6f9619ff-8b86-4d01-b42d-00cf4fc964ff"
		sent.Results = append(sent.Results, row)
	}
	c := codec{most: 4 << 20}
	b, err := c.Marshal(sent)
	if err != nil {
		t.Fatal(err)
	}
	var got reply
	if err := c.Unmarshal(b, &got); err != nil || !slices.EqualFunc(got.rows, sent.GetResults(), sameRow) {
		t.Errorf("the most rows of an answer: %v", err)
	}
	if err := c.Unmarshal(slices.Concat([]byte{0xff}, b), &got); err == nil {
		t.Error("what is no message is read")
	}
}

func TestASearchOfManySmallThingsAsksForFewer(t *testing.T) {
	limits := []uint32{}
	c := clientWith(t, fake{schema: ownSchema + "}", search: func(r *pb.SearchRequest) (*pb.SearchReply, error) {
		limits = append(limits, r.GetLimit())
		return &pb.SearchReply{Results: make([]*pb.SearchResult, 10_000)}, nil
	}}, testConfig(), pool.NewAnswers(100_000, 200_000), -1)
	_, err := c.Recent(t.Context(), "a", []string{"user"}, 5, 5)
	if e, ok := errors.AsType[*Error](err); !ok || e.Kind != TooLarge || limits[len(limits)-1] != 1 {
		t.Errorf("asked for %d rows: %v", limits, err)
	}
}

func TestABatchAnsweredByManySmallThingsIsUnknown(t *testing.T) {
	const size = 1 << 20
	answer := "[" + strings.Repeat("{},", size/3-1) + "{}]"
	c := clientWith(t, fake{schema: ownSchema + "}", rest: func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, answer)
	}}, testConfig(), pool.NewAnswers(size, size), -1)
	if _, err := c.MessageChat(t.Context(), "a"); err != nil {
		t.Fatal(err)
	}
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	_, err := c.Append(t.Context(), "a", []NewMessage{{Message: wire.Message{ID: "6f9619ff-8b86-4d01-b42d-00cf4fc964ff", Role: "user"}}})
	runtime.ReadMemStats(&after)
	if cost := int64(after.TotalAlloc - before.TotalAlloc); !errors.Is(err, pool.ErrUnknownOutcome) || !errors.Is(err, pool.ErrTooLarge) || cost > 2*mostGrowth*size {
		t.Errorf("it cost %d bytes: %v", cost, err)
	}
}

func TestTextsWeighWhatTheyHave(t *testing.T) {
	const text = `"{{{{[[[[,,,,::::\\\"{{{{"`
	if got := weighJSON(strings.NewReader(text)); got != int64(len(text)) {
		t.Errorf("%s weighs %d", text, got)
	}
	vector := "[" + strings.Repeat("-0.012345678,", 3072) + "0]"
	if got := weighJSON(strings.NewReader(vector)); got > mostGrowth*int64(len(vector)) {
		t.Errorf("a vector of %d bytes weighs %d", len(vector), got)
	}
}
