package lambdatest

import (
	"archive/zip"
	"errors"
	"fmt"
	"os"
	"path/filepath"
)

// Opt is a path below the folder that stands for /opt: a layer's extension is at Opt("extensions", its name).
func (h *Host) Opt(elem ...string) string { return filepath.Join(append([]string{h.opt}, elem...)...) }

// unpack unpacks a layer's zip file into a new folder.
func unpack(layer string) (opt string, err error) {
	z, err := zip.OpenReader(layer)
	if err != nil {
		return "", fmt.Errorf("lambdatest: %w", err)
	}
	defer func() { err = errors.Join(err, z.Close()) }()
	if opt, err = os.MkdirTemp("", "opt"); err != nil {
		return "", fmt.Errorf("lambdatest: %w", err)
	}
	if err := os.CopyFS(opt, z); err != nil {
		return "", errors.Join(fmt.Errorf("lambdatest: %w", err), os.RemoveAll(opt))
	}
	return opt, nil
}

// extensionsIn are the names of the layer's extensions.
func extensionsIn(opt string) []string {
	names := []string{}
	files, _ := os.ReadDir(filepath.Join(opt, "extensions")) // A layer may have none.
	for _, f := range files {
		names = append(names, f.Name())
	}
	return names
}
