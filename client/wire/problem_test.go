package wire_test

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"hearth/client/wire"
)

func read(t *testing.T, path string) string {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// sections are the explanations in docs/errors.md by their headings.
func sections(t *testing.T) map[string]string {
	t.Helper()
	all := map[string]string{}
	for _, section := range strings.Split(read(t, "../../docs/errors.md"), "\n## ")[1:] {
		heading, text, _ := strings.Cut(section, "\n")
		all[heading] = text
	}
	return all
}

func TestEveryKindIsExplainedAndHasAStatusATitleAndAConstant(t *testing.T) {
	var headings, kinds, constants []string
	explained := sections(t)
	for heading := range maps.Keys(explained) {
		headings = append(headings, heading)
	}
	for kind, p := range wire.Kinds() {
		kinds = append(kinds, string(kind))
		begin := fmt.Sprint(p.Status)
		if p.Retryable {
			begin += ", retryable"
		}
		if text := explained[string(kind)]; !regexp.MustCompile(`^(403, 404, 409, 422 or )?` + begin + `(\.| \()`).MatchString(text) {
			t.Errorf("docs/errors.md explains %s with %q, which does not begin with %q", kind, text, begin)
		}
		if p.Status < 400 || p.Title == "" || p.Type != "" || p.Detail != "" {
			t.Errorf("%s: %+v", kind, p)
		}
	}
	for _, constant := range regexp.MustCompile(`\tKind\w+ +Kind = "(.*?)"`).FindAllStringSubmatch(read(t, "problem.go"), -1) {
		constants = append(constants, constant[1])
	}
	slices.Sort(headings)
	slices.Sort(kinds)
	slices.Sort(constants)
	if !slices.Equal(headings, kinds) {
		t.Errorf("docs/errors.md explains %v\nthe kinds are           %v", headings, kinds)
	}
	if !slices.Equal(constants, kinds) {
		t.Errorf("the constants are %v\nthe kinds are     %v", constants, kinds)
	}
}

func TestAProblemOfAKind(t *testing.T) {
	p := wire.NewProblem(wire.KindTimeout, "after 5s")
	if want := (wire.Problem{
		Type: "/docs/errors.md#timeout", Title: "No answer in time", Status: 504, Detail: "after 5s", Retryable: true,
	}); !equal(*p, want) {
		t.Errorf("%+v", p)
	}
	p.Status = 200
	if again := wire.NewProblem(wire.KindTimeout, ""); again.Status != 504 {
		t.Errorf("a problem that was changed changed its kind: %+v", again)
	}
	if got, want := p.Error(), "hearth: No answer in time: after 5s"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	b := wire.BadField("count", "must be a number")
	if want := (wire.Problem{
		Type: "/docs/errors.md#bad-field", Title: "A field is wrong", Status: 400, Detail: "count must be a number", Field: "count",
	}); !equal(*b, want) {
		t.Errorf("%+v", b)
	}
}

// equal compares the fields that are not lists.
func equal(a, b wire.Problem) bool {
	return a.Type == b.Type && a.Title == b.Title && a.Status == b.Status && a.Detail == b.Detail && a.Field == b.Field && a.Retryable == b.Retryable
}

func TestTheKindOfAProblem(t *testing.T) {
	for kind := range wire.Kinds() {
		if got := wire.NewProblem(kind, "").Kind(); got != kind {
			t.Errorf("%s: %s", kind, got)
		}
	}
	for _, other := range []string{"", "about:blank", "https://example.com/docs/errors.md#timeout", "timeout", "#timeout"} {
		if got := (&wire.Problem{Type: other}).Kind(); got != "" {
			t.Errorf("%q: %s", other, got)
		}
	}
	var p *wire.Problem
	if err := fmt.Errorf("asking: %w", wire.NewProblem(wire.KindOdoo, "")); !errors.As(err, &p) || p.Kind() != wire.KindOdoo {
		t.Errorf("%v", p)
	}
}
