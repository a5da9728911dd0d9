package weaviate

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"go.uber.org/goleak"

	"hearth/internal/weaviatetest"
	"hearth/pool"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// tester is a client of a stand-in that has the classes.
type tester struct {
	*testing.T
	*Client
	server *weaviatetest.Server
	at     time.Time
}

func testConfig() Config {
	return Config{
		Message: MessageClass{"Message", "chat_id", "role", "content", "created_at"},
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
	s := httptest.NewServer(h)
	t.Cleanup(s.Close)
	p, err := pool.New(pool.Config{Name: "weaviate", URL: s.URL, Retries: -1})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Close)
	return New(p, cfg)
}

// write appends n messages, one step apart from each other.
func (x *tester) write(chat, role string, n int, step time.Duration) {
	x.Helper()
	var list []NewMessage
	for i := range n {
		list = append(list, NewMessage{Message: Message{
			ID: uuid.NewString(), Role: role, Content: fmt.Sprintf("%s %d", chat, i), CreatedAt: x.at.Add(time.Duration(i) * step),
		}})
	}
	verdicts, err := x.Append(x.Context(), chat, list)
	if err = errors.Join(append(verdicts, err)...); err != nil {
		x.Fatal(err)
	}
}

func (x *tester) recent(chat string, n int) Page {
	x.Helper()
	pages, err := x.Recent(x.Context(), chat, []string{"user", "assistant"}, n)
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

func TestRecentIsOneRequest(t *testing.T) {
	x := newTester(t, testConfig())
	x.write("a", "user", 100, time.Second)
	before := x.server.Requests()
	x.recent("a", 50)
	after := x.server.Requests()
	if n := after["/v1/graphql/batch"] - before["/v1/graphql/batch"]; n != 1 || after["/v1/graphql"] != before["/v1/graphql"] {
		t.Errorf("%d batches, %d single queries", n, after["/v1/graphql"]-before["/v1/graphql"])
	}
}

func TestARefusedBatchIsAskedOneByOne(t *testing.T) {
	x := newTester(t, testConfig())
	x.write("a", "user", 5, time.Second)
	batches := 0
	x.server.SetHook(func(w http.ResponseWriter, r *http.Request) bool {
		if r.URL.Path != "/v1/graphql/batch" {
			return false
		}
		batches++
		http.Error(w, `{"error":[{"message":"forbidden"}]}`, http.StatusForbidden)
		return true
	})
	for range 3 {
		if p := x.recent("a", 10); len(p.Messages) != 5 {
			t.Errorf("%d messages", len(p.Messages))
		}
	}
	if batches != 1 {
		t.Errorf("asked for %d batches, want 1: what is refused stays refused", batches)
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
	found, err := x.Search(t.Context(), Query{Chat: "1-1", Text: "1", Mode: BM25, Roles: []string{"user"}, Count: 3})
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
	verdicts, err := x.Append(t.Context(), "a", []NewMessage{
		{Message: Message{ID: uuid.NewString(), Role: "user", Content: "good"}},
		{Message: Message{ID: uuid.NewString(), Role: "user", Content: "bad"}},
	})
	if err != nil || verdicts[0] != nil {
		t.Fatal(verdicts, err)
	}
	if e, ok := errors.AsType[*Error](verdicts[1]); !ok || !strings.Contains(e.Message, "not this one") || Unknown(verdicts[1]) {
		t.Errorf("got %v", verdicts[1])
	}
}

func TestAWriteWithoutAnAnswerIsUnknown(t *testing.T) {
	message := []NewMessage{{Message: Message{ID: uuid.NewString(), Role: "user"}}}
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
			verdicts, err := clientOf(t, c.answer, testConfig()).Append(t.Context(), "a", message)
			if err = errors.Join(append(verdicts, err)...); err == nil || Unknown(err) != c.unknown {
				t.Errorf("got %v, unknown %t, want %t", err, Unknown(err), c.unknown)
			}
		})
	}
}

func TestNoServerIsNoUnknownOutcome(t *testing.T) {
	p, err := pool.New(pool.Config{Name: "weaviate", URL: "http://127.0.0.1:1"})
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	_, err = New(p, testConfig()).Append(t.Context(), "a", []NewMessage{{}})
	if e, ok := errors.AsType[*pool.Error](err); !ok || e.Sent || Unknown(err) {
		t.Errorf("got %v", err)
	}
}

func TestBadAnswersAreErrors(t *testing.T) {
	for _, answer := range []string{
		``, `null`, `{}`, `[]`, `{"data":null}`, `{"data":{"Get":null}}`, `{"data":{"Get":{"Message":null}}}`, `{"data":{"Get":{"Message":[7]}}}`,
		`{"data":{"Get":{"Message":[{"chat_id":"a","role":"user","created_at":"never"}]}}}`,
		`{"data":{"Get":{"Message":[]}},"errors":[{"message":"half of it"}]}`, `{"errors":[null]}`,
	} {
		h := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/v1/graphql/batch" {
				answer := "[" + answer + "," + answer + "]"
				_, _ = io.WriteString(w, answer)
				return
			}
			_, _ = io.WriteString(w, answer)
		})
		c := clientOf(t, h, testConfig())
		if pages, err := c.Recent(t.Context(), "a", []string{"user", "assistant"}, 5); err == nil {
			t.Errorf("%s: recent gave %v", answer, pages)
		}
		if found, err := c.Search(t.Context(), Query{Chat: "a", Text: "x", Mode: BM25, Roles: []string{"user"}, Count: 5}); err == nil {
			t.Errorf("%s: search gave %v", answer, found)
		}
	}
}

func TestTooManyRequestsInsideA200(t *testing.T) {
	h := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, `{"errors":[{"message":"429 Too many requests"}]}`)
	})
	_, err := clientOf(t, h, testConfig()).Mute(t.Context(), "a")
	if e, ok := errors.AsType[*Error](err); !ok || e.Status != 429 || !e.Retryable() {
		t.Errorf("got %v", err)
	}
}

func TestAutoModeAsksTheSchemaOnce(t *testing.T) {
	for vectorizer, want := range map[string]Mode{"none": BM25, "text2vec-x": NearText} {
		var query string
		schemas := 0
		h := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.Method == http.MethodGet {
				schemas++
				fmt.Fprintf(w, `{"class":"Message","vectorizer":%q}`, vectorizer)
				return
			}
			b, _ := io.ReadAll(r.Body)
			query = string(b)
			_, _ = io.WriteString(w, `{"data":{"Get":{"Message":[{"chat_id":"a","role":"user","_additional":{"id":"i","distance":0.25,"score":"0.75"}}]}}}`)
		})
		c := clientOf(t, h, testConfig())
		for range 2 {
			found, err := c.Search(t.Context(), Query{Chat: "a", Text: "x", Mode: Auto, Roles: []string{"user"}, Count: 5})
			if err != nil || len(found) != 1 || found[0].Score != 0.75 {
				t.Fatal(found, err)
			}
		}
		if word := map[Mode]string{BM25: "bm25", NearText: "nearText"}[want]; !strings.Contains(query, word) || schemas != 1 {
			t.Errorf("%s: %s after %d looks at the schema", vectorizer, query, schemas)
		}
	}
}

func TestTenantsVectorsAndConsistencyAreAskedForWhereTheyExist(t *testing.T) {
	var bodies, queries []string
	h := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		b, _ := io.ReadAll(r.Body)
		bodies, queries = append(bodies, string(b)), append(queries, r.URL.RawQuery)
		switch {
		case r.Method == http.MethodGet:
			_, _ = io.WriteString(w, `{"class":"Message","replicationConfig":{"factor":3},"vectorConfig":{"named":{"vectorizer":{"none":{}}}}}`)
		case strings.HasPrefix(r.URL.Path, "/v1/batch"):
			_, _ = io.WriteString(w, `[{"id":"i","result":{"status":"SUCCESS"}}]`)
		default:
			_, _ = io.WriteString(w, `{"data":{"Get":{"Message":[]}}}`)
		}
	})
	cfg := testConfig()
	cfg.Tenant, cfg.Vector, cfg.Consistency = "acme", "named", "QUORUM"
	c := clientOf(t, h, cfg)
	if _, err := c.Search(t.Context(), Query{Chat: "a", Text: "x", Mode: Auto, Vector: []float32{1}, Roles: []string{"user"}, Count: 5}); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{`tenant:\"acme\"`, `consistencyLevel:QUORUM`, `targetVectors:[\"named\"]`, `hybrid:`, `vector:[1]`} {
		if got := bodies[len(bodies)-1]; !strings.Contains(got, want) {
			t.Errorf("%s is not in %s", want, got)
		}
	}
	if _, err := c.Append(t.Context(), "a", []NewMessage{{Message: Message{ID: "i", Role: "user"}, Vector: []float32{1}}}); err != nil {
		t.Fatal(err)
	}
	if got := bodies[len(bodies)-1]; !strings.Contains(got, `"vectors":{"named":[1]}`) || !strings.Contains(got, `"tenant":"acme"`) {
		t.Errorf("written: %s", got)
	}
	if q := queries[len(queries)-1]; q != "consistency_level=QUORUM" {
		t.Errorf("asked %s", q)
	}
	if !c.MayLag() {
		t.Error("three replicas may lag")
	}
}

func TestEachClassMayLagByItself(t *testing.T) {
	s := weaviatetest.New()
	s.MustAddClass(`{"class":"Message","properties":[]}`)
	s.MustAddClass(`{"class":"ChatStatus","replicationConfig":{"factor":3},"properties":[]}`)
	c := clientOf(t, s, testConfig())
	if !c.MayLag() || !c.MuteMayLag() {
		t.Error("nothing is known, but not to lag")
	}
	if err := c.Learn(t.Context()); err != nil || c.MayLag() || !c.MuteMayLag() {
		t.Errorf("messages may lag: %t, mutes: %t, %v", c.MayLag(), c.MuteMayLag(), err)
	}
}

func TestLearningWhereThereIsLittleToLearn(t *testing.T) {
	s := weaviatetest.New()
	s.MustAddClass(`{"class":"Message","properties":[]}`)
	if err := clientOf(t, s, testConfig()).Learn(t.Context()); err != nil {
		t.Errorf("without a class of mutes, which a handler may not need: %v", err)
	}
	var log bytes.Buffer
	cfg := testConfig()
	cfg.Logger = slog.New(slog.NewTextHandler(&log, nil))
	hidden := clientOf(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusForbidden) }), cfg)
	if err := hidden.Learn(t.Context()); err != nil || strings.Count(log.String(), "\n") != 1 {
		t.Errorf("where the schema is hidden: %v, logged %q", err, log.String())
	}
}

func TestCheckNamesEveryFault(t *testing.T) {
	s := weaviatetest.New()
	s.MustAddClass(`{"class":"Message","properties":[{"name":"chat_id","dataType":["text"]},{"name":"role","dataType":["text"],"tokenization":"field"},
		{"name":"content","dataType":["int"]}]}`)
	err := clientOf(t, s, testConfig()).Check(t.Context())
	for _, want := range []string{`"chat_id" has tokenization`, `"content" is [int]`, `no property "created_at"`, "ChatStatus does not exist"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q is not in %v", want, err)
		}
	}
	x := newTester(t, testConfig())
	if err := x.Check(t.Context()); err != nil {
		t.Errorf("our own classes: %v", err)
	}
	if created, err := x.CreateClasses(t.Context()); err != nil || len(created) != 0 {
		t.Errorf("created again: %v %v", created, err)
	}
}

func FuzzQuote(f *testing.F) {
	for _, s := range []string{"", `"}) {`, "\n\v\x00", "😀", "\u2028", `\`, "a/b"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		q := quote(s)
		inner := strings.TrimSuffix(strings.TrimPrefix(q, `"`), `"`)
		if len(q) < 2 || strings.ContainsAny(strings.NewReplacer(`\\`, "", `\"`, "").Replace(inner), "\"\n\r") {
			t.Errorf("%q leaves its string: %s", s, q)
		}
	})
}

func TestWhereAReplicaMayHaveItTheOutcomeIsUnknown(t *testing.T) {
	c := clientOf(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasPrefix(r.URL.Path, "/v1/batch") {
			_, _ = io.WriteString(w, `[{"id":"i","result":{"status":"FAILED","errors":{"error":[{"message":"cannot reach enough replicas"}]}}}]`)
			return
		}
		_, _ = io.WriteString(w, `{"class":"Message","replicationConfig":{"factor":3}}`)
	}), testConfig()) // without a consistency level
	if err := c.Learn(t.Context()); err != nil {
		t.Fatal(err)
	}
	verdicts, err := c.Append(t.Context(), "a", []NewMessage{{Message: Message{ID: "i", Role: "user"}}})
	if err != nil || !Unknown(verdicts[0]) {
		t.Errorf("the verdict is %v, %v", verdicts, err)
	}
}
