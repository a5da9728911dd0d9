package sidecar

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"strings"
	"testing"

	"github.com/valyala/fasthttp"

	"hearth/cache"
	"hearth/client/wire"
	"hearth/internal/guard"
	"hearth/internal/testing/weaviatetest"
	"hearth/sidecar/chat"
)

func TestAPartThatPanicsFailsAlone(t *testing.T) {
	var log bytes.Buffer
	s := newServer(t, Config{Logger: slog.New(slog.NewJSONHandler(&log, nil))})
	parts := []chat.Part{
		{Name: wire.PartMute, Done: true, Body: []byte(`{"muted":true}`), Origin: cache.Origin{Served: cache.Miss}},
		{Name: wire.PartRelevant, Err: guard.Do(func() error { panic("on purpose") })},
	}
	r := &request{RequestCtx: &fasthttp.RequestCtx{}}
	if err := s.replyParts(r, chat.Answer{Chat: "a", Parts: parts}); err != nil {
		t.Fatal(err)
	}
	var reply wire.Preprocess
	if err := json.Unmarshal(r.Response.Body(), &reply); err != nil {
		t.Fatal(err)
	}
	if reply.MuteStatus == nil || !reply.MuteStatus.Muted {
		t.Errorf("the other part did not come: %s", r.Response.Body())
	}
	if p := reply.Errors[wire.PartRelevant]; p == nil || p.Status != http.StatusInternalServerError || p.Type != "/docs/errors.md#internal" {
		t.Errorf("its reason is %+v", p)
	}
	if strings.Contains(string(r.Response.Body()), "on purpose") {
		t.Errorf("the reply shows the panic: %s", r.Response.Body())
	}
	var line struct{ Level, Error string }
	if err := json.Unmarshal(log.Bytes(), &line); err != nil || line.Level != "ERROR" ||
		!strings.Contains(line.Error, "on purpose") || !strings.Contains(line.Error, "preprocess_test.go") {
		t.Errorf("logged %s", log.String())
	}
}

func TestWhereNoPartComesTheProblemSaysWhy(t *testing.T) {
	s := newServer(t, Config{})
	unset := &chat.NotConfiguredError{Upstream: "weaviate", Detail: "HEARTH_WEAVIATE_URL is not set"}
	parts := []chat.Part{{Name: wire.PartMute, Err: unset}, {Name: wire.PartRelevant, Err: unset}, {Name: wire.PartOdoo, Err: context.DeadlineExceeded}}
	p, ok := errors.AsType[*wire.Problem](s.replyParts(&request{RequestCtx: &fasthttp.RequestCtx{}}, chat.Answer{Chat: "a", Parts: parts}))
	const why = "HEARTH_WEAVIATE_URL is not set; there was no answer in time"
	if !ok || p.Status != http.StatusBadGateway || p.Retryable || len(p.Errors) != 3 ||
		p.Detail != why {
		t.Errorf("it is %+v", p)
	}
}

func TestAPreprocessAsksForAClassOnceThoughItGetsNoAnswer(t *testing.T) {
	stand := weaviatetest.New()
	stand.SetHook(func(w http.ResponseWriter, _ *http.Request) bool {
		w.WriteHeader(http.StatusInternalServerError)
		return true
	})
	url := withWeaviate(t, stand, cache.Config{})
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, url+"/v1/preprocess", strings.NewReader(`{"chat_id":"a","text":"x","route_name":"r"}`))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	resp, err := http.DefaultTransport.RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	_ = resp.Body.Close()
	if resp.StatusCode != http.StatusBadGateway {
		t.Errorf("it is a %d", resp.StatusCode)
	}
	if n := stand.Requests()["/v1/schema/Message"]; n != 1 {
		t.Errorf("the class of messages was asked for %d times: a silent Weaviate is waited for as often", n)
	}
}
