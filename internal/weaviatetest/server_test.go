package weaviatetest

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"
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

const newest = `{"query":"{Get{Message(where:{operator:And,operands:[{path:[\"chat_id\"],operator:Equal,valueText:\"chat 7\"},` +
	`{operator:Or,operands:[{path:[\"role\"],operator:Equal,valueText:\"user\"},{path:[\"role\"],operator:Equal,valueText:\"assistant\"}]}]},` +
	`sort:[{path:[\"created_at\"],order:desc}],limit:58){chat_id role content created_at _additional{id}}}}"}`

const relevant = `{"query":"{Get{Message(where:{path:[\"chat_id\"],operator:Equal,valueText:\"chat 7\"},` +
	`bm25:{query:\"word712 and word799\",properties:[\"content\"]},limit:5){content _additional{id score}}}}"}`

func TestManyAtOnce(t *testing.T) {
	s := filled(t, 2000)
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			for n := range 20 {
				call(t, s, "/v1/batch/objects", fmt.Sprintf(
					`{"objects":[{"class":"Message","properties":{"chat_id":"new %d","created_at":"2025-01-01T00:00:00Z"}}]}`, i*n))
				var got struct {
					Data struct {
						Get struct {
							Message []struct {
								Chat string `json:"chat_id"`
							}
						}
					}
				}
				if err := json.Unmarshal(call(t, s, "/v1/graphql", newest).Body.Bytes(), &got); err != nil {
					t.Error(err)
				}
				if len(got.Data.Get.Message) != 58 || got.Data.Get.Message[0].Chat != "chat 7" {
					t.Errorf("got %v", got)
				}
			}
		})
	}
	wg.Wait()
	if got := s.Requests()["/v1/graphql"]; got != 160 {
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
	if got := call(t, s, "/v1/graphql", `{"query":"{Get{Message{_additional{id}}}}"}`).Body.String(); strings.Contains(got, id(1)) || !strings.Contains(got, id(2)) {
		t.Error(got)
	}
}

func TestHookAnswersFirst(t *testing.T) {
	s := filled(t, 1)
	s.SetHook(func(w http.ResponseWriter, r *http.Request) bool {
		if r.URL.Path != "/v1/graphql" {
			return false
		}
		w.WriteHeader(http.StatusServiceUnavailable)
		return true
	})
	if w := call(t, s, "/v1/graphql", newest); w.Code != http.StatusServiceUnavailable {
		t.Error(w.Code)
	}
	if w := call(t, s, "/v1/graphql/batch", "["+newest+"]"); w.Code != http.StatusOK {
		t.Error(w.Code)
	}
	s.SetHook(nil)
	if w := call(t, s, "/v1/graphql", newest); w.Code != http.StatusOK {
		t.Error(w.Code)
	}
}

// Without any class the real server has no GraphQL either. No real server is asked: others have their classes there.
func TestNoClass(t *testing.T) {
	for _, path := range []string{"/v1/graphql", "/v1/graphql/batch"} {
		body := newest
		if path != "/v1/graphql" {
			body = "[" + newest + "]"
		}
		if w := call(t, New(), path, body); w.Code != http.StatusUnprocessableEntity || !bytes.Contains(w.Body.Bytes(), []byte("no graphql provider")) {
			t.Error(w.Code, w.Body)
		}
	}
}

func TestContentTypeIsAsked(t *testing.T) {
	w := httptest.NewRecorder()
	New().ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/v1/graphql", strings.NewReader(newest)))
	if w.Code != http.StatusUnsupportedMediaType {
		t.Error(w.Code, w.Body)
	}
}

func TestReplicasTakeAConsistencyLevel(t *testing.T) {
	s := New()
	s.MustAddClass(strings.Replace(schema, `"properties"`, `"replicationConfig":{"factor":3},"properties"`, 1))
	if got := call(t, s, "/v1/graphql", `{"query":"{Get{Message(consistencyLevel:QUORUM){role}}}"}`).Body.String(); strings.Contains(got, "errors") {
		t.Error(got)
	}
}

func BenchmarkNewestOf20000(b *testing.B)   { benchmark(b, newest) }
func BenchmarkRelevantOf20000(b *testing.B) { benchmark(b, relevant) }

func benchmark(b *testing.B, body string) {
	s := filled(b, 20000)
	for b.Loop() {
		if w := call(b, s, "/v1/graphql", body); !strings.Contains(w.Body.String(), "word799") {
			b.Fatal(w.Body)
		}
	}
}
