package contract

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"hearth/internal/testing/odootest"
	"hearth/internal/testing/testnet"
	"hearth/internal/testing/weaviatetest"
)

func TestTheStandInsKeepTheContract(t *testing.T) {
	login := odootest.Config{DB: "demo", Login: "admin", Password: "admin", Key: "an-api-key-of-the-stand-in", UID: 2}
	weaviate, odoo := weaviatetest.NewWith(weaviatetest.Config{Modules: []string{"text2vec-openai"}}), odootest.New(login)
	few := weaviatetest.NewWith(weaviatetest.Config{MaxResults: 50})
	serve := func(s *testnet.Server, err error) *testnet.Server {
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = s.Close() })
		return s
	}
	w := serve(testnet.Serve(weaviate, testnet.Config{TLS: true}))
	g := serve(testnet.Serve(weaviate, testnet.Config{TLS: true, HTTP2: true}))
	f := serve(testnet.Serve(few, testnet.Config{HTTP2: true}))
	o := serve(testnet.Serve(odoo, testnet.Config{TLS: true}))
	spanish := login
	spanish.Lang = "es_ES"
	es := serve(testnet.Serve(odootest.New(spanish), testnet.Config{}))
	ca := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(ca, slices.Concat(w.CA, g.CA, o.CA), 0o600); err != nil {
		t.Fatal(err)
	}
	bin, u := Build(t), Upstreams{
		WeaviateURL: w.URL, WeaviateGRPC: g.URL, OdooURL: o.URL, CAFile: ca, Weaviate: &weaviate.Knobs, Odoo: &odoo.Knobs, Turns: 400, TalksTTL: 100 * time.Millisecond,
		OdooSpanish: []string{"HEARTH_ODOO_URL=" + es.URL},
		OdooDB:      login.DB, OdooUser: login.Login, OdooPassword: login.Password, OdooKey: login.Key, OdooUID: login.UID,
	}
	t.Run("handlers", func(t *testing.T) { RunHandlers(t, bin, u, 15, 30) })
	t.Run("contract", func(t *testing.T) { Run(t, bin, u) })
	t.Run("few results", func(t *testing.T) {
		u := u
		u.WeaviateURL, u.WeaviateGRPC = f.URL, f.URL
		RunFewResults(t, bin, u)
	})
	t.Run("fail open", func(t *testing.T) {
		weaviate, odoo := startStandIn(t, "Weaviate"), startStandIn(t, "Odoo")
		u := Upstreams{
			WeaviateURL: "http://" + weaviate.addr, WeaviateGRPC: "http://" + weaviate.addr,
			OdooURL: "http://" + odoo.addr, OdooDB: "demo", OdooKey: "key",
		}
		RunFailOpen(t, bin, u, weaviate.victim(), odoo.victim())
	})
}

// The stand-ins as processes of their own: this test's binary, told which one to be and where.
const standIn, standInAddr = "CONTRACT_STAND_IN", "CONTRACT_STAND_IN_ADDR"

func TestMain(m *testing.M) {
	servers := map[string]http.Handler{"Weaviate": weaviatetest.New(), "Odoo": odootest.New(odootest.Config{})}
	if server := servers[os.Getenv(standIn)]; server != nil {
		if _, err := testnet.Serve(server, testnet.Config{Addr: os.Getenv(standInAddr), HTTP2: true}); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		select {} // until the test kills it
	}
	os.Exit(m.Run())
}

// standInProcess is a stand-in that can be killed.
type standInProcess struct {
	name, addr string
	cmd        *exec.Cmd
	exited     chan struct{}
}

func startStandIn(t *testing.T, name string) *standInProcess {
	t.Helper()
	p := &standInProcess{name: name, addr: freeAddress(t)}
	if err := p.start(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = p.kill() })
	return p
}

// start returns once it answers. Its address may be in use for a moment after a kill.
func (p *standInProcess) start(ctx context.Context) error {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	for {
		cmd, exited := exec.Command(self), make(chan struct{})
		cmd.Env = append(os.Environ(), standIn+"="+p.name, standInAddr+"="+p.addr)
		if err := cmd.Start(); err != nil {
			return err
		}
		go func() { _ = cmd.Wait(); close(exited) }()
		p.cmd, p.exited = cmd, exited
		for {
			conn, err := new(net.Dialer).DialContext(ctx, "tcp", p.addr)
			if err == nil {
				return conn.Close()
			}
			select {
			case <-time.After(10 * time.Millisecond):
				continue
			case <-p.exited:
			case <-ctx.Done():
				return ctx.Err()
			}
			break
		}
	}
}

func (p *standInProcess) victim() Victim {
	return Victim{Name: p.name, Kill: p.kill, Restart: p.start}
}

func (p *standInProcess) kill() error {
	_ = p.cmd.Process.Kill()
	<-p.exited
	return nil
}
