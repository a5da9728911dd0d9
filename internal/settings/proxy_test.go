package settings

import (
	"strings"
	"testing"
)

func TestWhichWayAnUpstreamIsReached(t *testing.T) {
	const rest, odoo, local = "https://weaviate.example", "http://odoo.internal:8069", "http://127.0.0.1:8080"
	for _, tc := range []struct {
		env                 []string
		rest, odoo, local   string // the proxy's host; empty: directly
		local6, localByName string
	}{
		{env: nil},
		{env: []string{"HTTPS_PROXY=http://p:1", "HTTP_PROXY=http://q:1"}, rest: "p:1"},
		{env: []string{"HTTPS_PROXY=p:1"}, rest: "p:1"},
		{env: []string{"HTTPS_PROXY=http://p:1", "https_proxy=http://lower:1"}, rest: "lower:1"},
		{env: []string{"HTTPS_PROXY=http://p:1", "NO_PROXY=.example"}},
		{env: []string{"HTTPS_PROXY=http://p:1", "NO_PROXY=.example", "no_proxy=other"}, rest: "p:1"},
		{env: []string{"HTTPS_PROXY=http://p:1", "HEARTH_PROXY=none"}},
		{env: []string{"HTTPS_PROXY=http://p:%zz"}}, // as Go takes it
		{env: []string{"HTTPS_PROXY=http://p:1", "HEARTH_PROXY=https://own"}, rest: "own", odoo: "own", local: "own", local6: "own", localByName: "own"},
		{env: []string{"HEARTH_PROXY=http://u:p@own:3128/"}, rest: "own:3128", odoo: "own:3128", local: "own:3128", local6: "own:3128", localByName: "own:3128"},
		{env: []string{"HEARTH_PROXY=http://own", "NO_PROXY=odoo.internal:8069, 127.0.0.0/8"}, rest: "own", local6: "own", localByName: "own"},
		{env: []string{"HEARTH_PROXY=http://own", "NO_PROXY=odoo.internal:80,127.0.0.1:8080,[::1]:1"}, rest: "own", odoo: "own", local6: "own", localByName: "own"},
		{env: []string{"HEARTH_PROXY=http://own", "NO_PROXY=internal,127.0.0.1,::1,LOCALHOST"}, rest: "own"},
		{env: []string{"HEARTH_PROXY=http://own", "NO_PROXY=[::1]:8080,127.0.0.1:80,localhost:8080"}, rest: "own", odoo: "own", local: "own"},
		{env: []string{"HEARTH_PROXY=http://own", "no_proxy=*"}},
	} {
		s, err := Read(tc.env)
		if err != nil {
			t.Fatal(err)
		}
		for target, want := range map[string]string{
			rest: tc.rest, odoo: tc.odoo, local: tc.local, "http://[::1]:8080": tc.local6, "http://localhost:8080": tc.localByName, "": "",
		} {
			got := ""
			if u := s.ProxyFor(target); u != nil {
				got = u.Host
			}
			if got != want {
				t.Errorf("%q: to %q through %q, want %q", tc.env, target, got, want)
			}
		}
	}
}

func TestAFaultyProxyIsNamedWithoutItsPassword(t *testing.T) {
	for value, good := range map[string]bool{
		"http://me:hunter2@proxy:3128": true, "https://proxy": true, "none": true, "http://[::1]:1": true, "http://me:hunter2%2F@proxy": true,
		"proxy:3128": false, "socks5://me:hunter2@proxy:1": false, "http://": false, "http://me:hunter2@": false, "http://me:hunter2@:80": false,
		"http://me:hunter2@proxy:99999": false, "http://proxy:0": false, "http://proxy/path": false, "http://proxy?hunter2": false,
		"http://proxy#hunter2": false, "http://me:hunter2%zz@proxy": false, "http://me:hun ter2/@proxy": false, "None": false,
	} {
		_, err := Read([]string{"HEARTH_PROXY=" + value})
		if (err == nil) != good || err != nil && !strings.HasPrefix(err.Error(), "HEARTH_PROXY: must be http://host:port or ") {
			t.Errorf("%s: %v", value, err)
		}
		if err != nil && strings.Contains(err.Error(), "hunter2") {
			t.Errorf("the fault shows the password: %v", err)
		}
	}
	// The environment's is a fault only where it would be used.
	_, err := Read([]string{"HTTPS_PROXY=socks5://me:hunter2@proxy:1", "HEARTH_WEAVIATE_URL=https://weaviate"})
	if err == nil || !strings.HasPrefix(err.Error(), "HTTPS_PROXY: must be ") || strings.Contains(err.Error(), "hunter2") {
		t.Errorf("got %v", err)
	}
	if _, err := Read([]string{"HTTPS_PROXY=socks5://proxy:1", "HEARTH_WEAVIATE_URL=http://weaviate"}); err != nil {
		t.Error(err)
	}
}
