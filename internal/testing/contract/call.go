package contract

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"hearth/client"
)

// reply is a sidecar's whole answer.
type reply struct {
	status int
	header http.Header
	body   []byte
}

// Exchange is a call that the suite has made, and its answer.
type Exchange struct {
	Method, Target string // as they were sent
	Header         http.Header
	Body           []byte
	Status         int
	ReplyHeader    http.Header
	Reply          []byte
}

func (r reply) String() string { return fmt.Sprintf("%d %.2000s", r.status, r.body) }

// try makes a call. A body that is a string is sent as it is, any other as JSON. headers are names and their values: an empty
// value removes the header, and a name that is repeated adds a line.
func (h *hearth) try(ctx context.Context, method, path string, body any, headers ...string) (reply, error) {
	var content io.Reader
	var sent []byte
	switch b := body.(type) {
	case nil:
	case string:
		sent, content = []byte(b), strings.NewReader(b)
	default:
		encoded, err := json.Marshal(b)
		if err != nil {
			return reply{}, err
		}
		sent, content = encoded, bytes.NewReader(encoded)
	}
	raw := h.url + path
	if _, err := url.Parse(raw); err != nil || !strings.HasPrefix(path, "/") { // the path is sent as it is
		raw = h.url
	}
	req, err := http.NewRequestWithContext(ctx, method, raw, content)
	if err != nil {
		return reply{}, err
	}
	if raw == h.url {
		req.URL.Opaque = path
	}
	if content != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	if h.token != "" {
		req.Header.Set("X-Hearth-Token", h.token)
	}
	set := map[string]bool{}
	for pair := range slices.Chunk(headers, 2) {
		switch name, value := pair[0], pair[1]; {
		case name == "Host":
			req.Host = value
		case value == "":
			req.Header.Del(name)
		case set[name]:
			req.Header.Add(name, value)
		default:
			req.Header.Set(name, value)
		}
		set[pair[0]] = true
	}
	resp, err := h.http.Do(req)
	if err != nil {
		return reply{}, err
	}
	defer resp.Body.Close()
	got, err := io.ReadAll(resp.Body)
	if err == nil && h.saw != nil {
		h.saw(Exchange{method, path, req.Header, sent, resp.StatusCode, resp.Header, got})
	}
	return reply{resp.StatusCode, resp.Header, got}, err
}

// do makes a call that must be answered, with any status.
func (h *hearth) do(t testing.TB, method, path string, body any, headers ...string) reply {
	t.Helper()
	r, err := h.try(t.Context(), method, path, body, headers...)
	if err != nil {
		t.Fatalf("%s %s: %v\n%s", method, path, err, h.log)
	}
	return r
}

func (h *hearth) get(t testing.TB, path string, headers ...string) reply {
	t.Helper()
	return h.do(t, http.MethodGet, path, nil, headers...)
}

func (h *hearth) post(t testing.TB, path string, body any, headers ...string) reply {
	t.Helper()
	return h.do(t, http.MethodPost, path, body, headers...)
}

// parse reads a reply that must have the status and the shape: a field that the shape lacks is a fault.
func parse[T any](r reply, status int) (v T, err error) {
	if r.status != status {
		return v, fmt.Errorf("answered %v, want %d", r, status)
	}
	kind := "application/json"
	if _, problem := any(v).(client.Problem); problem {
		kind = "application/problem+json"
	}
	if got := r.header.Get("Content-Type"); got != kind {
		return v, fmt.Errorf("is %q, want %q", got, kind)
	}
	d := json.NewDecoder(bytes.NewReader(r.body))
	d.DisallowUnknownFields()
	if err := d.Decode(&v); err != nil {
		return v, fmt.Errorf("is not as documented: %w: %v", err, r)
	}
	return v, nil
}

func want[T any](t testing.TB, r reply, status int) T {
	t.Helper()
	v, err := parse[T](r, status)
	if err != nil {
		t.Fatalf("the reply %v", err)
	}
	return v
}

// wantProblem checks an error's shape: what RFC 9457 asks for is there and agrees with the status.
func wantProblem(t testing.TB, r reply, status int) client.Problem {
	t.Helper()
	p := want[client.Problem](t, r, status)
	if p.Status != status || p.Title == "" || p.Detail == "" || !strings.HasPrefix(p.Type, "/docs/errors.md#") {
		t.Errorf("the problem is incomplete: %v", r)
	}
	if strings.Contains(string(r.body), "Traceback") || strings.Contains(string(r.body), "goroutine ") {
		t.Errorf("the problem shows internals: %v", r)
	}
	return p
}

// wantFinal wants a problem of an upstream that is not retryable, with the words in its detail.
func wantFinal(t testing.TB, r reply, status int, upstream string, words ...string) client.Problem {
	t.Helper()
	p := wantProblem(t, r, status)
	checkFinal(t, p, upstream, words...)
	return p
}

func checkFinal(t testing.TB, p client.Problem, upstream string, words ...string) {
	t.Helper()
	if p.Upstream != upstream || p.Retryable {
		t.Errorf("the problem is %+v, want one of %s that is not retryable", p, upstream)
	}
	for _, word := range words {
		if !strings.Contains(p.Detail, word) {
			t.Errorf("the problem does not say %q: %s", word, p.Detail)
		}
	}
}

// chatPath is a call of a chat, its id as one segment.
func chatPath(chat, call string) string { return "/v1/chats/" + url.PathEscape(chat) + "/" + call }

func historyPath(chat string, n, full int) string {
	return chatPath(chat, fmt.Sprintf("history?num_messages=%d&full_text_len=%d", n, full))
}

func (h *hearth) history(t testing.TB, chat string, n int, headers ...string) client.History {
	t.Helper()
	return want[client.History](t, h.get(t, historyPath(chat, n, 5), headers...), http.StatusOK)
}

// write posts messages of a chat as one array and returns their ids.
func (h *hearth) write(t testing.TB, chat string, messages ...client.NewMessage) []string {
	t.Helper()
	got := want[client.Appended](t, h.post(t, chatPath(chat, "messages"), messages), http.StatusCreated)
	if len(got.IDs) != len(messages) {
		t.Fatalf("%d messages were given %d ids", len(messages), len(got.IDs))
	}
	return got.IDs
}

func (h *hearth) say(t testing.TB, chat, role, content string) string {
	t.Helper()
	return h.write(t, chat, client.NewMessage{Role: role, Content: content})[0]
}

func (h *hearth) relevant(t testing.TB, chat string, body map[string]any) []client.ScoredMessage {
	t.Helper()
	return want[client.Relevant](t, h.post(t, chatPath(chat, "relevant"), body), http.StatusOK).RelevantMessages
}

func (h *hearth) preprocess(t testing.TB, body map[string]any, headers ...string) client.Preprocess {
	t.Helper()
	return want[client.Preprocess](t, h.post(t, "/v1/preprocess", body, headers...), http.StatusOK)
}

func (h *hearth) muted(t testing.TB, chat string) client.Mute {
	t.Helper()
	return want[client.Mute](t, h.get(t, chatPath(chat, "mute")), http.StatusOK)
}

func (h *hearth) setMute(t testing.TB, chat string, body any) client.Mute {
	t.Helper()
	return want[client.Mute](t, h.do(t, http.MethodPut, chatPath(chat, "mute"), body), http.StatusOK)
}

func (h *hearth) call(t testing.TB, model, method string, args []any, kwargs map[string]any, headers ...string) reply {
	t.Helper()
	return h.post(t, "/v1/odoo/call", client.Call{Model: model, Method: method, Args: args, Kwargs: kwargs}, headers...)
}

// side is the role of a chat's message i when its two sides speak in turn.
func side(i int) client.Role { return []client.Role{"user", "assistant"}[i%2] }

// contents are what messages say, in their order.
func contents(messages []client.Message) []string {
	out := make([]string, len(messages))
	for i, m := range messages {
		out[i] = m.Content
	}
	return out
}

func scoredContents(messages []client.ScoredMessage) []string {
	out := make([]string, len(messages))
	for i, m := range messages {
		out[i] = m.Content
	}
	return out
}

func wantContents(t testing.TB, what string, got, want []string) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Errorf("%s: got %.500q, want %.500q", what, got, want)
	}
}

// cacheStatus is a Cache-Status header taken apart.
type cacheStatus struct {
	hit, stale, collapsed bool
	fwd                   string
	ttl                   int
}

// cached reads where a reply came from, and checks that the headers about it agree.
func cached(t testing.TB, r reply) cacheStatus {
	t.Helper()
	c, err := parseCacheStatus(r)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func parseCacheStatus(r reply) (c cacheStatus, err error) {
	text := r.header.Get("Cache-Status")
	m := regexp.MustCompile(`^hearth; (?:hit; ttl=(-?\d+)|fwd=(miss|stale|request)(; collapsed)?)$`).FindStringSubmatch(text)
	if m == nil {
		return c, fmt.Errorf("the Cache-Status is %q of %v", text, r)
	}
	if _, err := strconv.ParseUint(r.header.Get("Age"), 10, 31); err != nil {
		return c, fmt.Errorf("the Age is %q", r.header.Get("Age"))
	}
	if !regexp.MustCompile(`^[a-z]+;dur=\d+\.\d{3}, total;dur=\d+\.\d{3}$`).MatchString(r.header.Get("Server-Timing")) {
		return c, fmt.Errorf("the Server-Timing is %q", r.header.Get("Server-Timing"))
	}
	c.hit, c.fwd, c.collapsed = m[1] != "", m[2], m[3] != ""
	c.ttl, _ = strconv.Atoi(m[1])
	c.stale = c.hit && c.ttl < 0
	return c, nil
}
