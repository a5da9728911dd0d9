package servers

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
)

// cached returns a folder of the cache by its name. If it is missing, build makes it: one process at a time, and a build that
// fails leaves no folder of that name.
func cached(name string, build func(dir string) error) (string, error) {
	base := os.Getenv("HEARTH_E2E_CACHE")
	if base == "" {
		user, err := os.UserCacheDir()
		if err != nil {
			return "", fmt.Errorf("servers: cache folder: %w", err)
		}
		base = user
	}
	dir := filepath.Join(base, "hearth-e2e", name)
	if err := makeOnce(dir, build); err != nil {
		return "", fmt.Errorf("servers: make %s: %w", name, err)
	}
	return dir, nil
}

func makeOnce(dir string, build func(dir string) error) error {
	if err := os.MkdirAll(filepath.Dir(dir), 0o755); err != nil {
		return err
	}
	lock, err := os.Create(dir + ".lock")
	if err != nil {
		return err
	}
	defer lock.Close() // this unlocks it
	if err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX); err != nil {
		return fmt.Errorf("lock: %w", err)
	}
	if _, err := os.Stat(dir); !errors.Is(err, fs.ErrNotExist) {
		return err
	}

	tmp := dir + ".tmp"
	if err := os.RemoveAll(tmp); err != nil {
		return err
	}
	if err := os.Mkdir(tmp, 0o755); err != nil {
		return err
	}
	if err := build(tmp); err != nil {
		return err
	}
	return os.Rename(tmp, dir)
}
