package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestEachLinkedModulesTermsStandOnce(t *testing.T) {
	root := t.TempDir()
	write := func(name, text string) {
		path := filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("b/LICENSE", "shared terms\n\n")
	write("b/NOTICE.txt", "b's notice")
	write("b/license.go", "package b")
	write("b/LICENSE.d/x", "no terms")
	write("b/in/side/copying", "inner terms")
	write("b/aside/LICENSE", "of a package that is not linked")
	write("a/Licence.md", "\nshared terms")
	write("bare/x.go", "package bare")
	list := func(lines ...[4]string) []byte {
		var text strings.Builder
		for _, l := range lines {
			fmt.Fprintf(&text, "%s\t%s\t%s\t%s\n", l[0], l[1], filepath.Join(root, l[2]), filepath.Join(root, l[3]))
		}
		return []byte(text.String())
	}
	b, inB, a := [4]string{"example.com/b", "v1", "b", "b"}, [4]string{"example.com/b", "v1", "b", "b/in/side"}, [4]string{"example.com/a", "v2", "a", "a"}
	const bar = "\n================================================================================\n"
	want := "Hearth's extension contains the software of others. Here is what it is, and its terms.\n" +
		bar + "example.com/a v2: Licence.md\nexample.com/b v1: LICENSE\n\nshared terms\n" +
		bar + "example.com/b v1: NOTICE.txt\n\nb's notice\n" +
		bar + "example.com/b v1: in/side/copying\n\ninner terms\n"
	for _, packages := range [][]byte{list(b, inB, a), list(a, inB, b, inB)} {
		if got, err := notices(packages); err != nil || string(got) != want {
			t.Errorf("got %v\n%s\nwant\n%s", err, got, want)
		}
	}

	for what, packages := range map[string][]byte{
		"example.com/bare v3 has no license": list(a, [4]string{"example.com/bare", "v3", "bare", "bare"}),
		"names no license":                   nil,
		"a line with 1 fields":               []byte("example.com/a v2\n"),
		"is not in":                          list([4]string{"example.com/a", "v2", "a", "b"}),
		"no such file":                       list([4]string{"example.com/c", "v2", "c", "c"}),
	} {
		if _, err := notices(packages); err == nil || !strings.Contains(err.Error(), what) {
			t.Errorf("want %q, got %v", what, err)
		}
	}
}
