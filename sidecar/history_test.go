package sidecar

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"strconv"
	"strings"
	"testing"

	"hearth/cache"
	"hearth/client/wire"
	"hearth/internal/testing/testnet"
	"hearth/internal/testing/weaviatetest"
	"hearth/pool"
	"hearth/pool/weaviate"
	"hearth/sidecar/chat"
)

// replicated is the API before a Weaviate whose classes have replicas, with as small a cache as there is.
func replicated(t *testing.T) (url string) {
	t.Helper()
	stand := weaviatetest.New()
	for _, class := range []string{
		`{"class":"Message","replicationConfig":{"factor":3},"properties":[{"name":"chat_id","dataType":["text"],"tokenization":"field"},` +
			`{"name":"role","dataType":["text"],"tokenization":"field"},{"name":"content","dataType":["text"]},{"name":"created_at","dataType":["date"]}]}`,
		`{"class":"ChatStatus","replicationConfig":{"factor":3},"properties":[{"name":"chat_id","dataType":["text"],"tokenization":"field"},` +
			`{"name":"muted","dataType":["boolean"]},{"name":"muted_until","dataType":["date"]}]}`,
	} {
		stand.MustAddClass(class)
	}
	return withWeaviate(t, stand, cache.Config{Bytes: 1})
}

// withWeaviate is the API before a stand-in of Weaviate, which is asked once for each answer.
func withWeaviate(t *testing.T, stand *weaviatetest.Server, c cache.Config) (url string) {
	t.Helper()
	upstream, err := testnet.Serve(stand, testnet.Config{HTTP2: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = upstream.Close() })
	var pools []*pool.Pool
	for _, grpc := range []bool{false, true} {
		p, err := pool.New(pool.Config{Name: "weaviate", URL: upstream.URL, GRPC: grpc, Retries: -1})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(p.Close)
		pools = append(pools, p)
	}
	memory, err := cache.New(c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(memory.Close)
	l := listenerFor(t)
	w, err := weaviate.New(weaviate.Config{
		REST: pools[0], GRPC: pools[1],
		Message: weaviate.MessageClass{Class: "Message", ChatID: "chat_id", Role: "role", Content: "content", CreatedAt: "created_at"},
		Mute:    weaviate.MuteClass{Class: "ChatStatus", ChatID: "chat_id", Muted: "muted", Until: "muted_until"},
	})
	if err != nil {
		t.Fatal(err)
	}
	service, err := chat.New(chat.Config{Cache: memory, Weaviate: w})
	if err != nil {
		t.Fatal(err)
	}
	end := newServer(t, Config{Cache: memory, Chat: service}).running(t, l)
	t.Cleanup(func() { _ = end() })
	return "http://" + l.Addr().String()
}

func TestAHistoryThatMayMissAWriteSaysWhenToComeBack(t *testing.T) {
	url := replicated(t) + "/v1/chats/a/"
	do := func(method, path, body string) (*http.Response, []byte) {
		t.Helper()
		r, err := http.NewRequestWithContext(t.Context(), method, url+path, strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Content-Type", "application/json")
		resp, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		b, err := io.ReadAll(resp.Body)
		if err != nil {
			t.Fatal(err)
		}
		return resp, b
	}
	write := func(content string) {
		t.Helper()
		if resp, body := do(http.MethodPost, "messages", `{"role":"user","content":"`+content+`"}`); resp.StatusCode != http.StatusCreated {
			t.Fatalf("%d %s", resp.StatusCode, body)
		}
	}
	write("small")
	if resp, body := do(http.MethodGet, "history", ""); resp.StatusCode != http.StatusOK || !bytes.Contains(body, []byte("small")) {
		t.Errorf("%d %s", resp.StatusCode, body)
	}
	write(strings.Repeat("x", 100<<10))
	resp, body := do(http.MethodGet, "history", "")
	var p wire.Problem
	if err := json.Unmarshal(body, &p); err != nil {
		t.Fatal(err)
	}
	if p.Status != http.StatusServiceUnavailable || !p.Retryable || p.Upstream != "weaviate" || !strings.HasSuffix(p.Type, "#may-miss-writes") {
		t.Errorf("%s", body)
	}
	if after, err := strconv.Atoi(resp.Header.Get("Retry-After")); err != nil || after < 2 || after > 60 {
		t.Errorf("Retry-After: %d %v", after, err)
	}
	if resp, body := do(http.MethodGet, "mute", ""); resp.StatusCode != http.StatusOK {
		t.Errorf("%d %s", resp.StatusCode, body)
	}
}
