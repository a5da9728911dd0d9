package app

import (
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"hearth/internal/buildtags"
)

// The linker drops the methods that nothing calls. But if it keeps one function that asks for a method by a name that
// is known at run time only, it also keeps every exported method of every type. A build tag, another version or a
// lighter import of the package that brings that function cures it.
//
// A type may keep reflect's own Methods or MethodByName. Then look for a call of MethodByName with that name as a
// constant: it keeps every method of the name.
func TestNothingInTheExtensionAsksForAMethodByName(t *testing.T) {
	dump := dependencies(t, buildtags.Flag())
	if chain := methodByName(dump); chain != nil {
		t.Errorf("the linker keeps every exported method, because of the last of these. Each keeps the next:\n%s", strings.Join(chain, "\n"))
	}
}

func TestAFunctionThatAsksForAMethodByNameIsFound(t *testing.T) {
	dump := `# hearth
_ -> main.main
main.main -> type:main.T <UsedInIface>
main.main -> main.render
main.render -> text/template.(*Template).Execute
main.other -> text/template.(*Template).Execute
text/template.(*Template).Execute -> text/template.evalField <ReflectMethod>
text/template.evalField <ReflectMethod> -> reflect.Value.MethodByName
type:main.T <UsedInIface> -> main.T.Method <UsedInIface><ReflectMethod>
`
	want := []string{"main.main", "main.render", "text/template.(*Template).Execute", "text/template.evalField"}
	if got := methodByName(dump); !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

// dependencies is what the linker says about the extension: a line for each symbol that it keeps, with the one that
// made it keep it.
func dependencies(t *testing.T, tags string) string {
	t.Helper()
	// The flags of layer.zip.sh: the Go build cache then serves both.
	cmd := exec.CommandContext(t.Context(), "go", "build", "-trimpath", tags, "-ldflags=-dumpdep", "-o", os.DevNull, "hearth")
	cmd.Env = append(cmd.Environ(), "CGO_ENABLED=0")
	dump, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("go build: %v\n%s", err, dump)
	}
	if !strings.Contains(string(dump), " -> main.main\n") {
		t.Fatalf("the linker does not say what it keeps:\n%.1000s", dump)
	}
	return string(dump)
}

// methodByName is the way from the program's start to the first function in the dump that asks for a method by name.
// Other such functions may be there only because of it.
func methodByName(dump string) []string {
	keptBy := map[string]string{}
	for line := range strings.Lines(dump) {
		from, to, ok := strings.Cut(strings.TrimSpace(line), " -> ")
		if !ok {
			continue
		}
		to, asks := strings.CutSuffix(to, "<ReflectMethod>")
		from, to = symbol(from), symbol(to)
		if _, known := keptBy[to]; !known {
			keptBy[to] = from
		}
		if !asks {
			continue
		}
		chain := []string{to}
		for from := keptBy[to]; from != "" && from != "_"; from = keptBy[from] {
			chain = append(chain, from)
		}
		slices.Reverse(chain)
		return chain
	}
	return nil
}

// symbol is a name without the marks that the linker writes behind it.
func symbol(name string) string {
	name = strings.TrimSuffix(name, "<ReflectMethod>")
	return strings.TrimSpace(strings.TrimSuffix(name, "<UsedInIface>"))
}
