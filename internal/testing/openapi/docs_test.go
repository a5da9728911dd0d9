package openapi

import (
	"encoding/json"
	"maps"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"
)

// words are those that a document has.
type words map[string]bool

func (w words) minus(other words) (missing []string) {
	for word := range w {
		if !other[word] {
			missing = append(missing, word)
		}
	}
	slices.Sort(missing)
	return missing
}

// same says which words stand in one of two documents only.
func same(t *testing.T, what string, a, b words, nameA, nameB string) {
	t.Helper()
	if missing := a.minus(b); len(missing) > 0 {
		t.Errorf("%s names %s that %s does not: %q", nameA, what, nameB, missing)
	}
	if missing := b.minus(a); len(missing) > 0 {
		t.Errorf("%s names %s that %s does not: %q", nameB, what, nameA, missing)
	}
}

func all(pattern, text string) (found []string) {
	for _, m := range regexp.MustCompile(pattern).FindAllStringSubmatch(text, -1) {
		found = append(found, m[len(m)-1])
	}
	return found
}

func wordsOf(list []string) words {
	w := words{}
	for _, word := range list {
		w[word] = true
	}
	return w
}

// page is a page of docs without its blocks of code.
func page(t *testing.T, name string) string {
	t.Helper()
	return regexp.MustCompile("(?s)```.*?```").ReplaceAllString(read(t, root+"docs/"+name), "")
}

// fields are all properties of the document's schemas, and values are the words that a field can have.
func fields(t *testing.T, doc *openapi3.T) (fields, values words) {
	t.Helper()
	text, err := json.Marshal(doc.Components.Schemas)
	if err != nil {
		t.Fatal(err)
	}
	var schemas any
	if err := json.Unmarshal(text, &schemas); err != nil {
		t.Fatal(err)
	}
	fields, values = words{}, words{}
	var walk func(node any)
	walk = func(node any) {
		switch node := node.(type) {
		case map[string]any:
			if properties, ok := node["properties"].(map[string]any); ok && node["type"] != nil {
				maps.Copy(fields, wordsOf(slices.Collect(maps.Keys(properties))))
			}
			if enum, ok := node["enum"].([]any); ok {
				for _, value := range enum {
					values[value.(string)] = true
				}
			}
			if value, ok := node["const"].(string); ok {
				values[value] = true
			}
			for _, child := range node {
				walk(child)
			}
		case []any:
			for _, child := range node {
				walk(child)
			}
		}
	}
	walk(schemas)
	return fields, values
}

func TestThePageOfTheAPIHasTheCallsOfTheDocument(t *testing.T) {
	doc := load(t)
	inDocument, inPage := words{}, words{}
	for path, item := range doc.Paths.Map() {
		for method, op := range item.Operations() {
			inDocument[method+" "+path] = true
			for _, p := range op.Parameters {
				if p.Value.In == openapi3.ParameterInQuery {
					inDocument[path+"?"+p.Value.Name] = true
				}
			}
		}
	}
	_, table, _ := strings.Cut(page(t, "api.md"), "| call | |\n|---|---|\n")
	table, _, _ = strings.Cut(table, "\n\n")
	for row := range strings.SplitSeq(table, "\n") {
		calls, _, _ := strings.Cut(strings.TrimPrefix(row, "|"), " | ")
		paths := all("/[^ ?`]*", calls)
		for _, path := range paths {
			for _, method := range all(`\b[A-Z]{3,}\b`, calls) {
				inPage[method+" "+path] = true
			}
			for _, name := range all(`[?&](\w+)=`, calls) {
				inPage[path+"?"+name] = true
			}
		}
	}
	same(t, "calls", inPage, inDocument, "docs/api.md", "docs/openapi.yaml")
}

func TestThePagesHaveTheFieldsOfTheDocument(t *testing.T) {
	doc := load(t)
	known, values := fields(t, doc)
	text := regexp.MustCompile(`(?s)\*\*The document\*\*.*?\n\n|## Prometheus\n.*?\n## `).ReplaceAllString(page(t, "api.md"), "") // metrics are no fields
	spans := all("`([^`]*)`", text+page(t, "errors.md"))
	inPages := wordsOf(all(`[a-z][a-z0-9_]*`, strings.Join(spans, " ")))
	if missing := known.minus(inPages); len(missing) > 0 {
		t.Errorf("docs/api.md and errors.md do not name fields of docs/openapi.yaml: %q", missing)
	}
	var named []string
	for _, span := range all("`([^`]*)`", text) {
		switch {
		case strings.HasPrefix(span, "{"):
			named = append(named, all(`[a-z][a-z0-9_]*`, span)...)
		case regexp.MustCompile(`^[a-z]+(_[a-z0-9]+)+$`).MatchString(span):
			named = append(named, span)
		}
	}
	for _, row := range all("(?m)^\\| (`[a-z_`, 0-9]+`) \\|", text) {
		named = append(named, all(`[a-z][a-z0-9_]*`, row)...)
	}
	maps.Copy(known, values)
	for _, item := range doc.Paths.Map() {
		for _, op := range item.Operations() {
			for _, p := range op.Parameters {
				known[p.Value.Name] = true
			}
		}
	}
	known["chat_id"], known["problem"], known["true"], known["false"] = true, true, true, true
	if missing := wordsOf(named).minus(known); len(missing) > 0 {
		t.Errorf("docs/api.md names fields that docs/openapi.yaml does not: %q", missing)
	}
}

func TestThePageOfErrorsHasTheProblemsOfTheDocument(t *testing.T) {
	doc := load(t)
	inPage, inDocument := words{}, words{}
	text := page(t, "errors.md")
	for _, section := range strings.Split(text, "\n## ")[1:] {
		kind, explanation, _ := strings.Cut(section, "\n")
		first := regexp.MustCompile(`\. |\.\n|: `).Split(strings.TrimSpace(explanation), 2)[0]
		for _, status := range all(`\b[45]\d\d\b`, first) {
			inPage[status+" "+kind] = true
		}
	}
	problem := doc.Components.Schemas["Problem"].Value
	for name, response := range doc.Components.Responses {
		media := response.Value.Content.Get("application/problem+json")
		if media == nil {
			continue
		}
		encoded, err := json.Marshal(media.Schema)
		if err != nil {
			t.Fatal(err)
		}
		var schema struct {
			Properties struct {
				Status struct{ Const json.Number }
				Type   struct{ Enum []string }
			}
		}
		if err := json.Unmarshal(encoded, &schema); err != nil {
			t.Fatal(err)
		}
		if len(schema.Properties.Type.Enum) == 0 {
			t.Errorf("%s has no types of problems", name)
		}
		for _, kind := range schema.Properties.Type.Enum {
			inDocument[schema.Properties.Status.Const.String()+" "+strings.TrimPrefix(kind, "/docs/errors.md#")] = true
		}
	}
	same(t, "problems", inPage, inDocument, "docs/errors.md", "docs/openapi.yaml")

	kinds := words{}
	for _, kind := range problem.Properties["type"].Value.Enum {
		kinds[strings.TrimPrefix(kind.(string), "/docs/errors.md#")] = true
	}
	same(t, "kinds", wordsOf(all(`(?m)^## (\S+)$`, text)), kinds, "docs/errors.md", "docs/openapi.yaml")
	rows := wordsOf(all("(?m)^\\| `([a-z]+)` \\|", text))
	same(t, "fields", rows, wordsOf(slices.Collect(maps.Keys(problem.Properties))), "docs/errors.md", "docs/openapi.yaml")
}
