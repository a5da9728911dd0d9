package client_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"hearth/client"
	"hearth/client/wire"
)

func TestEveryCall(t *testing.T) {
	r := newReal(t)
	for name, cfg := range map[string]client.Config{
		"TCP":    {Addr: r.addr, Token: token},
		"socket": {Socket: r.socket, Token: token},
	} {
		t.Run(name, func(t *testing.T) { everyCall(t, newClient(t, cfg), "chat over "+name) })
	}
}

func everyCall(t *testing.T, c *client.Client, chat string) {
	ctx := t.Context()
	must(t, c.Health(ctx))
	ids, err := c.Append(ctx, chat, []client.NewMessage{
		{Role: "user", Content: "where is my parcel?"}, {Role: "assistant", Content: "the parcel is in Ghent"},
	})
	must(t, err)
	if len(ids) != 2 || ids[0] == ids[1] {
		t.Errorf("ids: %v", ids)
	}
	h, err := c.History(ctx, chat, 10, 5)
	must(t, err)
	if len(h.AllMessages) != 2 || h.AllMessages[0].Content != "where is my parcel?" || h.AllMessages[1].ID != ids[1] {
		t.Errorf("history: %+v", h)
	}
	found, err := c.Relevant(ctx, chat, client.RelevantRequest{Text: "Ghent", Count: 1})
	must(t, err)
	if len(found) != 1 || found[0].ID != ids[1] || found[0].Score <= 0 {
		t.Errorf("relevant: %+v", found)
	}

	until := time.Now().Add(time.Hour).UTC().Truncate(time.Microsecond)
	must(t, c.SetMute(ctx, chat, client.Mute{Muted: true, Until: &until}))
	m, err := c.Mute(ctx, chat)
	must(t, err)
	if !m.Muted || m.Until == nil || !m.Until.Equal(until) {
		t.Errorf("mute: %+v", m)
	}

	p, err := c.Preprocess(ctx, client.PreprocessRequest{
		ChatID: chat, Text: "Ghent", RouteName: "odoo_erp", EnableOdoo: true, NumMessages: 10,
	})
	must(t, err)
	if !p.MuteStatus.Muted || len(p.RelevantMessages) != 1 || len(p.History.AllMessages) != 2 || len(p.Errors) > 0 ||
		p.OdooModels["res.partner"].Name != "Contact" || p.Cache[client.PartOdoo] == "" {
		t.Errorf("preprocess: %+v", p)
	}

	models, err := c.OdooModels(ctx, []string{"res.partner", "res.users"})
	must(t, err)
	if len(models) != 2 || models["res.users"].Fields["login"] == nil {
		t.Errorf("models: %v", models)
	}
	result, err := c.OdooCall(ctx, client.Call{Model: "res.partner", Method: "search_count", Kwargs: map[string]any{"domain": []any{}}})
	must(t, err)
	if string(result) == "" || string(result) == "0" {
		t.Errorf("count: %s", result)
	}

	path, err := client.ChatPath(client.PathHistory, chat)
	must(t, err)
	responses, err := c.Batch(ctx, client.Batch{Requests: []client.BatchRequest{
		{Method: http.MethodGet, Path: path, Headers: map[string]string{"Cache-Control": "no-cache"}},
		{ID: "count", Method: http.MethodPost, Path: client.PathOdooCall, Body: client.Call{Model: "res.partner", Method: "search_count", Kwargs: map[string]any{"domain": []any{}}}},
		{ID: "wrong", Method: http.MethodPost, Path: client.PathPreprocess, Body: client.PreprocessRequest{}},
	}})
	must(t, err)
	var inBatch client.History
	var counted client.Result
	must(t, responses[0].Decode(&inBatch))
	must(t, responses[1].Decode(&counted))
	if responses[0].ID != "0" || len(inBatch.AllMessages) != 2 || responses[0].Headers["Cache-Status"] == "" || responses[1].ID != "count" ||
		string(counted.Result) != string(result) {
		t.Errorf("batch: %+v", responses)
	}
	if p, ok := errors.AsType[*client.Problem](responses[2].Decode(nil)); !ok || p.Status != 400 || p.Field != "chat_id" {
		t.Errorf("batch: what is wrong is %+v", p)
	}

	ready, err := c.Ready(ctx)
	must(t, err)
	if !ready.Ready || ready.Upstreams["weaviate"].State != "reached" {
		t.Errorf("ready: %+v", ready)
	}
	raw, err := c.DebugCache(ctx)
	must(t, err)
	strictly(t, raw, &client.CacheStats{})
	counts, err := c.CacheStats(ctx)
	must(t, err)
	if counts.Misses == 0 || counts.Resources["history"].Misses == 0 || counts.MaxBytes == 0 {
		t.Errorf("the cache's statistics: %+v", counts)
	}
	raw, err = c.DebugPools(ctx)
	must(t, err)
	strictly(t, raw, &client.Pools{})
	pools, err := c.PoolStats(ctx)
	must(t, err)
	if pools["odoo"].Requests == 0 || pools["weaviate"].GRPC.Requests == 0 || pools["weaviate"].Size == 0 || pools["odoo"].RoundTrip.Count == 0 {
		t.Errorf("the pools' statistics: %+v", pools)
	}
	raw, err = c.DebugInvocations(ctx)
	must(t, err)
	strictly(t, raw, &client.Invocations{})
	all, err := c.Invocations(ctx)
	must(t, err)
	if len(all.Invocations) == 0 || all.Operations["hearth.history"].Count == 0 {
		t.Errorf("the invocations: %+v", all)
	}
	raw, err = c.DebugAdvice(ctx)
	must(t, err)
	strictly(t, raw, &wire.Advices{})
	advice, err := c.Advice(ctx)
	must(t, err)
	if advice == nil || len(advice) > 0 {
		t.Errorf("after a few calls the advice is %+v", advice)
	}
	if n, err := c.DropChat(ctx, chat); err != nil || n == 0 {
		t.Errorf("dropped of the chat: %d, %v", n, err)
	}
	if n, err := c.DropModel(ctx, "res.users"); err != nil || n != 1 {
		t.Errorf("dropped of the model: %d, %v", n, err)
	}
	if _, err := c.DropCache(ctx); err != nil {
		t.Error(err)
	}
}

// strictly decodes a reply into a type that must have each of its fields.
func strictly(t *testing.T, raw json.RawMessage, v any) {
	t.Helper()
	d := json.NewDecoder(bytes.NewReader(raw))
	d.DisallowUnknownFields()
	if err := d.Decode(v); err != nil {
		t.Errorf("%v: %s", err, raw)
	}
}

// Each chat gets a message of its own, and must find that one and no other.
func TestChatIDsArriveAsTheyAre(t *testing.T) {
	r := newReal(t)
	c := newClient(t, client.Config{Addr: r.addr, Token: token})
	chats := []string{
		".", "..", "...", "a/b", "a//b", "/", "//", "a/", "/a", "a", "x/../victim", "victim", "x/..", "./victim",
		"%2F", "%2e%2e", "a%2Fb", "a b", "a+b", "a?b=c", "a#b", "a;b", "a:b@c", "a\\b", "\n", "\r\nX-A: b", "\x00", "\t", "\"'`",
		"👨‍👩‍👧", "é", "e\u0301", "\u202e", "{chat_id}", "history", strings.Repeat("a", 512), strings.Repeat("/", 512), strings.Repeat("😀", 128),
	}
	for _, chat := range chats {
		_, err := c.Append(t.Context(), chat, []client.NewMessage{{Role: "user", Content: "greetings " + chat}})
		must(t, err)
	}
	for _, chat := range chats {
		h, err := c.History(t.Context(), chat, 10, 5)
		must(t, err)
		if h.ChatID != chat || len(h.AllMessages) != 1 || h.AllMessages[0].Content != "greetings "+chat {
			t.Errorf("%q: %+v", chat, h)
		}
		p, err := c.Preprocess(t.Context(), client.PreprocessRequest{ChatID: chat, Text: "greetings", RouteName: "chat"})
		must(t, err)
		if p.ChatID != chat || len(p.RelevantMessages) != 1 {
			t.Errorf("%q: %+v", chat, p)
		}
		if n, err := c.DropChat(t.Context(), chat); err != nil || n == 0 {
			t.Errorf("%q: dropped %d, %v", chat, n, err)
		}
	}
	for _, chat := range []string{"", strings.Repeat("a", 513), "\xff", "a\xc3", "\xed\xa0\x80"} {
		_, historyErr := c.History(t.Context(), chat, 10, 5)
		_, preprocessErr := c.Preprocess(t.Context(), client.PreprocessRequest{ChatID: chat, Text: "greetings", RouteName: "chat"})
		_, dropErr := c.DropChat(t.Context(), chat)
		for _, err := range []error{historyErr, preprocessErr, dropErr, c.SetMute(t.Context(), chat, client.Mute{})} {
			if p, ok := errors.AsType[*client.Problem](err); !ok || p.Status != 400 || p.Field == "" {
				t.Errorf("%q: %v", chat, err)
			}
		}
	}
}

func TestProblemsAreErrors(t *testing.T) {
	r := newReal(t)
	c := newClient(t, client.Config{Addr: r.addr, Token: token})
	_, err := c.History(t.Context(), "a", 0, 5)
	var p *client.Problem
	if !errors.As(err, &p) || p.Status != 400 || p.Field != "num_messages" || p.Type == "" || p.Title == "" {
		t.Errorf("%#v", err)
	}
	models, err := c.OdooModels(t.Context(), []string{"no.such.model", "res.partner"})
	missing, ok := errors.AsType[client.ModelErrors](err)
	if !ok || missing["no.such.model"].Status != http.StatusNotFound || len(models) != 1 || len(models["res.partner"].Fields) == 0 {
		t.Errorf("where one model is missing: %v, %v", models, err)
	}
	if p, ok := errors.AsType[*client.Problem](err); !ok || p != missing["no.such.model"] || !strings.Contains(err.Error(), "no.such.model") {
		t.Errorf("its error is %v", err)
	}
	_, err = c.OdooModels(t.Context(), []string{"no.such.model"})
	if !errors.As(err, &p) || p.Status != 404 || p.Upstream != "odoo" {
		t.Errorf("%#v", err)
	}
	_, err = c.Append(t.Context(), "a", []client.NewMessage{{Role: "user", Content: "b", ID: "\xff"}})
	if !errors.As(err, &p) || p.Field != "[0].id" {
		t.Errorf("%#v", err)
	}
	_, err = newClient(t, client.Config{Addr: r.addr, Token: "guessed"}).Mute(t.Context(), "a")
	if !errors.As(err, &p) || p.Status != 401 {
		t.Errorf("%#v", err)
	}
}

func TestFreshnessCanBeAskedForAndIsTold(t *testing.T) {
	r := newReal(t)
	c := newClient(t, client.Config{Socket: r.socket, Token: token})
	var got http.Header
	_, err := c.History(t.Context(), "a", 10, 5, client.WithHeader("Cache-Control", "only-if-cached"), client.WithReply(&got))
	if p, ok := errors.AsType[*client.Problem](err); !ok || p.Status != http.StatusGatewayTimeout {
		t.Errorf("%v", err)
	}
	_, err = c.History(t.Context(), "a", 10, 5, client.WithReply(&got))
	must(t, err)
	if got.Get("Cache-Status") != "hearth; fwd=miss" {
		t.Errorf("headers: %v", got)
	}
	_, err = c.History(t.Context(), "a", 10, 5, client.WithHeader("Cache-Control", "max-stale"),
		client.WithHeader("If-None-Match", got.Get("ETag")), client.WithReply(&got))
	if p, ok := errors.AsType[*client.Problem](err); !ok || p.Status != http.StatusNotModified || !strings.HasPrefix(got.Get("Cache-Status"), "hearth; hit") {
		t.Errorf("%v, headers: %v", err, got)
	}
}

func TestWritingAgainUnderTheSameIDChangesNothing(t *testing.T) {
	c := newClient(t, client.Config{Socket: newReal(t).socket, Token: token})
	turn := []client.NewMessage{{Role: "user", Content: "hello", ID: "1", CreatedAt: time.Now()}}
	for range 3 {
		_, err := c.Append(t.Context(), "a", turn)
		must(t, err)
	}
	h, err := c.History(t.Context(), "a", 10, 5)
	must(t, err)
	if len(h.AllMessages) != 1 {
		t.Errorf("%+v", h.AllMessages)
	}
}
