package contract

import (
	"encoding/json"
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"

	"hearth/client"
)

// fieldsOf are the fields of a JSON object.
func fieldsOf(t testing.TB, raw json.RawMessage) (fields map[string]json.RawMessage) {
	t.Helper()
	if err := json.Unmarshal(raw, &fields); err != nil {
		t.Fatalf("not an object: %s", raw)
	}
	return fields
}

// wantKeys returns the fields of a JSON object, which must be these, in their order.
func wantKeys(t testing.TB, what string, raw json.RawMessage, want ...string) map[string]json.RawMessage {
	t.Helper()
	fields := fieldsOf(t, raw)
	if got := slices.Sorted(maps.Keys(fields)); !slices.Equal(got, want) {
		t.Errorf("%s has %v, want %v: %.500s", what, got, want, raw)
	}
	return fields
}

func (s *suite) preprocess(t *testing.T) {
	const chat = "preprocess"
	s.common.say(t, chat, "user", "where is my parcel")
	s.common.say(t, chat, "assistant", "the parcel is on its way")
	ask := func(t *testing.T, h *hearth, more map[string]any, headers ...string) reply {
		t.Helper()
		body := map[string]any{"chat_id": chat, "text": "parcel", "route_name": "odoo_erp"}
		maps.Copy(body, more)
		return h.post(t, "/v1/preprocess", body, headers...)
	}
	t.Run("the reply has the documented shape", func(t *testing.T) {
		for more, expected := range map[string][]string{
			`{}`:                     {"cache", "chat_id", "mute_status", "odoo_models", "relevant_messages", "timings"},
			`{"num_messages":3}`:     {"cache", "chat_id", "history", "mute_status", "odoo_models", "relevant_messages", "timings"},
			`{"full_text_len":0}`:    {"cache", "chat_id", "history", "mute_status", "odoo_models", "relevant_messages", "timings"},
			`{"num_messages":null}`:  {"cache", "chat_id", "mute_status", "odoo_models", "relevant_messages", "timings"},
			`{"unknown field":true}`: {"cache", "chat_id", "mute_status", "odoo_models", "relevant_messages", "timings"},
		} {
			var fields map[string]any
			if err := json.Unmarshal([]byte(more), &fields); err != nil {
				t.Fatal(err)
			}
			r := ask(t, s.common, fields)
			if r.status != http.StatusOK {
				t.Fatalf("the reply is %v", r)
			}
			got := wantKeys(t, "the reply", r.body, expected...)
			parts := slices.DeleteFunc(slices.Clone(expected), func(k string) bool {
				return k == "cache" || k == "chat_id" || k == "timings" || k == "odoo_models"
			})
			wantKeys(t, "cache", got["cache"], parts...)
			wantKeys(t, "timings", got["timings"], parts...)
			wantKeys(t, "mute_status", got["mute_status"], "muted")
			if string(got["odoo_models"]) != "{}" {
				t.Errorf("models came unasked: %s", got["odoo_models"])
			}
			var found []json.RawMessage
			if err := json.Unmarshal(got["relevant_messages"], &found); err != nil || len(found) != 2 {
				t.Fatalf("relevant messages are %s", got["relevant_messages"])
			}
			wantKeys(t, "a relevant message", found[0], "content", "created_at", "id", "role", "score")
			if got["history"] != nil {
				h := wantKeys(t, "history", got["history"], "all_messages", "assistant_messages", "chat_id", "msg_history", "user_messages")
				var all []json.RawMessage
				if err := json.Unmarshal(h["all_messages"], &all); err != nil || len(all) != 2 {
					t.Fatalf("the history has %s", h["all_messages"])
				}
				wantKeys(t, "a message", all[0], "content", "created_at", "id", "role")
			}
		}
	})
	t.Run("Odoo is asked on its routes only", func(t *testing.T) {
		h := s.start(t, "HEARTH_ODOO_ROUTES=erp,odoo_erp", "HEARTH_ODOO_MODELS=res.partner,res.users")
		for _, c := range []struct {
			route  string
			enable bool
			asked  bool
		}{
			{"odoo_erp", true, true}, {"erp", true, true}, {"chat", true, false}, {"odoo_erp", false, false}, {"", true, false}, {"ODOO_ERP", true, false},
		} {
			r := ask(t, h, map[string]any{"route_name": c.route, "enable_odoo": c.enable})
			got := want[client.Preprocess](t, r, http.StatusOK)
			if asked := len(got.OdooModels) == 2 && len(got.OdooModels["res.partner"].Fields) > 0; asked != c.asked || got.Errors != nil {
				t.Errorf("route %q, enable_odoo %t: models %t, want %t; errors %v", c.route, c.enable, asked, c.asked, got.Errors)
			}
			if _, timed := got.Timings["odoo_models"]; timed != c.asked {
				t.Errorf("route %q: timings are %v", c.route, got.Timings)
			}
		}
	})
	t.Run("its parts are those of the calls they stand for", func(t *testing.T) {
		h := s.start(t, "HEARTH_TTL_HISTORY=1h", "HEARTH_TTL_MUTE=1h")
		all := map[string]any{"enable_odoo": true, "num_messages": 7, "full_text_len": 1, "relevant_count": 3}
		raw := wantKeys(t, "the reply", ask(t, h, all).body,
			"cache", "chat_id", "history", "mute_status", "odoo_models", "relevant_messages", "timings")
		for path, pair := range map[string][2]string{
			historyPath(chat, 7, 1): {"history", ""}, chatPath(chat, "mute"): {"mute_status", ""}, "/v1/odoo/models": {"odoo_models", "models"},
		} {
			r := h.get(t, path)
			if !cached(t, r).hit {
				t.Errorf("after preprocess, %s is no hit", path)
			}
			body := string(r.body)
			if pair[1] != "" {
				body = string(fieldsOf(t, r.body)[pair[1]])
			}
			if body != string(raw[pair[0]]) {
				t.Errorf("%s is %.300s, alone %.300s", pair[0], raw[pair[0]], body)
			}
		}
		r := ask(t, h, all)
		if got := want[client.Preprocess](t, r, http.StatusOK); !allAre(got.Cache, "hit", 4) || !strings.Contains(r.header.Get("Server-Timing"), "history;dur=") {
			t.Errorf("asked again, the parts are %v; Server-Timing is %q", got.Cache, r.header.Get("Server-Timing"))
		}
		if got := want[client.Preprocess](t, ask(t, h, all, "Cache-Control", "no-cache"), http.StatusOK); !allAre(got.Cache, "miss", 4) {
			t.Errorf("with no-cache, the parts are %v", got.Cache)
		}
		cold := map[string]any{"chat_id": "preprocess cold", "enable_odoo": true}
		got := want[client.Preprocess](t, ask(t, h, cold, "Cache-Control", "only-if-cached"), http.StatusOK)
		if got.OdooModels == nil || got.Errors["mute_status"] == nil || got.Errors["mute_status"].Status != http.StatusGatewayTimeout || len(got.Errors) != 2 {
			t.Errorf("with only-if-cached, the models are %v, errors %v", got.OdooModels != nil, got.Errors)
		}
	})
	t.Run("a wrong Odoo key fails Odoo's part alone", func(t *testing.T) {
		h := s.start(t, "HEARTH_ODOO_KEY=not-the-key")
		r := ask(t, h, map[string]any{"enable_odoo": true, "num_messages": 10})
		got := want[client.Preprocess](t, r, http.StatusOK)
		p := got.Errors["odoo_models"]
		if p == nil || len(got.Errors) != 1 || p.Status != http.StatusBadGateway || p.Upstream != "odoo" || p.Retryable || strings.Contains(p.Detail, "not-the-key") {
			t.Errorf("errors are %v", got.Errors)
		}
		if got.MuteStatus == nil || len(got.RelevantMessages) != 2 || len(got.History.AllMessages) != 2 {
			t.Errorf("the other parts are missing: %v", r)
		}
		wantKeys(t, "the reply", r.body, "cache", "chat_id", "errors", "history", "mute_status", "relevant_messages", "timings")
		wantKeys(t, "cache", fieldsOf(t, r.body)["cache"], "history", "mute_status", "relevant_messages")
		wantKeys(t, "timings", fieldsOf(t, r.body)["timings"], "history", "mute_status", "odoo_models", "relevant_messages")
	})
	t.Run("without Weaviate the models still come", func(t *testing.T) {
		h := s.start(t, weaviateAt("http://"+freeAddress(t))...)
		r := ask(t, h, map[string]any{"enable_odoo": true, "num_messages": 10})
		got := want[client.Preprocess](t, r, http.StatusOK)
		if len(got.OdooModels["res.partner"].Fields) == 0 || len(got.Errors) != 3 {
			t.Errorf("the reply is %v", r)
		}
		for part, p := range got.Errors {
			if p.Status != http.StatusBadGateway || p.Upstream != "weaviate" || !p.Retryable {
				t.Errorf("%s: %+v", part, p)
			}
		}
		failed := wantProblem(t, ask(t, h, nil), http.StatusBadGateway)
		if len(failed.Errors) != 2 || !failed.Retryable || failed.Errors["mute_status"].Upstream != "weaviate" {
			t.Errorf("when every part failed: %+v", failed)
		}
	})
}

func allAre(parts map[string]string, want string, n int) bool {
	for _, v := range parts {
		if v != want {
			return false
		}
	}
	return len(parts) == n
}
