package weaviatetest

import (
	"fmt"
	"slices"
	"strings"

	"github.com/vektah/gqlparser/v2/ast"
)

// input is a GraphQL input type: a scalar, an enum (values), an object (fields), or a list of one of these.
// A single value may stand for a list of one.
type input struct {
	name   string
	values []string
	fields map[string]input
	list   bool
}

func listOf(t input) input { t.list = true; return t }

// arguments are what Get takes for a class. Those with an empty name are the real server's but not covered here.
func (c *class) arguments() map[string]input {
	var (
		text, integer, float = input{name: "String"}, input{name: "Int"}, input{name: "Float"}
		enum                 = func(name string, values ...string) input { return input{name: name, values: values} }
		fields               = func(f map[string]input) input { return input{name: "object", fields: f} }
		uncovered            = input{}
		// The value types are lists because the Contains… operators take several.
		value = func(kind, like string) input {
			return input{name: like + "|" + kind + "GetObjects" + c.Name, list: true}
		}
	)
	operand := map[string]input{
		"operator": enum("GetObjects"+c.Name+"WhereOperatorEnum", operators...), "path": listOf(text),
		"valueText": value("Text", "String"), "valueString": value("String", "String"), "valueDate": value("Date", "String"),
		"valueInt": value("Int", "Int"), "valueNumber": value("Number", "Float"), "valueBoolean": value("Boolean", "Boolean"),
		"valueGeoRange": uncovered,
	}
	operand["operands"] = listOf(input{name: "object", fields: operand})
	args := map[string]input{
		"where": fields(operand), "limit": integer, "offset": integer,
		"sort": listOf(fields(map[string]input{
			"path": listOf(text), "order": enum("GetObjects"+c.Name+"SortInpObjTypeEnum", "asc", "desc"),
		})),
		"bm25": fields(map[string]input{"query": text, "properties": listOf(text), "searchOperator": uncovered}),
		"nearVector": fields(map[string]input{
			"vector": listOf(float), "distance": float, "targetVectors": listOf(text),
			"certainty": uncovered, "vectorPerTarget": uncovered, "targets": uncovered,
		}),
		"hybrid": fields(map[string]input{
			"query": text, "alpha": float, "vector": listOf(float), "properties": listOf(text), "targetVectors": listOf(text),
			"fusionType":        enum("FusionEnum", "rankedFusion", "relativeScoreFusion"),
			"maxVectorDistance": uncovered, "searches": uncovered, "targets": uncovered, "bm25SearchOperator": uncovered,
		}),
		"after": uncovered, "autocut": uncovered, "group": uncovered, "groupBy": uncovered, "nearObject": uncovered,
	}
	if c.MultiTenancy.Enabled {
		args["tenant"] = text
	}
	if c.Replication.Factor > 1 {
		args["consistencyLevel"] = enum("ConsistencyLevelEnum", "ONE", "QUORUM", "ALL")
	}
	return args
}

// fault tells what is wrong with v as a value of t, in the words of the real server; "" if nothing is.
func (t input) fault(v *ast.Value) string {
	switch {
	case v.Kind == ast.NullValue:
		return ""
	case v.Kind == ast.Variable:
		return "stand-in: variables are not covered."
	case t.name == "":
		return "stand-in: not covered."
	case t.list && v.Kind == ast.ListValue:
		t.list = false
		for i, e := range v.Children {
			if f := t.fault(e.Value); f != "" {
				return fmt.Sprintf("In element #%d: %s", i+1, f)
			}
		}
		return ""
	case t.fields != nil:
		if v.Kind != ast.ObjectValue {
			return fmt.Sprintf("Expected %q, found not an object.", t.name)
		}
		for _, e := range v.Children {
			if _, ok := t.fields[e.Name]; !ok {
				return fmt.Sprintf("In field %q: Unknown field.", e.Name)
			}
			if f := t.fields[e.Name].fault(e.Value); f != "" {
				return fmt.Sprintf("In field %q: %s", e.Name, f)
			}
		}
		return ""
	}
	like, name, ok := strings.Cut(t.name, "|")
	if !ok {
		name = like
	}
	if t.values != nil {
		if v.Kind == ast.EnumValue && slices.Contains(t.values, v.Raw) {
			return ""
		}
	} else if slices.Contains(map[string][]ast.ValueKind{
		"String": {ast.StringValue, ast.BlockValue}, "Int": {ast.IntValue}, "Float": {ast.IntValue, ast.FloatValue},
		"Boolean": {ast.BooleanValue},
	}[like], v.Kind) {
		return ""
	}
	return fmt.Sprintf("Expected type %q, found %s.", name, printed(v))
}

// printed writes a value as the real server's messages do.
func printed(v *ast.Value) string {
	var parts []string
	switch v.Kind {
	case ast.ListValue:
		for _, e := range v.Children {
			parts = append(parts, printed(e.Value))
		}
		return "[" + strings.Join(parts, ", ") + "]"
	case ast.ObjectValue:
		for _, e := range v.Children {
			parts = append(parts, e.Name+": "+printed(e.Value))
		}
		return "{" + strings.Join(parts, ", ") + "}"
	case ast.StringValue, ast.BlockValue:
		return fmt.Sprintf("%q", v.Raw)
	}
	return v.Raw
}

// plainEscapes rewrites what the real server's lexer reads differently from ours: to it an escaped surrogate is never
// one half of a pair, so "\ud83d\ude00" is two U+FFFD and finds no emoji, and "\u{1F600}" is a syntax error, as is
// the "\v" it is turned into.
func plainEscapes(query string) string {
	if !strings.Contains(query, `\u`) {
		return query
	}
	var out strings.Builder
	for i := 0; i < len(query); i++ {
		if query[i] != '\\' || i+1 == len(query) {
			out.WriteByte(query[i])
			continue
		}
		rest := strings.ToLower(query[i+1 : min(i+4, len(query))])
		switch {
		case strings.HasPrefix(rest, "u{"):
			out.WriteString(`\v`)
			i += 2
		case len(rest) == 3 && rest[:2] == "ud" && rest[2] >= '8' && i+6 <= len(query):
			out.WriteString(`\ufffd`)
			i += 5
		default:
			out.WriteString(query[i : i+2])
			i++
		}
	}
	return out.String()
}
