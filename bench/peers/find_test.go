package peers

import (
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
)

// alone makes a machine that has no programs and an empty cache.
func alone(t *testing.T) (path, cache string) {
	t.Helper()
	path, cache = t.TempDir(), t.TempDir()
	t.Setenv("PATH", path)
	t.Setenv("HOME", cache)
	t.Setenv("XDG_CACHE_HOME", cache)
	return path, cache
}

func create(t *testing.T, elem ...string) string {
	t.Helper()
	file := filepath.Join(elem...)
	if err := errors.Join(os.MkdirAll(filepath.Dir(file), 0o755), os.WriteFile(file, []byte("#!/bin/sh\n"), 0o755)); err != nil {
		t.Fatal(err)
	}
	return file
}

func TestAProgramInPATHIsTaken(t *testing.T) {
	path, _ := alone(t)
	want := create(t, path, "nginx")
	if got, err := find(t.Context(), "nginx", "nginx"); err != nil || got.path != want || !slices.Equal(got.env, []string{"PATH=" + path}) {
		t.Errorf("%+v, %v", got, err)
	}
}

func TestAnUnpackedProgramHasItsLibraries(t *testing.T) {
	_, cache := alone(t)
	if user, err := os.UserCacheDir(); err != nil || user != cache {
		cache = user // the system has its own place
	}
	root := filepath.Join(cache, "hearth-bench", "redis-server-"+runtime.GOARCH)
	want := create(t, root, "usr", "bin", "redis-server")
	create(t, root, "usr", "lib", "x86_64-linux-gnu", "liblzf.so.1")
	got, err := find(t.Context(), "redis-server", "redis-server")
	if err != nil || got.path != want || !slices.Contains(got.env, "LD_LIBRARY_PATH="+filepath.Join(root, "usr/lib/x86_64-linux-gnu")) {
		t.Errorf("%+v, %v", got, err)
	}
}

func TestAPeerThatCannotBeHadIsAbsent(t *testing.T) {
	alone(t)
	_, err := find(t.Context(), "nginx", "nginx")
	if !errors.Is(err, ErrAbsent) || !strings.Contains(err.Error(), "nginx is absent") {
		t.Errorf("the error is %v", err)
	}
	if got := Versions(t.Context()); got != nil {
		t.Errorf("there are %v", got)
	}
}

func TestPlanned(t *testing.T) {
	const text = `Reading package lists...
The following NEW packages will be installed:
  liblzf1 redis-server redis-tools
Inst liblzf1 (3.6-3 Debian:12.5/stable [amd64])
Inst redis-tools (5:7.0.15-1~deb12u10 Debian-Security:12/stable-security [amd64])
Inst redis-server (5:7.0.15-1~deb12u10 Debian-Security:12/stable-security [amd64])
Conf liblzf1 (3.6-3 Debian:12.5/stable [amd64])
`
	if got, want := planned(text), []string{"liblzf1", "redis-tools", "redis-server"}; !slices.Equal(got, want) {
		t.Errorf("%v and not %v", got, want)
	}
}
