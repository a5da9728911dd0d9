package weaviate

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"connectrpc.com/connect"
	"github.com/google/uuid"
	pb "github.com/weaviate/weaviate/grpc/generated/protocol/v1"
	"go.uber.org/goleak"

	"hearth/client/wire"
	"hearth/internal/testing/testnet"
	"hearth/internal/testing/weaviatetest"
	"hearth/pool"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// tester is a client of a stand-in that has the classes.
type tester struct {
	*testing.T
	*Client
	server *weaviatetest.Server
	at     time.Time
	mu     sync.Mutex // guards what a test takes down of searches
}

// serve sends a request of somebody else to the stand-in, which must take it.
func (x *tester) serve(method, path, body string) {
	x.Helper()
	w, r := httptest.NewRecorder(), httptest.NewRequestWithContext(x.Context(), method, path, strings.NewReader(body))
	r.Header.Set("Content-Type", "application/json")
	if x.server.ServeHTTP(w, r); w.Code/100 != 2 {
		x.Fatalf("%s %s: %d %s", method, path, w.Code, w.Body)
	}
}

func testConfig() Config {
	return Config{
		Message: MessageClass{Class: "Message", ChatID: "chat_id", Role: "role", Content: "content", CreatedAt: "created_at"},
		Mute:    MuteClass{"ChatStatus", "chat_id", "muted", "muted_until"},
	}
}

func newTester(t *testing.T, cfg Config) *tester {
	t.Helper()
	x := &tester{T: t, server: weaviatetest.New(), at: time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)}
	x.Client = clientOf(t, x.server, cfg)
	if _, err := x.CreateClasses(t.Context()); err != nil {
		t.Fatal(err)
	}
	return x
}

func clientOf(t *testing.T, h http.Handler, cfg Config) *Client {
	t.Helper()
	return clientWith(t, h, cfg, nil, -1)
}

// clientWith makes a client of a server that answers REST and gRPC at one address.
func clientWith(t *testing.T, h http.Handler, cfg Config, answers *pool.Answers, retries int) *Client {
	t.Helper()
	s, err := testnet.Serve(h, testnet.Config{HTTP2: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	pools := make([]*pool.Pool, 2)
	for i := range pools {
		p, err := pool.New(pool.Config{Name: "weaviate", URL: s.URL, GRPC: i == 1, Retries: retries, Answers: answers})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(p.Close)
		pools[i] = p
	}
	return newClient(pools[0], pools[1], cfg)
}

// newClient makes a client of a config that is right.
func newClient(rest, grpc *pool.Pool, cfg Config) *Client {
	cfg.REST, cfg.GRPC = rest, grpc
	c, err := New(cfg)
	if err != nil {
		panic(err)
	}
	return c
}

// fake is a Weaviate of which a test writes the answers.
type fake struct {
	schema string // of every class
	search func(*pb.SearchRequest) (*pb.SearchReply, error)
	rest   http.HandlerFunc // nil: the schema alone
}

func (f fake) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	switch {
	case r.URL.Path == searchProcedure:
		connect.NewUnaryHandler(searchProcedure, func(_ context.Context, req *connect.Request[pb.SearchRequest]) (*connect.Response[pb.SearchReply], error) {
			reply, err := f.search(req.Msg)
			return connect.NewResponse(reply), err
		}).ServeHTTP(w, r)
	case strings.HasPrefix(r.URL.Path, "/v1/schema/"):
		_, _ = io.WriteString(w, f.schema)
	case f.rest != nil:
		f.rest(w, r)
	}
}

const ownSchema = `{"class":"Message","properties":[{"name":"chat_id","dataType":["text"],"tokenization":"field"},
	{"name":"role","dataType":["text"]},{"name":"content","dataType":["text"]},{"name":"created_at","dataType":["date"]},
	{"name":"muted","dataType":["boolean"]},{"name":"muted_until","dataType":["date"]}]`

func rowOf(fields map[string]*pb.Value) *pb.SearchResult {
	return &pb.SearchResult{
		Properties: &pb.PropertiesResult{NonRefProps: &pb.Properties{Fields: fields}}, Metadata: &pb.MetadataResult{Id: "i", Distance: 0.25, Score: 0.75},
	}
}

func textValue(s string) *pb.Value { return &pb.Value{Kind: &pb.Value_TextValue{TextValue: s}} }
func dateValue(s string) *pb.Value { return &pb.Value{Kind: &pb.Value_DateValue{DateValue: s}} }

// write appends n messages, one step apart from each other.
func (x *tester) write(chat, role string, n int, step time.Duration) {
	x.Helper()
	var list []NewMessage
	for i := range n {
		list = append(list, NewMessage{Message: wire.Message{
			ID: uuid.NewString(), Role: role, Content: fmt.Sprintf("%s %d", chat, i), CreatedAt: x.at.Add(time.Duration(i) * step),
		}})
	}
	outcomes, err := x.Append(x.Context(), chat, list)
	if err = join(outcomes, err); err != nil {
		x.Fatal(err)
	}
}

func join(outcomes []Outcome, err error) error {
	for _, o := range outcomes {
		err = errors.Join(err, o.Err)
	}
	return err
}

func (x *tester) recent(chat string, n int) Page {
	x.Helper()
	pages, err := x.Recent(x.Context(), chat, []string{"user", "assistant"}, n, n)
	if err != nil {
		x.Fatal(err)
	}
	return pages[0]
}

func TestAPageNeverCutsEqualTimestamps(t *testing.T) {
	x := newTester(t, testConfig())
	x.write("ties", "user", 30, 0)
	x.write("ties", "assistant", 3, time.Second)
	x.at = x.at.Add(time.Hour)
	x.write("ties", "user", 2, time.Second)
	p := x.recent("ties", 3)
	if !p.Complete || len(p.Messages) != 32 {
		t.Errorf("%d messages, complete %t: the run of equal timestamps must be fetched whole", len(p.Messages), p.Complete)
	}
	if p = x.recent("ties", 2); len(p.Messages) != 2 || p.Complete {
		t.Errorf("%d messages, complete %t: the run is not needed, and must not be cut", len(p.Messages), p.Complete)
	}
}

func TestAPageIsCompleteWhenNothingIsLeft(t *testing.T) {
	x := newTester(t, testConfig())
	for _, n := range []int{1, 9, 10, 17, 18, 19, 60} {
		chat := fmt.Sprint("chat ", n)
		x.write(chat, "user", n, time.Second)
		p := x.recent(chat, 10)
		want := min(n, 10)
		if len(p.Messages) < want || p.Complete && len(p.Messages) != n || n <= 10 && !p.Complete {
			t.Errorf("of %d: %d messages, complete %t", n, len(p.Messages), p.Complete)
		}
		for i, m := range p.Messages {
			if m.Content != fmt.Sprintf("%s %d", chat, n-1-i) {
				t.Errorf("of %d: message %d is %q", n, i, m.Content)
			}
		}
	}
}

func TestRecentIsOneSearchForEachRole(t *testing.T) {
	x := newTester(t, testConfig())
	x.write("a", "user", 100, time.Second)
	before := x.server.Requests()
	x.recent("a", 50)
	if n := x.server.Requests()[searchProcedure] - before[searchProcedure]; n != 2 {
		t.Errorf("%d searches, want 2", n)
	}
}

func TestOtherChatsAreLeftOutWhateverTheTokenization(t *testing.T) {
	x := &tester{T: t, server: weaviatetest.New(), at: time.Unix(0, 0)}
	x.server.MustAddClass(`{"class":"Message","properties":[{"name":"chat_id","dataType":["text"]},{"name":"role","dataType":["text"]},
		{"name":"content","dataType":["text"]},{"name":"created_at","dataType":["date"]}]}`)
	x.Client = clientOf(t, x.server, testConfig())
	x.write("1-1", "user", 3, time.Second)
	x.at = x.at.Add(time.Hour)
	x.write("1-12", "user", 200, time.Second) // "word" matches these too, and they are newer
	x.write("1-1 ", "user", 5, time.Second)
	if p := x.recent("1-1", 3); len(p.Messages) != 3 || p.Messages[0].Content != "1-1 2" {
		t.Errorf("got %v", p.Messages)
	}
	found, _, err := x.Relevant(t.Context(), Query{Chat: "1-1", Text: "1", Mode: BM25, Roles: []string{"user"}, Count: 3})
	if err != nil || len(found) != 3 {
		t.Fatal(found, err)
	}
	for _, f := range found {
		if !strings.HasPrefix(f.Content, "1-1 ") {
			t.Errorf("found %q", f.Content)
		}
	}
}

func TestVerdictsStandInTheirPlaces(t *testing.T) {
	x := newTester(t, testConfig())
	x.server.SetFailBatch(func(o weaviatetest.Object) error {
		if strings.Contains(fmt.Sprint(o.Properties["content"]), "bad") {
			return errors.New("not this one")
		}
		return nil
	})
	outcomes, err := x.Append(t.Context(), "a", []NewMessage{
		{Message: wire.Message{ID: uuid.NewString(), Role: "user", Content: "good"}},
		{Message: wire.Message{ID: uuid.NewString(), Role: "user", Content: "bad"}},
	})
	if err != nil || outcomes[0].Err != nil {
		t.Fatal(outcomes, err)
	}
	if e, ok := errors.AsType[*Error](outcomes[1].Err); !ok || !strings.Contains(e.Message, "not this one") || errors.Is(e, pool.ErrUnknownOutcome) {
		t.Errorf("got %v", outcomes[1].Err)
	}
}

func TestAWriteWithoutAnAnswerIsUnknown(t *testing.T) {
	message := []NewMessage{{Message: wire.Message{ID: uuid.NewString(), Role: "user"}}}
	for name, c := range map[string]struct {
		answer  http.HandlerFunc
		unknown bool
	}{
		"cut":         {func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }, true},
		"500":         {func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(500) }, true},
		"bad gateway": {func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(502) }, true},
		"not JSON":    {func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "<html>") }, true},
		"too few":     {func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "[]") }, true},
		"another id":  {func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, `[{"id":"x","result":{}}]`) }, true},
		"refused":     {func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(422) }, false},
		"no rights":   {func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(403) }, false},
	} {
		t.Run(name, func(t *testing.T) {
			outcomes, err := clientOf(t, fake{schema: ownSchema + "}", rest: c.answer}, testConfig()).Append(t.Context(), "a", message)
			if err = join(outcomes, err); err == nil || errors.Is(err, pool.ErrUnknownOutcome) != c.unknown {
				t.Errorf("got %v, unknown %t, want %t", err, errors.Is(err, pool.ErrUnknownOutcome), c.unknown)
			}
		})
	}
}

func TestARefusalOfAnObjectAfterAnotherTryIsUnknown(t *testing.T) {
	for tries, unknown := range map[int]bool{1: false, 2: true} {
		asked := 0
		c := clientWith(t, fake{schema: ownSchema + "}", rest: func(w http.ResponseWriter, _ *http.Request) {
			if asked++; asked < tries {
				w.WriteHeader(http.StatusBadGateway) // of a proxy; Weaviate may have stored it
				return
			}
			_, _ = io.WriteString(w, `[{"id":"6f9619ff-8b86-4d01-b42d-00cf4fc964ff","result":{"errors":{"error":[{"message":"the disk is read-only"}]}}}]`)
		}}, testConfig(), nil, 1)
		outcomes, err := c.Append(t.Context(), "a", []NewMessage{{Message: wire.Message{ID: "6f9619ff-8b86-4d01-b42d-00cf4fc964ff", Role: "user"}}})
		if err != nil || errors.Is(outcomes[0].Err, pool.ErrUnknownOutcome) != unknown || outcomes[0].Err == nil || asked != tries {
			t.Errorf("after %d tries: %+v, %v", asked, outcomes, err)
		}
	}
}

func TestNoServerIsNoUnknownOutcome(t *testing.T) {
	p, err := pool.New(pool.Config{Name: "weaviate", URL: "http://127.0.0.1:1"})
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	_, err = newClient(p, p, testConfig()).Append(t.Context(), "a", []NewMessage{{}})
	if e, ok := errors.AsType[*pool.Error](err); !ok || e.Sent || errors.Is(err, pool.ErrUnknownOutcome) {
		t.Errorf("got %v", err)
	}
}

func TestRowsThatAreNotAsTheyMustBeAreErrors(t *testing.T) {
	good := map[string]*pb.Value{
		"chat_id": textValue("a"), "role": textValue("user"), "content": textValue("x"), "created_at": dateValue("2026-01-01T00:00:00Z"),
	}
	for name, bad := range map[string]*pb.Value{
		"content":    {Kind: &pb.Value_NumberValue{NumberValue: 7}},
		"created_at": dateValue("never"),
	} {
		fields := maps.Clone(good)
		fields[name] = bad
		c := clientOf(t, fake{schema: ownSchema + "}", search: func(*pb.SearchRequest) (*pb.SearchReply, error) {
			return &pb.SearchReply{Results: []*pb.SearchResult{rowOf(fields)}}, nil
		}}, testConfig())
		_, err := c.Recent(t.Context(), "a", []string{"user", "assistant"}, 5, 5)
		_, _, err2 := c.Relevant(t.Context(), Query{Chat: "a", Text: "x", Mode: BM25, Roles: []string{"user"}, Count: 5})
		for _, err := range []error{err, err2} {
			if e, ok := errors.AsType[*Error](err); !ok || e.Kind != WrongClass || e.Retryable() || !strings.Contains(e.Message, `"`+name+`"`) {
				t.Errorf("%s: %v", name, err)
			}
		}
	}
}

func TestNewerMessagesThatCountSecondsAreNotLeftOutSilently(t *testing.T) {
	for _, kind := range []string{"int", "number"} {
		server := weaviatetest.New()
		x := &tester{T: t, Client: clientOf(t, server, testConfig()), server: server, at: time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)}
		send := func(path, body string) {
			t.Helper()
			w, r := httptest.NewRecorder(), httptest.NewRequestWithContext(t.Context(), http.MethodPost, path, strings.NewReader(body))
			r.Header.Set("Content-Type", "application/json")
			if server.ServeHTTP(w, r); w.Code != http.StatusOK {
				t.Fatalf("%s: %d %s", path, w.Code, w.Body)
			}
		}
		send("/v1/schema", strings.Replace(ownSchema, `"date"`, `"`+kind+`"`, 1)+"}")
		x.write("a", "user", 30, time.Second)
		x.write("b", "user", 30, time.Second)
		if n := len(x.recent("a", 5).Messages); n < 5 {
			t.Errorf("%s: of 30 messages %d are read", kind, n)
		}
		send("/v1/batch/objects", `{"objects":[{"class":"Message","properties":{"chat_id":"a","role":"user","content":"newest","created_at":1790000000}}]}`)
		_, err := x.Recent(t.Context(), "a", []string{"user", "assistant"}, 5, 5)
		if e, ok := errors.AsType[*Error](err); !ok || e.Kind != WrongClass || !strings.Contains(e.Message, "mixes seconds and milliseconds") {
			t.Errorf("%s: a message in seconds after many in milliseconds: %v", kind, err)
		}
		if n := len(x.recent("b", 5).Messages); n < 5 {
			t.Errorf("%s: of another chat %d messages are read", kind, n)
		}
	}
}

func TestTimesMustGoTogetherOverPages(t *testing.T) {
	list := []string{}
	for i := range 20 { // the server sorts texts: those of one hour and several zones by their minutes alone
		list = append(list, fmt.Sprintf("2026-01-01T10:%02d:00%s", 59-i, map[bool]string{true: "+00:00", false: "-05:00"}[i < 9]))
	}
	c := clientWith(t, fake{schema: strings.Replace(ownSchema, `"date"`, `"text"`, 1) + "}", search: func(r *pb.SearchRequest) (*pb.SearchReply, error) {
		reply := &pb.SearchReply{}
		for i := int(r.GetOffset()); i < min(len(list), int(r.GetOffset()+r.GetLimit())); i++ {
			row := rowOf(map[string]*pb.Value{
				"chat_id": textValue("a"), "role": textValue("user"), "content": textValue(strings.Repeat("x", 1000)), "created_at": textValue(list[i]),
			})
			row.Metadata.Id = fmt.Sprint(i)
			reply.Results = append(reply.Results, row)
		}
		return reply, nil
	}}, testConfig(), pool.NewAnswers(14_000, 28_000), -1) // the first page has the first 9
	_, err := c.Recent(t.Context(), "a", []string{"user"}, 13, 13)
	if e, ok := errors.AsType[*Error](err); !ok || e.Kind != WrongClass || !strings.Contains(e.Message, `"created_at"`) {
		t.Errorf("times of two zones on two pages: %v", err)
	}
}

func TestTheKeyGoesBeforeAHeaderThatIsSpelledInAnotherWay(t *testing.T) {
	cfg := testConfig()
	cfg.APIKey, cfg.Headers = "key", map[string]string{"authorization": "another"}
	for range 20 {
		c := clientOf(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if got := r.Header.Values("Authorization"); !slices.Equal(got, []string{"Bearer key"}) {
				t.Errorf("%s has %q", r.URL.Path, got)
			}
			_, _ = io.WriteString(w, ownSchema+"}")
		}), cfg)
		_, _ = c.Recent(t.Context(), "a", []string{"user"}, 5, 5) // whatever comes of it
	}
}

func TestStatusesOfGRPCBecomeOurs(t *testing.T) {
	for _, c := range []struct {
		code      connect.Code
		text      string
		status    int
		retryable bool
	}{
		{connect.CodeUnknown, "extract auth: no auth", 401, false},
		{connect.CodePermissionDenied, "forbidden action", 403, false},
		{connect.CodeUnavailable, "try later", 503, true},
		{connect.CodeDeadlineExceeded, "too slow", 504, true},
		{connect.CodeResourceExhausted, "429 Too many requests", 429, true},
		{connect.CodeResourceExhausted, "trying to send message larger than max", 422, false},
		{connect.CodeUnimplemented, "unknown service", 501, false},
		{connect.CodeUnknown, "search: cannot reach enough replicas", 503, true},
		{connect.CodeUnknown, "tenant not active: 'x'", 422, false},
		{connect.CodeUnknown, "vectorize params: remote client vectorize: connection to: OpenAI API failed with status: 429 error: rate limit", 503, true},
		{connect.CodeUnknown, "vectorize params: remote client vectorize: connection to: OpenAI API failed with status: 503", 503, true},
		{connect.CodeUnknown, "vectorize params: remote client vectorize: connection to: OpenAI API failed with status: 401", 422, false},
		{connect.CodeUnknown, "vectorize params: send POST request: context deadline exceeded", 503, true},
		{connect.CodeUnknown, "anything else", 422, false},
	} {
		client := clientOf(t, fake{schema: ownSchema + "}", search: func(*pb.SearchRequest) (*pb.SearchReply, error) {
			return nil, connect.NewError(c.code, errors.New(c.text))
		}}, testConfig())
		_, err := client.Recent(t.Context(), "a", []string{"user"}, 5, 5)
		if e, ok := errors.AsType[*Error](err); !ok || e.Status != c.status || e.Retryable() != c.retryable || !strings.Contains(e.Message, c.text) {
			t.Errorf("%v %q: %v", c.code, c.text, err)
		}
	}
}

func TestNoSecretIsRepeated(t *testing.T) {
	cfg := testConfig()
	cfg.APIKey, cfg.Headers = "key-of-hearth", map[string]string{"X-OpenAI-Api-Key": "key-of-openai"}
	const told = "refused: key-of-hearth, key-of-openai"
	c := clientOf(t, fake{schema: ownSchema + "}", search: func(*pb.SearchRequest) (*pb.SearchReply, error) {
		return nil, connect.NewError(connect.CodeUnknown, errors.New(told))
	}, rest: func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, `[{"id":"i","result":{"status":"FAILED","errors":{"error":[{"message":"`+told+`"}]}}}]`)
	}}, cfg)
	_, read := c.Recent(t.Context(), "a", []string{"user"}, 5, 5)
	outcomes, err := c.Append(t.Context(), "a", []NewMessage{{Message: wire.Message{ID: "i", Role: "user"}}})
	for _, err := range []error{read, join(outcomes, err)} {
		if err == nil || !strings.Contains(err.Error(), "refused: …, …") || strings.Contains(err.Error(), "key-of-") {
			t.Errorf("got %v", err)
		}
	}
}

func TestAClassIsGoneOnlyIfAReadyServerSaysSo(t *testing.T) {
	for name, c := range map[string]struct {
		ready     int // the status of the readiness check
		comesBack bool
		status    int // of the error; 0: none
	}{
		"a server that starts":           {http.StatusServiceUnavailable, false, 503},
		"a server that has just started": {http.StatusOK, true, 0},
		"a class that is gone":           {http.StatusOK, false, 404},
	} {
		searches := 0
		client := clientOf(t, fake{schema: ownSchema + "}", search: func(*pb.SearchRequest) (*pb.SearchReply, error) {
			if searches++; searches > 1 && c.comesBack {
				return &pb.SearchReply{}, nil
			}
			return nil, connect.NewError(connect.CodeUnknown, errors.New("could not find class Message in schema"))
		}, rest: func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(c.ready) }}, testConfig())
		_, err := client.Recent(t.Context(), "a", []string{"user"}, 5, 5)
		if e, ok := errors.AsType[*Error](err); ok != (c.status != 0) || ok && e.Status != c.status {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestAutoModeAsksTheSchemaOnce(t *testing.T) {
	for vectorizer, want := range map[string]Mode{"none": BM25, "text2vec-x": NearText} {
		var asked *pb.SearchRequest
		c := clientOf(t, fake{schema: ownSchema + fmt.Sprintf(`,"vectorizer":%q}`, vectorizer), search: func(r *pb.SearchRequest) (*pb.SearchReply, error) {
			asked = r
			return &pb.SearchReply{Results: []*pb.SearchResult{rowOf(map[string]*pb.Value{"chat_id": textValue("a"), "role": textValue("user")})}}, nil
		}}, testConfig())
		found, mode, err := c.Relevant(t.Context(), Query{Chat: "a", Text: "x", Mode: Auto, Roles: []string{"user"}, Count: 5})
		if err != nil || len(found) != 1 || found[0].Score != 0.75 || mode != want {
			t.Fatal(found, mode, err)
		}
		if (asked.NearText != nil) != (want == NearText) || (asked.Bm25Search != nil) != (want == BM25) {
			t.Errorf("%s: asked %v", vectorizer, asked)
		}
	}
}

func TestAutoFallsBackWhereTheVectorizerCannotBeUsed(t *testing.T) {
	var log bytes.Buffer
	cfg := testConfig()
	cfg.Logger = slog.New(slog.NewTextHandler(&log, nil))
	near := 0
	c := clientOf(t, fake{schema: ownSchema + `,"vectorizer":"text2vec-x"}`, search: func(r *pb.SearchRequest) (*pb.SearchReply, error) {
		if r.NearText != nil {
			near++
			return nil, connect.NewError(connect.CodeUnknown, errors.New("could not vectorize input for collection Message: no api key found"))
		}
		return &pb.SearchReply{}, nil
	}}, cfg)
	q := Query{Chat: "a", Text: "x", Mode: Auto, Roles: []string{"user"}, Count: 5}
	for range 3 {
		if _, mode, err := c.Relevant(t.Context(), q); mode != BM25 || err != nil {
			t.Errorf("mode %s, %v", mode, err)
		}
	}
	if near != 1 || strings.Count(log.String(), "\n") != 1 {
		t.Errorf("asked the vectorizer %d times, logged %q", near, log.String())
	}
	q.Mode = NearText
	if _, _, err := c.Relevant(t.Context(), q); err == nil {
		t.Error("near_text by name falls back too")
	}
}

func TestTenantsVectorsAndConsistencyAreAskedForWhereTheyExist(t *testing.T) {
	var asked *pb.SearchRequest
	var body, query string
	cfg := testConfig()
	cfg.Tenant, cfg.Vector, cfg.Consistency = "acme", "named", "QUORUM"
	c := clientOf(t, fake{
		schema: ownSchema + `,"multiTenancyConfig":{"enabled":true},"replicationConfig":{"factor":3},"vectorConfig":{"named":{"vectorizer":{"none":{}}},"other":{}}}`,
		search: func(r *pb.SearchRequest) (*pb.SearchReply, error) { asked = r; return &pb.SearchReply{}, nil },
		rest: func(w http.ResponseWriter, r *http.Request) {
			b, _ := io.ReadAll(r.Body)
			body, query = string(b), r.URL.RawQuery
			_, _ = io.WriteString(w, `[{"id":"i","result":{"status":"SUCCESS"}}]`)
		},
	}, cfg)
	if _, _, err := c.Relevant(t.Context(), Query{Chat: "a", Text: "x", Mode: Auto, Vector: []float32{1}, Roles: []string{"user"}, Count: 5}); err != nil {
		t.Fatal(err)
	}
	h := asked.GetHybridSearch()
	if asked.GetTenant() != "acme" || asked.GetConsistencyLevel() != pb.ConsistencyLevel_CONSISTENCY_LEVEL_QUORUM ||
		h.GetTargets().GetTargetVectors()[0] != "named" || string(h.GetVectorBytes()) != "\x00\x00\x80\x3f" || h.GetAlpha() != 0.75 {
		t.Errorf("asked %v", asked)
	}
	if _, err := c.Append(t.Context(), "a", []NewMessage{{Message: wire.Message{ID: "i", Role: "user"}, Vector: []float32{1}}}); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(body, `"vectors":{"named":[1]}`) || !strings.Contains(body, `"tenant":"acme"`) || query != "consistency_level=QUORUM" {
		t.Errorf("written: %s with %s", body, query)
	}
	if !c.MayLag() {
		t.Error("three replicas may lag")
	}
}

func TestEachClassMayLagByItself(t *testing.T) {
	s := weaviatetest.New()
	s.MustAddClass(ownSchema + "}")
	s.MustAddClass(strings.Replace(ownSchema, "Message", "ChatStatus", 1) + `,"replicationConfig":{"factor":3}}`)
	c := clientOf(t, s, testConfig())
	if !c.MayLag() || !c.MuteMayLag() {
		t.Error("nothing is known, but not to lag")
	}
	if err := c.LoadClasses(t.Context()); err != nil || c.MayLag() || !c.MuteMayLag() {
		t.Errorf("messages may lag: %t, mutes: %t, %v", c.MayLag(), c.MuteMayLag(), err)
	}
}

func TestLearningWhereThereIsLittleToLearn(t *testing.T) {
	s := weaviatetest.New()
	s.MustAddClass(ownSchema + "}")
	if err := clientOf(t, s, testConfig()).LoadClasses(t.Context()); err != nil {
		t.Errorf("without a class of mutes, which a handler may not need: %v", err)
	}
	s = weaviatetest.New()
	s.MustAddClass(`{"class":"Message","properties":[]}`)
	if err := clientOf(t, s, testConfig()).LoadClasses(t.Context()); err == nil || !strings.Contains(err.Error(), `no property "chat_id"`) {
		t.Errorf("a class that cannot be served: %v", err)
	}
	var log bytes.Buffer
	cfg := testConfig()
	cfg.Logger = slog.New(slog.NewTextHandler(&log, nil))
	hidden := clientOf(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusForbidden) }), cfg)
	if err := hidden.LoadClasses(t.Context()); err != nil || strings.Count(log.String(), "\n") != 2 { // one for each class
		t.Errorf("where the schema is hidden: %v, logged %q", err, log.String())
	}
}

func TestWhereAReplicaMayHaveItTheOutcomeIsUnknown(t *testing.T) {
	c := clientOf(t, fake{schema: ownSchema + `,"replicationConfig":{"factor":3}}`, rest: func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, `[{"id":"i","result":{"status":"FAILED","errors":{"error":[{"message":"cannot reach enough replicas"}]}}}]`)
	}}, testConfig()) // without a consistency level
	if err := c.LoadClasses(t.Context()); err != nil {
		t.Fatal(err)
	}
	outcomes, err := c.Append(t.Context(), "a", []NewMessage{{Message: wire.Message{ID: "i", Role: "user"}}})
	if err != nil || !errors.Is(outcomes[0].Err, pool.ErrUnknownOutcome) {
		t.Errorf("the outcome is %v, %v", outcomes, err)
	}
}

func TestASearchWithoutAnAnswerIsTheTransportsFailure(t *testing.T) {
	muteSchema := `{"class":"ChatStatus","properties":[{"name":"chat_id","dataType":["text"]},{"name":"muted","dataType":["boolean"]},{"name":"muted_until","dataType":["date"]}]}`
	large := fake{schema: muteSchema, search: func(*pb.SearchRequest) (*pb.SearchReply, error) {
		return &pb.SearchReply{Results: []*pb.SearchResult{rowOf(map[string]*pb.Value{"chat_id": textValue(strings.Repeat("x", 10_000))})}}, nil
	}}
	nobody, err := pool.New(pool.Config{Name: "weaviate", URL: "http://127.0.0.1:1", GRPC: true, Retries: -1})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nobody.Close)
	tooLarge := clientWith(t, large, testConfig(), pool.NewAnswers(5_000, 10_000), -1)
	for cause, c := range map[error]*Client{pool.ErrTooLarge: tooLarge, syscall.ECONNREFUSED: newClient(tooLarge.cfg.REST, nobody, testConfig())} {
		_, err := c.Mute(t.Context(), "a")
		if _, ok := errors.AsType[*pool.Error](err); !ok || !errors.Is(err, cause) {
			t.Errorf("got %v, want %v", err, cause)
		}
	}
}
