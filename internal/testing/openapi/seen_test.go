package openapi

import (
	"path"
	"slices"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"
)

// checkSeen wants each status of each call that the document has, but for those that take minutes, hundreds of callers or a fault of Hearth's.
func checkSeen(t *testing.T, doc *openapi3.T, seen map[string]bool) {
	t.Helper()
	hard := []string{"SlowRequest", "Expired", "Internal", "Overloaded"}
	for name, item := range doc.Paths.Map() {
		for method, op := range item.Operations() {
			for status, response := range op.Responses.Map() {
				if !seen[op.OperationID+" "+status] && !slices.Contains(hard, path.Base(response.Ref)) {
					t.Errorf("no %s of %s %s was seen", status, method, name)
				}
			}
		}
	}
}
