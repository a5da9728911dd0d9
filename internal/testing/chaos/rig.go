package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"hearth/client/wire"
	"hearth/internal/testing/lab"
	"hearth/internal/testing/lab/bot"
	"hearth/internal/testing/lambdatest"
	"hearth/internal/testing/testnet"
)

const (
	rtt  = 2 * time.Millisecond
	host = "upstream.test" // of every upstream; the rig's name server knows it
)

// setup is how a rig differs from the usual one.
type setup struct {
	jsonRPC  bool // Odoo speaks JSON-RPC only
	streams  int  // requests at once on one gRPC connection; 0: any number
	fullDisk bool // there is no room for a file in the sidecar's folder
}

// rig is a sidecar in a sandbox, and its upstreams behind everything that can fail.
type rig struct {
	upstreams *lab.Upstreams
	names     *testnet.NameServer
	sandbox   *lab.Sandbox
	truth     *truth
	web       *testnet.Server // the host to fetch from
	printed   map[string]bool // faults of the bot that were printed
	setup     setup
	debug     string // the socket with the goroutines
	http      *http.Client
	token     string
	network   string // where the sidecar listens
	address   string

	tamper atomic.Pointer[tamper]

	mu      sync.Mutex
	at      map[upstream]int // guarded by mu: requests that have arrived, without pings
	sent    map[sent]int     // guarded by mu: requests that have arrived since [rig.forget]
	creates map[string]int   // guarded by mu: requests that create a contact, by its name

	alone map[sent]int // what each call sends if it is alone, with the call's number as the trace; only the course uses it
}

// tamper is called in place of an upstream's handler, and may call that handler (next).
type tamper func(w http.ResponseWriter, r *http.Request, next http.Handler)

// newRig starts the sidecar of a binary. without names a defence that is switched off; empty: none.
func newRig(ctx context.Context, dir, binary, without string, f setup, real *lab.Real) (g *rig, err error) {
	g = &rig{truth: &truth{&bot.Bot{Name: filepath.Base(dir), Freshness: freshness()}, &web{}, deadline}, debug: filepath.Join(dir, "d"), printed: map[string]bool{}, setup: f}
	g.at, g.creates, g.sent = map[upstream]int{}, map[string]int{}, map[sent]int{}
	if g.names, err = testnet.NewNameServer(); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			g, err = nil, errors.Join(err, g.close(ctx))
		}
	}()
	if g.upstreams, err = g.startUpstreams(dir, real); err != nil { //nolint:contextcheck // their life ends with close
		return g, err
	}
	g.truth.Upstreams = g.upstreams
	if err := g.startWeb(); err != nil { //nolint:contextcheck // likewise
		return g, err
	}
	settings := append(g.upstreams.Settings(),
		"HEARTH_FETCH_ALLOW="+g.web.Addr,
		"HEARTH_TEST_DEBUG="+g.debug, "HEARTH_TEST_WITHOUT="+without, "HEARTH_TTL_ODOO_MODELS=1s/0s/10m")
	if real == nil {
		settings = append(settings, "HEARTH_TEST_DNS="+g.names.Addr)
	}
	if f.jsonRPC {
		settings = append(settings, "HEARTH_ODOO_USER=admin", "HEARTH_ODOO_PROTOCOL=jsonrpc")
	}
	admin := settings
	if real != nil {
		admin = real.Admin(settings)
	}
	if err := lab.MakeClasses(ctx, binary, admin); err != nil {
		return g, err
	}
	socket, addr := filepath.Join(dir, "s"), ""
	if f.fullDisk {
		socket = filepath.Join(dir, "full", "s")
		if addr, err = testnet.FreeAddress(); err != nil { //nolint:contextcheck // it only looks
			return g, err
		}
		settings = append(settings, "HEARTH_ADDR="+addr)
		if binary, err = withoutRoom(dir, binary); err != nil {
			return g, err
		}
	}
	sandbox, err := lab.Start(ctx, lab.SandboxConfig{
		Host: lambdatest.Config{Timeout: time.Minute, Answer: func(context.Context, []byte) ([]byte, error) { return nil, nil }}, Extension: binary, Settings: settings, Socket: socket,
	})
	if err != nil {
		return g, err
	}
	g.sandbox = sandbox
	g.token, _ = wire.DeriveToken(lambdatest.SessionToken, "")
	g.network, g.address = "unix", socket
	if f.fullDisk {
		g.network, g.address = "tcp", addr
	}
	g.http = &http.Client{Transport: g.transport()}
	return g, nil
}

// startUpstreams starts the stand-ins, or connects to the real servers.
func (g *rig) startUpstreams(dir string, real *lab.Real) (*lab.Upstreams, error) {
	if real == nil {
		return lab.StartUpstreams(dir, lab.UpstreamsConfig{RTT: rtt, Host: host, Streams: g.setup.streams, Wrap: g.wrap})
	}
	g.truth.Name, g.truth.Unlabeled, g.truth.deadline = real.MessageClass, true, realDeadline
	return lab.ReachUpstreams(dir, real, rtt)
}

// startWeb starts the host to fetch from. The sidecar trusts its certificate.
func (g *rig) startWeb() (err error) {
	g.truth.web.publish()
	if g.web, err = testnet.Serve(g.wrap(g.truth.web), testnet.Config{TLS: true, RTT: rtt}); err != nil {
		return err
	}
	g.truth.web.url = g.web.URL + webPath
	trusted, err := os.ReadFile(g.upstreams.CAFile)
	if err != nil {
		return err
	}
	return os.WriteFile(g.upstreams.CAFile, append(trusted, g.web.CA...), 0o600)
}

// servers returns the servers of all upstreams, and the host to fetch from.
func (g *rig) servers() []*testnet.Server { return append(g.upstreams.Servers(), g.web) }

// transport makes the transport of a caller, which has its own connections to the sidecar.
func (g *rig) transport() *http.Transport {
	return &http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, g.network, g.address)
		},
		MaxIdleConnsPerHost: 100,
	}
}

func (g *rig) close(ctx context.Context) (err error) {
	if g.http != nil {
		g.http.CloseIdleConnections()
	}
	if g.sandbox != nil {
		_, err = g.sandbox.Close(ctx)
	}
	if g.upstreams != nil {
		err = errors.Join(err, g.upstreams.Close())
	}
	if g.web != nil {
		err = errors.Join(err, g.web.Close())
	}
	return errors.Join(err, g.names.Close())
}

// wrap counts the requests to an upstream, and lets the rig's tamper answer them.
func (g *rig) wrap(h http.Handler) http.Handler {
	h = g.truth.Relabeled(h)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !isPing(r) {
			g.count(r)
		}
		if t := g.tamper.Load(); t != nil {
			(*t)(w, r, h)
			return
		}
		h.ServeHTTP(w, r)
	})
}

func (g *rig) count(r *http.Request) {
	name := ""
	if upstreamOf(r) == odoo {
		body, _ := io.ReadAll(r.Body)
		r.Body = io.NopCloser(strings.NewReader(string(body)))
		if creates := regexp.MustCompile(`"name": ?"(value \d+ of [^"]*)"`).FindSubmatch(body); creates != nil {
			name = string(creates[1])
		}
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	u := upstreamOf(r)
	g.at[u]++
	g.sent[sent{traceOf(r), u.name()}]++
	if name != "" {
		g.creates[name]++
	}
}

// created is how often a request for the creation of a contact has arrived.
func (g *rig) created(contact string) int {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.creates[contact]
}

// tries is how many requests and connections have arrived at each upstream.
func (g *rig) tries() map[upstream]int {
	g.mu.Lock()
	defer g.mu.Unlock()
	n := maps.Clone(g.at)
	for _, u := range everything() {
		n[u] += g.server(u).Wire.Accepted()
	}
	return n
}

// upstream is one of the servers.
type upstream string

const (
	weaviateREST upstream = "weaviate-rest"
	weaviateGRPC upstream = "weaviate-grpc"
	odoo         upstream = "odoo"
	website      upstream = "web" // the host to fetch from
)

// name is that of the upstream in /debug/pools: Weaviate's two protocols are one.
func (u upstream) name() string {
	name, _, _ := strings.Cut(string(u), "-")
	return name
}

func everything() []upstream { return []upstream{weaviateREST, weaviateGRPC, odoo, website} }

const webPath = "/page"

func upstreamOf(r *http.Request) upstream {
	switch {
	case strings.HasPrefix(r.Header.Get("Content-Type"), "application/grpc"):
		return weaviateGRPC
	case strings.HasPrefix(r.URL.Path, "/v1/"):
		return weaviateREST
	case r.URL.Path == webPath:
		return website
	}
	return odoo
}

func isPing(r *http.Request) bool {
	return r.URL.Path == "/web/version" || strings.HasPrefix(r.URL.Path, "/v1/.well-known/") || strings.HasPrefix(r.URL.Path, "/grpc.health")
}

// server is an upstream's.
func (g *rig) server(u upstream) *testnet.Server {
	return map[upstream]*testnet.Server{weaviateREST: g.upstreams.WeaviateREST, weaviateGRPC: g.upstreams.WeaviateGRPC, odoo: g.upstreams.OdooJSON, website: g.web}[u]
}

// withoutRoom returns a script that runs the binary with a folder dir/full in which no file can be made.
func withoutRoom(dir, binary string) (string, error) {
	full := filepath.Join(dir, "full")
	if err := os.MkdirAll(full, 0o700); err != nil {
		return "", err
	}
	script := fmt.Sprintf("#!/bin/sh\nexec unshare --mount sh -c \"mount -t tmpfs -o nr_inodes=1 tmpfs '%s' && exec '%s' 2>'/dev/full'\"\n", full, binary)
	path := filepath.Join(full+"-bin", "hearth")
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return "", err
	}
	return path, os.WriteFile(path, []byte(script), 0o700) //nolint:gosec // it is run
}
