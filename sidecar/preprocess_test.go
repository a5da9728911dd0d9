package sidecar

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"github.com/valyala/fasthttp"

	"hearth/cache"
	"hearth/client/wire"
	"hearth/internal/testing/weaviatetest"
)

func TestAPartThatPanicsFailsAlone(t *testing.T) {
	var log bytes.Buffer
	s := New(Config{Logger: slog.New(slog.NewJSONHandler(&log, nil))})
	parts := []*part{
		{name: wire.PartMute, get: func(context.Context) (json.RawMessage, cache.Origin, error) {
			return json.RawMessage(`{"muted":true}`), cache.Origin{Served: cache.Miss}, nil
		}},
		{name: wire.PartRelevant, get: func(context.Context) (json.RawMessage, cache.Origin, error) { panic("on purpose") }},
	}
	r := &request{RequestCtx: &fasthttp.RequestCtx{}}
	s.runParts(t.Context(), parts)
	if err := s.replyParts(r, "a", parts); err != nil {
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
	s := New(Config{})
	fails := func(err error) func(context.Context) (json.RawMessage, cache.Origin, error) {
		return func(context.Context) (json.RawMessage, cache.Origin, error) { return nil, cache.Origin{}, err }
	}
	unset := s.notConfigured("weaviate", "HEARTH_WEAVIATE_URL is not set")
	parts := []*part{
		{name: wire.PartMute, get: fails(unset)}, {name: wire.PartRelevant, get: fails(unset)}, {name: wire.PartOdoo, get: fails(context.DeadlineExceeded)},
	}
	s.runParts(t.Context(), parts)
	p, ok := errors.AsType[*wire.Problem](s.replyParts(&request{RequestCtx: &fasthttp.RequestCtx{}}, "a", parts))
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

func TestAsManyPartsGoOutAtOnceAsThereAreWorkers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := New(Config{Workers: 2})
		var begun atomic.Int32
		release := make(chan struct{})
		var parts []*part
		for range 3 {
			parts = append(parts, &part{get: func(context.Context) (json.RawMessage, cache.Origin, error) {
				begun.Add(1)
				<-release
				return nil, cache.Origin{}, nil
			}})
		}
		done := make(chan struct{})
		go func() { s.runParts(t.Context(), parts); close(done) }()
		for _, want := range []int32{2, 3, 3, 3} {
			synctest.Wait()
			if n := begun.Load(); n != want {
				t.Errorf("%d have begun, want %d", n, want)
			}
			select {
			case release <- struct{}{}:
			case <-done:
			}
		}
	})
}
