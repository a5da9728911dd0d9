package weaviate

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"reflect"
	"strings"
	"testing"
	"time"

	pb "github.com/weaviate/weaviate/grpc/generated/protocol/v1"

	"hearth/client/wire"
	"hearth/internal/testing/weaviatetest"
	"hearth/pool"
)

const muteSchema = `{"class":"ChatStatus","properties":[{"name":"chat_id","dataType":["text"],"tokenization":"field"},
	{"name":"muted","dataType":["boolean"]},{"name":"muted_until","dataType":["date"]}]`

func boolValue(b bool) *pb.Value { return &pb.Value{Kind: &pb.Value_BoolValue{BoolValue: b}} }

// muteOf is a row of the class of mutes, updated so many seconds after 1970.
func muteOf(chat string, muted *pb.Value, until *pb.Value, updated int64) *pb.SearchResult {
	fields := map[string]*pb.Value{"chat_id": textValue(chat)}
	if muted != nil {
		fields["muted"] = muted
	}
	if until != nil {
		fields["muted_until"] = until
	}
	row := rowOf(fields)
	row.Metadata.Id = fmt.Sprintf("%s at %d", chat, updated)
	row.Metadata.LastUpdateTimeUnix = 1000 * updated
	return row
}

// mutesOf is a client of a class of mutes that has these rows.
func mutesOf(t *testing.T, cfg Config, rows ...*pb.SearchResult) *Client {
	t.Helper()
	return clientOf(t, fake{schema: muteSchema + "}", search: func(r *pb.SearchRequest) (*pb.SearchReply, error) {
		return &pb.SearchReply{Results: rows[:min(len(rows), int(r.GetLimit()))]}, nil
	}}, cfg)
}

func TestOfSeveralMutesTheLastUpdatedCounts(t *testing.T) {
	yes, no := boolValue(true), boolValue(false)
	for name, rows := range map[string][]*pb.SearchResult{
		"first": {muteOf("a", yes, nil, 9), muteOf("a", no, nil, 3), muteOf("a", no, nil, 8)},
		"last":  {muteOf("a", no, nil, 3), muteOf("a", no, nil, 8), muteOf("a", yes, nil, 9)},
		"amid":  {muteOf("a", no, nil, 3), muteOf("a", yes, nil, 9), muteOf("a", no, nil, 8)},
	} {
		m, err := mutesOf(t, testConfig(), rows...).Mute(t.Context(), "a")
		if want := (Mute{ID: "a at 9", Mute: wire.Mute{Muted: true}, Updated: time.Unix(9, 0)}); err != nil || m != want {
			t.Errorf("%s: got %+v, %v", name, m, err)
		}
	}
}

func TestTheMutesOfOtherChatsAreLeftOut(t *testing.T) {
	var log bytes.Buffer
	cfg := testConfig()
	cfg.Logger = slog.New(slog.NewTextHandler(&log, nil))
	c := mutesOf(t, cfg, muteOf("a-1", boolValue(true), nil, 9), muteOf("a", boolValue(false), nil, 1), muteOf("b", boolValue(true), nil, 9))
	if m, err := c.Mute(t.Context(), "a"); err != nil || m.Muted || m.ID != "a at 1" {
		t.Errorf("got %+v, %v", m, err)
	}
	if m, err := c.Mute(t.Context(), "c"); err != nil || m != (Mute{}) {
		t.Errorf("of a chat without a mute: %+v, %v", m, err)
	}
	if strings.Count(log.String(), "\n") != 1 || !strings.Contains(log.String(), "class=ChatStatus") {
		t.Errorf("logged %q", log.String())
	}
}

func TestAllMutesOfAChatAreLookedAt(t *testing.T) {
	for _, n := range []int{99, 100, 101, 999, 1000, 1500} {
		rows := []*pb.SearchResult{}
		for i := range n {
			rows = append(rows, muteOf("a", boolValue(i == n-1), nil, int64(i+1)))
		}
		if m, err := mutesOf(t, testConfig(), rows...).Mute(t.Context(), "a"); err != nil || !m.Muted {
			t.Errorf("of %d: %+v, %v", n, m, err)
		}
	}
}

func TestMutesThatCannotAllBeLookedAtAreNoAnswer(t *testing.T) {
	for _, n := range []int{49, 50} {
		x := &tester{T: t, server: weaviatetest.NewWith(weaviatetest.Config{MaxResults: 50})}
		x.server.MustAddClass(muteSchema + "}")
		x.Client = clientOf(t, x.server, testConfig())
		for range n {
			x.serve(http.MethodPost, "/v1/objects", `{"class":"ChatStatus","properties":{"chat_id":"a","muted":true}}`)
		}
		m, err := x.Mute(t.Context(), "a")
		if e, ok := errors.AsType[*Error](err); (n < 50) != (err == nil && m.Muted) || n == 50 && (!ok || e.Kind != CutShort || !strings.Contains(e.Message, "ChatStatus")) {
			t.Errorf("of %d: %+v, %v", n, m, err)
		}
	}
}

func TestWhatAMuteMayHold(t *testing.T) {
	null := &pb.Value{Kind: &pb.Value_NullValue{}}
	at := time.Date(2026, 1, 1, 11, 0, 0, 0, time.UTC)
	for name, c := range map[string]struct {
		muted, until *pb.Value
		want         wire.Mute
		wrong        string // the property that cannot be served
	}{
		"muted":                  {boolValue(true), nil, wire.Mute{Muted: true}, ""},
		"not muted":              {boolValue(false), null, wire.Mute{}, ""},
		"nothing":                {nil, nil, wire.Mute{}, ""},
		"null":                   {null, null, wire.Mute{}, ""},
		"an end":                 {boolValue(true), dateValue("2026-01-01T12:00:00+01:00"), wire.Mute{Muted: true, Until: &at}, ""},
		"a text for muted":       {textValue("yes"), nil, wire.Mute{}, `"muted" is a text, not a boolean`},
		"a text for the end":     {boolValue(true), textValue("2026-01-01T12:00:00Z"), wire.Mute{}, `"muted_until" is a text, not a date`},
		"an end that is no time": {boolValue(true), dateValue("soon"), wire.Mute{}, `"muted_until" is a date, not a date`},
	} {
		m, err := mutesOf(t, testConfig(), muteOf("a", c.muted, c.until, 1)).Mute(t.Context(), "a")
		if c.wrong != "" {
			if e, ok := errors.AsType[*Error](err); !ok || e.Kind != WrongClass || e.Message != "class ChatStatus: property "+c.wrong {
				t.Errorf("%s: got %+v, %v", name, m, err)
			}
			continue
		}
		want := Mute{Mute: c.want, ID: "a at 1", Updated: time.Unix(1, 0)}
		if err != nil || !reflect.DeepEqual(m, want) {
			t.Errorf("%s: got %+v, want %+v, %v", name, m, want, err)
		}
	}
}

func TestAMuteClassWithoutAnEnd(t *testing.T) {
	var asked *pb.SearchRequest
	var body string
	cfg := testConfig()
	cfg.Mute.Until = ""
	c := clientOf(t, fake{
		schema: muteSchema + "}",
		search: func(r *pb.SearchRequest) (*pb.SearchReply, error) {
			asked = r
			return &pb.SearchReply{Results: []*pb.SearchResult{muteOf("a", boolValue(true), textValue("whatever"), 1)}}, nil
		},
		rest: func(_ http.ResponseWriter, r *http.Request) {
			b, _ := io.ReadAll(r.Body)
			body = string(b)
		},
	}, cfg)
	if m, err := c.Mute(t.Context(), "a"); err != nil || !m.Muted || m.Until != nil || c.TakesUntil() {
		t.Errorf("got %+v, %v", m, err)
	}
	if got := fmt.Sprint(asked.GetProperties().GetNonRefProperties()); got != "[chat_id muted]" {
		t.Errorf("asked for %s", got)
	}
	_ = c.SetMute(t.Context(), "a", wire.Mute{Muted: true}, "6f9619ff-8b86-4d01-b42d-00cf4fc964ff")
	if !strings.Contains(body, `"properties":{"chat_id":"a","muted":true}`) {
		t.Errorf("written is %s", body)
	}
	if c = mutesOf(t, testConfig()); !c.TakesUntil() {
		t.Error("a class with an end takes none")
	}
}

// muteServer takes down what is written to it.
type muteServer struct {
	rows    []*pb.SearchResult
	written []string // method, path and properties
	patch   int      // the status of a merge
	batch   string   // the answer of a batch; empty: that it was stored
}

func (s *muteServer) client(t *testing.T) *Client {
	t.Helper()
	return clientOf(t, fake{
		schema: muteSchema + "}",
		search: func(*pb.SearchRequest) (*pb.SearchReply, error) { return &pb.SearchReply{Results: s.rows}, nil },
		rest: func(w http.ResponseWriter, r *http.Request) {
			type object struct {
				ID         string
				Properties json.RawMessage
			}
			var body struct {
				object
				Objects []object
			}
			if err := json.NewDecoder(r.Body).Decode(&body); err != nil {
				t.Error(err)
			}
			one := body.object
			if len(body.Objects) == 1 {
				one = body.Objects[0]
			}
			s.written = append(s.written, fmt.Sprintf("%s %s %s %s", r.Method, r.URL.Path, one.ID, one.Properties))
			if r.Method == http.MethodPatch {
				w.WriteHeader(s.patch)
				return
			}
			answer := s.batch
			if answer == "" {
				answer = `[{"id":"` + one.ID + `","result":{"status":"SUCCESS"}}]`
			}
			_, _ = io.WriteString(w, answer)
		},
	}, testConfig())
}

func TestAMuteIsWrittenIntoItsObject(t *testing.T) {
	const id, newID = "11111111-1111-1111-1111-111111111111", "22222222-2222-2222-2222-222222222222"
	held := muteOf("a", boolValue(true), dateValue("2026-01-01T00:00:00Z"), 1)
	held.Metadata.Id = id
	until := time.Date(2026, 1, 1, 12, 0, 0, 5, time.FixedZone("", 3600))
	const ends = `"muted_until":"2026-01-01T11:00:00.000000005Z"`
	merge := "PATCH /v1/objects/ChatStatus/" + id + " " + id + " "
	store := "POST /v1/batch/objects " + newID + " "
	for name, c := range map[string]struct {
		rows  []*pb.SearchResult
		until *time.Time
		patch int
		want  []string
	}{
		"the first":                      {nil, nil, 0, []string{store + `{"chat_id":"a","muted":false}`}},
		"the first, with an end":         {nil, &until, 0, []string{store + `{"chat_id":"a","muted":false,` + ends + `}`}},
		"a further one":                  {[]*pb.SearchResult{held}, nil, 204, []string{merge + `{"chat_id":"a","muted":false,"muted_until":null}`}},
		"a further one, with an end":     {[]*pb.SearchResult{held}, &until, 204, []string{merge + `{"chat_id":"a","muted":false,` + ends + `}`}},
		"one that is gone meanwhile":     {[]*pb.SearchResult{held}, nil, 404, []string{merge + `{"chat_id":"a","muted":false,"muted_until":null}`, store + `{"chat_id":"a","muted":false}`}},
		"one with an end that is gone":   {[]*pb.SearchResult{held}, &until, 404, []string{merge + `{"chat_id":"a","muted":false,` + ends + `}`, store + `{"chat_id":"a","muted":false,` + ends + `}`}},
		"the first after another chat's": {[]*pb.SearchResult{muteOf("b", nil, nil, 1)}, nil, 0, []string{store + `{"chat_id":"a","muted":false}`}},
	} {
		s := &muteServer{rows: c.rows, patch: c.patch}
		if err := s.client(t).SetMute(t.Context(), "a", wire.Mute{Until: c.until}, newID); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if fmt.Sprint(s.written) != fmt.Sprint(c.want) {
			t.Errorf("%s: written\n%s, want\n%s", name, strings.Join(s.written, "\n"), strings.Join(c.want, "\n"))
		}
	}
}

func TestTheOutcomeOfAMute(t *testing.T) {
	const id = "22222222-2222-2222-2222-222222222222"
	held := []*pb.SearchResult{muteOf("a", boolValue(true), nil, 1)}
	for name, c := range map[string]struct {
		server  muteServer
		unknown bool
	}{
		"a merge that fails":         {muteServer{rows: held, patch: 500}, true},
		"a merge that is refused":    {muteServer{rows: held, patch: 422}, false},
		"a merge that is forbidden":  {muteServer{rows: held, patch: 403}, false},
		"no verdict":                 {muteServer{batch: `[]`}, true},
		"two verdicts":               {muteServer{batch: `[{"id":"` + id + `","result":{"status":"SUCCESS"}},{}]`}, true},
		"another object's verdict":   {muteServer{batch: `[{"id":"11111111-1111-1111-1111-111111111111","result":{"status":"SUCCESS"}}]`}, true},
		"a verdict of no result":     {muteServer{batch: `[{"id":"` + id + `"}]`}, true},
		"a status that is not known": {muteServer{batch: `[{"id":"` + id + `","result":{"status":"PENDING"}}]`}, true},
		"a refusal":                  {muteServer{batch: `[{"id":"` + id + `","result":{"status":"FAILED","errors":{"error":[{"message":"no"}]}}}]`}, false},
		"a failure after storing":    {muteServer{batch: `[{"id":"` + id + `","result":{"status":"FAILED","errors":{"error":[{"message":"insert to vector index"}]}}}]`}, true},
		"a refusal without a reason": {muteServer{batch: `[{"id":"` + id + `","result":{"status":"FAILED","errors":{}}}]`}, false},
	} {
		err := c.server.client(t).SetMute(t.Context(), "a", wire.Mute{Muted: false}, id)
		if err == nil || errors.Is(err, pool.ErrUnknownOutcome) != c.unknown {
			t.Errorf("%s: got %v, want an unknown outcome: %t", name, err, c.unknown)
		}
	}
	s := muteServer{batch: `[{"id":"` + strings.ToUpper(id) + `","result":{}}]`}
	if err := s.client(t).SetMute(t.Context(), "a", wire.Mute{Muted: false}, id); err != nil {
		t.Errorf("an id in capitals and no status: %v", err)
	}
}

func TestAMuteThatCannotBeReadIsNotWritten(t *testing.T) {
	s := &muteServer{rows: []*pb.SearchResult{muteOf("a", textValue("x"), nil, 1)}}
	if err := s.client(t).SetMute(t.Context(), "a", wire.Mute{Muted: true}, "22222222-2222-2222-2222-222222222222"); err == nil || len(s.written) > 0 {
		t.Errorf("%v, written %s", err, s.written)
	}
	broken := clientOf(t, fake{schema: `{"class":"ChatStatus","properties":[]}`, search: func(*pb.SearchRequest) (*pb.SearchReply, error) {
		t.Error("a class that cannot be served was asked")
		return &pb.SearchReply{}, nil
	}}, testConfig())
	if m, err := broken.Mute(t.Context(), "a"); err == nil || m != (Mute{}) {
		t.Errorf("got %+v, %v", m, err)
	}
}

func TestAMuteIsReadAsItWasWritten(t *testing.T) {
	x := newTester(t, testConfig())
	until := time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC)
	for _, want := range []wire.Mute{{Muted: true, Until: &until}, {Muted: true}, {}, {Muted: true, Until: &until}} {
		if err := x.SetMute(t.Context(), "a", want, messageID); err != nil {
			t.Fatal(err)
		}
		if m, err := x.Mute(t.Context(), "a"); err != nil || m.ID != messageID || !reflect.DeepEqual(m.Mute, want) {
			t.Errorf("got %+v, %v, want %+v", m, err, want)
		}
	}
}

func TestTheConfigIsCheckedAtOnce(t *testing.T) {
	_, err := New(Config{Consistency: "TWO", Message: MessageClass{User: []string{"x"}, Assistant: []string{"x"}}})
	for _, part := range []string{"pool", "class of messages", "class of mutes", "role", "consistency"} {
		if err == nil || !strings.Contains(err.Error(), part) {
			t.Errorf("%v does not name the %s", err, part)
		}
	}
}
