// Command layerzip writes the zip of a Lambda layer: an extension's binary, the Python modules beside it, and the terms that both
// are under (notices.go).
//
// The same input gives the same bytes: entries are sorted, and times and modes are fixed. layerzip refuses a binary that
// would not start on Lambda: one for another processor, or one that needs a dynamic loader. Start reading at run.
package main

import (
	"archive/zip"
	"bytes"
	"cmp"
	"compress/flate"
	"crypto/sha256"
	"debug/elf"
	"errors"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

func main() {
	if err := run(os.Args[1:], os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "layerzip:", err)
		os.Exit(1)
	}
}

type entry struct {
	name string // in the zip
	mode fs.FileMode
	body []byte
}

func run(args []string, stdout io.Writer) error {
	flags := flag.NewFlagSet("layerzip", flag.ContinueOnError)
	out := flags.String("o", "", "the zip to write")
	extension := flags.String("extension", "", "the binary that becomes extensions/<its name>")
	arch := flags.String("arch", "", "what the binary must be for: x86_64 or arm64")
	python := flags.String("python", "", "the folder whose files go to python/")
	license := flags.String("license", "", "our license, which becomes licenses/<the extension's name>/LICENSE")
	packages := flags.String("packages", "", "a list of the packages in the binary: module, version, the module's folder and the package's, by tabs")
	limit := flags.Int("max", 7_000_000, "refuse a zip of more bytes")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if *out == "" || *extension == "" || *python == "" || *license == "" || *packages == "" || flags.NArg() > 0 {
		return errors.New("wants -o, -extension, -python, -license and -packages, and no arguments")
	}

	binary, err := os.ReadFile(*extension)
	if err != nil {
		return err
	}
	if err := checkBinary(binary, *arch); err != nil {
		return fmt.Errorf("%s: %w", *extension, err)
	}
	entries, err := pythonEntries(*python)
	if err != nil {
		return err
	}
	ours, err := os.ReadFile(*license)
	if err != nil {
		return err
	}
	linked, err := os.ReadFile(*packages)
	if err != nil {
		return err
	}
	others, err := notices(linked)
	if err != nil {
		return err
	}
	name := filepath.Base(*extension)
	entries = append(entries,
		entry{"extensions/" + name, 0o755, binary},
		entry{"licenses/" + name + "/LICENSE", 0o644, ours},
		entry{"licenses/" + name + "/THIRD-PARTY-NOTICES", 0o644, others})
	archive, err := pack(entries)
	if err != nil {
		return err
	}
	if len(archive) > *limit {
		return fmt.Errorf("%s would hold %d bytes, more than %d", *out, len(archive), *limit)
	}
	if err := replace(*out, archive); err != nil {
		return err
	}
	_, err = fmt.Fprintf(stdout, "%x  %s  %d bytes\n", sha256.Sum256(archive), filepath.ToSlash(*out), len(archive))
	return err
}

// checkBinary accepts a static Linux executable for the architecture, in Lambda's names for them.
func checkBinary(binary []byte, arch string) error {
	machine, ok := map[string]elf.Machine{"x86_64": elf.EM_X86_64, "arm64": elf.EM_AARCH64}[arch]
	if !ok {
		return fmt.Errorf("unknown architecture %q", arch)
	}
	f, err := elf.NewFile(bytes.NewReader(binary))
	if err != nil {
		return err
	}
	if f.Machine != machine {
		return fmt.Errorf("is for %v, not %v", f.Machine, machine)
	}
	if slices.ContainsFunc(f.Progs, func(p *elf.Prog) bool { return p.Type == elf.PT_INTERP }) {
		return errors.New("is dynamically linked")
	}
	return nil
}

// pythonEntries reads the modules under root and the marks that they are typed, without tests.
func pythonEntries(root string) ([]entry, error) {
	var entries []entry
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name := d.Name()
		switch {
		case d.IsDir() && path != root && (strings.HasPrefix(name, ".") || name == "tests" || name == "build"):
			return fs.SkipDir
		case d.IsDir() || !strings.HasSuffix(name, ".py") && name != "py.typed":
			return nil
		case !d.Type().IsRegular():
			return fmt.Errorf("%s: not a regular file", path)
		}
		body, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(root, path)
		entries = append(entries, entry{"python/" + filepath.ToSlash(rel), 0o644, body})
		return err
	})
	if err == nil && len(entries) == 0 {
		err = fmt.Errorf("%s: no files", root)
	}
	return entries, err
}

func pack(entries []entry) ([]byte, error) {
	slices.SortFunc(entries, func(a, b entry) int { return cmp.Compare(a.name, b.name) })
	var buf bytes.Buffer
	w := zip.NewWriter(&buf)
	w.RegisterCompressor(zip.Deflate, func(out io.Writer) (io.WriteCloser, error) {
		return flate.NewWriter(out, flate.BestCompression)
	})
	for _, e := range entries {
		h := &zip.FileHeader{Name: e.name, Method: zip.Deflate, Modified: time.Date(1980, 1, 1, 0, 0, 0, 0, time.UTC)}
		h.SetMode(e.mode)
		f, err := w.CreateHeader(h)
		if err != nil {
			return nil, err
		}
		if _, err := f.Write(e.body); err != nil {
			return nil, err
		}
	}
	err := w.Close()
	return buf.Bytes(), err
}

// replace writes the file in one step: a reader sees the old bytes or the new ones.
func replace(path string, body []byte) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	if err := os.WriteFile(path+".tmp", body, 0o644); err != nil {
		return err
	}
	return os.Rename(path+".tmp", path)
}
