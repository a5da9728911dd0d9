package lab

import (
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"time"

	"hearth/internal/testing/odootest"
	"hearth/internal/testing/testnet"
	"hearth/internal/testing/weaviatetest"
)

// Odoo's database, and the key to it.
const (
	OdooDB  = "lab"
	OdooKey = "lab-key"
)

// UpstreamsConfig says how the upstreams are reached.
type UpstreamsConfig struct {
	// RTT is how long a round trip to them takes. 0: nothing is delayed, and there is no [testnet.Proxy] that could break connections.
	RTT time.Duration
	// Host: the settings name this host and no address. With "localhost" Hearth finds the upstreams after a [testnet.Proxy.Move]; any other
	// name needs a name server. It needs an RTT.
	Host string
	// Streams is how many requests one gRPC connection may carry at once. 0: as many as net/http allows.
	Streams int
	// PublicCA: the settings put the upstreams' authorities where Hearth looks for the public ones, and not into HEARTH_TLS_CA.
	PublicCA bool
	// Wrap wraps the handler of each server; nil: no handler is wrapped.
	Wrap func(http.Handler) http.Handler
}

// Upstreams are doubles of Weaviate and Odoo, and the servers with TLS that serve them. Close them.
type Upstreams struct {
	Weaviate *weaviatetest.Server
	Odoo     *odootest.Server

	WeaviateREST, WeaviateGRPC, OdooJSON *testnet.Server

	CAFile string      // the servers' authorities
	TLS    *tls.Config // of a client that trusts them

	cfg  UpstreamsConfig
	http *http.Client // keeps a connection to WeaviateREST
	real *Real        // nil: they are doubles
}

// StartUpstreams starts both upstreams without any data. It writes the file of their authorities to dir.
func StartUpstreams(dir string, cfg UpstreamsConfig) (u *Upstreams, err error) {
	if cfg.Host != "" && cfg.RTT <= 0 {
		return nil, errors.New("lab: upstreams with a Host need an RTT")
	}
	u = &Upstreams{
		Weaviate: weaviatetest.New(), Odoo: odootest.New(odootest.Config{DB: OdooDB, Key: OdooKey}),
		CAFile: filepath.Join(dir, "ca.pem"), cfg: cfg,
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, u.Close())
		}
	}()
	wrap := cfg.Wrap
	if wrap == nil {
		wrap = func(h http.Handler) http.Handler { return h }
	}
	serve := testnet.Config{TLS: true, RTT: cfg.RTT, Names: []string{cmp.Or(cfg.Host, "localhost")}}
	if u.WeaviateREST, err = testnet.Serve(wrap(u.Weaviate), serve); err != nil {
		return u, err
	}
	if u.OdooJSON, err = testnet.Serve(wrap(u.Odoo), serve); err != nil {
		return u, err
	}
	serve.HTTP2, serve.Streams = true, cfg.Streams
	if u.WeaviateGRPC, err = testnet.Serve(wrap(u.Weaviate), serve); err != nil {
		return u, err
	}
	authorities := slices.Concat(u.WeaviateREST.CA, u.WeaviateGRPC.CA, u.OdooJSON.CA)
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(authorities)
	u.TLS = &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}
	u.http = &http.Client{Transport: &http.Transport{TLSClientConfig: u.TLS}}
	return u, os.WriteFile(u.CAFile, authorities, 0o600)
}

// Servers are those of both upstreams.
func (u *Upstreams) Servers() []*testnet.Server {
	servers := []*testnet.Server{u.WeaviateREST, u.WeaviateGRPC, u.OdooJSON}
	return slices.DeleteFunc(servers, func(s *testnet.Server) bool { return s == nil }) // a start may have failed halfway
}

// Close ends every connection, and returns when no request is under way.
func (u *Upstreams) Close() (err error) {
	if u.http != nil {
		u.http.CloseIdleConnections()
	}
	for _, s := range u.Servers() {
		err = errors.Join(err, s.Close())
	}
	return err
}

// Settings is the environment in which Hearth reaches them.
func (u *Upstreams) Settings() []string {
	if u.real != nil {
		return u.realSettings()
	}
	url := func(s *testnet.Server) string {
		if u.cfg.Host == "" {
			return s.URL
		}
		_, port, _ := net.SplitHostPort(s.Wire.Addr())
		return "https://" + net.JoinHostPort(u.cfg.Host, port)
	}
	trust := "HEARTH_TLS_CA="
	if u.cfg.PublicCA {
		trust = "SSL_CERT_FILE="
	}
	return []string{
		"HEARTH_WEAVIATE_URL=" + url(u.WeaviateREST), "HEARTH_WEAVIATE_GRPC_URL=" + url(u.WeaviateGRPC),
		"HEARTH_ODOO_URL=" + url(u.OdooJSON), "HEARTH_ODOO_DB=" + OdooDB, "HEARTH_ODOO_KEY=" + OdooKey, trust + u.CAFile,
	}
}

// Requests is how many requests have come to both upstreams.
func (u *Upstreams) Requests() (n int) {
	for _, knobs := range []*testnet.Knobs{&u.Weaviate.Knobs, &u.Odoo.Knobs} {
		for _, count := range knobs.Requests() {
			n += count
		}
	}
	return n
}

// Connections is how many connections have come to both by their wires.
func (u *Upstreams) Connections() (n int) {
	for _, s := range u.Servers() {
		if s.Wire != nil {
			n += s.Wire.Accepted()
		}
	}
	return n
}

// RoundTrip measures a request with an empty answer. After the first call it uses an open connection.
func (u *Upstreams) RoundTrip(ctx context.Context) (time.Duration, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, u.WeaviateREST.URL+"/v1/.well-known/live", http.NoBody)
	if err != nil {
		return 0, err
	}
	began := time.Now()
	resp, err := u.http.Do(req)
	if err != nil {
		return 0, err
	}
	return time.Since(began), resp.Body.Close()
}
