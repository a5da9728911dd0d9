package main

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// small is a run over the package in testdata, whose mistakes are known.
func small() config {
	return config{
		root: "testdata/small", workers: 2, timeout: 5 * time.Second,
		users: "testdata/users.txt", accepted: "testdata/accepted.txt", patterns: []string{"."},
	}
}

// planted runs mutate, and returns the lines that say what became of each mistake in the order of the alphabet.
func planted(t *testing.T, cfg config) (lines []string, out string, err error) {
	t.Helper()
	var b strings.Builder
	err = run(t.Context(), &b, cfg)
	for line := range strings.Lines(b.String()) {
		if strings.HasPrefix(line, "noticed: ") || strings.HasPrefix(line, "NOT NOTICED: ") {
			lines = append(lines, strings.TrimSuffix(line, "\n"))
		}
	}
	slices.Sort(lines)
	return lines, b.String(), err
}

func written(t *testing.T, text string) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "list.txt")
	if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}

func TestEveryMistakeIsPlantedAndTheMissedOneIsShown(t *testing.T) {
	cfg := small()
	cfg.min = 90
	lines, out, err := planted(t, cfg)
	if err == nil || err.Error() != ".: tests notice 14 of 16 mistakes, which is less than 90 %" {
		t.Errorf("got error %v", err)
	}
	want := []string{
		"NOT NOTICED: ./small.go:20 Both: a part of a condition left out",
		"noticed: ./small.go:10 Clamp: a function that does nothing: TestSmall",
		"noticed: ./small.go:11 Clamp: a condition turned round: TestSmall",
		"noticed: ./small.go:12 Clamp: a statement left out: TestSmall",
		"noticed: ./small.go:18 Both: a function that does nothing: TestSmall",
		"noticed: ./small.go:20 Both: a part of a condition left out: TestUser",
		"noticed: ./small.go:20 Both: another operator: TestUser",
		"noticed: ./small.go:24 Sum: a function that does nothing: TestSmall",
		"noticed: ./small.go:25 Sum: another number: TestSmall",
		"noticed: ./small.go:25 Sum: another operator: TestSmall",
		"noticed: ./small.go:26 Sum: a statement left out: TestSmall",
		"noticed: ./small.go:26 Sum: another operator: TestSmall",
		"noticed: ./small.go:27 Sum: a statement left out: the tests hang",
		"noticed: ./small.go:37 Join: a function that does nothing: TestSmall",
		"noticed: ./small.go:7 Limit: another number: TestSmall",
	}
	if !slices.Equal(lines, want) {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(lines, "\n"), strings.Join(want, "\n"))
	}
	const end = `
## .: 14 of 16 noticed, 1 not noticed, 1 explained
./small.go: 14 of 16 noticed, 1 not noticed, 1 explained

./small.go:20 Both: a part of a condition left out
- return a && b
+ return (true || (a)) && b

./small.go:11 Clamp: another operator
- if n > Limit {
+ if n >= Limit {
  Both set a number that is the limit to the limit.

`
	if !strings.HasSuffix(out, end) {
		t.Errorf("got\n%s\nwant at the end\n%s", out, end)
	}
}

func TestTheSeedChoosesTheMistakes(t *testing.T) {
	choose := func(seed uint64) string {
		cfg := small()
		cfg.n, cfg.seed = 3, seed
		lines, out, err := planted(t, cfg)
		if err != nil || !strings.Contains(out, " of 3 noticed") {
			t.Fatalf("%v: %s", err, out)
		}
		return strings.Join(lines, "\n")
	}
	first := choose(1)
	if again := choose(1); again != first {
		t.Errorf("seed 1 chose\n%s\nand then\n%s", first, again)
	}
	if other := choose(2); other == first {
		t.Errorf("seeds 1 and 2 both chose\n%s", first)
	}
}

func TestARunFails(t *testing.T) {
	gone := "./small.go:99 Clamp: another operator\n- if n > Most {\n+ if n >= Most {\n  It was so once.\n"
	for name, c := range map[string]struct {
		change func(*testing.T, *config)
		want   string
	}{
		"where no code has an accepted mistake": {
			func(t *testing.T, cfg *config) { cfg.n, cfg.accepted = 1, written(t, gone) },
			"no code has it any more:\nClamp: another operator\n- if n > Most {",
		},
		"where tests fail without a mistake": {
			func(t *testing.T, cfg *config) { cfg.n, cfg.users = 1, written(t, ".: ./nowhere\n") },
			"go test ./nowhere fails without a mistake",
		},
		"where a reason is missing": {
			func(t *testing.T, cfg *config) { cfg.accepted = written(t, gone[:strings.Index(gone, "  It")]) },
			"want four lines",
		},
		"where a user has no arguments": {
			func(t *testing.T, cfg *config) { cfg.users = written(t, "small\n") },
			`"small": want packages, a colon`,
		},
		"where there is no package": {
			func(_ *testing.T, cfg *config) { cfg.patterns = []string{"./nowhere"} },
			"exit status 1",
		},
	} {
		t.Run(name, func(t *testing.T) {
			cfg := small()
			c.change(t, &cfg)
			if _, _, err := planted(t, cfg); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got error %v, want %q in it", err, c.want)
			}
		})
	}
}

func TestEachKindOfMistake(t *testing.T) {
	for code, want := range map[string][]string{
		"if a < b { return }":                          {"if !(a < b) { return }", "if a <= b { return }", ""},
		"if a == b { c() }":                            {"if a != b { c() }", ""},
		"if !a { c() }":                                {"if a { c() }", ""},
		"for a || b && c { }":                          {"for !(a || b && c) { }", "for a && b && c { }", "for (false && (a)) || b && c { }", "for a || (false && (b && c)) { }", "for a || b || c { }", "for a || (true || (b)) && c { }", "for a || b && (true || (c)) { }"},
		"switch { case a: b = c }":                     {"switch { case !(a): b = c }", ""},
		"switch a { case b: c++ }":                     {""},
		"a -= b * 10":                                  {"", "a += b * 10", "a -= b / 10", "a -= b * 20"},
		"a = min(b, 0, true)":                          {"", "a = max(b, 0, true)", "a = min(b, 1, true)", "a = min(b, 0, false)"},
		"a(5 * time.Second)":                           {"", "a(10 * time.Second)"},
		"go a(); b <- c; defer d()":                    {"", "", ""},
		"mu.Lock(); defer mu.Unlock()":                 nil,
		"cfg.Logger.Warn(\"a\", 1)":                    nil,
		"a := make([]int, 1); defer cancel()":          nil,
		"for { if a() { continue } }":                  {"for { if !(a()) { continue } }", ""},
		"select { case a <- b: c(); default: return }": {"", ""},
		"return fmt.Errorf(\"a\", 1)":                  nil,
	} {
		dir := t.TempDir()
		src := "package p\n\nfunc f() {\n" + code + "\nx()\n}\n"
		if err := os.WriteFile(filepath.Join(dir, "p.go"), []byte(src), 0o600); err != nil {
			t.Fatal(err)
		}
		mistakes, err := find(pkg{Dir: dir, GoFiles: []string{"p.go"}, dir: "p"})
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, m := range mistakes {
			if m.line == 4 {
				got = append(got, m.after)
			}
		}
		slices.Sort(got)
		slices.Sort(want)
		if !slices.Equal(got, want) {
			t.Errorf("%s: got\n\t%s\nwant\n\t%s", code, strings.Join(got, "\n\t"), strings.Join(want, "\n\t"))
		}
	}
}
