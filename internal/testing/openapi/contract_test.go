package openapi

import (
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"

	"hearth/internal/testing/contract"
	"hearth/internal/testing/odootest"
	"hearth/internal/testing/testnet"
	"hearth/internal/testing/weaviatetest"
)

// contractSuite makes the calls of the contract suite, which asks a lot: what a call takes, and what not.
func contractSuite(t *testing.T, doc *openapi3.T, bin string) {
	weaviate := weaviatetest.NewWith(weaviatetest.Config{Modules: []string{"text2vec-openai"}})
	login := odootest.Config{DB: "demo", Login: "admin", Password: "admin", Key: "an-api-key", UID: 2}
	odoo := odootest.New(login)
	login.Lang = "es_ES"
	spanish := odootest.New(login)
	serve := func(h http.Handler, http2 bool) *testnet.Server {
		s, err := testnet.Serve(h, testnet.Config{TLS: true, HTTP2: http2})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = s.Close() })
		return s
	}
	w, g, o, es := serve(weaviate, false), serve(weaviate, true), serve(odoo, false), serve(spanish, false)
	ca := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(ca, slices.Concat(w.CA, g.CA, o.CA, es.CA), 0o600); err != nil {
		t.Fatal(err)
	}
	var mu sync.Mutex
	contract.Run(t, bin, contract.Upstreams{
		WeaviateURL: w.URL, WeaviateGRPC: g.URL, OdooURL: o.URL, CAFile: ca, Weaviate: &weaviate.Knobs, Odoo: &odoo.Knobs,
		OdooDB: login.DB, OdooUser: login.Login, OdooPassword: login.Password, OdooKey: login.Key, OdooUID: login.UID,
		OdooSpanish: []string{"HEARTH_ODOO_URL=" + es.URL},
		Themes: []string{
			"identity", "a write that is refused in part says what became of each message", "vectors of two lengths in one write", "mute", "relevance",
			"preprocess", "caching headers", "classes of other kinds", "door", "bad input", "odoo", "administration", "fetch",
		},
		Saw: func(seen contract.Exchange) {
			mu.Lock()
			defer mu.Unlock()
			e := exchange(seen)
			if err := check(doc, e); err != nil {
				t.Errorf("%v\n%v", err, e)
			}
		},
	})
}
