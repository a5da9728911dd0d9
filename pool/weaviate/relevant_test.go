package weaviate

import (
	"errors"
	"fmt"
	"math"
	"net/http"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"connectrpc.com/connect"
	"github.com/google/uuid"
	pb "github.com/weaviate/weaviate/grpc/generated/protocol/v1"

	"hearth/client/wire"
	"hearth/internal/testing/weaviatetest"
	"hearth/pool"
)

func TestTheModeThatAutoTakes(t *testing.T) {
	several := &classInfo{ambiguous: "several vectors", vectorizer: true}
	made, plain := &classInfo{vectorizer: true}, &classInfo{}
	vector := []float32{1}
	for _, c := range []struct {
		class  *classInfo
		vector []float32
		text   string
		broken bool // the vectorizer could not be used
		want   Mode
	}{
		{several, vector, "x", false, BM25},
		{several, nil, "x", false, BM25},
		{made, vector, "x", false, Hybrid},
		{made, vector, "x", true, Hybrid},
		{made, vector, " \n", false, NearVector},
		{made, nil, " ", false, NearText},
		{made, nil, "x", false, NearText},
		{made, nil, "x", true, BM25},
		{plain, vector, "", false, NearVector},
		{plain, vector, "x", false, Hybrid},
		{plain, []float32{}, "x", false, BM25},
		{plain, []float32{}, "", false, BM25},
	} {
		client := &Client{}
		if c.broken {
			client.noVectorizer.remember(func() {})
		}
		if got := client.autoMode(c.class, Query{Text: c.text, Vector: c.vector}); got != c.want {
			t.Errorf("%+v: %s, want %s", c, got, c.want)
		}
	}
}

func TestSearchesThatAClassCannotDo(t *testing.T) {
	own, noWords := &classInfo{name: "M", searchable: true, vectorizer: true}, &classInfo{name: "M", vectorizer: true}
	several := &classInfo{name: "M", searchable: true, ambiguous: "class M has several vectors", vectorizer: true}
	noVectors, hidden := &classInfo{name: "M", searchable: true}, &classInfo{name: "M", searchable: true, hidden: true}
	const words, vectorizer = `class M: property "content" is not searchable by bm25 (indexSearchable is false)`, "class M has no vectorizer: near_text needs one"
	for _, c := range []struct {
		class *classInfo
		mode  Mode
		want  string
	}{
		{own, BM25, ""},
		{own, NearText, ""},
		{own, NearVector, ""},
		{own, Hybrid, ""},
		{noWords, BM25, words},
		{noWords, NearText, ""},
		{noWords, NearVector, ""},
		{noWords, Hybrid, words},
		{several, BM25, ""},
		{several, NearText, several.ambiguous},
		{several, NearVector, several.ambiguous},
		{several, Hybrid, several.ambiguous},
		{noVectors, BM25, ""},
		{noVectors, NearText, vectorizer},
		{noVectors, NearVector, ""},
		{noVectors, Hybrid, ""},
		{hidden, BM25, ""},
		{hidden, NearText, ""},
		{hidden, NearVector, ""},
		{hidden, Hybrid, ""},
	} {
		err := Query{Mode: c.mode}.possible(c.class, "content")
		e, ok := errors.AsType[*Error](err)
		if (err != nil) != (c.want != "") || ok && (e.Message != c.want || e.Retryable() || (e.Kind == WrongClass) != (c.want != vectorizer)) {
			t.Errorf("%s of %+v: %v, want %s", c.mode, c.class, err, c.want)
		}
	}
	x := testerOf(t, schemaWithTime("date"), nil, weaviatetest.Config{})
	asked := x.asked()
	if found, mode, err := x.Relevant(t.Context(), Query{Chat: "a", Text: "x", Mode: NearText, Roles: []string{"user"}, Count: 5}); err == nil || found != nil || mode != NearText || len(asked()) > 0 {
		t.Errorf("it is asked all the same: %v, %s, %v", found, mode, err)
	}
}

func TestEachModeAsksInItsOwnWayAndHasItsOwnScore(t *testing.T) {
	near := float32(0.25)
	for mode, score := range map[Mode]float64{BM25: 0.75, Hybrid: 0.75, NearText: 1 - float64(near), NearVector: 1 - float64(near)} {
		var asked *pb.SearchRequest
		c := clientOf(t, fake{schema: strings.TrimSuffix(schemaWithTime("date"), "}") + `,"vectorizer":"text2vec-x"}`, search: func(r *pb.SearchRequest) (*pb.SearchReply, error) {
			asked = r
			row := rowOf(map[string]*pb.Value{"chat_id": textValue("a"), "role": textValue("user"), "content": textValue("y")})
			row.Metadata.Distance = near
			if mode == NearText || mode == NearVector {
				row.Metadata.Score = 0
			}
			return &pb.SearchReply{Results: []*pb.SearchResult{row}}, nil
		}}, testConfig())
		q := Query{Chat: "a", Text: "x", Mode: mode, Vector: []float32{1, -2}, Roles: []string{"user", "assistant"}, Count: 5}
		found, took, err := c.Relevant(t.Context(), q)
		if err != nil || took != mode || len(found) != 1 || found[0].Score != score || found[0].Content != "y" {
			t.Fatalf("%s: %+v, %s, %v", mode, found, took, err)
		}
		const vector = "\x00\x00\x80\x3f\x00\x00\x00\xc0"
		got := map[Mode]string{}
		if b := asked.GetBm25Search(); b != nil {
			got[BM25] = b.GetQuery() + fmt.Sprint(b.GetProperties())
		}
		if n := asked.GetNearText(); n != nil {
			got[NearText] = fmt.Sprint(n.GetQuery())
		}
		if n := asked.GetNearVector(); n != nil {
			got[NearVector] = string(n.GetVectorBytes())
		}
		if h := asked.GetHybridSearch(); h != nil {
			got[Hybrid] = h.GetQuery() + fmt.Sprint(h.GetProperties()) + string(h.GetVectorBytes()) + h.GetFusionType().String()
		}
		want := map[Mode]string{
			BM25: "x[content]", NearText: "[x]", NearVector: vector, Hybrid: "x[content]" + vector + pb.Hybrid_FUSION_TYPE_RELATIVE_SCORE.String(),
		}
		if len(got) != 1 || got[mode] != want[mode] {
			t.Errorf("%s asks %q", mode, got)
		}
		m := asked.GetMetadata()
		if asked.GetLimit() != 5 || !m.GetScore() || !m.GetDistance() || !m.GetUuid() || m.GetCreationTimeUnix() {
			t.Errorf("%s asks for %v up to %d", mode, m, asked.GetLimit())
		}
	}
}

func TestNumbersOfVectors(t *testing.T) {
	vector := []float32{0, 1, -1.5, math.MaxFloat32, math.SmallestNonzeroFloat32}
	b := littleEndian(vector)
	if len(b) != 20 || cap(b) != 20 || !slices.Equal(fromLittleEndian(b), vector) {
		t.Errorf("%v is written as %x", vector, b)
	}
	if got := fromLittleEndian(b[:7]); len(got) != 1 || cap(fromLittleEndian(b)) != 5 {
		t.Errorf("of seven bytes are read %v", got)
	}
}

// Rows of other chats and roles take the places of ours, until the search goes deep enough.
func TestWhatOthersTakeOfASearchIsAskedForAgain(t *testing.T) {
	word := strings.Replace(strings.Replace(ownSchema, `,"tokenization":"field"`, "", 1), `"name":"role"`, `"name":"role","tokenization":"word"`, 1) + "}"
	x := testerOf(t, word, func(c *Config) { c.Message.User = []string{"user", "the user"} }, weaviatetest.Config{MaxResults: 100})
	x.write("1-1 ", "user", 30, time.Second)
	x.write("1-1", "user", 3, time.Second)
	for i, role := range []string{"the-user", "USER", "user "} { // found by "user", and none of ours
		x.serve(http.MethodPost, "/v1/objects", fmt.Sprintf(`{"class":"Message","properties":{"chat_id":"1-1","role":%q,"content":"1-1 other %d","created_at":"2026-01-01T00:00:00Z"}}`, role, i))
	}
	asked := x.asked()
	q := Query{Chat: "1-1", Text: "1", Mode: BM25, Roles: []string{"user"}, Count: 3}
	found, _, err := x.Relevant(t.Context(), q)
	if err != nil || len(found) != 3 {
		t.Fatal(found, err)
	}
	for _, f := range found {
		if f.Role != "user" || !strings.HasPrefix(f.Content, "1-1 ") || strings.Contains(f.Content, "other") {
			t.Errorf("found %+v", f)
		}
	}
	limits := []uint32{}
	for _, r := range asked() {
		limits = append(limits, r.GetLimit())
	}
	if len(limits) == 0 || limits[0] != 3 || len(limits) > 1 && limits[1] != 12 || len(limits) > 4 {
		t.Errorf("asked for %v", limits)
	}
	if p := x.recent("1-1", 10); len(p.Messages) != 3 {
		t.Errorf("the history has %v", p.Messages)
	}
	x.write("1-1 ", "user", 100, time.Second)
	q.Count = 40
	_, _, err = x.Relevant(t.Context(), q)
	if e, ok := errors.AsType[*Error](err); !ok || e.Kind != CutShort {
		t.Errorf("where the server gives no more: %v", err)
	}
	asked()
	q.Chat, q.Count = "nobody's", 5
	if found, _, err := x.Relevant(t.Context(), q); err != nil || len(found) != 0 || len(asked()) != 1 {
		t.Errorf("where there are none: %v, %v", found, err)
	}
}

func TestNoMoreThanCountAreRelevant(t *testing.T) {
	c := clientOf(t, fake{schema: schemaWithTime("date"), search: func(*pb.SearchRequest) (*pb.SearchReply, error) {
		reply := &pb.SearchReply{}
		for i := range 7 {
			row := rowOf(map[string]*pb.Value{"chat_id": textValue("a"), "role": textValue("user")})
			row.Metadata.Id = fmt.Sprint(i)
			reply.Results = append(reply.Results, row)
		}
		return reply, nil
	}}, testConfig())
	found, _, err := c.Relevant(t.Context(), Query{Chat: "a", Text: "x", Mode: BM25, Roles: []string{"user"}, Count: 5})
	if err != nil || len(found) != 5 || found[0].ID != "0" || found[4].ID != "4" {
		t.Errorf("got %+v, %v", found, err)
	}
}

func TestHowManyRelevantMessagesHaveRoomIsSaid(t *testing.T) {
	server := weaviatetest.New()
	server.MustAddClass(schemaWithTime("date"))
	c := clientWith(t, server, testConfig(), pool.NewAnswers(10_000, 40_000), -1)
	writer := clientOf(t, server, testConfig())
	for size, least := range map[int]int{900: 8, 1_900: 4, 9_000: 1, 20_000: 0} {
		chat := uuid.NewString()
		var list []NewMessage
		for range 30 {
			list = append(list, NewMessage{Message: wire.Message{ID: uuid.NewString(), Role: "user", CreatedAt: time.Unix(1790000000, 0), Content: "ferry " + strings.Repeat("x", size)}})
		}
		outcomes, err := writer.Append(t.Context(), chat, list)
		if err = join(outcomes, err); err != nil {
			t.Fatal(err)
		}
		fits, want := 0, ""
		for count := 1; count <= 30; count++ {
			found, _, err := c.Relevant(t.Context(), Query{Chat: chat, Text: "ferry", Mode: BM25, Roles: []string{"user"}, Count: count})
			if err == nil && want == "" {
				if fits = count; len(found) != count {
					t.Errorf("of %d messages %d are found", count, len(found))
				}
				continue
			}
			want = fmt.Sprintf("count may be at most %d here", fits)
			if fits == 0 {
				want = "not even one message has room"
			}
			if e, ok := errors.AsType[*Error](err); !ok || e.Kind != TooLarge || !strings.HasSuffix(e.Message, "an answer may have 10000 bytes (a quarter of HEARTH_CACHE_BYTES): "+want) {
				t.Errorf("%d messages of %d bytes: %v, want %s", count, size, err, want)
			}
		}
		if fits < least || fits > least+1 {
			t.Errorf("of %d bytes there is room for %d messages, want about %d", size, fits, least)
		}
	}
}

// The rows of other chats may have no room either: that is not for the caller to mend by a smaller count.
func TestRowsOfOthersThatHaveNoRoomCutTheSearchShort(t *testing.T) {
	c := clientWith(t, fake{schema: schemaWithTime("date"), search: func(r *pb.SearchRequest) (*pb.SearchReply, error) {
		reply := &pb.SearchReply{}
		for range r.GetLimit() {
			reply.Results = append(reply.Results, rowOf(map[string]*pb.Value{"chat_id": textValue("b"), "content": textValue(strings.Repeat("x", 1_000))}))
		}
		return reply, nil
	}}, testConfig(), pool.NewAnswers(10_000, 40_000), -1)
	_, _, err := c.Relevant(t.Context(), Query{Chat: "a", Text: "x", Mode: BM25, Roles: []string{"user"}, Count: 5})
	if e, ok := errors.AsType[*Error](err); !ok || e.Kind != CutShort {
		t.Errorf("got %v", err)
	}
}

func TestAFailureWhileFindingOutWhatHasRoomIsTold(t *testing.T) {
	server := weaviatetest.New()
	server.MustAddClass(schemaWithTime("date"))
	c := clientWith(t, server, testConfig(), pool.NewAnswers(10_000, 40_000), -1)
	list := []NewMessage{}
	for range 10 {
		list = append(list, NewMessage{Message: wire.Message{ID: uuid.NewString(), Role: "user", CreatedAt: time.Unix(1790000000, 0), Content: "ferry " + strings.Repeat("x", 3_000)}})
	}
	if outcomes, err := clientOf(t, server, testConfig()).Append(t.Context(), "a", list); join(outcomes, err) != nil {
		t.Fatal(join(outcomes, err))
	}
	server.SetFailSearch(func(r *pb.SearchRequest) error {
		if r.GetLimit() < 10 {
			return connect.NewError(connect.CodeUnavailable, errors.New("gone"))
		}
		return nil
	})
	_, _, err := c.Relevant(t.Context(), Query{Chat: "a", Text: "ferry", Mode: BM25, Roles: []string{"user"}, Count: 10})
	if e, ok := errors.AsType[*Error](err); !ok || e.Status != http.StatusServiceUnavailable {
		t.Errorf("got %v", err)
	}
}

func TestTheVectorizerIsTriedAgainAfterAWhile(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var f fallback
		told := 0
		if f.active() {
			t.Error("active from the start")
		}
		for range 2 {
			f.remember(func() { told++ })
			time.Sleep(fallbackTime - 1)
			if !f.active() {
				t.Error("forgotten too soon")
			}
			time.Sleep(time.Nanosecond)
			if f.active() {
				t.Error("not forgotten")
			}
		}
		if told != 1 {
			t.Errorf("told %d times", told)
		}
	})
}

func TestOnlyAVectorizersFailureFallsBack(t *testing.T) {
	for text, falls := range map[string]bool{"vectorize params: no key": true, "anything else": false} {
		c := clientOf(t, fake{schema: strings.TrimSuffix(schemaWithTime("date"), "}") + `,"vectorizer":"text2vec-x"}`, search: func(r *pb.SearchRequest) (*pb.SearchReply, error) {
			if r.GetNearText() != nil || r.GetHybridSearch() != nil {
				return nil, connect.NewError(connect.CodeUnknown, errors.New(text))
			}
			return &pb.SearchReply{}, nil
		}}, testConfig())
		q := Query{Chat: "a", Text: "x", Mode: Auto, Roles: []string{"user"}, Count: 5}
		if _, mode, err := c.Relevant(t.Context(), q); (err == nil) != falls || (mode == BM25) != falls {
			t.Errorf("%s: %s, %v", text, mode, err)
		}
		q.Vector = []float32{1}
		if _, mode, err := c.Relevant(t.Context(), q); err == nil || mode != Hybrid {
			t.Errorf("%s, with a vector: %s, %v", text, mode, err)
		}
	}
	broken := clientOf(t, fake{schema: `{"class":"Message","properties":[]}`}, testConfig())
	if found, mode, err := broken.Relevant(t.Context(), Query{}); err == nil || found != nil || mode != "" {
		t.Errorf("of a class that cannot be served: %v, %s, %v", found, mode, err)
	}
}
