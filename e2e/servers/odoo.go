package servers

import (
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

// Odoo is a running Odoo 19 with its own PostgreSQL: base with demo data, two workers, no scheduled jobs. It closes
// each connection after one answer; keep-alive is nginx's part.
type Odoo struct {
	URL      string
	DB       string
	User     string
	Password string
	UID      int
	APIKey   string // for JSON-2, and in place of the password
	Log      string // the file

	process *process
}

// StartOdoo starts an Odoo on a fresh copy of the demo database, which it puts in dir.
func StartOdoo(ctx context.Context, dir string) (*Odoo, error) {
	root, err := image(ctx)
	if err != nil {
		return nil, err
	}
	demo, err := cached("odoo-"+digest(chrootScript, odooScript), func(tmp string) error {
		cmd := inImage(root, tmp, "sh", "-c", odooScript, "odoo.sh", "init")
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
	var login struct {
		UID    int    `json:"uid"`
		APIKey string `json:"api_key"`
	}
	if err := json.Unmarshal(text, &login); err != nil {
		return nil, fmt.Errorf("servers: odoo: login.json: %w", err)
	}
	ports, err := freePorts(2)
	if err != nil {
		return nil, err
	}
	o := &Odoo{
		URL:      "http://" + address(ports[0]),
		DB:       "demo",
		User:     "admin",
		Password: "admin",
		UID:      login.UID,
		APIKey:   login.APIKey,
		Log:      filepath.Join(dir, "odoo.log"),
	}

	cmd := inImage(root, state, "sh", "-c", odooScript, "odoo.sh", "run",
		strconv.Itoa(ports[0]), strconv.Itoa(ports[1]))
	if o.process, err = start("odoo", cmd, o.Log, true); err != nil {
		return nil, err
	}
	err = o.process.ready(ctx, func(ctx context.Context) error {
		req, err := http.NewRequestWithContext(ctx, http.MethodPost, o.URL+"/json/2/res.users/context_get",
			strings.NewReader("{}"))
		if err != nil {
			return err
		}
		req.Header.Set("Content-Type", "application/json")
		req.Header.Set("Authorization", "bearer "+o.APIKey)
		req.Header.Set("X-Odoo-Database", o.DB)
		return get(http.DefaultClient, req)
	})
	if err != nil {
		return nil, err
	}
	return o, nil
}

// Stop ends Odoo and its PostgreSQL at once; what was written is lost with the copy.
func (o *Odoo) Stop() {
	o.process.stop(0)
}
