// Package openapi checks docs/openapi.yaml: that it is valid OpenAPI 3.1, that the sidecar serves it as it is, that the other docs tell the
// same, and that what Hearth really takes and answers is what the document says. Start at exchange_test.go.
//
// The package is a module of its own, so that what reads OpenAPI is no dependency of Hearth. That the document has the routes of the code is
// tested in sidecar/openapi_test.go.
package openapi

import (
	"bytes"
	"encoding/json"
	"flag"
	"os"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"
	"go.yaml.in/yaml/v4"
)

const root = "../../../"

var update = flag.Bool("update", false, "write sidecar/openapi.json")

func load(t testing.TB) *openapi3.T {
	t.Helper()
	doc, err := openapi3.NewLoader().LoadFromFile(root + "docs/openapi.yaml")
	if err != nil {
		t.Fatal(err)
	}
	return doc
}

func TestTheDocumentIsValid(t *testing.T) {
	doc := load(t)
	if !doc.IsOpenAPI31OrLater() {
		t.Errorf("the version is %s", doc.OpenAPI)
	}
	if err := doc.Validate(t.Context(), openapi3.EnableExamplesValidation(), openapi3.EnableSchemaPatternValidation(), openapi3.EnableMultiError()); err != nil {
		t.Error(err)
	}
}

func TestTheDocumentIsServed(t *testing.T) {
	const served = root + "sidecar/openapi.json"
	text := read(t, root+"docs/openapi.yaml")
	var doc any
	if err := yaml.Unmarshal([]byte(text), &doc); err != nil {
		t.Fatal(err)
	}
	var want bytes.Buffer
	encoder := json.NewEncoder(&want)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(doc); err != nil {
		t.Fatal(err)
	}
	if *update {
		if err := os.WriteFile(served, want.Bytes(), 0o644); err != nil { //nolint:gosec // a source file
			t.Fatal(err)
		}
	}
	if read(t, served) != want.String() {
		t.Error(`sidecar/openapi.json is not docs/openapi.yaml: run "make openapi"`)
	}
}

func read(t testing.TB, file string) string {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}
