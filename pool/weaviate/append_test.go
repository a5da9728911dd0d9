package weaviate

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"connectrpc.com/connect"
	"github.com/google/uuid"
	pb "github.com/weaviate/weaviate/grpc/generated/protocol/v1"

	"hearth/client/wire"
	"hearth/internal/clock"
	"hearth/internal/testing/testnet"
	"hearth/internal/testing/weaviatetest"
	"hearth/pool"
)

const messageID = "6f9619ff-8b86-4d01-b42d-00cf4fc964ff"

// verdictsOf appends one message to a class whose server answers with this verdict, and returns what became of it.
func verdictOf(t *testing.T, schema, verdict string, vector []float32) (Outcome, error) {
	t.Helper()
	c := clientOf(t, fake{schema: schema, rest: func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "["+verdict+"]") }}, testConfig())
	outcomes, err := c.Append(t.Context(), "a", []NewMessage{{Message: wire.Message{ID: messageID, Role: "user"}, Vector: vector}})
	if len(outcomes) != 1 {
		return Outcome{Err: err}, err
	}
	return outcomes[0], err
}

func TestWhatAVerdictSays(t *testing.T) {
	failed := func(text string) string {
		return fmt.Sprintf(`{"id":%q,"result":{"status":"FAILED","errors":{"error":[{"message":%q}]}}}`, messageID, text)
	}
	schema := schemaWithTime("date")
	made := strings.TrimSuffix(schema, "}") + `,"vectorizer":"text2vec-x"}`
	type outcome int
	const (
		stored outcome = iota
		refused
		unknown
	)
	for name, c := range map[string]struct {
		schema, verdict string
		vector          []float32
		want            outcome
		says            string
	}{
		"stored":                             {schema, `{"id":"` + messageID + `","result":{"status":"SUCCESS"}}`, nil, stored, ""},
		"stored, as older servers say":       {schema, `{"id":"` + strings.ToUpper(messageID) + `","result":{}}`, nil, stored, ""},
		"pending":                            {schema, `{"id":"` + messageID + `","result":{"status":"PENDING"}}`, nil, unknown, "status PENDING"},
		"failed without a reason":            {schema, `{"id":"` + messageID + `","result":{"status":"FAILED"}}`, nil, unknown, "status FAILED"},
		"no result":                          {schema, `{"id":"` + messageID + `"}`, nil, unknown, "no verdict for the object"},
		"another object":                     {schema, `{"id":"11111111-1111-1111-1111-111111111111","result":{"status":"SUCCESS"}}`, nil, unknown, "no verdict"},
		"refused":                            {schema, failed("the disk is read-only"), nil, refused, "weaviate: 422: the disk is read-only"},
		"refused for two reasons":            {schema, `{"id":"` + messageID + `","result":{"errors":{"error":[{"message":"one"},{"message":"two"}]}}}`, nil, refused, "one; two"},
		"put into the index too late":        {schema, failed("x: insert to vector index: y"), nil, unknown, "insert to vector index"},
		"a panic":                            {schema, failed("x: panic occurred"), nil, unknown, "panic occurred"},
		"out of time":                        {schema, failed("x: context deadline exceeded"), nil, unknown, "deadline"},
		"given up":                           {schema, failed("x: context canceled"), nil, unknown, "canceled"},
		"a vectorizer without a key":         {made, failed("cannot vectorize: no api key found"), nil, refused, "HEARTH_WEAVIATE_HEADERS"},
		"a vectorizer that panics":           {made, failed("update: panic occurred"), nil, refused, "HEARTH_WEAVIATE_HEADERS"},
		"a panic beside a brought vector":    {made, failed("update: panic occurred"), []float32{1}, unknown, "panic occurred"},
		"words of a vectorizer that is none": {schema, failed("cannot vectorize: context canceled"), nil, unknown, "canceled"},
		"a refusal beside a vectorizer":      {made, failed("the disk is read-only"), nil, refused, "weaviate: 422: the disk is read-only"},
	} {
		o, err := verdictOf(t, c.schema, c.verdict, c.vector)
		got := stored
		switch {
		case errors.Is(o.Err, pool.ErrUnknownOutcome):
			got = unknown
		case o.Err != nil:
			got = refused
		}
		if err != nil || got != c.want || c.says != "" && !strings.Contains(o.Err.Error(), c.says) {
			t.Errorf("%s: %v, %v", name, o.Err, err)
		}
	}
}

func TestWhatIsWritten(t *testing.T) {
	at := time.Date(2026, 1, 1, 13, 0, 0, 123_456_789, time.FixedZone("", 3600))
	var body string
	server := func(schema string, change func(*Config)) *Client {
		cfg := testConfig()
		if change != nil {
			change(&cfg)
		}
		return clientOf(t, fake{
			schema: schema,
			search: func(*pb.SearchRequest) (*pb.SearchReply, error) { return &pb.SearchReply{}, nil },
			rest: func(w http.ResponseWriter, r *http.Request) {
				b, _ := io.ReadAll(r.Body)
				body = string(b)
				_, _ = io.WriteString(w, `[{"id":"`+messageID+`","creationTimeUnix":1790000000123,"result":{}}]`)
			},
		}, cfg)
	}
	own := schemaWithTime("date")
	further := map[string]any{"lang": "de", "content": "not this", "chat_id": "b"}
	for name, c := range map[string]struct {
		client *Client
		m      NewMessage
		want   string // of the object, as JSON
		at     time.Time
	}{
		"a message": {
			server(own, nil),
			NewMessage{Message: wire.Message{Role: "user", Content: "x"}},
			`"properties":{"chat_id":"a","content":"x","created_at":"2026-01-01T12:00:00.123456789Z","role":"user"}`, at.UTC(),
		},
		"with further properties": {
			server(own, nil),
			NewMessage{Message: wire.Message{Role: "user", Content: "x"}, Properties: further},
			`"properties":{"chat_id":"a","content":"x","created_at":"2026-01-01T12:00:00.123456789Z","lang":"de","role":"user"}`, at.UTC(),
		},
		"with a vector": {
			server(own, nil),
			NewMessage{Message: wire.Message{Role: "assistant", Content: "x"}, Vector: []float32{1, 2}},
			`"role":"assistant"},"vector":[1,2]`, at.UTC(),
		},
		"of other words": {
			server(own, func(c *Config) { c.Message.User, c.Message.Assistant = []string{"human", "user"}, []string{"ai"} }),
			NewMessage{Message: wire.Message{Role: "user", Content: "x"}},
			`"role":"human"`, at.UTC(),
		},
		"of other words, of the assistant": {
			server(own, func(c *Config) { c.Message.User, c.Message.Assistant = []string{"human", "user"}, []string{"ai"} }),
			NewMessage{Message: wire.Message{Role: "assistant", Content: "x"}},
			`"role":"ai"`, at.UTC(),
		},
		"of the system": {server(own, nil), NewMessage{Message: wire.Message{Role: "system", Content: "x"}}, `"role":"system"`, at.UTC()},
		"by the time of storing": {
			server(own, func(c *Config) { c.Message.CreatedAt = CreationTime }),
			NewMessage{Message: wire.Message{Role: "user", Content: "x"}},
			`"properties":{"chat_id":"a","content":"x","role":"user"}`, time.UnixMilli(1790000000123).UTC(),
		},
		"of an empty class of ints": {
			server(schemaWithTime("int"), nil), NewMessage{Message: wire.Message{Role: "user", Content: "x"}}, `"created_at":1767268800123`, at.Truncate(time.Millisecond).UTC(),
		},
		"of an empty class of texts": {
			server(schemaWithTime("text"), nil), NewMessage{Message: wire.Message{Role: "user", Content: "x"}}, `"created_at":"2026-01-01T12:00:00.123456Z"`, at.Truncate(time.Microsecond).UTC(),
		},
	} {
		c.m.ID, c.m.CreatedAt = messageID, at
		outcomes, err := c.client.Append(t.Context(), "a", []NewMessage{c.m})
		if err = join(outcomes, err); err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if !strings.Contains(body, c.want) || !strings.Contains(body, `"class":"Message"`) || !strings.Contains(body, `"id":"`+messageID+`"`) {
			t.Errorf("%s: written is %s, want %s", name, body, c.want)
		}
		if got := outcomes[0].CreatedAt; !got.Equal(c.at) {
			t.Errorf("%s: it is read as of %v, want %v", name, got, c.at)
		}
	}
	if len(further) != 3 || further["content"] != "not this" {
		t.Errorf("the caller's properties have become %v", further)
	}
}

func TestWhatCannotBeWrittenIsNotSent(t *testing.T) {
	for name, c := range map[string]struct {
		schema  string
		message NewMessage
		search  error
		want    func(error) bool
	}{
		"a class that cannot be served": {`{"class":"Message","properties":[]}`, NewMessage{}, nil, isWrongClass},
		"a vector for one of several": {
			strings.TrimSuffix(schemaWithTime("date"), "}") + `,"vectorConfig":{"one":{},"two":{}}}`,
			NewMessage{Vector: []float32{1}},
			nil,
			func(err error) bool {
				return isWrongClass(err) && strings.Contains(err.Error(), "HEARTH_WEAVIATE_VECTOR")
			},
		},
		"a time that would be another": {
			schemaWithTime("int"),
			NewMessage{Message: wire.Message{CreatedAt: time.Unix(1000, 0)}},
			nil,
			func(err error) bool {
				e, ok := errors.AsType[*TimeError](err)
				return ok && e.Index == 1 && strings.HasPrefix(err.Error(), "weaviate: created_at of message 1 must not be")
			},
		},
		"a class whose rows cannot be looked at": {
			schemaWithTime("text"),
			NewMessage{},
			connect.NewError(connect.CodeUnavailable, errors.New("gone")),
			func(err error) bool { e, ok := errors.AsType[*Error](err); return ok && e.Status == 503 },
		},
	} {
		client := clientOf(t, fake{schema: c.schema, search: func(*pb.SearchRequest) (*pb.SearchReply, error) { return &pb.SearchReply{}, c.search }, rest: func(http.ResponseWriter, *http.Request) {
			t.Errorf("%s: it was sent", name)
		}}, testConfig())
		good := NewMessage{Message: wire.Message{ID: messageID, Role: "user", CreatedAt: time.Unix(1790000000, 0)}}
		c.message.ID, c.message.Role = messageID, "user"
		if outcomes, err := client.Append(t.Context(), "a", []NewMessage{good, c.message}); outcomes != nil || !c.want(err) || errors.Is(err, pool.ErrUnknownOutcome) {
			t.Errorf("%s: %v, %v", name, outcomes, err)
		}
	}
	several := strings.TrimSuffix(schemaWithTime("date"), "}") + `,"vectorConfig":{"one":{},"two":{}}}`
	if o, err := verdictOf(t, several, `{"id":"`+messageID+`","result":{}}`, nil); err != nil || o.Err != nil {
		t.Errorf("without a vector: %v, %v", o, err)
	}
}

func isWrongClass(err error) bool {
	e, ok := errors.AsType[*Error](err)
	return ok && e.Kind == WrongClass
}

// A refusal of the whole batch is the outcome of its last try alone.
func TestARefusalAfterAnotherTryIsUnknown(t *testing.T) {
	for tries, unknown := range map[int]bool{1: false, 2: true} {
		for _, mute := range []bool{false, true} {
			asked := 0
			c := clientWith(t, fake{
				schema: ownSchema + "}",
				search: func(*pb.SearchRequest) (*pb.SearchReply, error) { return &pb.SearchReply{}, nil },
				rest: func(w http.ResponseWriter, _ *http.Request) {
					if asked++; asked < tries {
						w.WriteHeader(http.StatusBadGateway)
						return
					}
					w.WriteHeader(http.StatusUnprocessableEntity)
				},
			}, testConfig(), nil, 1)
			_, err := c.Append(t.Context(), "a", []NewMessage{{Message: wire.Message{ID: messageID, Role: "user"}}})
			if mute {
				asked = 0
				err = c.SetMute(t.Context(), "a", wire.Mute{Muted: true}, messageID)
			}
			if err == nil || errors.Is(err, pool.ErrUnknownOutcome) != unknown || asked != tries {
				t.Errorf("mute %t, after %d tries: %v", mute, asked, err)
			}
		}
	}
}

// How the rows of a class hold their times is found out once, unless there are none or they differ.
func TestTheFormOfTimesIsLookedUpOnce(t *testing.T) {
	x := testerOf(t, schemaWithTime("text"), nil, weaviatetest.Config{})
	samples := func() int {
		n := 0
		asked := x.asked()
		x.write("a", "user", 1, 0)
		for _, r := range asked() {
			if len(r.GetSortBy()) > 0 || r.GetLimit() != 100 {
				t.Errorf("asked %v", r)
			}
			if n++; (r.GetFilters() != nil) != (n == 2) {
				t.Errorf("sample %d is filtered by %v", n, r.GetFilters())
			}
		}
		return n
	}
	if n := samples(); n != 1 {
		t.Errorf("%d samples of an empty class", n)
	}
	x.serve(http.MethodPost, "/v1/objects", `{"class":"Message","properties":{"chat_id":"b","role":"user","content":"x","created_at":"2026-01-01 12:00:00"}}`)
	if n := samples(); n != 2 {
		t.Errorf("%d samples where rows differ", n)
	}
	if n := samples(); n != 2 {
		t.Errorf("%d samples where rows still differ", n)
	}
	if m := x.recent("a", 5).Messages; len(m) != 3 {
		t.Errorf("the chat has %v", m)
	}
	x = testerOf(t, schemaWithTime("text"), nil, weaviatetest.Config{})
	x.serve(http.MethodPost, "/v1/objects", `{"class":"Message","properties":{"chat_id":"b","role":"user","content":"x","created_at":"2026-01-01 12:00:00.5+02:00"}}`)
	if n := samples(); n != 1 {
		t.Errorf("%d samples of a class of one form", n)
	}
	if n := samples(); n != 0 {
		t.Errorf("%d samples of what is known", n)
	}
	for _, kind := range []string{"date"} {
		x = testerOf(t, schemaWithTime(kind), nil, weaviatetest.Config{})
		if n := samples(); n != 0 {
			t.Errorf("%d samples of a class of %ss", n, kind)
		}
	}
	x = testerOf(t, schemaWithTime("date"), func(c *Config) { c.Message.CreatedAt = CreationTime }, weaviatetest.Config{})
	if n := samples(); n != 0 {
		t.Errorf("%d samples of the times of storing", n)
	}
}

func TestAWriteOfSomebodyElsesIsNoPartOfOurs(t *testing.T) {
	x := newTester(t, testConfig())
	one, two := uuid.NewString(), uuid.NewString()
	outcomes, err := x.Append(t.Context(), "a", []NewMessage{
		{Message: wire.Message{ID: one, Role: "user", CreatedAt: x.at}}, {Message: wire.Message{ID: two, Role: "assistant", CreatedAt: x.at}},
	})
	if err != nil || len(outcomes) != 2 || join(outcomes, nil) != nil {
		t.Fatal(outcomes, err)
	}
	if m := x.recent("a", 5).Messages; len(m) != 1 || m[0].ID != one || !m[0].CreatedAt.Equal(x.at) {
		t.Errorf("got %v", m)
	}
}

// A write that is lost over a connection which a freeze broke may have been stored or not: it goes over one that is known
// to be alive.
func TestAWriteGoesOverNoConnectionThatAFreezeMayHaveBroken(t *testing.T) {
	for name, write := range map[string]func(*Client) error{
		"messages": func(c *Client) error {
			outcomes, err := c.Append(t.Context(), "a", []NewMessage{{Message: wire.Message{ID: messageID, Role: "user"}}})
			return join(outcomes, err)
		},
		"a mute": func(c *Client) error { return c.SetMute(t.Context(), "a", wire.Mute{Muted: true}, messageID) },
	} {
		var mu sync.Mutex
		frozen, before := false, map[string]bool{} // the connections that were open when the process was frozen, and are not proven
		handler := fake{
			schema: ownSchema + "}",
			search: func(*pb.SearchRequest) (*pb.SearchReply, error) { return &pb.SearchReply{}, nil },
			rest: func(w http.ResponseWriter, r *http.Request) {
				mu.Lock()
				defer mu.Unlock()
				switch {
				case !frozen:
					before[r.RemoteAddr] = true
				case r.Method == http.MethodPost && before[r.RemoteAddr]:
					t.Errorf("%s: written over a connection from before the freeze", name)
				default:
					delete(before, r.RemoteAddr)
				}
				_, _ = io.WriteString(w, `[{"id":"`+messageID+`","result":{}}]`)
			},
		}
		s, err := testnet.Serve(handler, testnet.Config{HTTP2: true})
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		now := clock.System()()
		pulse := clock.NewPulse(func() clock.Instant {
			mu.Lock()
			defer mu.Unlock()
			return now
		})
		pools := make([]*pool.Pool, 2)
		for i := range pools {
			p, err := pool.New(pool.Config{Name: "weaviate", URL: s.URL, GRPC: i == 1, Retries: -1, Pulse: pulse})
			if err != nil {
				t.Fatal(err)
			}
			defer p.Close()
			pools[i] = p
		}
		c := newClient(pools[0], pools[1], testConfig())
		if err := errors.Join(c.LoadClasses(t.Context()), write(c)); err != nil {
			t.Fatal(err)
		}
		mu.Lock()
		frozen = true
		now.Mono += 2 * clock.Gap
		now.Wall = now.Wall.Add(2 * clock.Gap)
		if len(before) == 0 {
			t.Error("no connection was open")
		}
		mu.Unlock()
		if err := write(c); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}
