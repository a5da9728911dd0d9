package sidecar

import (
	"bytes"
	"encoding/json"
	"log/slog"
	"net/http"
	"strings"
	"testing"

	"github.com/valyala/fasthttp"

	"hearth/sidecar/chat"
)

func TestEveryRequestIsLoggedAtDebug(t *testing.T) {
	for request, want := range map[string]struct {
		method, route string
		status        int
	}{
		"GET /healthz":                             {"GET", "/healthz", 200},
		"GET /v1/chats/secret/mute":                {"GET", "/v1/chats/{chat_id}/mute", 503},
		"PUT /v1/chats/secret/history?secret=1":    {"PUT", "", 405},
		"GET /secret":                              {"GET", "", 404},
		"GET /v1/odoo/models?names=secret%20model": {"GET", "/v1/odoo/models", 400},
	} {
		for _, level := range []slog.Level{slog.LevelDebug, slog.LevelInfo} {
			var log bytes.Buffer
			s := newServer(t, Config{Logger: slog.New(slog.NewJSONHandler(&log, &slog.HandlerOptions{Level: level}))})
			f := &fasthttp.RequestCtx{}
			method, target, _ := strings.Cut(request, " ")
			f.Request.Header.SetMethod(method)
			f.Request.Header.SetRequestURI(target)
			f.Request.Header.SetHost("localhost")
			s.serve(t.Context(), f, false, nil)
			if level == slog.LevelInfo {
				if log.Len() > 0 {
					t.Errorf("%s: at info it logs %s", request, &log)
				}
				continue
			}
			var line struct {
				Msg, Level, Method, Route string
				Status, Bytes             int
				Duration                  *int64
			}
			if err := json.Unmarshal(log.Bytes(), &line); err != nil {
				t.Fatalf("%s: it logs %s: %v", request, &log, err)
			}
			if line.Msg != "request answered" || line.Level != "DEBUG" || line.Method != want.method || line.Route != want.route ||
				line.Status != want.status || line.Bytes != len(f.Response.Body()) || line.Duration == nil || strings.Contains(log.String(), "secret") {
				t.Errorf("%s: it logs %s", request, &log)
			}
		}
	}
}

func TestAServerSaysAllThatItsConfigLacks(t *testing.T) {
	_, err := New(Config{Upstreams: []Upstream{{Name: "weaviate", Missing: "not set"}, {Name: "odoo"}, {Missing: "not set"}}})
	for _, field := range []string{"Config.Chat", "Config.Cache", "Config.Upstreams[1]", "Config.Upstreams[2]"} {
		if err == nil || !strings.Contains(err.Error(), field) {
			t.Errorf("%v does not name %s", err, field)
		}
	}
	if strings.Contains(err.Error(), "Upstreams[0]") {
		t.Error(err)
	}
}

func TestWithoutModelsToAskForThereAreNone(t *testing.T) {
	a := newAPI(t, newUpstreams(), func(_ *Config, c *chat.Config) { c.OdooModels = nil })
	if got := a.want(http.StatusOK, http.MethodGet, "/v1/odoo/models", ""); got.body != `{"models":{}}` {
		t.Errorf("%s", got.body)
	}
}
