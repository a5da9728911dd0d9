// Package peers starts the servers that people know, as peers of Hearth: nginx with proxy_cache, and Redis.
//
// Start at [StartNginx] and [StartRedis]. find.go finds their programs on this machine, or downloads Debian's packages and unpacks them
// into the folder hearth-bench of the user's cache. Nothing is installed, and no service is started.
package peers

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
)

// ErrAbsent is wrapped by the error of a start if the program is not to be had on this machine.
var ErrAbsent = errors.New("is absent")

// program is an executable and the environment that it needs.
type program struct {
	path string
	env  []string
}

// find looks for an executable in PATH, and else in Debian's package of that name.
func find(ctx context.Context, executable, debian string) (program, error) {
	env := []string{"PATH=" + os.Getenv("PATH")}
	if path, err := exec.LookPath(executable); err == nil {
		return program{path, env}, nil
	}
	root, err := unpacked(ctx, debian)
	if err != nil {
		return program{}, fmt.Errorf("%s %w: it is not in PATH, and Debian's package %s cannot be had: %w", executable, ErrAbsent, debian, err)
	}
	for _, folder := range []string{"usr/sbin", "usr/bin"} {
		path := filepath.Join(root, folder, executable)
		if _, err := os.Stat(path); err == nil {
			libraries, err := filepath.Glob(filepath.Join(root, "usr/lib/*-linux-gnu"))
			return program{path, append(env, "LD_LIBRARY_PATH="+strings.Join(libraries, ":"))}, err
		}
	}
	return program{}, fmt.Errorf("%s %w: Debian's package %s does not have it", executable, ErrAbsent, debian)
}

// unpacked is a folder with the files of a package and of those that it needs and this machine lacks.
func unpacked(ctx context.Context, debian string) (root string, err error) {
	cache, err := os.UserCacheDir()
	if err != nil {
		return "", err
	}
	root = filepath.Join(cache, "hearth-bench", debian+"-"+runtime.GOARCH)
	if _, err := os.Stat(root); err == nil {
		return root, nil
	}
	if err := os.MkdirAll(filepath.Dir(root), 0o755); err != nil {
		return "", err
	}
	dir, err := os.MkdirTemp(filepath.Dir(root), "unpack-") // it gets its name when it is complete
	if err != nil {
		return "", err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	packages, err := missing(ctx, debian)
	if err != nil {
		return "", err
	}
	if err := run(ctx, dir, "apt-get", append([]string{"download", "--quiet"}, packages...)...); err != nil {
		return "", err
	}
	archives, err := filepath.Glob(filepath.Join(dir, "*.deb"))
	if err != nil {
		return "", err
	}
	files := filepath.Join(dir, "files")
	for _, archive := range archives {
		if err := run(ctx, dir, "dpkg", "-x", archive, files); err != nil {
			return "", err
		}
	}
	if err := os.Rename(files, root); err != nil && !errors.Is(err, fs.ErrExist) { // another run may have been faster
		return "", err
	}
	return root, nil
}

// missing asks apt which packages it would install with this one, this one included.
func missing(ctx context.Context, debian string) ([]string, error) {
	cmd := exec.CommandContext(ctx, "apt-get", "install", "--simulate", "--no-install-recommends", "--yes", debian)
	cmd.Env = append(cmd.Environ(), "LC_ALL=C")
	out, err := cmd.CombinedOutput()
	if err != nil {
		return nil, fmt.Errorf("%s: %w\n%s", cmd, err, out)
	}
	return planned(string(out)), nil
}

// planned reads the names of packages from what "apt-get install --simulate" prints.
func planned(text string) (packages []string) {
	for _, match := range regexp.MustCompile(`(?m)^Inst (\S+)`).FindAllStringSubmatch(text, -1) {
		packages = append(packages, match[1])
	}
	return packages
}

func run(ctx context.Context, dir, name string, args ...string) error {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Dir = dir
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%s: %w\n%s", cmd, err, out)
	}
	return nil
}

// Versions names the peers that this machine has, with their versions.
func Versions(ctx context.Context) (list []string) {
	for _, p := range []struct{ executable, debian, flag string }{{"nginx", "nginx", "-v"}, {"redis-server", "redis-server", "--version"}} {
		found, err := find(ctx, p.executable, p.debian)
		if err != nil {
			continue
		}
		cmd := exec.CommandContext(ctx, found.path, p.flag)
		cmd.Env = found.env
		out, err := cmd.CombinedOutput()
		if version := regexp.MustCompile(`\d+\.\d+\.\d+`).Find(out); err == nil && version != nil {
			list = append(list, strings.TrimSuffix(p.executable, "-server")+" "+string(version))
		}
	}
	return list
}
