package odootest

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
)

func ask(t *testing.T, s *Server, method, path, body string) *httptest.ResponseRecorder {
	t.Helper()
	r := httptest.NewRequestWithContext(t.Context(), method, path, strings.NewReader(body))
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("Authorization", "bearer key")
	w := httptest.NewRecorder()
	s.ServeHTTP(w, r)
	return w
}

func TestOdoo17HasNoJSON2(t *testing.T) {
	s := New(Config{Version: 17})
	for _, path := range []string{"/web/version", "/json/2/res.partner/search"} {
		if w := ask(t, s, http.MethodPost, path, `{"domain":[]}`); w.Code != http.StatusNotFound {
			t.Errorf("%s: %d", path, w.Code)
		}
	}
	w := ask(t, s, http.MethodPost, "/jsonrpc", `{"params":{"service":"common","method":"version","args":[]}}`)
	if !strings.Contains(w.Body.String(), `"server_version":"17.0"`) {
		t.Error(w.Body)
	}
	w = ask(t, s, http.MethodPost, "/jsonrpc", `{"params":{"service":"object","method":"execute_kw","args":["demo",2,"key","res.partner","has_access",[[],"read"]]}}`)
	if !strings.Contains(w.Body.String(), "does not exist") {
		t.Error(w.Body)
	}
}

func TestOdoo14HasOtherNamesAndMethods(t *testing.T) {
	s := New(Config{Version: 14, Lang: "es_ES"})
	for _, tt := range []struct{ call, want string }{
		{`"res.partner","search_count",[[]]`, `"result":`},
		{`"res.partner","search_count",[],{"args":[]}`, `"result":`},
		{`"res.partner","search_count",[],{"domain":[]}`, `unexpected keyword argument 'domain'`},
		{`"res.partner","name_search",["Wt",[]]`, `"result":[]`},
		{`"res.partner","name_get",[[1]]`, `"result":[[1,"YourCompany"]]`},
		{`"res.users","has_group",["base.group_user"]`, `"result":true`},
		{`"ir.model","display_name_for",[["res.partner"]]`, "does not exist"},
		{`"res.users","context_get",[]`, `"result":{"lang":"es_ES","tz":"Europe/Brussels"}`},
		{`"res.partner","has_access",[[],"read"]`, "does not exist"},
	} {
		w := ask(t, s, http.MethodPost, "/jsonrpc", `{"params":{"service":"object","method":"execute_kw","args":["demo",2,"key",`+tt.call+`]}}`)
		if !strings.Contains(w.Body.String(), tt.want) {
			t.Errorf("%s: %s has no %s", tt.call, w.Body, tt.want)
		}
	}
}

func TestFailures(t *testing.T) {
	s := New(Config{})
	for method, want := range map[string]int{
		"fail_user_error": 422, "fail_validation_error": 422, "fail_access_error": 403, "fail_missing_error": 404,
		"fail_value_error": 500, "fail_lock_error": 409,
	} {
		w := ask(t, s, http.MethodPost, "/json/2/res.partner/"+method, `{"ids":[1]}`)
		if w.Code != want || !strings.Contains(w.Body.String(), "Traceback") {
			t.Errorf("%s: %d %s, want %d", method, w.Code, w.Body, want)
		}
	}
}

func TestManyAtOnce(t *testing.T) {
	s := New(Config{})
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 20 {
				if w := ask(t, s, http.MethodPost, "/json/2/res.partner/create", `{"vals_list":[{"name":"x"}]}`); w.Code != 200 {
					t.Error(w.Code, w.Body)
				}
				if w := ask(t, s, http.MethodPost, "/json/2/res.partner/search_read", `{"domain":[["name","=","x"]]}`); w.Code != 200 {
					t.Error(w.Code, w.Body)
				}
			}
		})
	}
	wg.Wait()
	if got := s.Requests()["/json/2/res.partner/create"]; got != 160 {
		t.Errorf("%d requests counted, want 160", got)
	}
	if w := ask(t, s, http.MethodPost, "/json/2/res.partner/search_count", `{"domain":[["name","=","x"]]}`); strings.TrimSpace(w.Body.String()) != "160" {
		t.Error(w.Body)
	}
}

func TestHookAnswersFirst(t *testing.T) {
	s := New(Config{})
	s.SetHook(func(w http.ResponseWriter, _ *http.Request) bool { w.WriteHeader(http.StatusBadGateway); return true })
	if w := ask(t, s, http.MethodGet, "/web/version", ""); w.Code != http.StatusBadGateway {
		t.Error(w.Code)
	}
}
