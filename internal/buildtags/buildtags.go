// Package buildtags has the build tags of the extension. Whatever builds it gives them: the programs and tests here
// through [Flag], the Makefile and layer.zip.sh from the file tags.
//
// The tag grpcnotrace leaves gRPC's tracing out, and html/template with it. A template asks for methods by name, so the
// linker would have to keep every exported method of every type: 50 % more bytes.
package buildtags

import (
	_ "embed"
	"strings"
)

//go:embed tags
var tags string

// Flag is the flag of go build with the extension's tags.
func Flag() string {
	return "-tags=" + strings.Join(strings.Fields(tags), ",")
}
