package servers

import (
	"cmp"
	"context"
	_ "embed"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

//go:embed odoo.sh
var odooScript string

// newestOdoo is the version that is started unless HEARTH_E2E_ODOO is 14.
const newestOdoo = "19"

// Odoo is a running Odoo with its own PostgreSQL: the module base with demo data in English and Spanish, two workers and no
// scheduled jobs. It closes each connection after one answer; nginx keeps those of its clients alive.
type Odoo struct {
	URL      string
	Version  string // "19" or "14"
	DB       string
	Login           // the administrator, in English
	Employee Login  // without the rights of an administrator, in Spanish
	Log      string // the file

	process *process
}

// Login is a user of Odoo.
type Login struct {
	UID      int    `json:"uid"`
	User     string `json:"user"`
	Password string `json:"password"`
	APIKey   string `json:"api_key"` // for JSON-2, and in place of the password
}

// StartOdoo starts an Odoo on a fresh copy of the demo database, which it puts in dir.
func StartOdoo(ctx context.Context, dir string) (*Odoo, error) {
	version := cmp.Or(os.Getenv("HEARTH_E2E_ODOO"), newestOdoo)
	root, err := imageWith(ctx, version)
	if err != nil {
		return nil, err
	}
	demo, err := cached("odoo-"+version+"-"+digest(chrootScript, odooScript), func(tmp string) error {
		cmd := inImage(root, tmp, "sh", "-c", odooScript, "odoo.sh", "init", version)
		return run(ctx, "odoo init", cmd, filepath.Join(tmp, "init.log"), true)
	})
	if err != nil {
		return nil, err
	}
	state := filepath.Join(dir, "odoo")
	if err := os.Mkdir(state, 0o755); err != nil {
		return nil, fmt.Errorf("servers: odoo: %w", err)
	}
	// Not os.CopyFS: the files belong to users of the image.
	if _, err := command(ctx, dir, "cp", "-a", "--reflink=auto", "-T", demo, state); err != nil {
		return nil, fmt.Errorf("servers: copy the demo database: %w", err)
	}
	text, err := os.ReadFile(filepath.Join(state, "login.json"))
	if err != nil {
		return nil, fmt.Errorf("servers: odoo: %w", err)
	}
	var logins struct{ Admin, Employee Login }
	if err := json.Unmarshal(text, &logins); err != nil {
		return nil, fmt.Errorf("servers: odoo: login.json: %w", err)
	}
	ports, err := freePorts(2)
	if err != nil {
		return nil, err
	}
	o := &Odoo{
		URL:      "http://" + address(ports[0]),
		Version:  version,
		DB:       "demo",
		Login:    logins.Admin,
		Employee: logins.Employee,
		Log:      filepath.Join(dir, "odoo.log"),
	}

	cmd := inImage(root, state, "sh", "-c", odooScript, "odoo.sh", "run", version,
		strconv.Itoa(ports[0]), strconv.Itoa(ports[1]))
	if o.process, err = start("odoo", cmd, o.Log, true); err != nil {
		return nil, err
	}
	err = o.process.ready(ctx, o.answers)
	if err != nil {
		return nil, err
	}
	return o, nil
}

// Stop kills Odoo and its PostgreSQL.
func (o *Odoo) Stop() {
	o.process.stop(0)
}

// answers makes a call that needs the database and the key. Odoo 14 has only JSON-RPC, whose errors come with a 200.
func (o *Odoo) answers(ctx context.Context) error {
	args, err := json.Marshal([]any{o.DB, o.UID, o.APIKey, "res.users", "context_get", []any{}})
	if err != nil {
		return err
	}
	body := `{"jsonrpc":"2.0","method":"call","params":{"service":"object","method":"execute_kw","args":` + string(args) + `}}`
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, o.URL+"/jsonrpc", strings.NewReader(body))
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/json")
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	var answer struct{ Result, Error json.RawMessage }
	if err := json.NewDecoder(res.Body).Decode(&answer); err != nil {
		return err
	}
	if answer.Result == nil {
		return fmt.Errorf("%s: %s", req.URL, answer.Error)
	}
	return nil
}
