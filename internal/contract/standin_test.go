package contract

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"hearth/internal/odootest"
	"hearth/internal/testnet"
	"hearth/internal/weaviatetest"
)

func TestTheStandInsKeepTheContract(t *testing.T) {
	login := odootest.Config{DB: "demo", Login: "admin", Password: "admin", Key: "an-api-key-of-the-stand-in", UID: 2}
	weaviate, odoo := weaviatetest.New(), odootest.New(login)
	serve := func(s *testnet.Server, err error) *testnet.Server {
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = s.Close() })
		return s
	}
	w := serve(testnet.Serve(weaviate, testnet.Config{TLS: true}))
	o := serve(testnet.Serve(odoo, testnet.Config{TLS: true}))
	ca := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(ca, append(w.CA, o.CA...), 0o600); err != nil {
		t.Fatal(err)
	}
	bin, u := Build(t), Upstreams{
		WeaviateURL: w.URL, OdooURL: o.URL, CAFile: ca, Weaviate: &weaviate.Knobs, Odoo: &odoo.Knobs, Turns: 400, TalksTTL: 100 * time.Millisecond,
		OdooDB: login.DB, OdooUser: login.Login, OdooPassword: login.Password, OdooKey: login.Key, OdooUID: login.UID,
	}
	t.Run("handlers", func(t *testing.T) { RunHandlers(t, bin, u, 15, 30) })
	t.Run("contract", func(t *testing.T) { Run(t, bin, u) })
}
