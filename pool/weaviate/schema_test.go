package weaviate

import (
	"io"
	"net/http"
	"strings"
	"testing"
)

func TestTheIndexOfAVectorIsLeftToTheServerUnlessItWantsItNamed(t *testing.T) {
	for name, c := range map[string]struct {
		refuses func(body string) bool
		tries   int // of the class of messages
	}{
		"a server that allows no hnsw":      {func(body string) bool { return strings.Contains(body, "hnsw") }, 1},
		"a server that wants it to be told": {func(body string) bool { return !strings.Contains(body, `"vectorIndexType":"hnsw"`) }, 2},
	} {
		tries := 0
		cfg := testConfig()
		cfg.Vector = "meaning"
		client := clientOf(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.Method == http.MethodGet {
				w.WriteHeader(http.StatusNotFound)
				return
			}
			b, _ := io.ReadAll(r.Body)
			body := string(b)
			if strings.Contains(body, `"meaning"`) {
				tries++
				if c.refuses(body) {
					w.WriteHeader(http.StatusUnprocessableEntity)
					_, _ = io.WriteString(w, `{"error":[{"message":"unrecognized or unsupported vectorIndexType"}]}`)
					return
				}
			}
			_, _ = w.Write(b)
		}), cfg)
		created, err := client.CreateClasses(t.Context())
		if err != nil || len(created) != 2 || tries != c.tries {
			t.Errorf("%s: created %v after %d tries, %v", name, created, tries, err)
		}
	}
}
