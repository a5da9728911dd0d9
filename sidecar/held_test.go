package sidecar

import (
	"net/http"
	"testing"

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
