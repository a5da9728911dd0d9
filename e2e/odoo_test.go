package e2e

import (
	"context"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"hearth/pool"
	"hearth/pool/odoo"
)

// odooClient asks the real Odoo as one of its users, through nginx.
func (r realServers) odooClient(t *testing.T, cfg odoo.Config) *odoo.Client {
	t.Helper()
	pem, err := os.ReadFile(r.CAFile)
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(pem) {
		t.Fatalf("%s holds no certificate", r.CAFile)
	}
	p, err := pool.New(pool.Config{Name: "odoo", URL: r.OdooURL, Size: 2, Timeout: 30 * time.Second, RootCAs: func() *x509.CertPool { return roots }})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Close)
	cfg.Pool, cfg.DB = p, r.OdooDB
	c, err := odoo.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func (r realServers) odooKnowsItsUsers(t *testing.T) {
	protocol := odoo.JSON2
	if r.OdooVersion == "14" {
		protocol = odoo.JSONRPC
	}
	admin := r.odooClient(t, odoo.Config{User: r.OdooUser, Key: r.OdooKey})
	state, err := admin.Check(t.Context())
	if want := (odoo.State{Connected: true, Protocol: protocol, Version: r.OdooVersion + ".0", UID: r.OdooUID, Lang: "en_US"}); err != nil || state != want {
		t.Errorf("the administrator's state is %+v, %v, want %+v", state, err, want)
	}
	employee := r.odooClient(t, odoo.Config{User: r.Employee.User, Key: r.Employee.Password})
	state, err = employee.Check(t.Context())
	if want := (odoo.State{Connected: true, Protocol: odoo.JSONRPC, Version: r.OdooVersion + ".0", UID: r.Employee.UID, Lang: "es_ES"}); err != nil || state != want {
		t.Errorf("the employee's state is %+v, %v, want %+v", state, err, want)
	}
	if m, err := employee.Model(t.Context(), "res.partner"); err != nil || m.Name != "Contacto" {
		t.Errorf("the employee's model is %q, %v", m.Name, err)
	}
	_, err = employee.Model(t.Context(), "no.such.model")
	if e, ok := errors.AsType[*odoo.Error](err); !ok || e.Kind != odoo.NotFound || !strings.Contains(e.Message, "HEARTH_ODOO_MODELS") {
		t.Errorf("a model that does not exist: %v", err)
	}
	_, err = r.odooClient(t, odoo.Config{User: r.OdooUser, Key: r.OdooKey, Lang: "fr_FR"}).Check(t.Context())
	if e, ok := errors.AsType[*odoo.Error](err); !ok || e.Name != "UnknownLanguage" {
		t.Errorf("a language that is not active: %v", err)
	}
	_, err = employee.Call(t.Context(), odoo.Call{
		Model: "res.country", Method: "create", Kwargs: map[string]json.RawMessage{"vals_list": json.RawMessage(`{"name":"x"}`)},
	})
	e, ok := errors.AsType[*odoo.Error](err)
	if !ok || e.Kind != odoo.Forbidden || e.Name != "AccessError" || strings.Contains(e.Message, "Traceback") || strings.Contains(e.Message, `File "`) {
		t.Errorf("a call that an employee has no right to: %v", err)
	}
}

// odooTranslates writes a translated field in two languages, and reads it in each.
func (r realServers) odooTranslates(t *testing.T) {
	spanish := r.odooClient(t, odoo.Config{User: r.OdooUser, Key: r.OdooKey, Lang: "es_ES"})
	english := r.odooClient(t, odoo.Config{User: r.OdooUser, Key: r.OdooKey, Lang: "en_US"})
	call := func(ctx context.Context, c *odoo.Client, method string, args ...string) string {
		t.Helper()
		call := odoo.Call{Model: "res.partner.industry", Method: method}
		for _, a := range args {
			call.Args = append(call.Args, json.RawMessage(a))
		}
		got, err := c.Call(ctx, call)
		if err != nil {
			t.Fatal(err)
		}
		return string(got)
	}
	name := func(c *odoo.Client, id string) string {
		t.Helper()
		var records []struct{ Name string }
		if err := json.Unmarshal([]byte(call(t.Context(), c, "read", id, `["name"]`)), &records); err != nil || len(records) != 1 {
			t.Fatal(err, records)
		}
		return records[0].Name
	}
	id := call(t.Context(), english, "create", `{"name":"Bakery"}`)
	t.Cleanup(func() { call(context.WithoutCancel(t.Context()), english, "unlink", fmt.Sprint("[", id, "]")) })
	call(t.Context(), spanish, "write", id, `{"name":"Panadería"}`)
	if en, es := name(english, id), name(spanish, id); en != "Bakery" || es != "Panadería" {
		t.Errorf("the names are %q and %q", en, es)
	}
}
