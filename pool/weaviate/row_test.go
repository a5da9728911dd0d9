package weaviate

import (
	"bytes"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"testing"

	"connectrpc.com/connect"
	pb "github.com/weaviate/weaviate/grpc/generated/protocol/v1"

	"hearth/client/wire"
)

func TestTheChatOfARow(t *testing.T) {
	for want, v := range map[string]*pb.Value{
		"a b":                                  textValue("a b"),
		"old":                                  {Kind: &pb.Value_StringValue{StringValue: "old"}},
		"e621e1f8-c36c-495a-93fc-0c247a3e6e5f": {Kind: &pb.Value_UuidValue{UuidValue: "E621E1F8-C36C-495A-93FC-0C247A3E6E5F"}},
		"-10012345678":                         {Kind: &pb.Value_IntValue{IntValue: -10012345678}},
		"":                                     {Kind: &pb.Value_BoolValue{BoolValue: true}},
	} {
		if got := readRow(rowOf(map[string]*pb.Value{"chat": v})).chat("chat"); got != want {
			t.Errorf("%v is chat %q, want %q", v, got, want)
		}
	}
	if got := readRow(rowOf(nil)).chat("chat"); got != "" {
		t.Errorf("nothing is chat %q", got)
	}
}

func TestTheTypesOfValuesAreNamed(t *testing.T) {
	for _, c := range []struct {
		value *pb.Value
		kind  string
		text  bool
	}{
		{nil, "nothing", true},
		{&pb.Value{Kind: &pb.Value_NullValue{}}, "nothing", true},
		{textValue("x"), "a text", true},
		{&pb.Value{Kind: &pb.Value_StringValue{StringValue: "x"}}, "a text", true},
		{&pb.Value{Kind: &pb.Value_IntValue{IntValue: 1}}, "a number", false},
		{&pb.Value{Kind: &pb.Value_NumberValue{NumberValue: 1}}, "a number", false},
		{boolValue(true), "a boolean", false},
		{dateValue("x"), "a date", false},
		{&pb.Value{Kind: &pb.Value_UuidValue{UuidValue: "x"}}, "a UUID", false},
		{&pb.Value{Kind: &pb.Value_ListValue{}}, "a list", false},
		{&pb.Value{Kind: &pb.Value_ObjectValue{}}, "an object", false},
	} {
		r := readRow(rowOf(map[string]*pb.Value{"p": c.value}))
		if _, text := r.text("p"); r.kind("p") != c.kind || text != c.text {
			t.Errorf("%v is %s, a text: %t", c.value, r.kind("p"), text)
		}
	}
}

func TestTheWordsOfRoles(t *testing.T) {
	c := &Client{cfg: Config{Message: MessageClass{User: []string{"human", "user"}, Assistant: []string{"ai", "bot"}}}}
	for stored, want := range map[string]string{
		"human": "user", "user": "user", "ai": "assistant", "bot": "assistant", "system": "system",
		"": "", "assistant": "", "Human": "", "tool": "",
	} {
		if got := c.roleOf(stored); got != want {
			t.Errorf("%q is the role %q, want %q", stored, got, want)
		}
	}
	if got := c.stored("assistant", "user", "system"); !slices.Equal(got, []string{"ai", "bot", "human", "user", "system"}) {
		t.Errorf("stored are %q", got)
	}
}

// rowsOf is a client of a class that has one message of each role in each of two chats.
func rowsOf(t *testing.T, cfg Config) *Client {
	t.Helper()
	return clientOf(t, fake{schema: ownSchema + "}", search: func(*pb.SearchRequest) (*pb.SearchReply, error) {
		reply := &pb.SearchReply{}
		for _, chat := range []string{"a", "b"} {
			for _, role := range []*pb.Value{textValue("user"), textValue("assistant"), textValue("system"), textValue("tool"), boolValue(true), nil} {
				fields := map[string]*pb.Value{"chat_id": textValue(chat), "role": role, "content": textValue("x")}
				row := rowOf(fields)
				row.Metadata.Id = fmt.Sprint(chat, " ", len(reply.GetResults()))
				reply.Results = append(reply.Results, row)
			}
		}
		return reply, nil
	}}, cfg)
}

// Chat and role are compared again, whatever the server has taken for equal.
func TestRowsOfOtherChatsAndRolesAreLeftOutAndOnceToldOf(t *testing.T) {
	var log bytes.Buffer
	cfg := testConfig()
	cfg.Logger = slog.New(slog.NewTextHandler(&log, nil))
	c := rowsOf(t, cfg)
	for role, id := range map[string]string{"user": "a 0", "assistant": "a 1", "system": "a 2"} {
		pages, err := c.Recent(t.Context(), "a", []string{role}, 50, 50)
		if err != nil || len(pages[0].Messages) != 1 || pages[0].Messages[0].ID != id || pages[0].Messages[0].Role != role {
			t.Errorf("%s: %+v, %v", role, pages, err)
		}
		found, _, err := c.Relevant(t.Context(), Query{Chat: "a", Text: "x", Mode: BM25, Roles: []string{role}, Count: 50})
		if err != nil || len(found) != 1 || found[0].ID != id {
			t.Errorf("%s: %+v, %v", role, found, err)
		}
	}
	if found, _, err := c.Relevant(t.Context(), Query{Chat: "a", Text: "x", Mode: BM25, Roles: []string{"assistant", "user"}, Count: 50}); err != nil || len(found) != 2 {
		t.Errorf("of both roles: %+v, %v", found, err)
	}
	if strings.Count(log.String(), "\n") != 1 || !strings.Contains(log.String(), "class=Message") {
		t.Errorf("logged %q", log.String())
	}
}

func TestHowManyBytesAMessageTakes(t *testing.T) {
	for content, want := range map[string]int64{"": 100, "abc": 103, `"\`: 104, " \x1f\x00": 113, "é": 102} {
		if got := bytesOf(wire.Message{ID: "id", Role: "r1", Content: content}); got != want {
			t.Errorf("%q: %d bytes, want %d", content, got, want)
		}
	}
}

func TestErrors(t *testing.T) {
	for _, c := range []struct {
		err       *Error
		text      string
		retryable bool
	}{
		{&Error{Status: 422, Message: "x"}, "weaviate: 422: x", false},
		{&Error{Status: 422, Kind: WrongClass, Message: "x"}, "weaviate: x", false},
		{&Error{Status: 503, Kind: WrongClass, Message: "x"}, "weaviate: x", false},
		{&Error{Status: 429, Message: "x"}, "weaviate: 429: x", true},
		{&Error{Status: 499, Message: "x"}, "weaviate: 499: x", false},
		{&Error{Status: 500, Message: "x"}, "weaviate: 500: x", true},
		{&Error{Status: 501, Message: "x"}, "weaviate: 501: x", false},
		{&Error{Status: 502, Message: "x"}, "weaviate: 502: x", true},
	} {
		if c.err.Error() != c.text || c.err.Retryable() != c.retryable {
			t.Errorf("%+v: %s, retryable %t", c.err, c.err, c.err.Retryable())
		}
	}
	long := strings.Repeat("é", mostMessage)
	if got := shorten(long); len(got) != mostMessage+len("…") || !strings.HasSuffix(got, "é…") {
		t.Errorf("%d bytes are left: …%s", len(got), got[len(got)-8:])
	}
	if got := shorten(strings.Repeat("x", mostMessage)); len(got) != mostMessage {
		t.Errorf("%d bytes are left", len(got))
	}
	if got := shorten(" \n x\xffy \t"); got != "x�y" {
		t.Errorf("got %q", got)
	}
}

// shows is a client that does not ask, with its credentials.
func shows(cfg Config) *Client { return &Client{cfg: cfg, credentials: newCredentials(cfg)} }

func TestWhatToLookAtWhereTheKeyIsRefused(t *testing.T) {
	for key, want := range map[string]string{
		"": "no (HEARTH_WEAVIATE_API_KEY is not set)", "Bearer abc": "no (HEARTH_WEAVIATE_API_KEY is the key alone, without Bearer)",
		"bearer abc": "no (HEARTH_WEAVIATE_API_KEY is the key alone, without Bearer)", "abc": "no (is HEARTH_WEAVIATE_API_KEY right?)",
	} {
		c := shows(Config{APIKey: key})
		e := c.told(&Error{Status: 401, Message: "no"})
		if e.Message != want || c.told(e).Message != want {
			t.Errorf("with key %q: %s", key, e.Message)
		}
		if e := c.told(&Error{Status: 403, Message: "no"}); e.Message != "no" {
			t.Errorf("with key %q: %s", key, e.Message)
		}
	}
	if e := shows(Config{}).told(&Error{Status: 401}); e.Message != "(HEARTH_WEAVIATE_API_KEY is not set)" {
		t.Errorf("without a word: %q", e.Message)
	}
	c := shows(Config{APIKey: "1234567", Headers: map[string]string{"X": "12345678"}})
	if e := c.told(&Error{Status: 422, Message: "0 1234567 12345678 9"}); e.Message != "0 1234567 … 9" {
		t.Errorf("got %q", e.Message)
	}
}

func TestRefusalsSayWhatToLookAt(t *testing.T) {
	for text, c := range map[string]struct {
		status int
		says   string
		is     func(*Error) bool
	}{
		"could not find class X in schema":                          {404, " (`hearth schema` creates it)", func(e *Error) bool { return e.noClass }},
		"query maximum results exceeded: 5":                         {422, "", func(e *Error) bool { return e.tooDeep }},
		"no api key found":                                          {422, vectorizerKey, func(e *Error) bool { return e.vectorizer }},
		"cannot vectorize: connection refused":                      {503, "", func(e *Error) bool { return e.vectorizer }},
		"has multi-tenancy enabled, but request was without tenant": {422, ": set HEARTH_WEAVIATE_TENANT", nil},
		"tenant not active: 'x'":                                    {422, ": activate it, or is HEARTH_WEAVIATE_TENANT wrong?", nil},
		"tenant not found: 'x'":                                     {422, ": is HEARTH_WEAVIATE_TENANT right?", nil},
		"class has multiple vectors, but no target vectors":         {422, ": set HEARTH_WEAVIATE_VECTOR", nil},
		"no read replica found":                                     {503, "", nil},
		"cannot reach enough replicas":                              {503, "", nil},
		"x: context deadline exceeded":                              {504, "", nil},
		"x: context canceled":                                       {503, "", nil},
		"429 Too many requests":                                     {429, "", nil},
		"extract auth: no":                                          {401, "", nil},
	} {
		e := statusError(connect.CodeUnknown, text)
		if e.Status != c.status || e.Message != text+c.says || c.is != nil && !c.is(e) {
			t.Errorf("%s: %+v", text, e)
		}
		if marked := e.noClass || e.tooDeep || e.vectorizer; marked != (c.is != nil) {
			t.Errorf("%s: %+v", text, e)
		}
	}
}
