package weaviatetest

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"

	"github.com/vektah/gqlparser/v2/ast"
	"github.com/vektah/gqlparser/v2/gqlerror"
	"github.com/vektah/gqlparser/v2/parser"
)

// question is one GraphQL request.
type question struct {
	Query         string         `json:"query"`
	OperationName string         `json:"operationName"`
	Variables     map[string]any `json:"variables"`
}

// answer is what comes back, in a 200 whatever happened.
type answer struct {
	Data   map[string]any `json:"data,omitempty"`
	Errors []gqlError     `json:"errors,omitempty"`
}

type gqlError struct {
	Locations []location `json:"locations"`
	Message   string     `json:"message"`
	Path      []string   `json:"path"`
}

type location struct {
	Column int `json:"column"`
	Line   int `json:"line"`
}

func at(p *ast.Position) []location { return []location{{Column: p.Column, Line: p.Line}} }

// Without any class there is no GraphQL at all, which is a 422 and not a GraphQL error.
const noSchema = "no graphql provider present, this is most likely because no schema is present. Import a schema first"

func (s *Server) graphql(w http.ResponseWriter, r *http.Request, _ []string) error {
	var q question
	if err := readBody(r, &q); err != nil {
		return err
	}
	if q.Query == "" {
		return refuse(http.StatusUnprocessableEntity, "query cannot be empty")
	}
	s.mu.RLock()
	defer s.mu.RUnlock()
	if len(s.classes) == 0 {
		return refuse(http.StatusUnprocessableEntity, noSchema+"!")
	}
	reply(w, http.StatusOK, s.answerLocked(q))
	return nil
}

// graphqlBatch answers a list in its order; a bad question does not harm its neighbours.
func (s *Server) graphqlBatch(w http.ResponseWriter, r *http.Request, _ []string) error {
	var qs []*question
	if err := readBody(r, &qs); err != nil {
		return err
	}
	if len(qs) == 0 {
		reply(w, http.StatusUnprocessableEntity, map[string]any{"error": nil})
		return nil
	}
	s.mu.RLock()
	defer s.mu.RUnlock()
	if len(s.classes) == 0 {
		return refuse(http.StatusUnprocessableEntity, noSchema)
	}
	answers := make([]*answer, len(qs))
	for i, q := range qs {
		switch {
		case q == nil: // the real server panics on it and leaves its answer out
		case q.Query == "":
			answers[i] = &answer{Errors: []gqlError{{
				Message: "422: The request is well-formed but was unable to be followed due to semantic errors.",
			}}}
		default:
			answers[i] = s.answerLocked(*q)
		}
	}
	reply(w, http.StatusOK, answers)
	return nil
}

// answerLocked parses, validates as a whole, and only then runs. The caller holds mu for reading.
func (s *Server) answerLocked(q question) *answer {
	doc, err := parser.ParseQuery(&ast.Source{Input: plainEscapes(q.Query)})
	if err != nil {
		e := gqlError{Message: "Syntax Error GraphQL request " + err.Error()}
		if g, ok := errors.AsType[*gqlerror.Error](err); ok && len(g.Locations) > 0 {
			l := g.Locations[0]
			e.Message = fmt.Sprintf("Syntax Error GraphQL request (%d:%d) %s", l.Line, l.Column, g.Message)
			e.Locations = []location{{l.Column, l.Line}}
		}
		return &answer{Errors: []gqlError{e}}
	}
	if len(doc.Operations) != 1 || len(doc.Fragments) > 0 || len(doc.Operations[0].VariableDefinitions) > 0 ||
		doc.Operations[0].Operation != ast.Query {
		return &answer{Errors: []gqlError{{Message: "stand-in: one query without fragments and variables is covered"}}}
	}
	op := doc.Operations[0]
	if q.OperationName != "" && q.OperationName != op.Name {
		return &answer{Errors: []gqlError{{
			Locations: []location{}, Message: fmt.Sprintf("Unknown operation named %q.", q.OperationName),
		}}}
	}
	if faults := s.validateLocked(op.SelectionSet); len(faults) > 0 {
		return &answer{Errors: faults}
	}
	return s.runLocked(op.SelectionSet)
}

// fieldsOf gives a selection's fields. Anything else in it becomes a fault.
func fieldsOf(set ast.SelectionSet, faults *[]gqlError) []*ast.Field {
	var fields []*ast.Field
	for _, sel := range set {
		f, ok := sel.(*ast.Field)
		if !ok || len(f.Directives) > 0 {
			*faults = append(*faults, gqlError{at(sel.GetPosition()), "stand-in: fragments and directives are not covered", nil})
			continue
		}
		fields = append(fields, f)
	}
	return fields
}

func (s *Server) validateLocked(root ast.SelectionSet) []gqlError {
	var faults []gqlError
	for _, get := range fieldsOf(root, &faults) {
		switch get.Name {
		case "__typename":
		case "Get":
			for _, f := range fieldsOf(get.SelectionSet, &faults) {
				if c := s.classes[f.Name]; c != nil {
					c.validate(f, &faults)
				} else {
					faults = append(faults, unknownField(f, "GetObjectsObj"))
				}
			}
		case "Aggregate", "Explore":
			faults = append(faults, gqlError{at(get.Position), "stand-in: " + get.Name + " is not covered", nil})
		default:
			faults = append(faults, unknownField(get, "WeaviateObj"))
		}
	}
	return faults
}

func unknownField(f *ast.Field, on string) gqlError {
	return gqlError{at(f.Position), fmt.Sprintf("Cannot query field %q on type %q.", f.Name, on), nil}
}

func (c *class) validate(f *ast.Field, faults *[]gqlError) {
	known := c.arguments()
	for _, a := range f.Arguments {
		t, ok := known[a.Name]
		if !ok {
			*faults = append(*faults, gqlError{at(a.Position), fmt.Sprintf(
				"Unknown argument %q on field %q of type %q.", a.Name, f.Name, "GetObjectsObj"), nil})
			continue
		}
		if why := t.fault(a.Value); why != "" {
			where := at(a.Value.Position)
			if a.Value.Kind == ast.StringValue {
				where[0].Column-- // the parser counts from behind the quote
			}
			*faults = append(*faults, gqlError{where, fmt.Sprintf(
				"Argument %q has invalid value %s.\n%s", a.Name, printed(a.Value), why), nil})
		}
	}
	if len(f.SelectionSet) == 0 {
		*faults = append(*faults, gqlError{at(f.Position), fmt.Sprintf(
			"Field %q of type %q must have a sub selection.", f.Name, "["+c.Name+"]"), nil})
	}
	for _, p := range fieldsOf(f.SelectionSet, faults) {
		switch {
		case p.Name == "_additional":
			for _, a := range fieldsOf(p.SelectionSet, faults) {
				if !slices.Contains(additional, a.Name) || a.Name == "vectors" && c.VectorConfig == nil {
					*faults = append(*faults, unknownField(a, c.Name+"Additional"))
				}
			}
		case p.Name != "__typename" && c.property(p.Name) == nil:
			*faults = append(*faults, unknownField(p, c.Name))
		}
	}
}

var additional = []string{ //nolint:gochecknoglobals // never changed
	"id", "creationTimeUnix", "lastUpdateTimeUnix", "score", "explainScore", "distance", "certainty", "vector", "vectors",
}

func (s *Server) runLocked(root ast.SelectionSet) *answer {
	out := &answer{Data: map[string]any{}}
	for _, get := range fieldsOf(root, nil) {
		if get.Name == "__typename" {
			out.Data[get.Alias] = "WeaviateObj"
			continue
		}
		data, first := map[string]any{}, map[string]*ast.Position{}
		out.Data[get.Alias] = data
		for _, f := range fieldsOf(get.SelectionSet, nil) {
			if _, twice := data[f.Alias]; twice { // the real server panics and says so
				data[f.Alias] = nil
				where := append(at(first[f.Alias]), at(f.Position)...)
				out.Errors = append(out.Errors, gqlError{where, "Only one Field expected here", []string{get.Alias, f.Alias}})
				continue
			}
			first[f.Alias] = f.Position
			rows, err := s.classes[f.Name].get(f)
			if err != nil {
				data[f.Alias] = nil
				out.Errors = append(out.Errors, gqlError{at(f.Position), err.Error(), []string{get.Alias, f.Alias}})
				continue
			}
			data[f.Alias] = rows
		}
	}
	return out
}

func (c *class) get(f *ast.Field) ([]map[string]any, error) {
	args := map[string]any{}
	for _, a := range f.Arguments {
		v, err := a.Value.Value(nil)
		if err != nil {
			return nil, err
		}
		if v != nil {
			args[a.Name] = v
		}
	}
	tenant, _ := args["tenant"].(string)
	st, err := c.storeFor(tenant, false)
	if err != nil {
		return nil, fmt.Errorf("explorer: list class: search: object search at index %s: %w", indexName(c), err)
	}
	hits, err := st.search(args)
	if err != nil {
		return nil, err
	}
	rows := make([]map[string]any, len(hits))
	for i, h := range hits {
		rows[i] = c.row(h, f.SelectionSet)
	}
	return rows, nil
}

func (c *class) row(h hit, want ast.SelectionSet) map[string]any {
	row := map[string]any{}
	for _, p := range fieldsOf(want, nil) {
		switch p.Name {
		case "__typename":
			row[p.Alias] = c.Name
		case "_additional":
			extra := map[string]any{}
			for _, a := range fieldsOf(p.SelectionSet, nil) {
				extra[a.Alias] = h.additional(a)
			}
			row[p.Alias] = extra
		default:
			v := h.Properties[p.Name]
			// GraphQL's Int has 32 bits: a larger integer is null here, though REST shows it.
			if n, ok := v.(float64); ok && c.property(p.Name).kind() == "int" && n != float64(int32(n)) {
				v = nil
			}
			row[p.Alias] = v
		}
	}
	return row
}

// additional values are typed as the real server has them: times and scores are strings.
func (h hit) additional(f *ast.Field) any {
	switch f.Name {
	case "id":
		return h.ID
	case "creationTimeUnix":
		return strconv.FormatInt(h.Created, 10)
	case "lastUpdateTimeUnix":
		return strconv.FormatInt(h.Updated, 10)
	case "score":
		return strconv.FormatFloat(float64(h.score), 'f', -1, 32)
	case "explainScore":
		return ""
	case "distance":
		if h.distance != nil {
			return *h.distance
		}
	case "certainty":
		if h.distance != nil {
			return 1 - float64(*h.distance)/2
		}
	case "vector":
		return append([]float32{}, h.Vector...)
	case "vectors":
		out := map[string]any{}
		for _, v := range fieldsOf(f.SelectionSet, nil) {
			if got := h.Vectors[v.Name]; got != nil {
				out[v.Alias] = got
			} else {
				out[v.Alias] = nil
			}
		}
		return out
	}
	return nil
}
