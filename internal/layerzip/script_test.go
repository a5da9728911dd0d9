package main

import (
	"archive/zip"
	"bytes"
	"debug/buildinfo"
	"debug/elf"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"
	"testing"
)

// copyTree copies what a layer is built from, to where there is no git.
func copyTree(t *testing.T) (dir string) {
	t.Helper()
	root, err := filepath.Abs(filepath.Join("..", ".."))
	if err != nil {
		t.Fatal(err)
	}
	dir = t.TempDir()
	err = filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, _ := filepath.Rel(root, path)
		switch name := d.Name(); {
		case d.IsDir() && (name == ".git" || rel == "dist" || rel == "e2e"):
			return fs.SkipDir
		case d.IsDir():
			return os.MkdirAll(filepath.Join(dir, rel), 0o755)
		case !d.Type().IsRegular() || rel == "hearth":
			return nil
		}
		body, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		return os.WriteFile(filepath.Join(dir, rel), body, info.Mode())
	})
	if err != nil {
		t.Fatal(err)
	}
	return dir
}

// layers runs layer.zip.sh in a tree and returns the zips.
func layers(t *testing.T, dir string, env ...string) map[string][]byte {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "./layer.zip.sh")
	cmd.Dir = dir
	cmd.Env = append(cmd.Environ(), env...)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	zips := map[string][]byte{}
	names, err := filepath.Glob(filepath.Join(dir, "dist", "*"))
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		if zips[filepath.Base(name)], err = os.ReadFile(name); err != nil {
			t.Fatal(err)
		}
	}
	return zips
}

// entries are the files of a zip.
func entries(t *testing.T, archive []byte) map[string][]byte {
	t.Helper()
	r, err := zip.NewReader(bytes.NewReader(archive), int64(len(archive)))
	if err != nil {
		t.Fatal(err)
	}
	files := map[string][]byte{}
	for _, f := range r.File {
		body, err := f.Open()
		if err != nil {
			t.Fatal(err)
		}
		if files[f.Name], err = io.ReadAll(body); err != nil {
			t.Fatal(err)
		}
	}
	return files
}

func TestTheLayersAreWhatLambdaRuns(t *testing.T) {
	first, second := copyTree(t), copyTree(t)
	const version, commit = "v1.2.3-test", "0123456789ab-test"
	// What a developer has set must change nothing.
	zips := layers(t, first, "HEARTH_VERSION="+version, "HEARTH_COMMIT="+commit, "CGO_ENABLED=1", "GOFLAGS=-v", "GOAMD64=v3", "GOARCH=riscv64", "GOFIPS140=latest")
	again := layers(t, second, "HEARTH_VERSION="+version, "HEARTH_COMMIT="+commit)
	if !maps.EqualFunc(zips, again, bytes.Equal) {
		t.Error("the same tree in another place gives other bytes")
	}
	if got := slices.Sorted(maps.Keys(zips)); !slices.Equal(got, []string{"hearth-layer-arm64.zip", "hearth-layer-x86_64.zip"}) {
		t.Fatalf("the layers are %q", got)
	}
	for name, want := range map[string]struct {
		machine      elf.Machine
		goarch       string
		level, value string // of the processor
	}{
		"hearth-layer-x86_64.zip": {elf.EM_X86_64, "amd64", "GOAMD64", "v1"},
		"hearth-layer-arm64.zip":  {elf.EM_AARCH64, "arm64", "GOARM64", "v8.0"},
	} {
		t.Run(name, func(t *testing.T) {
			files := entries(t, zips[name])
			binary := files["extensions/hearth"]
			f, err := elf.NewFile(bytes.NewReader(binary))
			if err != nil {
				t.Fatal(err)
			}
			if f.Machine != want.machine {
				t.Errorf("it is for %v", f.Machine)
			}
			if f.Section(".symtab") != nil || f.Section(".debug_info") != nil || f.Section(".zdebug_info") != nil {
				t.Error("it holds symbols for a debugger")
			}
			info, err := buildinfo.Read(bytes.NewReader(binary))
			if err != nil {
				t.Fatal(err)
			}
			built := map[string]string{}
			for _, s := range info.Settings {
				built[s.Key] = s.Value
			}
			for key, value := range map[string]string{
				"GOOS": "linux", "GOARCH": want.goarch, want.level: want.value, "CGO_ENABLED": "0", "-trimpath": "true", "-tags": "grpcnotrace",
			} {
				if built[key] != value {
					t.Errorf("%s is %q, want %q", key, built[key], value)
				}
			}
			if built["vcs"] != "" || built["GOFIPS140"] != "" {
				t.Errorf("built with %v", built)
			}
			for _, place := range []string{first, os.Getenv("HOME") + "/go/"} {
				if bytes.Contains(binary, []byte(place)) {
					t.Errorf("it tells where it was built: %s", place)
				}
			}
			if !bytes.Contains(binary, []byte(version)) || !bytes.Contains(binary, []byte(commit)) {
				t.Error("it does not know its version")
			}
			if want.goarch == runtime.GOARCH && runtime.GOOS == "linux" {
				if got := say(t, binary, "version"); got != "hearth "+version+" (commit "+commit+")\n" {
					t.Errorf("it says %q", got)
				}
			}
			for file := range files {
				if file != "extensions/hearth" && !strings.HasPrefix(file, "licenses/hearth/") && !strings.HasPrefix(file, "python/") || strings.Contains(file, "test") {
					t.Errorf("it holds %s", file)
				}
			}
			for _, module := range []string{"hearth/__init__.py", "parallel_utils.py", "parallel_storage.py"} { // as a handler imports them
				if len(files["python/"+module]) == 0 {
					t.Errorf("it lacks %s", module)
				}
			}
			if ours, err := os.ReadFile(filepath.Join("..", "..", "LICENSE")); err != nil || !bytes.Equal(files["licenses/hearth/LICENSE"], ours) {
				t.Errorf("our license is not there: %v", err)
			}
			terms := string(files["licenses/hearth/THIRD-PARTY-NOTICES"])
			for _, m := range append(info.Deps, &debug.Module{Path: "Go and its standard library", Version: runtime.Version()}) {
				if !strings.Contains(terms, "\n"+m.Path+" "+m.Version+": ") {
					t.Errorf("the terms of %s %s are not there", m.Path, m.Version)
				}
			}
			for _, place := range []string{first, os.Getenv("HOME") + "/"} {
				if strings.Contains(terms, place) {
					t.Errorf("the terms tell where they were found: %s", place)
				}
			}
			if len(zips[name]) > 8_000_000 {
				t.Errorf("it has %d bytes", len(zips[name]))
			}
		})
	}
}

// say runs the extension and returns what it prints.
func say(t *testing.T, binary []byte, args ...string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "hearth")
	if err := os.WriteFile(path, binary, 0o700); err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), path, args...)
	cmd.Env = []string{}
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	return string(out)
}

// What a build says of itself, with git and without.
func TestTheStamp(t *testing.T) {
	git := func(dir string, args ...string) string {
		cmd := exec.CommandContext(t.Context(), "git", args...)
		cmd.Dir = dir
		cmd.Env = append(cmd.Environ(), "GIT_CONFIG_GLOBAL=/dev/null", "GIT_AUTHOR_NAME=x", "GIT_AUTHOR_EMAIL=x", "GIT_COMMITTER_NAME=x", "GIT_COMMITTER_EMAIL=x")
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("git %v: %v\n%s", args, err, out)
		}
		return strings.TrimSpace(string(out))
	}
	script, err := os.ReadFile(filepath.Join("..", "buildtags", "stamp.sh"))
	if err != nil {
		t.Fatal(err)
	}
	outer := t.TempDir()
	for _, dir := range []string{outer, filepath.Join(outer, "inner")} {
		if err := os.MkdirAll(filepath.Join(dir, "internal", "buildtags"), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, "internal", "buildtags", "stamp.sh"), script, 0o700); err != nil {
			t.Fatal(err)
		}
	}
	want := func(what, dir, version, commit string, env ...string) {
		t.Helper()
		cmd := exec.CommandContext(t.Context(), filepath.Join(dir, "internal", "buildtags", "stamp.sh"))
		cmd.Env = append(slices.DeleteFunc(os.Environ(), func(v string) bool { return strings.HasPrefix(v, "HEARTH_") }), env...)
		out, err := cmd.Output()
		if line := fmt.Sprintf("-X hearth/internal/app.version=%s -X hearth/internal/app.commit=%s\n", version, commit); err != nil || string(out) != line {
			t.Errorf("%s: %q, %v, want %q", what, out, err, line)
		}
	}
	want("without git", outer, "dev", "unknown")
	want("told", outer, "v1", "c", "HEARTH_VERSION=v1", "HEARTH_COMMIT=c")
	git(outer, "init", "-q")
	want("before the first commit", outer, "dev", "unknown")
	git(outer, "add", "internal")
	git(outer, "commit", "-q", "-m", "x")
	git(outer, "tag", "v9")
	head := git(outer, "rev-parse", "--short=12", "HEAD")
	want("a clean tree", outer, "dev", head)
	want("a tree in another's repository", filepath.Join(outer, "inner"), "dev", "unknown")
	want("told otherwise", outer, "v1", "c", "HEARTH_VERSION=v1", "HEARTH_COMMIT=c")
	if err := os.WriteFile(filepath.Join(outer, "internal", "buildtags", "stamp.sh"), append(script, '\n'), 0o700); err != nil {
		t.Fatal(err)
	}
	want("a changed tree", outer, "dev", head+"-dirty")
}

func TestTheScriptTakesNoArguments(t *testing.T) {
	script, err := filepath.Abs(filepath.Join("..", "..", "layer.zip.sh"))
	if err != nil {
		t.Fatal(err)
	}
	for arg, code := range map[string]int{"--help": 0, "-h": 0, "arm64": 2, "-o": 2} {
		cmd := exec.CommandContext(t.Context(), script, arg)
		cmd.Dir = t.TempDir()
		out, _ := cmd.CombinedOutput()
		if cmd.ProcessState.ExitCode() != code || !strings.HasPrefix(string(out), "usage: ./layer.zip.sh") {
			t.Errorf("%s: exited with %d: %s", arg, cmd.ProcessState.ExitCode(), out)
		}
	}
}
