package sidecar

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"testing"
	"time"

	"hearth/cache"
	"hearth/client/wire"
	"hearth/internal/guard"
	"hearth/pool"
	"hearth/pool/odoo"
	"hearth/pool/weaviate"
	"hearth/sidecar/chat"
)

func TestEveryErrorHasItsProblem(t *testing.T) {
	lost := errors.New("connection reset")
	of := func(err error) error { return &pool.Error{Upstream: "odoo", Address: "odoo.example:443", Err: err} }
	for name, c := range map[string]struct {
		err      error
		kind     wire.Kind
		status   int
		retry    bool
		upstream string
		field    string
		logged   bool
	}{
		"a problem":               {err: wire.BadField("text", "is required"), kind: wire.KindBadField, status: 400, field: "text"},
		"an argument":             {err: &odoo.ArgumentError{Field: "args", Detail: "must be named"}, kind: wire.KindBadField, status: 400, field: "args"},
		"a chat id":               {err: &weaviate.ChatIDError{Detail: "must be a UUID"}, kind: wire.KindBadField, status: 400, field: "chat_id"},
		"writes may be missing":   {err: &cache.MayMissError{Wait: time.Second}, kind: wire.KindMayMissWrites, status: 503, retry: true, upstream: "weaviate"},
		"a panic":                 {err: guard.Do(func() error { panic("on purpose") }), kind: wire.KindInternal, status: 500, logged: true},
		"not held":                {err: cache.ErrNotCached, kind: wire.KindNotCached, status: 504},
		"a key":                   {err: cache.ErrKeyReused, kind: wire.KindKeyReused, status: 422, field: "Idempotency-Key"},
		"unknown at odoo":         {err: of(fmt.Errorf("%w: %w", pool.ErrUnknownOutcome, lost)), kind: wire.KindUnknownOutcome, status: 502, upstream: "odoo"},
		"unknown at weaviate":     {err: &pool.Error{Upstream: "weaviate", Err: fmt.Errorf("%w: %w", pool.ErrUnknownOutcome, lost)}, kind: wire.KindUnknownOutcome, status: 502, upstream: "weaviate"},
		"odoo says no":            {err: &odoo.Error{Kind: odoo.Forbidden, Message: "no"}, kind: wire.KindOdoo, status: 403, upstream: "odoo"},
		"odoo says later":         {err: &odoo.Error{Kind: odoo.Conflict, Message: "later", Retryable: true}, kind: wire.KindOdoo, status: 409, retry: true, upstream: "odoo"},
		"odoo has none":           {err: &odoo.Error{Kind: odoo.NotFound, Message: "no"}, kind: wire.KindOdoo, status: 404, upstream: "odoo"},
		"odoo takes none":         {err: &odoo.Error{Kind: odoo.Rejected, Message: "no"}, kind: wire.KindOdoo, status: 422, upstream: "odoo"},
		"odoo fails":              {err: &odoo.Error{Kind: odoo.Failed, Message: "no"}, kind: wire.KindOdoo, status: 502, upstream: "odoo"},
		"weaviate says no":        {err: &weaviate.Error{Status: 422, Message: "no"}, kind: wire.KindWeaviate, status: 502, upstream: "weaviate"},
		"weaviate is down":        {err: &weaviate.Error{Status: 500, Message: "no"}, kind: wire.KindWeaviate, status: 502, retry: true, upstream: "weaviate"},
		"weaviate is too busy":    {err: &weaviate.Error{Status: 429, Message: "later"}, kind: wire.KindWeaviate, status: 503, retry: true, upstream: "weaviate"},
		"a class":                 {err: &weaviate.Error{Status: 422, Kind: weaviate.WrongClass, Message: "no"}, kind: wire.KindWrongClass, status: 502, upstream: "weaviate"},
		"a search":                {err: &weaviate.Error{Status: 422, Kind: weaviate.CutShort, Message: "no"}, kind: wire.KindSearchCutShort, status: 502, upstream: "weaviate"},
		"an answer of weaviate's": {err: &weaviate.Error{Status: 422, Kind: weaviate.TooLarge, Message: "no"}, kind: wire.KindAnswerTooLarge, status: 502, upstream: "weaviate"},
		"a redirect":              {err: of(&pool.RedirectError{Status: 302}), kind: wire.KindRedirected, status: 502, upstream: "odoo"},
		"a queue":                 {err: of(pool.ErrQueueFull), kind: wire.KindOverloaded, status: 503, retry: true, upstream: "odoo"},
		"a secret":                {err: of(&pool.SecretError{Variable: "HEARTH_ODOO_KEY"}), kind: wire.KindSecret, status: 502, upstream: "odoo"},
		"a secret that may come":  {err: of(&pool.SecretError{Retryable: true}), kind: wire.KindSecret, status: 502, retry: true, upstream: "odoo"},
		"a pool's end":            {err: of(pool.ErrClosed), kind: wire.KindShuttingDown, status: 503, retry: true, upstream: "odoo"},
		"the cache's end":         {err: cache.ErrClosed, kind: wire.KindShuttingDown, status: 503, retry: true},
		"cancelled":               {err: context.Canceled, kind: wire.KindShuttingDown, status: 503, retry: true},
		"the breaker is open":     {err: of(pool.ErrOpen), kind: wire.KindUnavailable, status: 503, retry: true, upstream: "odoo"},
		"late":                    {err: of(context.DeadlineExceeded), kind: wire.KindTimeout, status: 504, retry: true, upstream: "odoo"},
		"an answer":               {err: of(pool.ErrTooLarge), kind: wire.KindAnswerTooLarge, status: 502, upstream: "odoo"},
		"no connection":           {err: of(lost), kind: wire.KindUnreachable, status: 502, retry: true, upstream: "odoo"}, // the pool logs it
		"anything else":           {err: errors.New("a secret"), kind: wire.KindInternal, status: 500, logged: true},
	} {
		var log bytes.Buffer
		s := newServer(t, Config{Logger: slog.New(slog.NewTextHandler(&log, nil))})
		for _, err := range []error{c.err, fmt.Errorf("sidecar: %w", c.err)} {
			log.Reset()
			p := s.problemOf(err)
			if p.Kind() != c.kind || p.Status != c.status || p.Retryable != c.retry || p.Upstream != c.upstream || p.Field != c.field || p.Title == "" || p.Detail == "" {
				t.Errorf("%s: %+v", name, p)
			}
			if (log.Len() > 0) != c.logged || strings.Contains(p.Detail, "secret") || strings.Contains(p.Detail, "on purpose") {
				t.Errorf("%s: %s, logged %q", name, p.Detail, &log)
			}
		}
	}
	for wait, want := range map[time.Duration]int{0: 1, time.Millisecond: 1, time.Second: 1, 1001 * time.Millisecond: 2, time.Minute: 60} {
		if got := wholeSeconds(retryAfter(&cache.MayMissError{Wait: wait})); got != want {
			t.Errorf("after %v: %d, want %d", wait, got, want)
		}
	}
	for name, err := range map[string]error{
		"the breaker": &pool.Error{Upstream: "odoo", RetryAfter: 1500 * time.Millisecond, Err: pool.ErrOpen},
		"weaviate":    fmt.Errorf("a part: %w", &weaviate.Error{Status: 429, RetryAfter: 2 * time.Second}),
		"odoo":        &odoo.Error{RetryAfter: 1100 * time.Millisecond},
	} {
		if got := wholeSeconds(retryAfter(err)); got != 2 {
			t.Errorf("%s: after %d s", name, got)
		}
	}
	if got := retryAfter(of(pool.ErrQueueFull)); got != time.Second {
		t.Errorf("a full queue: after %v", got)
	}
	detail := newServer(t, Config{}).problemOf(of(lost)).Detail
	for _, words := range []string{"odoo.example:443", "no answer from odoo"} {
		if !strings.Contains(detail, words) {
			t.Errorf("%q lacks %q", detail, words)
		}
	}
}

func TestAProblemReplacesWhatWasWritten(t *testing.T) {
	a := newAPI(t, newUpstreams(), func(_ *Config, c *chat.Config) {
		c.Weaviate, c.NoWeaviate, c.Odoo, c.NoOdoo = nil, "no Weaviate", nil, "no Odoo"
	})
	for path, upstream := range map[string]string{"/v1/chats/a/mute": "weaviate", chatHistory: "weaviate", "/v1/odoo/models": "odoo"} {
		p := a.want(http.StatusServiceUnavailable, http.MethodGet, path, "").problem(t)
		if p.Kind() != wire.KindNotConfigured || p.Upstream != upstream || !strings.HasPrefix(p.Detail, "no ") || p.Retryable {
			t.Errorf("%s: %+v", path, p)
		}
	}
	for path, body := range map[string]string{"/v1/chats/a/relevant": `{"text":"x"}`, chatMessages: `{"role":"user","content":"x"}`, "/v1/odoo/call": `{"model":"res.partner","method":"read"}`} {
		if p := a.want(http.StatusServiceUnavailable, http.MethodPost, path, body).problem(t); p.Kind() != wire.KindNotConfigured {
			t.Errorf("%s: %+v", path, p)
		}
	}
	if p := a.want(http.StatusServiceUnavailable, http.MethodPut, "/v1/chats/a/mute", `{"muted":true}`).problem(t); p.Kind() != wire.KindNotConfigured {
		t.Errorf("%+v", p)
	}
}
