// Package e2e runs Hearth against a real Weaviate and a real Odoo behind nginx with TLS. The Weaviate has keys and roles and no
// GraphQL, and Hearth has the role that docs/weaviate.md gives it. A second Weaviate is open and has no TLS.
//
// Where a machine cannot run the servers the tests fail, or with E2E=optional are skipped. HEARTH_E2E_SERVERS names a file with
// the line that `go run ./cmd/servers` prints: then the tests use those servers and start none.
package e2e

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"hearth/e2e/servers"
	"hearth/internal/testing/contract"
)

// realServers says where the servers are, as cmd/servers prints it.
type realServers struct {
	CAFile           string        `json:"ca_file"`
	WeaviateURL      string        `json:"weaviate_tls_url"`
	WeaviateGRPCURL  string        `json:"weaviate_grpc_tls_url"`
	WeaviateKey      string        `json:"weaviate_key"`
	WeaviateAdminKey string        `json:"weaviate_admin_key"`
	OdooURL          string        `json:"odoo_tls_url"`
	OdooVersion      string        `json:"odoo_version"`
	OdooDB           string        `json:"odoo_db"`
	OdooUser         string        `json:"odoo_user"`
	OdooPassword     string        `json:"odoo_password"`
	OdooUID          int           `json:"odoo_uid"`
	OdooKey          string        `json:"odoo_api_key"`
	Employee         servers.Login `json:"odoo_employee"` // a user whose language is Spanish

	victims []contract.Victim // none if the servers were started elsewhere
}

func TestHearthBeforeRealServers(t *testing.T) {
	r, bin := startServers(t), contract.Build(t)
	u := r.upstreams(t)
	t.Run("odoo knows its users", r.odooKnowsItsUsers)
	t.Run("odoo translates", r.odooTranslates)
	t.Run("the contract is kept", func(t *testing.T) { contract.Run(t, bin, u) })
	t.Run("handlers get what was loaded", func(t *testing.T) { contract.RunHandlers(t, bin, u, 200, 100) })
	t.Run("a function lives whatever breaks beside it", func(t *testing.T) { contract.RunFailOpen(t, bin, u, r.victims...) })
	t.Run("nothing is wrong whatever the network does", r.chaos)
	t.Run("the contract is kept with an open Weaviate without TLS", func(t *testing.T) {
		open, err := servers.StartWeaviate(t.Context(), t.TempDir(), servers.WeaviateConfig{Vectorizers: true})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(open.Stop)
		u := u
		u.WeaviateURL, u.WeaviateGRPC, u.WeaviateKey, u.WeaviateAdminKey, u.Turns = open.URL, open.GRPCURL, "", "", 100
		contract.Run(t, bin, u)
	})
	t.Run("a Weaviate that allows few results is asked in smaller pages", func(t *testing.T) {
		few, err := servers.StartWeaviate(t.Context(), t.TempDir(), servers.WeaviateConfig{QueryMaximum: 50})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(few.Stop)
		u := u
		u.WeaviateURL, u.WeaviateGRPC, u.WeaviateKey, u.WeaviateAdminKey = few.URL, few.GRPCURL, "", ""
		contract.RunFewResults(t, bin, u)
	})
}

// chaos runs the faults of make chaos that a wire alone can have.
func (r realServers) chaos(t *testing.T) {
	line, err := json.Marshal(r)
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "servers.json")
	if err := os.WriteFile(file, line, 0o600); err != nil {
		t.Fatal(err)
	}
	out, err := exec.CommandContext(t.Context(), "go", "run", "hearth/internal/testing/chaos", "-servers", file).CombinedOutput()
	t.Logf("%s", out)
	if err != nil {
		t.Fatal(err)
	}
}

func (r realServers) upstreams(t *testing.T) contract.Upstreams {
	version, err := strconv.Atoi(r.OdooVersion)
	if err != nil {
		t.Fatal(err)
	}
	return contract.Upstreams{
		WeaviateURL: r.WeaviateURL, WeaviateGRPC: r.WeaviateGRPCURL, CAFile: r.CAFile,
		WeaviateKey: r.WeaviateKey, WeaviateAdminKey: r.WeaviateAdminKey,
		OdooURL: r.OdooURL, OdooDB: r.OdooDB, OdooUser: r.OdooUser, OdooPassword: r.OdooPassword, OdooKey: r.OdooKey, OdooUID: r.OdooUID,
		OdooVersion: version, OdooSpanish: []string{
			"HEARTH_ODOO_USER=" + r.Employee.User, "HEARTH_ODOO_KEY=" + r.Employee.APIKey, fmt.Sprint("HEARTH_ODOO_UID=", r.Employee.UID),
		},
		Turns: 1000, TalksTTL: 500 * time.Millisecond,
	}
}

func startServers(t *testing.T) (r realServers) {
	t.Helper()
	if file := os.Getenv("HEARTH_E2E_SERVERS"); file != "" {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if err := json.Unmarshal(text, &r); err != nil {
			t.Fatal(err)
		}
		return r
	}
	check := func(err error) {
		t.Helper()
		if errors.Is(err, servers.ErrUnsupported) && os.Getenv("E2E") == "optional" {
			t.Skip(err)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	dir := t.TempDir()
	odoo, err := servers.StartOdoo(t.Context(), dir) // first: where it cannot run, nothing else is built
	check(err)
	t.Cleanup(odoo.Stop)
	weaviate, err := servers.StartWeaviate(t.Context(), dir, servers.WeaviateConfig{
		Users:       []servers.Classes{{Message: contract.MessageClasses, Mute: contract.MuteClasses}},
		Vectorizers: true,
	})
	check(err)
	t.Cleanup(weaviate.Stop)
	nginx, err := servers.StartNginx(t.Context(), dir, servers.NginxConfig{Weaviate: weaviate.URL, WeaviateGRPC: weaviate.GRPCURL, Odoo: odoo.URL})
	check(err)
	t.Cleanup(nginx.Stop)
	return realServers{
		victims: []contract.Victim{
			{Name: "Weaviate", Kill: weaviate.Kill, Restart: weaviate.Restart},
			{Name: "nginx", Kill: nginx.Kill, Restart: nginx.Restart},
		},
		CAFile: nginx.CAFile, OdooURL: nginx.OdooURL, OdooVersion: odoo.Version, Employee: odoo.Employee,
		WeaviateURL: nginx.WeaviateURL, WeaviateGRPCURL: nginx.WeaviateGRPCURL, WeaviateKey: weaviate.Key, WeaviateAdminKey: weaviate.AdminKey,
		OdooDB: odoo.DB, OdooUser: odoo.User, OdooPassword: odoo.Password, OdooUID: odoo.UID, OdooKey: odoo.APIKey,
	}
}
