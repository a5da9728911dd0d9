package app

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// Operators look for the text of a line, and filters and queries name it. So docs/log.md lists the same lines as the source.
func TestTheDocumentationHasEachLineOfTheLog(t *testing.T) {
	root := filepath.Join("..", "..")
	page, err := os.ReadFile(filepath.Join(root, "docs", "log.md"))
	if err != nil {
		t.Fatal(err)
	}
	var documented []string
	for _, row := range regexp.MustCompile("(?m)^\\| `+ ?(.+?) ?`+ \\| ([A-Z]+) \\| ([^|]*) \\|").FindAllStringSubmatch(string(page), -1) {
		documented = append(documented, fmt.Sprintf("%s %q %s", row[2], row[1], strings.NewReplacer("`", "", ",", "").Replace(row[3])))
	}
	logged := loggedIn(t, root, "cache", "extension", "internal/app", "internal/monitor", "pool", "sidecar")
	slices.Sort(documented)
	for _, line := range logged {
		if !slices.Contains(documented, line) {
			t.Errorf("docs/log.md lacks  %s", line)
		}
	}
	for _, line := range slices.Compact(documented) {
		if !slices.Contains(logged, line) {
			t.Errorf("nothing logs       %s", line)
		}
	}
	if len(logged) < 25 {
		t.Errorf("only %d lines were found in the source", len(logged))
	}
}

// loggedIn is the lines from INFO on that the packages in these folders log: level, text and fields.
func loggedIn(t *testing.T, root string, folders ...string) (lines []string) {
	for _, folder := range folders {
		err := filepath.WalkDir(filepath.Join(root, folder), func(path string, _ fs.DirEntry, err error) error {
			if err != nil || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
				return err
			}
			file, err := parser.ParseFile(token.NewFileSet(), path, nil, 0)
			if err != nil {
				return err
			}
			ast.Inspect(file, func(n ast.Node) bool {
				if call, ok := n.(*ast.CallExpr); ok {
					if line := lineOf(call); line != "" {
						lines = append(lines, line)
					}
				}
				return true
			})
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	slices.Sort(lines)
	return slices.Compact(lines)
}

// lineOf is the line that a call logs; empty: the call logs nothing.
func lineOf(call *ast.CallExpr) string {
	method, ok := call.Fun.(*ast.SelectorExpr)
	if !ok {
		return ""
	}
	level, text := "", 0 // the text's place among the arguments
	switch method.Sel.Name {
	case "Info", "Warn", "Error":
		level = method.Sel.Name
		if owner, ok := method.X.(*ast.SelectorExpr); ok && owner.Sel.Name == "failures" { // a sparse.Log, which has the kind first
			text = 1
		}
	case "InfoContext", "WarnContext", "ErrorContext":
		level, text = strings.TrimSuffix(method.Sel.Name, "Context"), 1
	case "Log":
		level, text = "Warn", 2 // the least that arrives
	}
	if level == "" || len(call.Args) <= text || literal(call.Args[text]) == "" {
		return ""
	}
	line := fmt.Sprintf("%s %q ", strings.ToUpper(level), literal(call.Args[text]))
	var fields []string
	for i := text + 1; i < len(call.Args); i++ {
		if attr, ok := call.Args[i].(*ast.CallExpr); ok { // slog.String(name, value)
			fields = append(fields, literal(attr.Args[0]))
			continue
		}
		fields = append(fields, literal(call.Args[i]))
		i++ // its value
	}
	return line + strings.Join(fields, " ")
}

// literal is the value of a literal text; empty: e is none.
func literal(e ast.Expr) string {
	if l, ok := e.(*ast.BasicLit); ok {
		text, _ := strconv.Unquote(l.Value) // a number is no text
		return text
	}
	return ""
}
