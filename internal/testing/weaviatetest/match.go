package weaviatetest

import (
	"cmp"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"
	pb "github.com/weaviate/weaviate/grpc/generated/protocol/v1"
)

// filter is a clause ready to run.
type filter struct {
	match func(*stored) bool
	from  []set             // whatever matches is in one of these; nil if they are not known
	rows  func(*stored) any // set if the filter is a single comparison by range or Like: the value in whose order the index is read
}

func (f *filter) size() int {
	n := 0
	for _, s := range f.from {
		n += len(s)
	}
	return n
}

// compile makes a filter of a clause.
func (st *store) compile(c *clause) (*filter, error) {
	switch {
	case c.combines():
		return st.combine(c)
	case c.op == opContainsAny || c.op == opContainsAll:
		return st.contains(c)
	case c.property == nil:
		return st.compileInternal(c)
	case c.op == opIsNull:
		return st.isNull(c)
	case c.property.base() == "text":
		return st.compileText(c)
	}
	want, err := c.property.comparand(c.value)
	if err != nil {
		return nil, err
	}
	if !*c.property.IndexFilterable {
		return nil, notFilterable(c.property)
	}
	if c.op == opLike {
		return nil, fmt.Errorf("stand-in: operator Like on %s is not covered", c.property.kind())
	}
	return st.compare(c, want, func(o *stored) []any { return c.property.keys(o) }), nil
}

func notFilterable(p *property) error {
	return missingIndex{fmt.Errorf("Filtering by property '%[1]s' requires inverted index. Is `indexFilterable` option of property "+ //nolint:staticcheck // the real server's words
		"'%[1]s' enabled? Set it to `true` or leave empty", p.Name)}
}

func (st *store) combine(c *clause) (*filter, error) {
	if len(c.operands) == 0 {
		return nil, fmt.Errorf("resolve doc ids for prop/value pair: no children for operator %q",
			map[pb.Filters_Operator]string{opAnd: "And", opOr: "Or"}[c.op])
	}
	var parts []*filter
	for i, o := range c.operands {
		f, err := st.compile(o)
		if _, ok := err.(missingIndex); ok { //nolint:errorlint // wrapped, it is shown as it is
			return nil, err
		}
		if err != nil {
			return nil, fmt.Errorf("nested query: nested clause at pos %d: %w", i, err)
		}
		parts = append(parts, f)
	}
	if len(parts) == 1 {
		return parts[0], nil
	}
	if c.op == opAnd {
		return all(parts), nil
	}
	return anyOf(parts), nil
}

func all(parts []*filter) *filter {
	out := &filter{}
	for _, f := range parts {
		if f.from != nil && (out.from == nil || f.size() < out.size()) {
			out.from = f.from
		}
	}
	out.match = func(o *stored) bool { return !slices.ContainsFunc(parts, func(f *filter) bool { return !f.match(o) }) }
	return out
}

func anyOf(parts []*filter) *filter {
	out := &filter{from: []set{}}
	for _, f := range parts {
		if f.from == nil {
			out.from = nil
			break
		}
		out.from = append(out.from, f.from...)
	}
	out.match = func(o *stored) bool { return slices.ContainsFunc(parts, func(f *filter) bool { return f.match(o) }) }
	return out
}

func (st *store) contains(c *clause) (*filter, error) {
	var values []any
	switch v := c.value.(type) {
	case []string:
		values = anys(v)
	case []int:
		values = anys(v)
	case []float64:
		values = anys(v)
	case []bool:
		values = anys(v)
	}
	kind := "string"
	if c.property != nil {
		kind = map[string]string{"int": "int", "number": "float64", "boolean": "bool"}[c.property.base()]
	}
	if want := "[]" + cmp.Or(kind, "string"); fmt.Sprintf("%T", c.value) != want {
		return nil, fmt.Errorf("extract contains values: value type should be %s but is %T", want, c.value)
	}
	if len(values) == 0 {
		return nil, fmt.Errorf("extract contains values: %w", errOnlyStopwords)
	}
	var parts []*filter
	for _, v := range values {
		f, err := st.compile(&clause{op: opEqual, name: c.name, property: c.property, value: v})
		if err != nil {
			return nil, err
		}
		parts = append(parts, f)
	}
	if c.op == opContainsAll {
		return all(parts), nil
	}
	return anyOf(parts), nil
}

func anys[T any](v []T) []any {
	out := make([]any, len(v))
	for i, e := range v {
		out[i] = e
	}
	return out
}

func (st *store) isNull(c *clause) (*filter, error) {
	want, ok := c.value.(bool)
	if !ok {
		return nil, fmt.Errorf("expected value to be bool, got %T", c.value)
	}
	if st.class.Inverted["indexNullState"] != true {
		return nil, fmt.Errorf("resolve doc ids for prop/value pair: Nullstate must be indexed to be filterable! " +
			"Add `indexNullState: true` to the invertedIndexConfig")
	}
	return &filter{match: func(o *stored) bool {
		v := o.Properties[c.name]
		list, isList := v.([]any)
		return (v == nil || isList && len(list) == 0) == want
	}}, nil
}

// compileInternal filters by the id and by the times that the server keeps itself.
func (st *store) compileInternal(c *clause) (*filter, error) {
	text, ok := c.value.(string)
	if strings.HasSuffix(c.name, "id") {
		if !ok {
			return nil, fmt.Errorf("expected value to be string, got '%T'", c.value)
		}
		f := st.compare(c, text, func(o *stored) []any { return []any{o.ID} })
		if c.op == opEqual {
			f.from = []set{{}}
			if o := st.objects[text]; o != nil {
				f.from = []set{{o: 1}}
			}
		}
		return f, nil
	}
	if !ok {
		return nil, fmt.Errorf("expected value to be string or time.Time, got '%T'", c.value)
	}
	at, err := time.Parse(time.RFC3339, text)
	if err != nil {
		return nil, fmt.Errorf("trying parse time as RFC3339 string: %w", err)
	}
	if st.class.Inverted["indexTimestamps"] != true {
		return nil, fmt.Errorf("resolve doc ids for prop/value pair: Timestamps must be indexed to be filterable! "+
			"Add `IndexTimestamps: true` to the InvertedIndexConfig in %s", st.class.Name)
	}
	return st.compare(c, float64(at.UnixMilli()), func(o *stored) []any { return []any{st.class.key(c.name, o)} }), nil
}

// compare matches an object one of whose keys stands to want as the operator says. Not Equal matches what Equal does
// not, objects without the property too.
func (st *store) compare(c *clause, want any, keys func(*stored) []any) *filter {
	accept := acceptance(c.op, want)
	f := &filter{match: func(o *stored) bool { return slices.ContainsFunc(keys(o), accept) }}
	switch c.op {
	case opNotEqual:
		equal := f.match
		f.match = func(o *stored) bool { return !equal(o) }
	case opEqual:
	default:
		f.rows = func(o *stored) any {
			fitting := slices.DeleteFunc(slices.Clone(keys(o)), func(k any) bool { return !accept(k) })
			return slices.MinFunc(fitting, compareValues)
		}
	}
	return f
}

// acceptance tells which keys an operator takes; for Not Equal, those that Equal does.
func acceptance(op pb.Filters_Operator, want any) func(any) bool {
	if op == opLike {
		pattern := regexp.QuoteMeta(want.(string))
		pattern = strings.NewReplacer(`\?`, ".", `\*`, ".*").Replace(pattern)
		like := regexp.MustCompile("^" + pattern + "$")
		return func(v any) bool { return like.MatchString(v.(string)) }
	}
	signs := map[pb.Filters_Operator][]int{
		opEqual: {0}, opNotEqual: {0}, opGreater: {1}, pb.Filters_OPERATOR_GREATER_THAN_EQUAL: {0, 1},
		pb.Filters_OPERATOR_LESS_THAN: {-1}, pb.Filters_OPERATOR_LESS_THAN_EQUAL: {-1, 0},
	}[op]
	return func(v any) bool { return slices.Contains(signs, compareValues(v, want)) }
}

// compileText matches by tokens: each of the filter's must be in the value, whatever else is there and in any order.
// Under "word" the filter "1-1" looks for the one token "1", so it finds "1-12" and "2-1" too.
func (st *store) compileText(c *clause) (*filter, error) {
	p := c.property
	text, ok := c.value.(string)
	if !ok {
		return nil, fmt.Errorf("expected value to be string, got '%T'", c.value)
	}
	tokens := p.queryTokens(text)
	if c.op == opLike {
		tokens = p.patternTokens(text)
	}
	if !*p.IndexFilterable && !*p.IndexSearchable {
		return nil, notFilterable(p)
	}
	if len(tokens) == 0 {
		return nil, errOnlyStopwords
	}
	index := st.text[p.Name]
	var parts []*filter
	for _, t := range tokens {
		if c.op == opEqual {
			having := index.postings[t]
			parts = append(parts, &filter{match: func(o *stored) bool { return having[o] > 0 }, from: []set{having}})
			continue
		}
		parts = append(parts, st.compare(c, t, func(o *stored) []any { return anys(p.valueTokens(o.Properties[p.Name])) }))
	}
	if len(parts) == 1 {
		return parts[0], nil
	}
	return all(parts), nil
}

// keys are the values by which an object is found: one, or those of a list.
func (p *property) keys(o *stored) []any {
	v := o.Properties[p.Name]
	list, ok := v.([]any)
	if !ok {
		list = []any{v}
	}
	var out []any
	for _, e := range list {
		if k := sortKey(p, e); k != nil {
			out = append(out, k)
		}
	}
	return out
}

// comparand reads the value of a filter as the property holds it.
func (p *property) comparand(v any) (any, error) {
	text, isText := v.(string)
	switch p.base() {
	case "int":
		n, ok := v.(int)
		if !ok {
			return nil, fmt.Errorf("expected value to be int, got %T", v)
		}
		return float64(n), nil
	case "number":
		n, ok := v.(float64)
		if !ok {
			return nil, fmt.Errorf("expected value to be float64, got %T", v)
		}
		return n, nil
	case "boolean":
		b, ok := v.(bool)
		if !ok {
			return nil, fmt.Errorf("expected value to be bool, got %T", v)
		}
		return b, nil
	case "date":
		if !isText {
			return nil, fmt.Errorf("expected value to be time.Time (or parseable string), got %T", v)
		}
		t, err := time.Parse(time.RFC3339, text)
		if err != nil {
			return nil, fmt.Errorf("trying parse time as RFC3339 string: %w", err)
		}
		return t, nil
	}
	if !isText {
		return nil, fmt.Errorf("expected uuid filter value to be a string, got %T", v)
	}
	id, err := uuid.Parse(text)
	if err != nil {
		return nil, fmt.Errorf("parse uuid filter value: %w", err)
	}
	return id.String(), nil
}

// sortKey gives the form of a stored value by which it is compared and sorted: dates by instant.
func sortKey(p *property, v any) any {
	if s, ok := v.(string); ok && p.base() == "date" {
		t, err := time.Parse(time.RFC3339, s)
		if err != nil {
			return nil
		}
		return t
	}
	return v
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
	case []any:
		return slices.CompareFunc(a, b.([]any), compareValues)
	}
	return 0
}
