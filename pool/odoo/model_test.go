package odoo

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"

	"hearth/pool"
)

// partners knows one model, over JSON-2 and JSON-RPC.
func partners(nameStatus int, names string) *fake {
	return &fake{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		asked := r.URL.Path + string(body)
		answer := `{"name":{"string":"Name","type":"char"}}`
		switch {
		case strings.Contains(asked, "display_name_for"):
			if answer = names; nameStatus != 200 {
				w.WriteHeader(nameStatus)
				_, _ = io.WriteString(w, answer)
				return
			}
		case !strings.Contains(asked, "res.partner"):
			if strings.HasPrefix(r.URL.Path, "/json/2/") {
				w.WriteHeader(404)
				_, _ = io.WriteString(w, exception("werkzeug.exceptions.NotFound", "the model 'no.model' does not exist"))
			} else {
				_, _ = io.WriteString(w, rpcError(exception("odoo.exceptions.UserError", "Object no.model doesn't exist")))
			}
			return
		}
		if r.URL.Path == "/jsonrpc" {
			answer = `{"jsonrpc":"2.0","id":1,"result":` + answer + `}`
		}
		_, _ = io.WriteString(w, answer)
	})}
}

func TestAModel(t *testing.T) {
	for _, tt := range []struct {
		name   string
		status int
		names  string
		want   string
	}{
		{"with its name", 200, `[{"display_name":"Contact","model":"res.partner"}]`, "Contact"},
		{"whose name is not told", 403, exception("odoo.exceptions.AccessError", "no"), "res.partner"},
		{"whose name cannot be read", 200, `[]`, "res.partner"},
		{"whose name is empty", 200, `[{"display_name":""}]`, "res.partner"},
		{"whose name is none", 200, `false`, "res.partner"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			for _, over := range []func(Doer) *Client{overJSON2, overJSONRPC} {
				f := partners(tt.status, tt.names)
				m, err := over(f).Model(t.Context(), "res.partner")
				if err != nil || m.Name != tt.want || string(m.Fields) != `{"name":{"string":"Name","type":"char"}}` {
					t.Errorf("got %+v, %v", m, err)
				}
				for _, r := range f.requests() {
					if !r.Repeatable {
						t.Errorf("%s may not be repeated", r.Path)
					}
				}
				if n := len(f.requests()); n != 2 {
					t.Errorf("asked %d questions", n)
				}
			}
		})
	}
}

func TestAModelThatIsNone(t *testing.T) {
	for _, over := range []func(Doer) *Client{overJSON2, overJSONRPC} {
		_, err := over(partners(200, `[]`)).Model(t.Context(), "no.model")
		if e := wantError(t, err); e.Kind != NotFound || e.Name != "UnknownModel" || !strings.Contains(e.Message, "HEARTH_ODOO_MODELS") {
			t.Error(e)
		}
		_, err = over(neverAsked(t)).Model(t.Context(), "../x")
		if e, ok := errors.AsType[*ArgumentError](err); !ok || e.Field != "model" {
			t.Error(err)
		}
	}
	_, err := overJSON2(answering(403, exception("odoo.exceptions.AccessError", "no"))).Model(t.Context(), "res.partner")
	if e := wantError(t, err); e.Message != "no" {
		t.Errorf("a model that may not be read: %v", e)
	}
	if _, err := overJSON2(answering(200, `false`)).Model(t.Context(), "res.partner"); err == nil {
		t.Error("false was taken for fields")
	}
}

func TestAModelsTwoQuestionsGoTogether(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		gate, asked := make(chan struct{}), make(chan string, 2)
		f := partners(200, `[]`)
		c := overJSON2(doerFunc(func(ctx context.Context, r pool.Request) (*pool.Response, error) {
			asked <- r.Path
			<-gate
			return f.Do(ctx, r)
		}))
		done := make(chan error, 1)
		go func() { _, err := c.Model(t.Context(), "res.partner"); done <- err }()
		synctest.Wait()
		if len(asked) != 2 {
			t.Errorf("%d at the same time", len(asked))
		}
		close(gate)
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

// Odoo 14 lets everybody read ir.model.
func TestAModelsNameWhereOdooHasNoMethodForIt(t *testing.T) {
	f := &fake{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		switch asked := string(body); {
		case strings.Contains(asked, "display_name_for"):
			_, _ = io.WriteString(w, rpcError(exception("builtins.AttributeError", "type object 'ir.model' has no attribute 'display_name_for'")))
		case strings.Contains(asked, "search_read"):
			_, _ = io.WriteString(w, `{"jsonrpc":"2.0","result":[{"id": 79, "name": "Contacto"}]}`)
		default:
			_, _ = io.WriteString(w, `{"jsonrpc":"2.0","result":{}}`)
		}
	})}
	m, err := overJSONRPC(f).Model(t.Context(), "res.partner")
	if err != nil || m.Name != "Contacto" {
		t.Errorf("got %+v, %v", m, err)
	}
}
