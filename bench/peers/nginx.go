package peers

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"text/template"

	"hearth/bench/rig"
	"hearth/client/wire"
)

//go:embed nginx.conf
var nginxConf string

// Server is a running peer. Stop it.
type Server struct {
	Address string // TCP
	Stop    func()
}

// StartNginx starts an nginx that asks for the token and caches what the server at upstream answers.
func StartNginx(ctx context.Context, r *rig.Rig, upstream string) (s Server, err error) {
	found, err := find(ctx, "nginx", "nginx")
	if err != nil {
		return s, err
	}
	if s.Address, err = r.FreeAddress(ctx); err != nil {
		return s, err
	}
	dir := filepath.Join(r.Dir, "nginx")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return s, err
	}
	cache, err := memoryDir()
	if err != nil {
		return s, err
	}
	removeCache := func() { _ = os.RemoveAll(cache) }
	var conf strings.Builder
	err = errors.Join(template.Must(template.New("nginx.conf").Parse(nginxConf)).Execute(&conf, map[string]any{
		"Root": os.Getuid() == 0, "Dir": dir, "Cache": cache, "Address": s.Address, "Upstream": upstream, "Token": rig.Token,
	}), os.WriteFile(filepath.Join(dir, "nginx.conf"), []byte(conf.String()), 0o644))
	if err != nil {
		removeCache()
		return s, err
	}
	process, err := r.Start(ctx, found.env, found.path, "-e", "stderr", "-p", dir, "-c", filepath.Join(dir, "nginx.conf"))
	if err != nil {
		removeCache()
		return s, err
	}
	s.Stop = func() {
		process.Stop()
		removeCache()
	}
	if err := process.Ready(ctx, func(ctx context.Context) error { return holds(ctx, s.Address, cache) }); err != nil {
		s.Stop()
		return s, err
	}
	return s, nil
}

// holds asks nginx for the history, and says whether nginx has put the reply into its cache.
func holds(ctx context.Context, address, cache string) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+address+rig.History().Path, http.NoBody)
	if err != nil {
		return err
	}
	req.Header.Set(wire.HeaderToken, rig.Token)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if _, err := io.Copy(io.Discard, resp.Body); err != nil {
		return err
	}
	files := 0
	err = filepath.WalkDir(cache, func(_ string, entry fs.DirEntry, err error) error {
		if err == nil && entry.Type().IsRegular() {
			files++
		}
		return err
	})
	if err == nil && (resp.StatusCode != http.StatusOK || files != 1) {
		err = fmt.Errorf("nginx answers %s and has %d replies in its cache", resp.Status, files)
	}
	return err
}

// memoryDir is a new folder on a file system in memory, where there is one.
func memoryDir() (string, error) {
	const shm = "/dev/shm"
	if dir, err := os.MkdirTemp(shm, "hearth-bench-"); err == nil {
		return dir, nil
	}
	return os.MkdirTemp("", "hearth-bench-")
}
