package sidecar

import (
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"hearth/cache"
	"hearth/client/wire"
	"hearth/internal/testing/odootest"
	"hearth/internal/testing/testnet"
	"hearth/pool"
	"hearth/pool/odoo"
	"hearth/sidecar/chat"
)

// withOdoo is a running server before a stand-in of Odoo, and nothing else.
type withOdoo struct {
	*testing.T
	odoo *odootest.Server
	url  string
}

func newWithOdoo(t *testing.T, models ...string) *withOdoo {
	t.Helper()
	standIn := odootest.New(odootest.Config{})
	upstream, err := testnet.Serve(standIn, testnet.Config{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = upstream.Close() })
	p, err := pool.New(pool.Config{Name: "odoo", URL: upstream.URL, Retries: -1})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Close)
	memory, err := cache.New(cache.Config{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(memory.Close)
	hour := cache.Policy{Fresh: time.Hour, IfError: time.Hour}
	o, err := odoo.New(odoo.Config{Pool: p, DB: "demo", Key: "key", Protocol: odoo.JSON2})
	if err != nil {
		t.Fatal(err)
	}
	service, err := chat.New(chat.Config{
		Odoo: o, NoWeaviate: "none", Cache: memory,
		Policies:   map[cache.Resource]cache.Policy{cache.OdooModels: hour, cache.OdooRead: hour},
		OdooModels: models, OdooRoutes: []string{"odoo_erp"},
	})
	if err != nil {
		t.Fatal(err)
	}
	s := newServer(t, Config{Cache: memory, Chat: service})
	l := listenerFor(t)
	end := s.running(t, l)
	t.Cleanup(func() {
		if err := end(); err != nil {
			t.Error(err)
		}
	})
	return &withOdoo{T: t, odoo: standIn, url: "http://" + l.Addr().String()}
}

// ask returns the status and the headers of a reply, and reads its body into v.
func (t *withOdoo) ask(method, path, body string, v any, headers ...string) (int, http.Header) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, t.url+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	for i := 0; i < len(headers); i += 2 {
		req.Header.Set(headers[i], headers[i+1])
	}
	resp, err := http.DefaultTransport.RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	if json.Unmarshal(text, v) != nil {
		t.Fatalf("%s %s: %d %s", method, path, resp.StatusCode, text)
	}
	return resp.StatusCode, resp.Header
}

func (t *withOdoo) models(headers ...string) (wire.Models, http.Header) {
	t.Helper()
	var m wire.Models
	status, h := t.ask(http.MethodGet, "/v1/odoo/models", "", &m, headers...)
	if status != http.StatusOK {
		t.Fatalf("the models are a %d", status)
	}
	return m, h
}

func hit(h http.Header) bool { return strings.HasPrefix(h.Get("Cache-Status"), "hearth; hit") }

func TestAModelThatFailsLeavesTheOthersAlone(t *testing.T) {
	s := newWithOdoo(t, "no.such.model", "res.partner", "res.users")
	m, first := s.models()
	if p := m.Errors["no.such.model"]; len(m.Models) != 2 || len(m.Errors) != 1 || p == nil || p.Status != http.StatusNotFound || p.Upstream != "odoo" || p.Retryable {
		t.Fatalf("the models are %v, the errors %v", m.Models, m.Errors)
	}
	if hit(first) {
		t.Error("what was fetched is called a hit")
	}
	asked := s.odoo.Requests()
	m, second := s.models()
	if hit(second) || len(m.Models) != 2 || second.Get("ETag") != first.Get("ETag") {
		t.Errorf("asked again it is %q, with %d models", second.Get("Cache-Status"), len(m.Models))
	}
	for _, path := range []string{"/json/2/res.partner/fields_get", "/json/2/res.users/fields_get"} {
		if s.odoo.Requests()[path] != asked[path] {
			t.Errorf("%s was asked for again", path)
		}
	}
	if path := "/json/2/no.such.model/fields_get"; s.odoo.Requests()[path] != 2 {
		t.Errorf("what failed was asked for %d times, want 2", s.odoo.Requests()[path])
	}
	m, held := s.models("Cache-Control", "only-if-cached")
	if p := m.Errors["no.such.model"]; len(m.Models) != 2 || !hit(held) || p == nil || p.Status != http.StatusGatewayTimeout {
		t.Errorf("of what is held it is %q: %v, %v", held.Get("Cache-Status"), m.Models, m.Errors)
	}
}

func TestWhatIsNotHeldIsNoHit(t *testing.T) {
	s := newWithOdoo(t, "res.partner")
	status, h := s.ask(http.MethodGet, "/v1/odoo/models", "", new(wire.Problem), "Cache-Control", "only-if-cached")
	if status != http.StatusGatewayTimeout || h.Get("Cache-Status") != "" {
		t.Errorf("it is a %d that is %q", status, h.Get("Cache-Status"))
	}
}

func TestWhereNoModelComesTheGravestErrorIsTheReplys(t *testing.T) {
	s := newWithOdoo(t, "no.such.model", "res.partner")
	s.odoo.SetHook(func(w http.ResponseWriter, r *http.Request) bool {
		down := strings.HasPrefix(r.URL.Path, "/json/2/res.partner/")
		if down {
			w.WriteHeader(http.StatusBadGateway)
		}
		return down
	})
	var p wire.Problem
	if status, _ := s.ask(http.MethodGet, "/v1/odoo/models", "", &p); status != http.StatusBadGateway || !p.Retryable ||
		len(p.Errors) != 2 || p.Errors["no.such.model"].Status != http.StatusNotFound {
		t.Errorf("it is %+v", p)
	}
	p = wire.Problem{}
	if status, _ := s.ask(http.MethodGet, "/v1/odoo/models?names=no.such.model", "", &p); status != http.StatusNotFound || len(p.Errors) != 0 {
		t.Errorf("of one model it is %+v", p)
	}
}

func TestAModelThatIsNamedTwiceFailsAsOne(t *testing.T) {
	s := newWithOdoo(t, "no.such.model", "no.such.model")
	var p wire.Problem
	if status, _ := s.ask(http.MethodGet, "/v1/odoo/models", "", &p); status != http.StatusNotFound || p.Upstream != "odoo" {
		t.Errorf("it is a %d: %+v", status, p)
	}
}

func TestPreprocessHandsOnTheModelsThatCame(t *testing.T) {
	s := newWithOdoo(t, "res.partner", "res.users")
	s.odoo.SetHook(func(_ http.ResponseWriter, r *http.Request) bool {
		slow := strings.HasPrefix(r.URL.Path, "/json/2/res.users/fields_get")
		if slow {
			_, _ = io.Copy(io.Discard, r.Body) // else the server does not see the client leave
			<-r.Context().Done()
		}
		return slow
	})
	var got wire.Preprocess
	const body = `{"chat_id":"a","text":"x","route_name":"odoo_erp","enable_odoo":true,"timeout_ms":500}`
	if status, _ := s.ask(http.MethodPost, "/v1/preprocess", body, &got); status != http.StatusOK {
		t.Fatalf("it is a %d", status)
	}
	p := got.Errors["odoo_models.res.users"]
	if len(got.OdooModels) != 1 || len(got.OdooModels["res.partner"].Fields) == 0 || got.Cache["odoo_models"] != "miss" ||
		p == nil || p.Status != http.StatusGatewayTimeout || got.Errors["odoo_models"] != nil {
		t.Errorf("models %d, cache %v, errors %v", len(got.OdooModels), got.Cache, got.Errors)
	}
}

func TestAnswersThatAreNoJSONToAnybodyElse(t *testing.T) {
	s := newWithOdoo(t)
	s.odoo.SetHook(func(w http.ResponseWriter, r *http.Request) bool {
		if !strings.HasSuffix(r.URL.Path, "/read") {
			return false
		}
		_, _ = io.WriteString(w, `[{"id": 1, "weight": NaN, "best": -Infinity, "name": "a`+"\xff"+`\ud800"}]`)
		return true
	})
	var got struct{ Result []map[string]any }
	status, _ := s.ask(http.MethodPost, "/v1/odoo/call", `{"model":"res.partner","method":"read","args":[[1]]}`, &got)
	if status != http.StatusOK || len(got.Result) != 1 || got.Result[0]["weight"] != nil || got.Result[0]["best"] != nil || got.Result[0]["name"] != "a\uFFFD\uFFFD" {
		t.Errorf("it is a %d: %v", status, got)
	}
}

func TestQuestionsAreHeldAndLeaveRecordsAlone(t *testing.T) {
	s := newWithOdoo(t)
	call := func(body string) http.Header {
		t.Helper()
		var got wire.Result
		status, h := s.ask(http.MethodPost, "/v1/odoo/call", body, &got)
		if status != http.StatusOK {
			t.Fatalf("%s: %d", body, status)
		}
		return h
	}
	const count = `{"model":"res.partner","method":"search_count","args":[[]]}`
	call(count)
	for _, question := range []string{
		`{"model":"res.users","method":"has_group","args":[2,"base.group_user"]}`,
		`{"model":"ir.config_parameter","method":"get_param","args":["web.base.url"]}`,
	} {
		call(question)
		if !hit(call(question)) {
			t.Errorf("%s is not held", question)
		}
	}
	if !hit(call(count)) {
		t.Error("a question dropped a record that was held")
	}
	call(`{"model":"ir.config_parameter","method":"set_param","kwargs":{"key":"a","value":"b"}}`)
	if hit(call(count)) {
		t.Error("after a write a record is still held")
	}
}
