package contract

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"hearth/client"
)

// logins are settings for each way to log in to Odoo.
func (s *suite) logins() map[string][]string {
	uid := fmt.Sprint("HEARTH_ODOO_UID=", s.OdooUID)
	all := map[string][]string{
		"jsonrpc with a password":       {"HEARTH_ODOO_PROTOCOL=jsonrpc", "HEARTH_ODOO_KEY=" + s.OdooPassword},
		"jsonrpc with an API key":       {"HEARTH_ODOO_PROTOCOL=jsonrpc", uid, "HEARTH_ODOO_USER="},
		"auto with an API key":          {},
		"auto with a password, the uid": {"HEARTH_ODOO_KEY=" + s.OdooPassword, uid},
	}
	if s.OdooVersion >= 19 {
		all["json2 with an API key"] = []string{"HEARTH_ODOO_PROTOCOL=json2", "HEARTH_ODOO_USER="}
	}
	return all
}

func (s *suite) odoo(t *testing.T) {
	for name, env := range s.logins() {
		t.Run(name, func(t *testing.T) {
			h := s.start(t, append(env, "HEARTH_TTL_ODOO_READ=1h")...)
			named := s.OdooVersion >= 19 && (strings.Contains(name, "json2") || name == "auto with an API key")
			t.Run("models are described", func(t *testing.T) { s.odooModels(t, h) })
			t.Run("reads are held until something is written", func(t *testing.T) { odooReads(t, h, s.OdooUser) })
			t.Run("questions of every kind are held", func(t *testing.T) { s.odooQuestions(t, h) })
			t.Run("errors are Odoo's own words, without its inside", func(t *testing.T) { odooErrors(t, h) })
			t.Run("positional arguments are understood or refused", func(t *testing.T) { s.odooArguments(t, h, named) })
		})
	}
	t.Run("a model that is missing leaves the others alone", s.odooModelMissing)
	t.Run("names and labels are in the user's language", s.odooLanguage)
	t.Run("wrong credentials are told apart from a wrong call", func(t *testing.T) {
		for _, env := range [][]string{
			{"HEARTH_ODOO_KEY=wrong", "HEARTH_ODOO_PROTOCOL=json2"},
			{"HEARTH_ODOO_KEY=wrong", "HEARTH_ODOO_PROTOCOL=jsonrpc"},
			{"HEARTH_ODOO_KEY=wrong"},
			{"HEARTH_ODOO_USER=nobody", "HEARTH_ODOO_PROTOCOL=jsonrpc"},
			{"HEARTH_ODOO_DB=nothing", "HEARTH_ODOO_PROTOCOL=jsonrpc"},
		} {
			h := s.start(t, env...)
			p := wantProblem(t, h.get(t, "/v1/odoo/models"), http.StatusBadGateway)
			if p.Upstream != "odoo" || p.Retryable || strings.Contains(p.Detail, "wrong") || strings.Contains(p.Detail, s.OdooKey) {
				t.Errorf("%v: %+v", env, p)
			}
		}
	})
}

func (s *suite) odooModels(t *testing.T, h *hearth) {
	called := map[string]string{"res.partner": `"Contact"`, "res.users": `"User"`}
	if s.OdooVersion < 16 {
		called["res.users"] = `"Users"`
	}
	for path, names := range map[string][]string{
		"/v1/odoo/models": {"res.partner"}, "/v1/odoo/models?names=res.users": {"res.users"},
		"/v1/odoo/models?names=res.partner,%20res.users,res.partner": {"res.partner", "res.users"},
	} {
		got := wantKeys(t, "the reply", h.get(t, path).body, "models")
		models := wantKeys(t, "models", got["models"], names...)
		for name, raw := range models {
			m := wantKeys(t, name, raw, "fields", "name")
			if display := string(m["name"]); display != called[name] {
				t.Errorf("%s is called %s", name, display)
			}
			fields := map[string]map[string]any{}
			if err := json.Unmarshal(m["fields"], &fields); err != nil {
				t.Fatal(err)
			}
			if f := fields["name"]; f["type"] != "char" || f["string"] == "" || f["required"] == nil || f["readonly"] == nil || f["help"] != nil {
				t.Errorf("the field name of %s is %v", name, f)
			}
			if name == "res.partner" && (fields["parent_id"]["relation"] != "res.partner" || fields["parent_id"]["type"] != "many2one") {
				t.Errorf("the field parent_id is %v", fields["parent_id"])
			}
		}
	}
	if !cached(t, h.get(t, "/v1/odoo/models?names=res.users,res.partner")).hit {
		t.Error("models that are held were fetched again")
	}
	for _, names := range []string{"no.such.model", "no.such.model,no.other.model"} {
		p := wantFinal(t, h.get(t, "/v1/odoo/models?names="+names), http.StatusNotFound, "odoo", "no.such.model")
		if len(p.Errors) == 1 {
			t.Errorf("the problem is %+v", p)
		}
	}
}

func (s *suite) odooModelMissing(t *testing.T) {
	h := s.start(t, "HEARTH_ODOO_MODELS=no.such.model,res.partner,res.users")
	begun := time.Now()
	held := func() bool { return time.Since(begun) < 4*time.Second } // that it is missing is held for 5 s
	got := h.get(t, "/v1/odoo/models")
	reply := wantKeys(t, "the reply", got.body, "errors", "models")
	wantKeys(t, "models", reply["models"], "res.partner", "res.users")
	missing := func(where string, p *client.Problem) {
		t.Helper()
		if p == nil || p.Status != http.StatusNotFound || p.Upstream != "odoo" || p.Retryable || !strings.Contains(p.Detail, "HEARTH_ODOO_MODELS") {
			t.Errorf("%s: the problem is %+v", where, p)
		}
	}
	all := want[client.Models](t, got, http.StatusOK)
	missing("models", all.Errors["no.such.model"])
	if cached(t, got).hit || got.header.Get("ETag") == "" {
		t.Errorf("a first reply with an error is %s, ETag %q", got.header.Get("Cache-Status"), got.header.Get("ETag"))
	}
	again := h.get(t, "/v1/odoo/models")
	if !cached(t, again).hit && held() || string(again.body) != string(got.body) {
		t.Errorf("asked again, it is %s %v", again.header.Get("Cache-Status"), again)
	}
	if came := h.get(t, "/v1/odoo/models?names=res.users,res.partner"); !cached(t, came).hit {
		t.Error("the models that came are not held")
	}
	pre := h.post(t, "/v1/preprocess", map[string]any{"chat_id": "model missing", "text": "x", "route_name": "odoo_erp", "enable_odoo": true})
	parts := want[client.Preprocess](t, pre, http.StatusOK)
	missing("preprocess", parts.Errors["odoo_models.no.such.model"])
	if len(parts.Errors) != 1 || len(parts.OdooModels) != 2 || len(parts.OdooModels["res.partner"].Fields) == 0 || parts.Cache["odoo_models"] != "hit" && held() {
		t.Errorf("preprocess: errors %v, cache %v, models %d", parts.Errors, parts.Cache, len(parts.OdooModels))
	}
	none := s.start(t, "HEARTH_ODOO_MODELS=no.such.model,no.other.model")
	pre = none.post(t, "/v1/preprocess", map[string]any{"chat_id": "model missing", "text": "x", "route_name": "odoo_erp", "enable_odoo": true})
	parts = want[client.Preprocess](t, pre, http.StatusOK)
	missing("preprocess without any model", parts.Errors["odoo_models"])
	if len(parts.Errors) != 1 || parts.OdooModels != nil {
		t.Errorf("preprocess without any model: errors %v, models %v", parts.Errors, parts.OdooModels)
	}
}

func (s *suite) odooLanguage(t *testing.T) {
	label := func(h *hearth, kwargs map[string]any) string {
		kwargs["allfields"], kwargs["attributes"] = []string{"name"}, []string{"string"}
		got := result[map[string]map[string]string](t, h.call(t, "res.partner", "fields_get", nil, kwargs))
		return got["name"]["string"]
	}
	const english, spanish = "Name", "Nombre"
	for name, env := range map[string][]string{"the user's own": s.OdooSpanish, "the setting's": {"HEARTH_ODOO_LANG=es_ES"}} {
		h := s.start(t, env...)
		m := want[client.Models](t, h.get(t, "/v1/odoo/models"), http.StatusOK).Models["res.partner"]
		var field struct{ String string }
		if err := json.Unmarshal(m.Fields["name"], &field); err != nil {
			t.Fatal(err)
		}
		if m.Name != "Contacto" || field.String != spanish {
			t.Errorf("%s: the model is %q, its name %q", name, m.Name, field.String)
		}
		if got := label(h, map[string]any{}); got != spanish {
			t.Errorf("%s: a call brings %q", name, got)
		}
		for _, context := range []map[string]any{{"lang": "en_US"}, {"lang": false}} {
			if got := label(h, map[string]any{"context": context}); got != english {
				t.Errorf("%s: a call with the context %v brings %q", name, context, got)
			}
		}
	}
	if got := label(s.common, map[string]any{}); got != english {
		t.Errorf("a user whose language is English gets %q", got)
	}
	if s.OdooVersion > 14 { // which answers in English
		h := s.start(t, "HEARTH_ODOO_LANG=fr_FR")
		if p := wantProblem(t, h.get(t, "/v1/odoo/models"), http.StatusBadGateway); !strings.Contains(p.Detail, "HEARTH_ODOO_LANG") {
			t.Errorf("without the language the problem is %+v", p)
		}
	}
}

// odooQuestions makes calls that change nothing and read no records: their results are cached, and they drop none.
func (s *suite) odooQuestions(t *testing.T, h *hearth) {
	count := func() reply { return h.call(t, "res.partner", "search_count", []any{[]any{}}, nil) }
	count()
	group := []any{s.OdooUID, "base.group_user"}
	if s.OdooVersion < 18 {
		group = group[1:]
	}
	type question struct {
		model, method string
		args          []any
	}
	questions := []question{
		{"res.users", "has_group", group},
		{"ir.config_parameter", "get_param", []any{"web.base.url"}},
		{"res.partner", "check_access_rights", []any{"read"}},
		{"res.users", "context_get", nil},
	}
	if s.OdooVersion < 18 {
		questions = append(questions, question{"res.partner", "name_get", []any{[]int{1}}})
	}
	for _, q := range questions {
		first := h.call(t, q.model, q.method, q.args, nil)
		if again := h.call(t, q.model, q.method, q.args, nil); first.status != http.StatusOK || !cached(t, again).hit || string(again.body) != string(first.body) {
			t.Errorf("%s: %v, then %s %v", q.method, first, again.header.Get("Cache-Status"), again)
		}
	}
	if !cached(t, count()).hit {
		t.Error("a question dropped the records that were held")
	}
}

// result is the result of a call to Odoo.
func result[T any](t testing.TB, r reply) (v T) {
	t.Helper()
	if err := json.Unmarshal(want[client.Result](t, r, http.StatusOK).Result, &v); err != nil {
		t.Fatalf("the result: %v: %v", err, r)
	}
	return v
}

func odooReads(t *testing.T, h *hearth, login string) {
	type record struct {
		ID   int    `json:"id"`
		Name string `json:"name"`
	}
	name, mark := "Hearth contract", fmt.Sprintf("%x@example.com", rand.Uint64())
	domain := []any{[]any{"email", "=", mark}}
	search := func(headers ...string) reply {
		return h.call(t, "res.partner", "search_read", nil, map[string]any{"domain": domain, "fields": []string{"name"}, "order": "id"}, headers...)
	}
	count := func() reply { return h.call(t, "res.partner", "search_count", nil, map[string]any{"domain": domain}) }
	fresh := func(after string, expected ...record) {
		t.Helper()
		for name, ask := range map[string]func() reply{"search_read": func() reply { return search() }, "search_count": count} {
			r := ask()
			if cached(t, r).hit {
				t.Errorf("after %s, %s is a hit", after, name)
			}
			if again := ask(); !cached(t, again).hit || string(again.body) != string(r.body) {
				t.Errorf("after %s, %s asked again is %s %v", after, name, again.header.Get("Cache-Status"), again)
			}
		}
		if got := result[[]record](t, search()); !slices.Equal(got, expected) {
			t.Errorf("after %s, there are %v, want %v", after, got, expected)
		}
		if got := result[int](t, count()); got != len(expected) {
			t.Errorf("after %s, there are %d, want %d", after, got, len(expected))
		}
	}
	fresh("nothing")
	// A field of one model may be computed from another's: a write drops every record.
	users := func() reply {
		return h.call(t, "res.users", "search_count", nil, map[string]any{"domain": []any{[]any{"login", "=", login}}})
	}
	users()
	first := result[int](t, h.call(t, "res.partner", "create", nil, map[string]any{"vals_list": map[string]any{"name": name + " A", "email": mark}}))
	if cached(t, users()).hit {
		t.Error("after a write, another model's records are still held")
	}
	if models := h.get(t, "/v1/odoo/models"); !cached(t, models).hit {
		t.Error("a write dropped the models' definitions")
	}
	fresh("create", record{first, name + " A"})
	both := result[[]int](t, h.call(t, "res.partner", "create", []any{[]any{map[string]any{"name": name + " B", "email": mark}, map[string]any{"name": name + " C", "email": mark}}}, nil))
	if len(both) != 2 {
		t.Fatalf("two records were made with the ids %v", both)
	}
	fresh("create of two", record{first, name + " A"}, record{both[0], name + " B"}, record{both[1], name + " C"})
	if ok := result[bool](t, h.call(t, "res.partner", "write", []any{[]int{first}, map[string]any{"name": name + " Z"}}, nil)); !ok {
		t.Error("write answered false")
	}
	fresh("write", record{first, name + " Z"}, record{both[0], name + " B"}, record{both[1], name + " C"})
	if ok := result[bool](t, h.call(t, "res.partner", "unlink", []any{both}, nil)); !ok {
		t.Error("unlink answered false")
	}
	fresh("unlink", record{first, name + " Z"})

	before := search("Cache-Control", "no-cache")
	other := h.call(t, "res.partner", "search_read", nil, map[string]any{
		"domain": domain, "fields": []string{"name"}, "order": "id", "context": map[string]any{"active_test": false},
	})
	if cached(t, other).hit || string(other.body) != string(before.body) {
		t.Errorf("another context is answered %s %v", other.header.Get("Cache-Status"), other)
	}
	dropped := want[client.Dropped](t, h.do(t, http.MethodDelete, "/v1/cache?model=res.partner", nil), http.StatusOK)
	if dropped.Dropped < 3 || cached(t, search()).hit {
		t.Errorf("dropping the model dropped %d things", dropped.Dropped)
	}
	result[bool](t, h.call(t, "res.partner", "unlink", nil, map[string]any{"ids": first}))
	fresh("unlink of the last")
}

func odooErrors(t *testing.T, h *hearth) {
	for _, c := range []struct {
		name, model, method string
		kwargs              map[string]any
		status              int
		detail              string
	}{
		{"an unknown model", "no.such.model", "search_count", map[string]any{"domain": []any{}}, 404, "no.such.model"},
		{"an unknown method", "res.partner", "no_such_method", nil, 404, "no_such_method"},
		{"an unknown field to read", "res.partner", "search_read", map[string]any{"domain": []any{}, "fields": []string{"no_such_field"}, "limit": 1}, 422, "no_such_field"},
		{"an unknown field in a domain", "res.partner", "search_count", map[string]any{"domain": []any{[]any{"no_such_field", "=", 1}}}, 422, "no_such_field"},
		{"an unknown field to write", "res.partner", "create", map[string]any{"vals_list": map[string]any{"name": "x", "no_such_field": 1}}, 422, "no_such_field"},
		{"an unknown field to change", "res.partner", "write", map[string]any{"ids": []int{1}, "vals": map[string]any{"no_such_field": 1}}, 422, "no_such_field"},
		{"a domain that is none", "res.partner", "search_read", map[string]any{"domain": []any{[]any{"name", "="}}}, 422, ""},
		{"a missing record", "res.partner", "write", map[string]any{"ids": []int{99999999}, "vals": map[string]any{"name": "x"}}, 404, ""},
		{"a missing argument", "res.partner", "write", map[string]any{"ids": []int{1}}, 422, "vals"},
		{"an unknown argument", "res.partner", "search_count", map[string]any{"domain": []any{}, "no_such_argument": 1}, 422, "no_such_argument"},
		{"a private method", "res.partner", "_compute_display_name", nil, 400, "method"},
	} {
		p := wantProblem(t, h.call(t, c.model, c.method, nil, c.kwargs), c.status)
		if (p.Upstream != "odoo") != (c.status == 400) || p.Retryable || !strings.Contains(p.Detail, c.detail) {
			t.Errorf("%s: %+v", c.name, p)
		}
		for _, inside := range []string{`File "`, "odoo/", "psycopg2", ".py"} {
			if strings.Contains(p.Detail, inside) {
				t.Errorf("%s tells of the inside: %s", c.name, p.Detail)
			}
		}
	}
	ask := func() reply {
		return h.call(t, "res.partner", "search_read", nil, map[string]any{"domain": []any{}, "fields": []string{"no_such_field"}, "limit": 2})
	}
	wantProblem(t, ask(), 422)
	wantProblem(t, ask(), 422) // an error is not held as a result
}

// odooArguments: named says that the protocol takes named arguments only.
func (s *suite) odooArguments(t *testing.T, h *hearth, named bool) {
	login := s.OdooUser
	mine := []any{[]any{"login", "=", login}}
	ids := result[[]int](t, h.call(t, "res.users", "search", []any{mine}, nil))
	if len(ids) != 1 {
		t.Fatalf("search finds %v", ids)
	}
	for name, r := range map[string]reply{
		"search_read":           h.call(t, "res.users", "search_read", []any{mine, []string{"login"}, 0, 1}, nil),
		"search_read, mixed":    h.call(t, "res.users", "search_read", []any{mine}, map[string]any{"fields": []string{"login"}, "limit": 1}),
		"read":                  h.call(t, "res.users", "read", []any{ids, []string{"login"}}, nil),
		"read of one id":        h.call(t, "res.users", "read", []any{ids[0], []string{"login"}}, nil),
		"read, mixed":           h.call(t, "res.users", "read", []any{ids}, map[string]any{"fields": []string{"login"}}),
		"read with ids by name": h.call(t, "res.users", "read", nil, map[string]any{"ids": ids, "fields": []string{"login"}}),
	} {
		got := result[[]map[string]any](t, r)
		if len(got) != 1 || got[0]["login"] != login || got[0]["id"] != float64(ids[0]) || len(got[0]) != 2 {
			t.Errorf("%s brings %v", name, got)
		}
	}
	method, args := "has_access", []any{[]int{}, "read"}
	if s.OdooVersion < 18 {
		method, args = "check_access_rights", []any{"read"}
	}
	if got := result[bool](t, h.call(t, "res.partner", method, args, nil)); !got {
		t.Errorf("%s answers false", method)
	}
	for _, c := range []struct {
		method string
		args   []any
		kwargs map[string]any
		field  string
	}{
		{"search_read", []any{mine}, map[string]any{"domain": mine}, "kwargs.domain"},
		{"read", []any{"one"}, nil, "args[0]"},
		{"read", []any{[]int{1}}, map[string]any{"ids": []int{1}}, "args"},
		{"search", nil, map[string]any{"ids": []int{1}}, "kwargs.ids"},
		{"read", nil, map[string]any{"ids": "one"}, "kwargs.ids"},
	} {
		if p := wantProblem(t, h.call(t, "res.users", c.method, c.args, c.kwargs), http.StatusBadRequest); p.Field != c.field {
			t.Errorf("%s %v %v: the problem is of %q, want %q", c.method, c.args, c.kwargs, p.Field, c.field)
		}
	}
	// A method that is on no list: its ids can be told apart, nothing else can.
	id := result[int](t, h.call(t, "res.partner", "create", []any{map[string]any{"name": "Hearth contract"}}, nil))
	if r := h.call(t, "res.partner", "action_archive", []any{[]int{id}}, nil); r.status != http.StatusOK {
		t.Errorf("action_archive: %v", r)
	}
	if got := result[[]map[string]any](t, h.call(t, "res.partner", "read", []any{id, []string{"active"}}, nil)); len(got) != 1 || got[0]["active"] != false {
		t.Errorf("after action_archive the record is %v", got)
	}
	r := h.call(t, "res.partner", "action_archive", []any{[]int{id}, "more"}, nil)
	if !named {
		wantProblem(t, r, http.StatusUnprocessableEntity)
	} else if p := wantProblem(t, r, http.StatusBadRequest); p.Field != "args" || !strings.Contains(p.Detail, "kwargs") {
		t.Errorf("the problem is %+v", p)
	}
	result[bool](t, h.call(t, "res.partner", "unlink", []any{id}, nil))
}
