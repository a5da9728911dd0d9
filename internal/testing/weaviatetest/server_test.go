package weaviatetest

import (
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"connectrpc.com/connect"
	pb "github.com/weaviate/weaviate/grpc/generated/protocol/v1"
	"google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/protobuf/types/known/emptypb"

	"hearth/internal/testing/testnet"
)

const schema = `{"class":"Message","properties":[{"name":"chat_id","dataType":["text"],"tokenization":"field"},` +
	`{"name":"role","dataType":["text"],"tokenization":"field"},{"name":"content","dataType":["text"]},` +
	`{"name":"created_at","dataType":["date"]}]}`

// filled is a server with n messages, 100 in each chat.
func filled(tb testing.TB, n int) *Server {
	tb.Helper()
	s := New()
	s.MustAddClass(schema)
	begin := time.Date(2024, 1, 1, 0, 0, 0, 0, time.UTC)
	for from := 0; from < n; from += 1000 {
		var objects []string
		for i := from; i < min(n, from+1000); i++ {
			objects = append(objects, fmt.Sprintf(
				`{"class":"Message","id":%q,"properties":{"chat_id":"chat %d","role":%q,"content":"word%d and more","created_at":%q}}`,
				id(i), i/100, []string{"user", "assistant"}[i%2], i%1000, begin.Add(time.Duration(i)*time.Second).Format(time.RFC3339)))
		}
		if w := call(tb, s, "/v1/batch/objects", `{"objects":[`+strings.Join(objects, ",")+`]}`); w.Code != 200 || strings.Contains(w.Body.String(), "FAILED") {
			tb.Fatal(w.Code, w.Body)
		}
	}
	return s
}

func call(tb testing.TB, h http.Handler, path, body string) *httptest.ResponseRecorder {
	tb.Helper()
	r := httptest.NewRequestWithContext(tb.Context(), http.MethodPost, path, strings.NewReader(body))
	r.Header.Set("Content-Type", "application/json")
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

func newest() string {
	equal := func(property, value string) string { return where("EQUAL", property, `"valueText":`+quote(value)) }
	return `{"collection":"Message","limit":58,` + sorted("-created_at") + `,"metadata":{"uuid":true},` +
		with(combine("AND", equal("chat_id", "chat 7"), combine("OR", equal("role", "user"), equal("role", "assistant")))) + `}`
}

func relevant() string {
	return `{"collection":"Message","limit":5,"metadata":{"uuid":true,"score":true},` + equal("chat_id", `"chat 7"`) +
		`,"bm25Search":{"query":"word712 and word799","properties":["content"]}}`
}

func TestManyAtOnce(t *testing.T) {
	s := filled(t, 2000)
	c := standIn(t, s)
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			for n := range 20 {
				call(t, s, "/v1/batch/objects", fmt.Sprintf(
					`{"objects":[{"class":"Message","properties":{"chat_id":"new %d","created_at":"2025-01-01T00:00:00Z"}}]}`, i*n))
				resp, err := c.search.CallUnary(t.Context(), connect.NewRequest(searchRequest(t, newest())))
				if err != nil {
					t.Error(err)
					return
				}
				rows := resp.Msg.GetResults()
				if len(rows) != 58 || rows[0].GetProperties().GetNonRefProps().GetFields()["chat_id"].GetTextValue() != "chat 7" {
					t.Errorf("got %v", rows)
				}
			}
		})
	}
	wg.Wait()
	if got := s.Requests()[searchPath]; got != 160 {
		t.Errorf("%d requests counted, want 160", got)
	}
}

func TestFailBatch(t *testing.T) {
	s := filled(t, 0)
	s.SetFailBatch(func(o Object) error {
		if o.Properties["role"] == "user" {
			return errors.New("no space left")
		}
		return nil
	})
	body := fmt.Sprintf(`{"objects":[{"class":"Message","id":%q,"properties":{"role":"user"}},{"class":"Message","id":%q}]}`, id(1), id(2))
	got := call(t, s, "/v1/batch/objects", body).Body.String()
	if strings.Count(got, `"FAILED"`) != 1 || strings.Count(got, `"SUCCESS"`) != 1 || !strings.Contains(got, "no space left") {
		t.Error(got)
	}
	got = standIn(t, s).find(t, `{"collection":"Message","metadata":{"uuid":true}}`, nil)
	if strings.Contains(got, id(1)) || !strings.Contains(got, id(2)) {
		t.Error(got)
	}
}

func TestFailSearch(t *testing.T) {
	s := filled(t, 1)
	c := standIn(t, s)
	s.SetFailSearch(func(r *pb.SearchRequest) error {
		switch {
		case r.GetBm25Search() != nil:
			return connect.NewError(connect.CodeUnavailable, errors.New("no read replica found"))
		case len(r.GetSortBy()) > 0:
			return errors.New("disk is full")
		}
		return nil
	})
	for request, want := range map[string]string{
		relevant(): `{"code":"unavailable","message":"no read replica found"}`, newest(): `{"code":"unknown","message":"disk is full"}`,
	} {
		if got := c.find(t, request, nil); got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
	if got := c.find(t, `{"collection":"Message"}`, nil); !strings.Contains(got, "chat 0") {
		t.Error(got)
	}
	s.SetFailSearch(nil)
	if got := c.find(t, newest(), nil); strings.Contains(got, "message") {
		t.Error(got)
	}
}

func TestHookAnswersFirst(t *testing.T) {
	s := filled(t, 1)
	c := standIn(t, s)
	s.SetHook(func(w http.ResponseWriter, r *http.Request) bool {
		if r.URL.Path != searchPath {
			return false
		}
		w.WriteHeader(http.StatusServiceUnavailable)
		return true
	})
	if got := c.find(t, newest(), nil); !strings.Contains(got, `"code":"unavailable"`) {
		t.Error(got)
	}
	if status, body := c.rest(t, step{method: "GET", path: "/v1/schema/Message"}, nil); status != http.StatusOK {
		t.Error(status, body)
	}
	s.SetHook(nil)
	if got := c.find(t, newest(), nil); strings.Contains(got, "code") {
		t.Error(got)
	}
}

func TestHealthNeedsNoKeyAndNoMessage(t *testing.T) {
	ts, err := testnet.Serve(NewWith(Config{Keys: map[string]User{"key": {}}}), testnet.Config{HTTP2: true})
	if err != nil {
		t.Fatal(err)
	}
	defer ts.Close()
	h2 := &http.Transport{Protocols: new(http.Protocols)}
	h2.Protocols.SetUnencryptedHTTP2(true)
	defer h2.CloseIdleConnections()
	c := connect.NewClient[emptypb.Empty, grpc_health_v1.HealthCheckResponse](&http.Client{Transport: h2}, ts.URL+healthPath, connect.WithGRPC())
	resp, err := c.CallUnary(t.Context(), connect.NewRequest(&emptypb.Empty{}))
	if err != nil || resp.Msg.GetStatus() != grpc_health_v1.HealthCheckResponse_SERVING {
		t.Error(resp, err)
	}
}

func TestGRPCIsNotOnHTTP1(t *testing.T) {
	if w := call(t, New(), searchPath, "{}"); w.Code != http.StatusNotFound {
		t.Error(w.Code, w.Body)
	}
}

func TestContentTypeIsAsked(t *testing.T) {
	w := httptest.NewRecorder()
	New().ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/v1/batch/objects", strings.NewReader("{}")))
	if w.Code != http.StatusUnsupportedMediaType {
		t.Error(w.Code, w.Body)
	}
}

func TestMaxResultsIsASetting(t *testing.T) {
	s := NewWith(Config{MaxResults: 50})
	s.MustAddClass(schema)
	c := standIn(t, s)
	if got := c.find(t, `{"collection":"Message","limit":50}`, nil); strings.Contains(got, "message") {
		t.Error(got)
	}
	want := "query maximum results exceeded: the total limit calculated from the provided offset '1' and limit '50' exceeds the configured value for QUERY_MAXIMUM_RESULTS '50'"
	if got := c.find(t, `{"collection":"Message","limit":50,"offset":1}`, nil); !strings.Contains(got, want) {
		t.Error(got)
	}
}

func TestReplicasSayThatTheyAgree(t *testing.T) {
	s := filled(t, 1)
	s.MustAddClass(strings.Replace(strings.Replace(schema, "Message", "Copied", 1), `"properties"`, `"replicationConfig":{"factor":3},"properties"`, 1))
	call(t, s, "/v1/batch/objects", `{"objects":[{"class":"Copied"}]}`)
	c := standIn(t, s)
	for class, want := range map[string]bool{"Copied": true, "Message": false} {
		got := c.find(t, `{"collection":"`+class+`","consistencyLevel":"CONSISTENCY_LEVEL_QUORUM","metadata":{"isConsistent":true}}`, nil)
		if strings.Contains(got, `"isConsistent":true`) != want || strings.Contains(got, "message") {
			t.Errorf("%s: %s", class, got)
		}
	}
}

func BenchmarkNewestOf20000(b *testing.B)   { benchmark(b, newest()) }
func BenchmarkRelevantOf20000(b *testing.B) { benchmark(b, relevant()) }

func benchmark(b *testing.B, request string) {
	c := standIn(b, filled(b, 20000))
	for b.Loop() {
		if got := c.find(b, request, nil); !strings.Contains(got, "word799") {
			b.Fatal(got)
		}
	}
}
