package sidecar

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"runtime"
	"strings"
	"testing"
	"time"

	"hearth/cache"
	"hearth/client/wire"
	"hearth/sidecar/chat"
)

func TestModelsOfWhichOneIsHeldAreCountedOnce(t *testing.T) {
	a := newAPI(t, newUpstreams(), nil)
	a.want(http.StatusOK, http.MethodGet, "/v1/odoo/models?names=res.partner", "")
	a.want(http.StatusOK, http.MethodGet, "/v1/odoo/models?names=res.partner,res.users", "")
	got := decoded[wire.CacheStats](t, a.want(http.StatusOK, http.MethodGet, "/debug/cache", "").body).Resources["odoo_models"]
	if got.Hits != 1 || got.Misses != 2 {
		t.Errorf("%d hits and %d misses, want 1 and 2", got.Hits, got.Misses)
	}
}

func TestAHeldPreprocessNamesTheChatAsAColdOneDoes(t *testing.T) {
	a := newAPI(t, newUpstreams().withClasses("uuid", "text"), nil)
	const spelled, name = "E621E1F8-C36C-495A-93FC-0C247A3E6E5F", "e621e1f8-c36c-495a-93fc-0c247a3e6e5f"
	a.want(http.StatusOK, http.MethodGet, "/v1/chats/"+name+"/history", "") // now the class is known
	for range 2 {
		got := decoded[wire.Preprocess](t, a.want(http.StatusOK, http.MethodPost, "/v1/preprocess", `{"chat_id":"`+spelled+`","text":"","route_name":"r"}`).body)
		if got.ChatID != name {
			t.Errorf("the chat is %s", got.ChatID)
		}
	}
}

func TestWithoutModelsAPreprocessThatWantsThemHasNone(t *testing.T) {
	a := newAPI(t, newUpstreams().withClasses("text", "text"), func(_ *Config, c *chat.Config) { c.OdooModels = nil })
	for range 2 {
		got := a.want(http.StatusOK, http.MethodPost, "/v1/preprocess", `{"chat_id":"a","text":"x","route_name":"odoo_erp","enable_odoo":true}`)
		p := decoded[wire.Preprocess](t, got.body)
		if len(p.OdooModels) != 0 || len(p.Errors) != 0 || p.Cache["odoo_models"] != "hit" {
			t.Errorf("%s", got.body)
		}
	}
}

func TestWhatIsHeldIsJudgedWhenTheBodyHasCome(t *testing.T) {
	const freshness = 300 * time.Millisecond
	a := newAPI(t, newUpstreams().withClasses("text", "text"), func(_ *Config, c *chat.Config) {
		for _, r := range cache.Resources() {
			c.Policies[r] = cache.Policy{Fresh: freshness}
		}
	})
	body := `{"chat_id":"c","text":"x","route_name":"r","num_messages":5,"vector":[` + strings.Repeat("0.123456789,", 3071) + `1]}`
	a.want(http.StatusOK, http.MethodPost, "/v1/preprocess", body)
	c, err := net.Dial("tcp", strings.TrimPrefix(a.url, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	const first = 20000 // bytes: more than the server reads at once
	fmt.Fprintf(c, "POST /v1/preprocess HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s", len(body), body[:first])
	_ = c.SetReadDeadline(time.Now().Add(2 * freshness))
	replies := bufio.NewReader(c)
	if _, err := replies.Peek(1); err == nil {
		t.Fatal("half a body is answered")
	}
	_ = c.SetReadDeadline(time.Now().Add(10 * time.Second))
	_, _ = io.WriteString(c, body[first:])
	resp, err := http.ReadResponse(replies, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	for part, served := range decoded[wire.Preprocess](t, string(text)).Cache {
		if served != "miss" {
			t.Errorf("after its freshness %s is a %s", part, served)
		}
	}
}

// The cache counts a message by its length. So a message must not keep the body that it came in.
func TestAHeldMessageDoesNotKeepItsRequest(t *testing.T) {
	a := newAPI(t, newUpstreams().withClasses("text", "text"), nil)
	const messages, size = 50, 200 << 10
	padding := strings.Repeat(" ", size)
	post := func() {
		a.want(http.StatusCreated, http.MethodPost, "/v1/chats/a/messages", `{"role":"user","content":"hi"`+padding+`}`)
	}
	a.want(http.StatusOK, http.MethodGet, "/v1/chats/a/history", "")
	post()
	before := heapBytes()
	for range messages {
		post()
	}
	if grown := heapBytes() - before; grown > messages*size/4 {
		t.Errorf("%d messages of 2 bytes in bodies of %d take %d bytes", messages, size, grown)
	}
}

func heapBytes() int64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.GC()
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc) //nolint:gosec // it fits
}
