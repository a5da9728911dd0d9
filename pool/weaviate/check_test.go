package weaviate

import (
	"fmt"
	"io"
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/weaviate/weaviate/entities/models"

	"hearth/internal/testing/testnet"
	"hearth/internal/testing/weaviatetest"
	"hearth/pool"
)

func TestPatternsOfPermissions(t *testing.T) {
	for _, c := range []struct {
		pattern, name string
		ok            bool
	}{
		{"Message", "Message", true},
		{"Message", "Messages", false},
		{"*", "", true},
		{"*", "Message", true},
		{"Mess*", "Message", true},
		{"Mess*", "Mess", true},
		{"Mess*", "Less", false},
		{"*age", "Message", true},
		{"*age", "Messages", false},
		{"M*s*e", "Message", true},
		{"M*x*e", "Message", false},
		{"M**e", "Message", true},
		{"a*a", "a", false},
		{"a*a", "aa", true},
		{"a*b*b", "ab", false},
		{"a.c", "abc", false},
		{"", "", true},
		{"", "a", false},
	} {
		if matches(c.pattern, c.name) != c.ok {
			t.Errorf("%q matches %q: %t", c.pattern, c.name, !c.ok)
		}
	}
}

func TestRolesAreProposedForBothSidesOrNotAtAll(t *testing.T) {
	for _, c := range []struct {
		counts map[string]int
		want   string
	}{
		{map[string]int{}, ""},
		{map[string]int{"user": 3, "assistant": 2}, ""},
		{map[string]int{"user": 3, "assistant": 2, "system": 9, "": 4}, ""},
		{map[string]int{"human": 3, "ai": 2}, "human,ai"},
		{map[string]int{"Human": 1, "user": 3, "AI": 2, "bot": 5}, "user|Human,bot|AI"},
		{map[string]int{"user": 3, "agent": 2}, "user,agent"},
		{map[string]int{"human": 3}, ""},
		{map[string]int{"x": 3, "y": 1}, ""},
	} {
		if got := proposeRoles(c.counts, []string{"user"}, []string{"assistant"}); got != c.want {
			t.Errorf("of %v is proposed %q, want %q", c.counts, got, c.want)
		}
	}
	if got := proposeRoles(map[string]int{"bot": 3, "ai": 1}, []string{"bot"}, []string{"ai"}); got != "" {
		t.Errorf("what is configured is proposed otherwise: %q", got)
	}
}

func TestPropertiesAreProposedByNameAndType(t *testing.T) {
	class := &models.Class{}
	for _, p := range []string{"user uuid", "sessionID text", "Role text", "message int", "content text", "at date", "timestamp text[]", "sent_at number"} {
		name, kind, _ := strings.Cut(p, " ")
		class.Properties = append(class.Properties, &models.Property{Name: name, DataType: []string{kind}})
	}
	p := proposal{class: class}
	got := []string{
		p.choose("chat_id", []string{"text", "uuid", "int"}, chatNames()...), p.choose("role", []string{"text"}, "role"),
		p.choose("message", []string{"text"}, "message", "content"), p.choose("at", []string{"date", "number"}, "sentat"),
		p.choose("at", []string{"date", "number"}, "timestamp", "sentat"), p.choose("x", []string{"text"}, "role", "content"),
	}
	if want := []string{"sessionID", "Role", "content", "at", "sent_at", ""}; !slices.Equal(got, want) {
		t.Errorf("proposed are %q, want %q", got, want)
	}
}

// rights are what a small role may do in both classes.
func rights(actions ...string) (list []weaviatetest.Permission) {
	for _, class := range []string{"Message", "ChatStatus"} {
		for _, action := range actions {
			list = append(list, weaviatetest.Permission{Action: action, Collection: class})
		}
	}
	return list
}

func TestCheckTellsOfMessagesWithoutATime(t *testing.T) {
	x := newTester(t, testConfig())
	x.write("a", "user", 3, time.Second)
	for i, properties := range []string{`"created_at":null`, `"lang":"de"`} {
		body := fmt.Sprintf(`{"class":"Message","id":"00000000-0000-0000-0000-00000000000%d","properties":{"chat_id":"a","role":"user","content":"x",%s}}`, i, properties)
		if i == 1 {
			body = strings.Replace(body, `,"lang":"de"`, "", 1)
		}
		resp, err := x.cfg.REST.Do(t.Context(), pool.Request{
			Method: http.MethodPost, Path: "/v1/objects", Header: http.Header{"Content-Type": {"application/json"}}, Body: []byte(body),
		})
		if err != nil || resp.Status != http.StatusOK {
			t.Fatal(resp, err)
		}
	}
	for _, f := range x.Check(t.Context()) {
		if f.Question == "times" {
			if f.Verdict != Remark || !strings.HasPrefix(f.Detail, "2 of 5 messages have no created_at") {
				t.Errorf("%+v", f)
			}
			return
		}
	}
	t.Error("check says nothing of messages without a time")
}

func TestCheckTellsOfKeysAndRights(t *testing.T) {
	all := []string{"read_collections", "read_data", "create_data", "update_data"}
	without := func(action string) []weaviatetest.Permission {
		return rights(slices.DeleteFunc(slices.Clone(all), func(a string) bool { return a == action })...)
	}
	keys := map[string]weaviatetest.User{
		"admin": {Name: "admin", Permissions: []weaviatetest.Permission{
			{Action: "create_collections"}, {Action: "read_collections"}, {Action: "read_data"}, {Action: "create_data"}, {Action: "update_data"},
		}},
		"good": {Name: "good", Permissions: rights(all...)}, "nobody": {Name: "nobody"},
		"no read": {Name: "no read", Permissions: without("read_data")}, "no schema": {Name: "no schema", Permissions: without("read_collections")},
		"no create": {Name: "no create", Permissions: without("create_data")}, "no update": {Name: "no update", Permissions: without("update_data")},
	}
	server := weaviatetest.NewWith(weaviatetest.Config{Keys: keys})
	cfg := testConfig()
	cfg.APIKey = "admin"
	if _, err := clientOf(t, server, cfg).CreateClasses(t.Context()); err != nil {
		t.Fatal(err)
	}
	for key, want := range map[string]struct {
		failed []string // questions
		words  string
	}{
		"admin": {}, "good": {},
		"nobody":    {[]string{"history", "mute", "roles"}, "missing"},
		"no read":   {[]string{"history", "mute", "roles"}, "read_data"},
		"no schema": {[]string{"history", "mute"}, "read_collections"},
		"no create": {[]string{"write"}, "create_data on Message, create_data on ChatStatus"},
		"no update": {[]string{"write"}, "update_data on Message"},
		"wrong":     {[]string{"class ChatStatus", "class Message"}, "HEARTH_WEAVIATE_API_KEY"},
		"":          {[]string{"class ChatStatus", "class Message"}, "HEARTH_WEAVIATE_API_KEY"},
	} {
		cfg.APIKey = key
		failed, text := map[string]bool{}, ""
		for _, f := range clientOf(t, server, cfg).Check(t.Context()) {
			text += f.Question + ": " + string(f.Verdict) + ": " + f.Detail + "\n"
			if f.Verdict == Failed {
				failed[f.Question] = true
			}
		}
		if got := slices.Sorted(maps.Keys(failed)); !slices.Equal(got, want.failed) || !strings.Contains(text, want.words) {
			t.Errorf("key %q: failed are %v, want %v with %q:\n%s", key, got, want.failed, want.words, text)
		}
	}
}

func TestCheckNamesTheAddressThatIsWrong(t *testing.T) {
	serve := func(h http.Handler, cfg testnet.Config) string {
		t.Helper()
		s, err := testnet.Serve(h, cfg)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = s.Close() })
		return s.URL
	}
	page := func(status int) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "text/html")
			w.WriteHeader(status)
			_, _ = io.WriteString(w, "<html>a page of a proxy</html>")
		})
	}
	both := testnet.Config{HTTP2: true}
	weaviate := weaviatetest.New()
	good := serve(weaviate, both)
	if _, err := clientOf(t, weaviate, testConfig()).CreateClasses(t.Context()); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct{ rest, grpc, variable string }{
		"HTTP/1.1 alone":  {good, serve(page(http.StatusOK), testnet.Config{}), "HEARTH_WEAVIATE_GRPC_URL"},
		"a page":          {good, serve(page(http.StatusOK), both), "HEARTH_WEAVIATE_GRPC_URL"},
		"a proxy's 502":   {good, serve(page(http.StatusBadGateway), both), "HEARTH_WEAVIATE_GRPC_URL"},
		"a proxy's 404":   {good, serve(page(http.StatusNotFound), both), "HEARTH_WEAVIATE_GRPC_URL"},
		"TLS without TLS": {good, strings.Replace(good, "http:", "https:", 1), "HEARTH_WEAVIATE_GRPC_URL"},
		"no TLS with TLS": {good, strings.Replace(serve(weaviate, testnet.Config{HTTP2: true, TLS: true}), "https:", "http:", 1), "HEARTH_WEAVIATE_GRPC_URL"},
		"nobody":          {good, "http://127.0.0.1:1", "HEARTH_WEAVIATE_GRPC_URL"},
		"nobody at REST":  {"http://127.0.0.1:1", good, "HEARTH_WEAVIATE_URL"},
	} {
		pools := make([]*pool.Pool, 2)
		for i, address := range []string{c.rest, c.grpc} {
			p, err := pool.New(pool.Config{
				Name: "weaviate", URL: address, GRPC: i == 1, Retries: -1, Variable: []string{"HEARTH_WEAVIATE_URL", "HEARTH_WEAVIATE_GRPC_URL"}[i],
			})
			if err != nil {
				t.Fatal(err)
			}
			defer p.Close()
			pools[i] = p
		}
		failed := 0
		for _, f := range newClient(pools[0], pools[1], testConfig()).Check(t.Context()) {
			if f.Verdict == Failed {
				failed++
				if !strings.Contains(f.Detail, c.variable+" (") {
					t.Errorf("%s: %s: %s", name, f.Question, f.Detail)
				}
			}
		}
		if failed == 0 {
			t.Errorf("%s: nothing fails", name)
		}
	}
}
