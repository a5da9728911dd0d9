package app

import (
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"hearth/internal/testing/testnet"
)

// The listeners count: every connection that an upstream got came through the proxy.
func TestNothingReachesAnUpstreamPastTheProxy(t *testing.T) {
	for _, secure := range []bool{false, true} {
		u := newUpstreams(t)
		before := u.toWeaviate.Accepted() + u.toOdoo.Accepted()
		weaviate, odoo := "weaviate.internal:8080", "odoo.internal:8069" // only the proxy knows them
		proxy, err := testnet.NewForward(testnet.ForwardConfig{
			TLS: secure, User: "me:hunter2", Hosts: map[string]string{weaviate: u.toWeaviate.Addr(), odoo: u.toOdoo.Addr()},
		})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = proxy.Close() })
		at := strings.Replace(proxy.URL, "://", "://me:hunter2@", 1)
		env := append(u.env, "HEARTH_PROXY="+at, "HEARTH_WEAVIATE_URL=http://"+weaviate, "HEARTH_WEAVIATE_GRPC_URL=http://"+weaviate, "HEARTH_ODOO_URL=http://"+odoo)
		if secure {
			env = append(env, "HEARTH_TLS_CA="+fileOf(t, proxy.CA))
		}
		p := serving(t, env...)
		const text = `{"role":"user","content":"hello"}`
		if status, body := send(t, http.MethodPost, p.addr, "/v1/chats/a/messages", text); status != http.StatusCreated {
			t.Fatalf("%d %s\n%s", status, body, p.log.String())
		}
		const all = `{"chat_id":"a","text":"hello","route_name":"odoo_erp","enable_odoo":true,"num_messages":3}`
		status, body := send(t, http.MethodPost, p.addr, "/v1/preprocess", all)
		if status != http.StatusOK || strings.Contains(body, `"errors":{"`) {
			t.Errorf("%d %s", status, body)
		}
		stdout, _, _ := command(t, env, "check")
		wantAll(t, "check", stdout, "weaviate: way: ok (through the proxy "+proxy.Addr+")", "odoo: way: ok (through the proxy "+proxy.Addr+")")
		if strings.Contains(stdout+p.log.String(), "hunter2") {
			t.Errorf("the proxy's password is shown:\n%s%s", stdout, p.log.String())
		}
		tunnels := proxy.Tunnels()
		accepted := u.toWeaviate.Accepted() + u.toOdoo.Accepted() - before
		if tunnels[weaviate]+tunnels[odoo] != accepted || tunnels[weaviate] < 2 || tunnels[odoo] < 1 {
			t.Errorf("the upstreams accepted %d connections; tunnels: %v", accepted, tunnels)
		}
		t.Logf("accepted by the upstreams: %d; tunnels: %v; direct dials: %d", accepted, tunnels, accepted-tunnels[weaviate]-tunnels[odoo])
	}
}

func TestAProxyThatRefusesIsNoReasonToTryAgain(t *testing.T) {
	u := newUpstreams(t)
	proxy, err := testnet.NewForward(testnet.ForwardConfig{User: "me:other"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = proxy.Close() })
	env := append(u.env, "HEARTH_PROXY="+strings.Replace(proxy.URL, "://", "://me:hunter2@", 1))
	p := serving(t, env...)
	status, body := send(t, http.MethodGet, p.addr, "/v1/chats/a/history", "")
	if status != http.StatusBadGateway {
		t.Errorf("it answers %d", status)
	}
	wantAll(t, "the problem", body, `"retryable":false`, "errors.md#unreachable", "the proxy "+proxy.Addr+" answers 407 Proxy Authentication Required: who are you?", "HEARTH_PROXY")
	stdout, _, code := command(t, env, "check")
	wantAll(t, "check", stdout, "407 Proxy Authentication Required: who are you?")
	if code != 1 || strings.Contains(stdout+body+p.log.String(), "hunter2") {
		t.Errorf("exit %d:\n%s%s%s", code, stdout, body, p.log.String())
	}
}

// fileOf is a file with that content.
func fileOf(t *testing.T, content []byte) (path string) {
	t.Helper()
	path = filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}
