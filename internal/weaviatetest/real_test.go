package weaviatetest

import (
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"net/http"
	"net/http/httptest"
	"os"
	"reflect"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// server is one of those compared: the stand-in or a real one.
type server struct {
	url    string
	client *http.Client
}

func standIn(t *testing.T) (*Server, server) {
	t.Helper()
	s := New()
	ts := httptest.NewServer(s)
	t.Cleanup(ts.Close)
	return s, server{ts.URL, ts.Client()}
}

func (s server) do(t *testing.T, st step) (status int, body string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), st.method, s.url+st.path, strings.NewReader(st.body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	resp, err := s.client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, strings.TrimSpace(string(b))
}

func (st step) check(status int, body string) error {
	if want := cmp.Or(st.status, 200); status != want {
		return fmt.Errorf("status %d, want %d\n%s", status, want, body)
	}
	if !strings.Contains(body, st.want) {
		return fmt.Errorf("%s\nhas no %s", body, st.want)
	}
	return nil
}

func TestAnswers(t *testing.T) {
	_, s := standIn(t)
	for _, st := range steps() {
		if err := st.check(s.do(t, st)); err != nil {
			t.Errorf("%s: %s: %v", st.name, st.body, err)
		}
	}
}

// TestSameAsReal sends the same requests to the stand-in and to the server at HEARTH_REAL_WEAVIATE, on classes of its
// own that it deletes, and compares the answers.
func TestSameAsReal(t *testing.T) {
	url := os.Getenv("HEARTH_REAL_WEAVIATE")
	if url == "" {
		t.Skip("HEARTH_REAL_WEAVIATE is not set to the URL of a Weaviate to compare with")
	}
	_, ours := standIn(t)
	real := server{strings.TrimSuffix(url, "/"), &http.Client{Transport: &http.Transport{}}}
	defer real.client.CloseIdleConnections()
	defer func() {
		for _, st := range cleanup() {
			real.do(t, st)
		}
	}()
	same := 0
	all := steps()
	for _, st := range all {
		gotStatus, got := ours.do(t, st)
		wantStatus, want := real.do(t, st)
		if err := st.check(wantStatus, want); err != nil {
			t.Errorf("%s: the real server: %s: %v", st.name, st.body, err)
		}
		if gotStatus != wantStatus {
			t.Errorf("%s: %s\nstand-in %d %s\nreal     %d %s", st.name, st.body, gotStatus, got, wantStatus, want)
			continue
		}
		if why := difference(parse(got), parse(want), st.loose); why != "" {
			t.Errorf("%s: %s\nstand-in %s\nreal     %s\n%s", st.name, st.body, got, want, why)
			continue
		}
		same++
	}
	t.Logf("%d of %d answers are the same", same, len(all))
}

func parse(body string) any {
	var v any
	if json.Unmarshal([]byte(body), &v) != nil {
		return body
	}
	return v
}

var (
	shard    = regexp.MustCompile(`(wt[a-z]+)_[A-Za-z0-9]+`)
	hint     = regexp.MustCompile(` Did you mean .*`)
	volatile = map[string]bool{
		"creationTimeUnix": true, "lastUpdateTimeUnix": true, "hostname": true, "explainScore": true,
		"locations": true, // left out of syntax errors, checked below otherwise
	}
	// ignored is what the stand-in leaves out of a class.
	ignored = map[string]bool{
		"shardingConfig": true, "vectorIndexConfig": true, "usingBlockMaxWAND": true, "cleanupIntervalSeconds": true, "modules": true,
	}
)

// difference compares answers, but for times, shard names, hints, the last digits of numbers and what follows
// "Syntax Error".
func difference(got, want any, loose bool) string {
	switch want := want.(type) {
	case map[string]any:
		g, ok := got.(map[string]any)
		if !ok {
			return fmt.Sprintf("%v is no object", got)
		}
		for k := range g {
			if _, ok := want[k]; !ok {
				return "the real one has no " + k
			}
		}
		for k, w := range want {
			if ignored[k] || volatile[k] {
				continue
			}
			if _, ok := g[k]; !ok {
				return "the stand-in has no " + k
			}
			if loose {
				continue
			}
			if why := difference(g[k], w, false); why != "" {
				return k + ": " + why
			}
		}
		if m, ok := want["message"].(string); ok && want["locations"] != nil && !strings.HasPrefix(m, "Syntax Error") {
			if g, w := first(g["locations"]), first(want["locations"]); !reflect.DeepEqual(g, w) {
				return fmt.Sprintf("location %v is not %v", g, w)
			}
		}
		return ""
	case []any:
		g, ok := got.([]any)
		if !ok || len(g) != len(want) {
			return fmt.Sprintf("%v is not %v", got, want)
		}
		for i := range want {
			if why := difference(g[i], want[i], loose); why != "" {
				return fmt.Sprintf("[%d] %s", i, why)
			}
		}
		return ""
	case float64:
		if g, ok := got.(float64); ok && near(g, want) {
			return ""
		}
	case string:
		g, ok := got.(string)
		if !ok {
			break
		}
		a, errA := strconv.ParseFloat(g, 64)
		b, errB := strconv.ParseFloat(want, 64)
		if errA == nil && errB == nil && near(a, b) {
			return ""
		}
		if plain(g) == plain(want) {
			return ""
		}
	default:
		if reflect.DeepEqual(got, want) {
			return ""
		}
	}
	return fmt.Sprintf("%v is not %v", got, want)
}

func first(v any) any {
	if l, ok := v.([]any); ok && len(l) > 0 {
		return l[0]
	}
	return nil
}

func near(a, b float64) bool { return math.Abs(a-b) <= 1e-4*max(1e-2, math.Abs(a), math.Abs(b)) }

func plain(s string) string {
	if strings.HasPrefix(s, "Syntax Error") {
		return "Syntax Error"
	}
	return hint.ReplaceAllString(shard.ReplaceAllString(s, "$1"), "")
}
