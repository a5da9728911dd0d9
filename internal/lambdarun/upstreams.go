package main

import (
	"errors"
	"os"
	"path/filepath"

	"hearth/internal/odootest"
	"hearth/internal/testnet"
	"hearth/internal/weaviatetest"
)

// upstreams are the stand-ins, behind TLS and as near as can be: what is measured is not their distance.
type upstreams struct {
	weaviate, odoo *testnet.Server
	env            []string // What the extension has to know of them.
}

func startUpstreams(dir string) (*upstreams, error) {
	const db, key = "lambdarun", "lambdarun-key"
	near := testnet.Config{TLS: true}
	weaviate, err := testnet.Serve(weaviatetest.New(), near)
	if err != nil {
		return nil, err
	}
	odoo, err := testnet.Serve(odootest.New(odootest.Config{DB: db, Key: key}), near)
	if err != nil {
		return nil, errors.Join(err, weaviate.Close())
	}
	u := &upstreams{weaviate: weaviate, odoo: odoo}
	caFile := filepath.Join(dir, "ca.pem")
	if err := os.WriteFile(caFile, append(weaviate.CA, odoo.CA...), 0o600); err != nil {
		return nil, errors.Join(err, u.close())
	}
	u.env = []string{
		"HEARTH_WEAVIATE_URL=" + weaviate.URL, "HEARTH_ODOO_URL=" + odoo.URL, "HEARTH_ODOO_DB=" + db, "HEARTH_ODOO_KEY=" + key,
		"SSL_CERT_FILE=" + caFile, // They stand for upstreams with public certificates: no HEARTH_TLS_CA.
	}
	return u, nil
}

func (u *upstreams) close() error { return errors.Join(u.odoo.Close(), u.weaviate.Close()) }
