package weaviatetest

import (
	"cmp"
	"fmt"
	"slices"
	"time"
)

// filter is a where filter ready to run.
type filter struct {
	match func(*stored) bool
	from  []set // whatever matches is in one of these; nil if they are not known
}

func (f *filter) size() int {
	n := 0
	for _, s := range f.from {
		n += len(s)
	}
	return n
}

// operators are those the real server's schema has; it refuses others before it looks at anything else.
var operators = []string{ //nolint:gochecknoglobals // never changed
	"And", "Or", "Not", "Equal", "NotEqual", "Like", "GreaterThan", "GreaterThanEqual", "LessThan", "LessThanEqual",
	"WithinGeoRange", "IsNull", "ContainsAny", "ContainsAll", "ContainsNone",
}

// valueKeys are the where fields that carry a value, and the data type each is for.
var valueKeys = map[string]string{ //nolint:gochecknoglobals // never changed
	"valueText": "text", "valueString": "text", "valueInt": "int", "valueNumber": "number",
	"valueBoolean": "boolean", "valueDate": "date",
}

// where makes a filter of a where argument. The search runs at index time in the real server, whose errors then have
// the index in front: late puts it there.
func (st *store) where(w map[string]any, late func(error) error) (*filter, error) {
	op, _ := w["operator"].(string)
	if op == "" {
		return nil, fmt.Errorf("could not extract filters: unrecognized operator: ")
	}
	if op == "And" || op == "Or" {
		return st.combine(op, w, late)
	}
	path := list(w["path"])
	if len(path) == 0 {
		return nil, fmt.Errorf("could not extract filters: invalid where filter: field 'path': must have at least one element")
	}
	if len(path) > 1 {
		return nil, fmt.Errorf("could not extract filters: invalid where filter: missing an argument after '%v'", path[len(path)-1])
	}
	var key string
	for k := range valueKeys {
		if _, ok := w[k]; ok {
			key = k
		}
	}
	if key == "" {
		return nil, fmt.Errorf("could not extract filters: invalid where filter: got operator '%s', but no value<Type> field set", op)
	}
	name := path[0].(string)
	if name == "id" || name == "_id" {
		return st.whereID(op, w[key])
	}
	p := st.class.property(name)
	if p == nil {
		return nil, fmt.Errorf("invalid 'where' filter: %w", noSuchProperty(name, st.class.Name))
	}
	kind := p.kind()
	if kind == "text[]" || kind == "uuid" {
		kind = "text"
	}
	if valueKeys[key] != kind {
		return nil, fmt.Errorf("invalid 'where' filter: data type filter cannot use %q on type %q, use %q instead",
			key, p.kind(), "value"+upperFirst(kind))
	}
	f, err := st.compare(p, op, w[key])
	if err != nil {
		return nil, late(err)
	}
	return f, nil
}

func (st *store) combine(op string, w map[string]any, late func(error) error) (*filter, error) {
	operands := list(w["operands"])
	if len(operands) == 0 {
		return nil, fmt.Errorf("could not extract filters: invalid where filter: operator '%s', but no operands set - add at least one operand", op)
	}
	var parts []*filter
	for _, o := range operands {
		f, err := st.where(o.(map[string]any), late)
		if err != nil {
			return nil, err
		}
		parts = append(parts, f)
	}
	out := &filter{}
	if op == "And" {
		for _, f := range parts {
			if f.from != nil && (out.from == nil || f.size() < out.size()) {
				out.from = f.from
			}
		}
		out.match = func(o *stored) bool { return !slices.ContainsFunc(parts, func(f *filter) bool { return !f.match(o) }) }
		return out, nil
	}
	out.from = []set{}
	for _, f := range parts {
		if f.from == nil {
			out.from = nil
			break
		}
		out.from = append(out.from, f.from...)
	}
	out.match = func(o *stored) bool { return slices.ContainsFunc(parts, func(f *filter) bool { return f.match(o) }) }
	return out, nil
}

func (st *store) whereID(op string, v any) (*filter, error) {
	id, _ := parseID(fmt.Sprint(v))
	if op != "Equal" {
		return nil, fmt.Errorf("stand-in: operator %s on id is not covered", op)
	}
	f := &filter{match: func(o *stored) bool { return o.ID == id }, from: []set{}}
	if o := st.objects[id]; o != nil {
		f.from = []set{{o: 1}}
	}
	return f, nil
}

func (st *store) compare(p *property, op string, v any) (*filter, error) {
	if op == "ContainsAny" {
		out := &filter{from: []set{}}
		var parts []*filter
		for _, e := range list(v) {
			f, err := st.compare(p, "Equal", e)
			if err != nil {
				return nil, err
			}
			parts, out.from = append(parts, f), append(out.from, f.from...)
		}
		if p.Tokenization == "" {
			out.from = nil
		}
		out.match = func(o *stored) bool { return slices.ContainsFunc(parts, func(f *filter) bool { return f.match(o) }) }
		return out, nil
	}
	if _, ok := v.([]any); ok {
		return nil, fmt.Errorf("expected value to be string, got '[]string'")
	}
	if op == "NotEqual" {
		f, err := st.compare(p, "Equal", v)
		if err != nil {
			return nil, err
		}
		return &filter{match: func(o *stored) bool { return !f.match(o) }}, nil
	}
	if p.Tokenization != "" {
		return st.textEqual(p, op, v.(string))
	}
	var accept func(int) bool
	switch op {
	case "Equal":
		accept = func(c int) bool { return c == 0 }
	case "GreaterThan":
		accept = func(c int) bool { return c > 0 }
	case "GreaterThanEqual":
		accept = func(c int) bool { return c >= 0 }
	case "LessThan":
		accept = func(c int) bool { return c < 0 }
	case "LessThanEqual":
		accept = func(c int) bool { return c <= 0 }
	default:
		return nil, fmt.Errorf("stand-in: operator %s on %s is not covered", op, p.kind())
	}
	want, err := comparable(p, v)
	if err != nil {
		return nil, err
	}
	return &filter{match: func(o *stored) bool {
		got, err := comparable(p, o.Properties[p.Name])
		return err == nil && got != nil && accept(compareValues(got, want))
	}}, nil
}

// textEqual matches by tokens: all of the filter's must be in the value, whatever else is there and in any order.
// Under "word" the filter "1-1" looks for the one token "1", so it finds "1-12" and "2-1" too.
func (st *store) textEqual(p *property, op, v string) (*filter, error) {
	if op != "Equal" {
		return nil, fmt.Errorf("stand-in: operator %s on text is not covered", op)
	}
	tokens := p.queryTokens(v)
	if len(tokens) == 0 {
		return nil, fmt.Errorf("invalid search term, only stopwords provided. " +
			"Stopwords can be configured in class.invertedIndexConfig.stopwords")
	}
	f := &filter{}
	var all []set
	for _, t := range tokens {
		s := st.text[p.Name].postings[t]
		all = append(all, s)
		if f.from == nil || len(s) < f.size() {
			f.from = []set{s}
		}
	}
	f.match = func(o *stored) bool {
		return !slices.ContainsFunc(all, func(s set) bool { return s[o] == 0 })
	}
	return f, nil
}

// comparable gives the form of a value by which its property is compared and sorted: dates by instant.
func comparable(p *property, v any) (any, error) {
	if s, ok := v.(string); ok && p.kind() == "date" {
		t, err := time.Parse(time.RFC3339, s)
		if err != nil {
			return nil, fmt.Errorf("trying parse time as RFC3339 string: %w", err)
		}
		return t, nil
	}
	if n, ok := v.(int64); ok {
		return float64(n), nil
	}
	return v, nil
}

// compareValues compares two values of one property; null comes before everything.
func compareValues(a, b any) int {
	switch {
	case a == nil && b == nil:
		return 0
	case a == nil:
		return -1
	case b == nil:
		return 1
	}
	switch a := a.(type) {
	case time.Time:
		return a.Compare(b.(time.Time))
	case float64:
		return cmp.Compare(a, b.(float64))
	case string:
		return cmp.Compare(a, b.(string))
	case bool:
		switch {
		case a == b.(bool):
			return 0
		case a:
			return 1
		}
		return -1
	}
	return 0
}

// list reads a GraphQL list, where a single value stands for a list of one.
func list(v any) []any {
	switch v := v.(type) {
	case nil:
		return nil
	case []any:
		return v
	}
	return []any{v}
}
