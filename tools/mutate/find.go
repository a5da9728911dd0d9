package main

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
)

// mistake is one edit of one file.
type mistake struct {
	pkg
	file     string // name
	path     string // absolute
	src      string
	line     int
	function string
	kind     string

	start, end    int // what is replaced of src
	with          string
	before, after string // the lines around, folded into one
}

// code is the file with the mistake.
func (m mistake) code() string { return m.src[:m.start] + m.with + m.src[m.end:] }

// key names a mistake within its package by its text, so that it is known again when lines move.
func (m mistake) key() string {
	return fmt.Sprintf("%s: %s\n- %s\n+%s", m.function, m.kind, m.before, strings.TrimRight(" "+m.after, " "))
}

func (m mistake) place() string { return fmt.Sprintf("%s/%s:%d", m.dir, m.file, m.line) }

// where names a mistake in one line.
func (m mistake) where() string { return fmt.Sprintf("%s %s: %s", m.place(), m.function, m.kind) }

func (m mistake) String() string { return m.place() + " " + m.key() }

// find lists every mistake that the files of a package can hold.
func find(p pkg) ([]mistake, error) {
	var all []mistake
	for _, name := range p.GoFiles {
		path := filepath.Join(p.Dir, name)
		src, err := os.ReadFile(path)
		if err != nil {
			return nil, err
		}
		f := &finder{fset: token.NewFileSet(), mistake: mistake{pkg: p, file: name, path: path, src: string(src)}}
		file, err := parser.ParseFile(f.fset, path, src, parser.ParseComments|parser.SkipObjectResolution)
		if err != nil {
			return nil, err
		}
		if ast.IsGenerated(file) {
			continue
		}
		for _, d := range file.Decls {
			f.declaration(d)
		}
		all = append(all, f.found...)
	}
	return all, nil
}

// finder goes through one file.
type finder struct {
	mistake // the file and function where it is
	fset    *token.FileSet
	chosen  ast.Expr // a number of seconds or the like
	found   []mistake
}

func (f *finder) declaration(d ast.Decl) {
	switch d := d.(type) {
	case *ast.GenDecl:
		if d.Tok != token.CONST && d.Tok != token.VAR {
			return
		}
		for _, spec := range d.Specs {
			f.function = spec.(*ast.ValueSpec).Names[0].Name
			f.inside(spec)
		}
	case *ast.FuncDecl:
		switch d.Name.Name {
		case "Error", "Format", "GoString", "LogValue", "String":
			return // text
		}
		if d.Body == nil {
			return
		}
		f.function = d.Name.Name
		if d.Recv != nil {
			f.function = fmt.Sprintf("(%s).%s", f.text(d.Recv.List[0].Type), d.Name.Name)
		}
		f.returnAtOnce(d)
		f.inside(d.Body)
	}
}

// returnAtOnce makes a function do nothing and return zero values.
func (f *finder) returnAtOnce(d *ast.FuncDecl) {
	if len(d.Body.List) == 0 {
		return
	}
	var zeros []string
	if d.Type.Results != nil {
		for _, result := range d.Type.Results.List {
			for range max(len(result.Names), 1) {
				zeros = append(zeros, "*new("+f.text(result.Type)+")")
			}
		}
	} else if len(d.Body.List) == 1 {
		return // its only statement is dropped anyway
	}
	statement := strings.TrimSpace("return " + strings.Join(zeros, ", "))
	f.add("a function that does nothing", d.Body.Lbrace+1, d.Body.Lbrace+1, "if true { "+statement+" }; ")
	last := &f.found[len(f.found)-1]
	last.after = strings.TrimSuffix(last.before, "{") + "{ " + statement
}

// inside finds the mistakes below a node.
func (f *finder) inside(root ast.Node) {
	ast.Inspect(root, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.BlockStmt:
			f.statements(n.List, n == root)
		case *ast.CaseClause:
			f.statements(n.Body, false)
		case *ast.CommClause:
			f.statements(n.Body, false)
		case *ast.IfStmt:
			f.condition(n.Cond)
		case *ast.ForStmt:
			f.condition(n.Cond)
		case *ast.SwitchStmt:
			for _, clause := range n.Body.List {
				for _, e := range clause.(*ast.CaseClause).List {
					if n.Tag == nil {
						f.condition(e)
					}
				}
			}
		case *ast.BinaryExpr:
			f.binary(n)
		case *ast.UnaryExpr:
			if n.Op == token.NOT {
				f.add("a condition turned round", n.OpPos, n.X.Pos(), "")
			}
		case *ast.AssignStmt:
			f.operator(n.Tok, n.TokPos)
		case *ast.BasicLit:
			f.number(n)
		case *ast.Ident:
			if with := map[string]string{"true": "false", "false": "true", "min": "max", "max": "min"}[n.Name]; with != "" {
				f.add("the opposite", n.Pos(), n.End(), with)
			}
		case *ast.CallExpr:
			return f.call(n)
		}
		return true
	})
}

// other is the operator that is written instead of one; empty for those that stay.
func other(op token.Token) string {
	pairs := [][2]string{{"<", "<="}, {">", ">="}, {"==", "!="}, {"&&", "||"}, {"+", "-"}, {"*", "/"}, {"+=", "-="}}
	for _, pair := range pairs {
		switch op.String() {
		case pair[0]:
			return pair[1]
		case pair[1]:
			return pair[0]
		}
	}
	return ""
}

// operator writes another operator.
func (f *finder) operator(op token.Token, at token.Pos) {
	if with := other(op); with != "" {
		f.add("another operator", at, at+token.Pos(len(op.String())), with)
	}
}

// unit is what a number is multiplied by to make a duration.
var unit = regexp.MustCompile(`^time\.(\w*[sS]econd|Minute|Hour)$`)

func (f *finder) binary(n *ast.BinaryExpr) {
	if x, ok := n.X.(*ast.BasicLit); ok && unit.MatchString(f.text(n.Y)) {
		f.chosen = x
		return
	}
	f.operator(n.Op, n.OpPos)
	// What is left out stays in the text behind a constant, so that its variables are used.
	without := map[token.Token]string{token.LAND: "true || ", token.LOR: "false && "}[n.Op]
	if without == "" {
		return
	}
	for _, e := range []ast.Expr{n.X, n.Y} {
		if inner, ok := e.(*ast.BinaryExpr); !ok || inner.Op != n.Op {
			f.add("a part of a condition left out", e.Pos(), e.End(), "("+without+"("+f.text(e)+"))")
		}
	}
}

// condition turns a condition round, unless another edit of it does the same.
func (f *finder) condition(e ast.Expr) {
	switch e := e.(type) {
	case nil:
		return
	case *ast.UnaryExpr:
		if e.Op == token.NOT {
			return
		}
	case *ast.BinaryExpr:
		if e.Op == token.EQL || e.Op == token.NEQ {
			return
		}
	}
	f.add("a condition turned round", e.Pos(), e.End(), "!("+f.text(e)+")")
}

// number writes a number's neighbour. A large one and a duration are bounds that somebody chose: only another size of them is
// a mistake.
func (f *finder) number(n *ast.BasicLit) {
	value, err := strconv.ParseInt(n.Value, 0, 64)
	switch {
	case n.Kind != token.INT || err != nil:
		return
	case value < 10 && n != f.chosen:
		value++
	default:
		value *= 2
	}
	f.add("another number", n.Pos(), n.End(), strconv.FormatInt(value, 10))
}

// call says whether there may be mistakes in the arguments of a call.
func (f *finder) call(n *ast.CallExpr) bool {
	switch name := f.text(n.Fun); name {
	case "make", "fmt.Errorf", "errors.New", "panic":
		return false // a capacity or a text
	default:
		return !silent.MatchString(name)
	}
}

// silent are the calls that no test is to miss: logs, locks, and cancel, which vet misses.
var silent = regexp.MustCompile(`(?i:log|logger)\.(Debug|Info|Warn|Error|Log|LogAttrs)(Context)?$|\.R?(Lock|Unlock)$|^cancel$`)

// statements leaves out each statement of a block.
func (f *finder) statements(list []ast.Stmt, outermost bool) {
	for _, s := range list {
		var call *ast.CallExpr
		switch s := s.(type) {
		case *ast.ExprStmt:
			call, _ = s.X.(*ast.CallExpr)
		case *ast.DeferStmt:
			call = s.Call
		case *ast.AssignStmt:
			if s.Tok == token.DEFINE {
				continue
			}
		case *ast.ReturnStmt:
			if outermost {
				continue
			}
		case *ast.GoStmt, *ast.IncDecStmt, *ast.SendStmt, *ast.BranchStmt:
		default:
			continue
		}
		if call != nil && silent.MatchString(f.text(call.Fun)) {
			continue
		}
		f.add("a statement left out", s.Pos(), s.End(), "if false { "+f.text(s)+" }")
		f.found[len(f.found)-1].after = ""
	}
}

func (f *finder) text(n ast.Node) string {
	return f.src[f.fset.Position(n.Pos()).Offset:f.fset.Position(n.End()).Offset]
}

// add adds the mistake that replaces the code from start to end.
func (f *finder) add(kind string, start, end token.Pos, with string) {
	m, from := f.mistake, f.fset.Position(start)
	m.kind, m.line, m.with = kind, from.Line, with
	m.start, m.end = from.Offset, f.fset.Position(end).Offset
	first := strings.LastIndexByte(f.src[:m.start], '\n') + 1
	last := m.end
	if i := strings.IndexByte(f.src[m.end:], '\n'); i >= 0 {
		last += i
	}
	m.before = folded(f.src[first:last])
	m.after = folded(f.src[first:m.start] + with + f.src[m.end:last])
	f.found = append(f.found, m)
}

func folded(code string) string { return strings.Join(strings.Fields(code), " ") }
