package sidecar

import (
	"encoding/json"
	"maps"
	"slices"
	"strings"
	"testing"
)

// described is what this test reads of an OpenAPI document.
type described struct {
	Paths      map[string]map[string]json.RawMessage // by path, then by method in lower case
	Components struct{ Parameters map[string]describedParameter }
}

type describedParameter struct {
	Ref  string `json:"$ref"`
	Name string
	In   string
}

// calls are the document's calls, each with its parameters of the query.
func (d described) calls(t *testing.T) map[string][]string {
	t.Helper()
	calls := map[string][]string{}
	for path, items := range d.Paths {
		for method, raw := range items {
			if method == "parameters" { // of the path
				continue
			}
			var op struct{ Parameters []describedParameter }
			if err := json.Unmarshal(raw, &op); err != nil {
				t.Fatal(err)
			}
			query := []string{}
			for _, p := range op.Parameters {
				if name, ok := strings.CutPrefix(p.Ref, "#/components/parameters/"); ok {
					p = d.Components.Parameters[name]
				}
				if p.Name == "" {
					t.Errorf("%s %s has a parameter without a name", method, path)
				}
				if p.In == "query" {
					query = append(query, p.Name)
				}
			}
			slices.Sort(query)
			calls[strings.ToUpper(method)+" "+path] = query
		}
	}
	return calls
}

func TestTheDocumentHasTheRoutesOfTheCode(t *testing.T) {
	var d described
	if err := json.Unmarshal(document, &d); err != nil {
		t.Fatal(err)
	}
	inDocument, inCode := d.calls(t), map[string][]string{}
	for _, r := range routes() {
		query := append([]string{}, r.query...)
		slices.Sort(query)
		inCode[r.method+" "+r.path] = query
	}
	for call, query := range inCode {
		if got, ok := inDocument[call]; !ok || !slices.Equal(got, query) {
			t.Errorf("docs/openapi.yaml has %s with the parameters %q (%t), the code takes %q", call, got, ok, query)
		}
	}
	for _, call := range slices.Sorted(maps.Keys(inDocument)) {
		if _, ok := inCode[call]; !ok {
			t.Errorf("docs/openapi.yaml has %s, and no route does", call)
		}
	}
}
