package main

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

// terms are the names of files that say what a module may be used for.
const terms = `(?i)^(licen[cs]e|copying|notice|patents)(\.(txt|md))?$`

// notices is the text that goes with the software of others in the layer. packages has a line for each package that is
// linked: its module, the module's version, the module's folder and the package's, separated by tabs. The terms of a
// package are those in its folder and in every folder above it, up to the module's.
func notices(packages []byte) ([]byte, error) {
	from := map[string][]string{} // by text: which files of which modules have it
	seen := map[string]bool{}     // folders
	var faults []error
	for line := range strings.Lines(string(packages)) {
		fields := strings.Split(strings.TrimSpace(line), "\t")
		if len(fields) != 4 {
			return nil, fmt.Errorf("the list of packages has a line with %d fields: %q", len(fields), line)
		}
		module, version, root, folder := fields[0], fields[1], fields[2], fields[3]
		for ; ; folder = filepath.Dir(folder) {
			if rel, err := filepath.Rel(root, folder); err != nil || strings.HasPrefix(rel, "..") {
				return nil, fmt.Errorf("%s: %s is not in %s", module, folder, root)
			}
			if seen[folder] {
				break
			}
			seen[folder] = true
			found, err := termsIn(folder)
			if err != nil {
				return nil, err
			}
			for name, text := range found {
				rel, _ := filepath.Rel(root, filepath.Join(folder, name))
				from[text] = append(from[text], fmt.Sprintf("%s %s: %s", module, version, filepath.ToSlash(rel)))
			}
			if folder == root {
				if len(found) == 0 {
					faults = append(faults, fmt.Errorf("%s %s has no license in %s", module, version, root))
				}
				break
			}
		}
	}
	if len(from) == 0 {
		faults = append(faults, errors.New("the list of packages names no license"))
	}
	for _, files := range from {
		slices.Sort(files)
	}
	texts := slices.SortedFunc(maps.Keys(from), func(a, b string) int { return cmp.Compare(from[a][0], from[b][0]) })
	var out bytes.Buffer
	fmt.Fprintln(&out, "Hearth's extension contains the software of others. Here is what it is, and its terms.")
	for _, text := range texts {
		fmt.Fprintf(&out, "\n%s\n%s\n\n%s\n", strings.Repeat("=", 80), strings.Join(from[text], "\n"), text)
	}
	return out.Bytes(), errors.Join(faults...)
}

// termsIn is the text of each file of terms in a folder, by its name.
func termsIn(folder string) (map[string]string, error) {
	files, err := os.ReadDir(folder)
	if err != nil {
		return nil, err
	}
	found := map[string]string{}
	for _, f := range files {
		if !f.Type().IsRegular() || !regexp.MustCompile(terms).MatchString(f.Name()) {
			continue
		}
		text, err := os.ReadFile(filepath.Join(folder, f.Name()))
		if err != nil {
			return nil, err
		}
		found[f.Name()] = strings.TrimSpace(string(text))
	}
	return found, nil
}
