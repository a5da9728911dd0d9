package main

import (
	"errors"
	"net/http"
	"os"
	"path/filepath"

	"hearth/internal/testing/odootest"
	"hearth/internal/testing/testnet"
	"hearth/internal/testing/weaviatetest"
)

// upstreams are the stand-ins, behind TLS and as near as can be: what is measured is not their distance.
type upstreams struct {
	servers []*testnet.Server
	env     []string // What the extension has to know of them.
}

func startUpstreams(dir string) (u *upstreams, err error) {
	const db, key = "lambdarun", "lambdarun-key"
	u = &upstreams{env: []string{"HEARTH_ODOO_DB=" + db, "HEARTH_ODOO_KEY=" + key}}
	defer func() {
		if err != nil {
			err = errors.Join(err, u.close())
		}
	}()
	weaviate, odoo := weaviatetest.New(), odootest.New(odootest.Config{DB: db, Key: key})
	var authorities []byte
	for _, upstream := range []struct {
		variable string
		serves   http.Handler
		http2    bool
	}{
		{"HEARTH_WEAVIATE_URL", weaviate, false},
		{"HEARTH_WEAVIATE_GRPC_URL", weaviate, true},
		{"HEARTH_ODOO_URL", odoo, false},
	} {
		server, err := testnet.Serve(upstream.serves, testnet.Config{TLS: true, HTTP2: upstream.http2})
		if err != nil {
			return u, err
		}
		u.servers = append(u.servers, server)
		u.env = append(u.env, upstream.variable+"="+server.URL)
		authorities = append(authorities, server.CA...)
	}
	caFile := filepath.Join(dir, "ca.pem")
	u.env = append(u.env, "SSL_CERT_FILE="+caFile) // They stand for upstreams with public certificates: no HEARTH_TLS_CA.
	return u, os.WriteFile(caFile, authorities, 0o600)
}

func (u *upstreams) close() (err error) {
	for _, s := range u.servers {
		err = errors.Join(err, s.Close())
	}
	return err
}
