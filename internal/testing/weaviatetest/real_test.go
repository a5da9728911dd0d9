package weaviatetest

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"math"
	"net/http"
	"os"
	"reflect"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"connectrpc.com/connect"
	pb "github.com/weaviate/weaviate/grpc/generated/protocol/v1"
	"go.uber.org/goleak"
	"google.golang.org/protobuf/encoding/protojson"

	"hearth/internal/testing/testnet"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// server is one of those compared: the stand-in or a real one.
type server struct {
	url    string
	client *http.Client
	search *connect.Client[pb.SearchRequest, pb.SearchReply]
}

func standIn(t testing.TB, s *Server) server {
	t.Helper()
	serve := func(cfg testnet.Config) *testnet.Server {
		ts, err := testnet.Serve(s, cfg)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = ts.Close() })
		return ts
	}
	return connectTo(t, serve(testnet.Config{}).URL, serve(testnet.Config{HTTP2: true}).URL)
}

func connectTo(t testing.TB, rest, grpc string) server {
	t.Helper()
	h1, h2 := &http.Transport{}, &http.Transport{Protocols: new(http.Protocols)}
	h2.Protocols.SetUnencryptedHTTP2(true)
	t.Cleanup(func() { h1.CloseIdleConnections(); h2.CloseIdleConnections() })
	return server{
		rest, &http.Client{Transport: h1},
		connect.NewClient[pb.SearchRequest, pb.SearchReply](&http.Client{Transport: h2}, grpc+searchPath, connect.WithGRPC()),
	}
}

func (s server) do(t testing.TB, st step) (status int, body string) {
	t.Helper()
	if st.method == "" {
		return http.StatusOK, s.find(t, st.body, nil)
	}
	return s.rest(t, st, nil)
}

func (s server) rest(t testing.TB, st step, header http.Header) (status int, body string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), st.method, s.url+st.path, strings.NewReader(st.body))
	if err != nil {
		t.Fatal(err)
	}
	maps.Copy(req.Header, header)
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

// find searches and gives the answer as JSON: the reply and its values of n, or the code and the message.
func (s server) find(t testing.TB, request string, header http.Header) string {
	t.Helper()
	req := connect.NewRequest(searchRequest(t, request))
	maps.Copy(req.Header(), header)
	resp, err := s.search.CallUnary(t.Context(), req)
	if e, ok := errors.AsType[*connect.Error](err); ok {
		return encode(t, map[string]any{"code": e.Code().String(), "message": e.Message()})
	}
	if err != nil {
		t.Fatal(err)
	}
	resp.Msg.Took = 0
	ns := []int64{}
	for _, r := range resp.Msg.GetResults() {
		ns = append(ns, r.GetProperties().GetNonRefProps().GetFields()["n"].GetIntValue())
	}
	b, err := protojson.Marshal(resp.Msg)
	if err != nil {
		t.Fatal(err)
	}
	return encode(t, map[string]any{"reply": parse(string(b)), "rows": ns})
}

func searchRequest(t testing.TB, text string) *pb.SearchRequest {
	t.Helper()
	req := new(pb.SearchRequest)
	if err := protojson.Unmarshal([]byte(text), req); err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	req.Uses_123Api, req.Uses_125Api, req.Uses_127Api = true, true, true
	return req
}

func encode(t testing.TB, v any) string {
	t.Helper()
	var out strings.Builder
	enc := json.NewEncoder(&out)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(out.String())
}

func (st step) check(status int, body string) error {
	if want := cmp.Or(st.status, 200); status != want && want != anyStatus {
		return fmt.Errorf("status %d, want %d\n%s", status, want, body)
	}
	if !strings.Contains(body, st.want) {
		return fmt.Errorf("%s\nhas no %s", body, st.want)
	}
	return nil
}

func TestAnswers(t *testing.T) {
	s := standIn(t, New())
	for _, st := range steps() {
		if err := st.check(s.do(t, st)); err != nil {
			t.Errorf("%s: %s: %v", st.name, st.body, err)
		}
	}
}

// TestSameAsReal sends the same requests to the stand-in and to the server at HEARTH_REAL_WEAVIATE (a URL) and
// HEARTH_REAL_WEAVIATE_GRPC (host:port, without TLS), on classes of its own that it deletes, and compares the answers.
func TestSameAsReal(t *testing.T) {
	url, grpc := os.Getenv("HEARTH_REAL_WEAVIATE"), os.Getenv("HEARTH_REAL_WEAVIATE_GRPC")
	if url == "" || grpc == "" {
		t.Skip("HEARTH_REAL_WEAVIATE and HEARTH_REAL_WEAVIATE_GRPC do not name a Weaviate to compare with")
	}
	ours := standIn(t, New())
	real := connectTo(t, strings.TrimSuffix(url, "/"), "http://"+grpc)
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
		if gotStatus != wantStatus && st.status != anyStatus {
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
	volatile = map[string]bool{
		"creationTimeUnix": true, "lastUpdateTimeUnix": true, "hostname": true, "explainScore": true,
	}
	// ignored is what the stand-in leaves out of a class.
	ignored = map[string]bool{
		"shardingConfig": true, "vectorIndexConfig": true, "usingBlockMaxWAND": true, "cleanupIntervalSeconds": true, "modules": true,
	}
)

// difference compares answers, but for times, shard names and the last digits of numbers.
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

func near(a, b float64) bool { return math.Abs(a-b) <= 1e-4*max(1e-2, math.Abs(a), math.Abs(b)) }

func plain(s string) string { return shard.ReplaceAllString(s, "$1") }
