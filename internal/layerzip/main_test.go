package main

import (
	"archive/zip"
	"bytes"
	"compress/flate"
	"crypto/sha256"
	"debug/elf"
	"encoding/binary"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"
)

// tree writes the files, whose names end in "/" for folders, and dates them.
func tree(t *testing.T, files []string, date time.Time) string {
	t.Helper()
	root := t.TempDir()
	for _, name := range files {
		path := filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(name), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Chtimes(path, date, date); err != nil {
			t.Fatal(err)
		}
	}
	return root
}

// build compiles a program for the architecture, as layer.zip.sh does.
func build(t *testing.T, goarch string) string {
	t.Helper()
	dir := t.TempDir()
	source := filepath.Join(dir, "main.go")
	if err := os.WriteFile(source, []byte("package main\n\nfunc main() {}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), "go", "build", "-o", filepath.Join(dir, "hearth"), source)
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS=linux", "GOARCH="+goarch)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return filepath.Join(dir, "hearth")
}

// module is a module with terms, and the list that names its package.
func module(t *testing.T) (packages string) {
	t.Helper()
	root := tree(t, []string{"LICENSE", "deep/package.go"}, time.Unix(1e9, 0))
	packages = filepath.Join(t.TempDir(), "packages")
	line := strings.Join([]string{"example.com/m", "v1.0.0", root, filepath.Join(root, "deep")}, "\t") + "\n"
	if err := os.WriteFile(packages, []byte(line), 0o600); err != nil {
		t.Fatal(err)
	}
	return packages
}

func TestALayerDependsOnNamesAndContentsOnly(t *testing.T) {
	files := []string{
		"parallel_utils.py", "hearth/__init__.py", "hearth/client.py", "hearth/py.typed", "hearth/z/deep.py",
		"tests/test_client.py", "hearth/tests/test_x.py", "hearth/__pycache__/client.cpython-311.pyc", "old.pyc", ".DS_Store", ".cache/x.py",
		"hearth.egg-info/PKG-INFO",
	}
	extension := filepath.Join(t.TempDir(), "kiln")
	if err := os.Rename(build(t, "amd64"), extension); err != nil {
		t.Fatal(err)
	}
	license := filepath.Join(tree(t, []string{"LICENSE.ours"}, time.Unix(1e9, 0)), "LICENSE.ours")
	var archives [][]byte
	for _, date := range []time.Time{time.Unix(1e9, 0), time.Unix(2e9, 0)} {
		out := filepath.Join(t.TempDir(), "new", "layer.zip")
		var printed strings.Builder
		err := run([]string{
			"-o", out, "-arch", "x86_64", "-extension", extension, "-python", tree(t, files, date), "-license", license, "-packages", module(t),
		}, &printed)
		if err != nil {
			t.Fatal(err)
		}
		body, err := os.ReadFile(out)
		if err != nil {
			t.Fatal(err)
		}
		archives = append(archives, body)
		if left, err := os.ReadDir(filepath.Dir(out)); err != nil || len(left) != 1 {
			t.Errorf("beside the layer there is %v, %v", left, err)
		}
		if want := fmt.Sprintf("%x  %s  %d bytes\n", sha256.Sum256(body), out, len(body)); printed.String() != want {
			t.Errorf("printed %q, want %q", printed.String(), want)
		}
	}
	if !bytes.Equal(archives[0], archives[1]) {
		t.Error("two runs differ")
	}

	r, err := zip.NewReader(bytes.NewReader(archives[0]), int64(len(archives[0])))
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, f := range r.File {
		names = append(names, f.Name)
		want := fs.FileMode(0o644)
		if f.Name == "extensions/kiln" {
			want = 0o755
		}
		if f.Mode() != want {
			t.Errorf("%s: mode %v, want %v", f.Name, f.Mode(), want)
		}
		if f.Name != "extensions/kiln" {
			continue
		}
		body, err := f.Open()
		if err != nil {
			t.Fatal(err)
		}
		var smallest bytes.Buffer
		w, _ := flate.NewWriter(&smallest, flate.BestCompression)
		if _, err := io.Copy(w, body); err != nil || w.Close() != nil || f.CompressedSize64 != uint64(smallest.Len()) {
			t.Errorf("%s has %d bytes, at best %d: %v", f.Name, f.CompressedSize64, smallest.Len(), err)
		}
	}
	want := []string{
		"extensions/kiln", "licenses/kiln/LICENSE", "licenses/kiln/THIRD-PARTY-NOTICES", "python/hearth/__init__.py", "python/hearth/client.py", "python/hearth/py.typed",
		"python/hearth/z/deep.py", "python/parallel_utils.py",
	}
	if !reflect.DeepEqual(names, want) {
		t.Errorf("entries: %q", names)
	}
}

// dynamic is a copy of a binary that asks for a dynamic loader.
func dynamic(t *testing.T, static string) string {
	t.Helper()
	body, err := os.ReadFile(static)
	if err != nil {
		t.Fatal(err)
	}
	firstHeader := binary.LittleEndian.Uint64(body[32:])
	binary.LittleEndian.PutUint32(body[firstHeader:], uint32(elf.PT_INTERP))
	path := filepath.Join(t.TempDir(), "hearth")
	if err := os.WriteFile(path, body, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestALayerIsRefused(t *testing.T) {
	amd64, arm64 := build(t, "amd64"), build(t, "arm64")
	python := tree(t, []string{"hearth/__init__.py"}, time.Unix(1e9, 0))
	linked := tree(t, []string{"a.py"}, time.Unix(1e9, 0))
	if err := os.Symlink("a.py", filepath.Join(linked, "b.py")); err != nil {
		t.Fatal(err)
	}
	huge := t.TempDir()
	noise := make([]byte, 6_000_000)
	_, _ = rand.NewChaCha8([32]byte{}).Read(noise)
	if err := os.WriteFile(filepath.Join(huge, "huge.py"), noise, 0o600); err != nil {
		t.Fatal(err)
	}
	terms := []string{"-license", filepath.Join(linked, "a.py"), "-packages", module(t)}
	for _, tc := range []struct {
		want string
		args []string
	}{
		{"wants -o", []string{"-extension", amd64, "-python", python}},
		{"wants -o", []string{"-o", "x", "-arch", "x86_64", "-extension", amd64, "-python", python}},
		{"unknown architecture", append([]string{"-o", "x", "-arch", "amd64", "-extension", amd64, "-python", python}, terms...)},
		{"is for EM_AARCH64", append([]string{"-o", "x", "-arch", "x86_64", "-extension", arm64, "-python", python}, terms...)},
		{"is dynamically linked", append([]string{"-o", "x", "-arch", "x86_64", "-extension", dynamic(t, amd64), "-python", python}, terms...)},
		{"no arguments", append([]string{"-o", "x", "-arch", "x86_64", "-extension", amd64, "-python", python, "more"}, terms...)},
		{"bad magic number", append([]string{"-o", "x", "-arch", "arm64", "-extension", filepath.Join(python, "hearth/__init__.py"), "-python", python}, terms...)},
		{"no files", append([]string{"-o", "x", "-arch", "arm64", "-extension", arm64, "-python", t.TempDir()}, terms...)},
		{"not a regular file", append([]string{"-o", "x", "-arch", "arm64", "-extension", arm64, "-python", linked}, terms...)},
		{"no such file", []string{"-o", "x", "-arch", "arm64", "-extension", arm64, "-python", python, "-license", "LICENSE", "-packages", terms[3]}},
		{"more than 7000000", append([]string{"-o", "x", "-arch", "arm64", "-extension", arm64, "-python", huge}, terms...)},
		{"more than 10", append([]string{"-o", "x", "-arch", "arm64", "-extension", arm64, "-python", python, "-max", "10"}, terms...)},
	} {
		t.Chdir(t.TempDir())
		if err := run(tc.args, new(strings.Builder)); err == nil || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("want %q, got %v", tc.want, err)
		}
		if left, _ := os.ReadDir("."); len(left) > 0 {
			t.Errorf("%q left %v behind", tc.want, left)
		}
	}
}
