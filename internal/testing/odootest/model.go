package odootest

import (
	"cmp"
	"maps"
	"slices"
	"strings"
)

// field is a field of a model as fields_get has it.
type field struct {
	Name, Label, Type  string
	Required, ReadOnly bool
	Relation           string     // model a relation leads to
	Selection          [][]string // pairs of value and label
}

func (f field) attributes() map[string]any {
	out := map[string]any{
		"name": f.Name, "string": f.Label, "type": f.Type, "required": f.Required, "readonly": f.ReadOnly,
		"store": f.Name != "display_name", "searchable": true, "sortable": true,
	}
	if f.Relation != "" {
		out["relation"] = f.Relation
	}
	if f.Selection != nil {
		out["selection"] = f.Selection
	}
	return out
}

// record holds a record's values: many2one as an id or false, x2many as []any of ids, anything empty as false.
type record map[string]any

func (r record) id() int64 { return r["id"].(int64) }

// model is a model and its records.
type model struct {
	name, label string
	fields      []field
	order       string // what a search without order sorts by
	records     map[int64]record
	last        int64
}

func (m *model) field(name string) (field, bool) {
	i := slices.IndexFunc(m.fields, func(f field) bool { return f.Name == name })
	if i < 0 {
		return field{}, false
	}
	return m.fields[i], true
}

// search gives the records of a call's domain, order, offset and limit. Archived ones are not found unless the domain
// or the context speaks of them.
func (m *model) search(in arguments) ([]record, *Error) {
	match, err := m.domain(in)
	if err != nil {
		return nil, err
	}
	order, _ := in.named["order"].(string)
	less, err := m.sorter(cmp.Or(order, m.order))
	if err != nil {
		return nil, err
	}
	var found []record
	for _, r := range m.records {
		if match(r) {
			found = append(found, r)
		}
	}
	slices.SortFunc(found, less)
	limit, offset := in.number("limit"), in.number("offset")
	if limit < 0 {
		return nil, exception(500, "psycopg2.errors.InvalidRowCountInLimitClause", "LIMIT must not be negative\n")
	}
	found = found[min(max(offset, 0), len(found)):]
	if limit > 0 {
		found = found[:min(limit, len(found))]
	}
	return found, nil
}

func (m *model) sorter(order string) (func(a, b record) int, *Error) {
	type key struct {
		name string
		sign int
	}
	var keys []key
	for part := range strings.SplitSeq(order, ",") {
		words := strings.Fields(part)
		if len(words) == 0 {
			continue
		}
		if _, ok := m.field(words[0]); !ok {
			return nil, valueError("Invalid field '%s' on model '%s'", words[0], m.name)
		}
		k := key{words[0], 1}
		if len(words) > 1 && strings.EqualFold(words[1], "desc") {
			k.sign = -1
		}
		keys = append(keys, k)
	}
	return func(a, b record) int {
		for _, k := range keys {
			if c := compare(a[k.name], b[k.name]); c != 0 {
				return c * k.sign
			}
		}
		return cmp.Compare(a.id(), b.id())
	}, nil
}

// compare orders values of one field; texts without regard to case, as the database's collation does.
func compare(a, b any) int {
	switch a := a.(type) {
	case int64:
		if b, ok := b.(int64); ok {
			return cmp.Compare(a, b)
		}
	case string:
		if b, ok := b.(string); ok {
			return cmp.Or(cmp.Compare(strings.ToLower(a), strings.ToLower(b)), cmp.Compare(a, b))
		}
	}
	return 0
}

// format reads fields of records; no fields means all.
func (s *Server) format(m *model, found []record, names []string) (any, *Error) {
	if len(names) == 0 {
		for _, f := range m.fields {
			names = append(names, f.Name)
		}
	}
	fields := make([]field, 0, len(names))
	for _, name := range names {
		f, ok := m.field(name)
		if !ok {
			return nil, valueError("Invalid field '%s' on '%s'", name, m.name)
		}
		fields = append(fields, f)
	}
	out := make([]map[string]any, 0, len(found))
	for _, r := range found {
		row := map[string]any{"id": r.id()}
		for _, f := range fields {
			row[f.Name] = s.value(m, r, f)
		}
		out = append(out, row)
	}
	return out, nil
}

func (s *Server) value(m *model, r record, f field) any {
	v := r[f.Name]
	switch {
	case f.Name == "display_name":
		return s.displayName(m, r)
	case f.Type == "many2one":
		to := s.models[f.Relation]
		id, _ := v.(int64)
		if to == nil || to.records[id] == nil {
			return false
		}
		return []any{id, s.displayName(to, to.records[id])}
	case v == nil && strings.HasSuffix(f.Type, "2many"):
		return []any{}
	case v == nil:
		return false
	}
	return v
}

func (s *Server) displayName(m *model, r record) string {
	name, _ := r["name"].(string)
	if parent, ok := r["parent_id"].(int64); ok && m.records[parent] != nil {
		return s.displayName(m, m.records[parent]) + ", " + name
	}
	return name
}

func create(s *Server, m *model, in arguments) (any, *Error) {
	vals, isList := in.named["vals_list"].([]any)
	if !isList {
		vals = []any{in.named["vals_list"]}
	}
	var made []record
	for _, v := range vals {
		given, _ := v.(map[string]any)
		for _, name := range slices.Sorted(maps.Keys(given)) {
			if _, ok := m.field(name); !ok {
				return nil, valueError("Invalid field '%s' in '%s'", name, m.name)
			}
		}
		if name, _ := given["name"].(string); name == "" && m.name == "res.partner" {
			return nil, validationError("The operation cannot be completed: Contacts require a name")
		}
		r := record{}
		maps.Copy(r, given)
		made = append(made, r)
	}
	ids := []any{}
	for _, r := range made {
		m.add(r)
		ids = append(ids, r.id())
	}
	if !isList && !in.json2 { // one for one, but JSON-2 always answers with a list
		return ids[0], nil
	}
	return ids, nil
}

// writable gives the records that a write of a call is for.
func (s *Server) writable(m *model, in arguments) ([]record, *Error) {
	var out []record
	for _, id := range in.ids {
		if m.records[id] == nil {
			return nil, missingError(m.name, id, s.cfg.UID)
		}
		out = append(out, m.records[id])
	}
	return out, nil
}

func write(s *Server, m *model, in arguments) (any, *Error) {
	vals, _ := in.named["vals"].(map[string]any)
	records, err := s.writable(m, in)
	if err != nil {
		return nil, err
	}
	for _, name := range slices.Sorted(maps.Keys(vals)) {
		if _, ok := m.field(name); !ok && len(records) > 0 {
			return nil, exception(500, "builtins.KeyError", "%s", name)
		}
	}
	for _, r := range records {
		maps.Copy(r, vals)
		r["write_date"] = now()
	}
	return true, nil
}

func unlink(s *Server, m *model, in arguments) (any, *Error) {
	records, err := s.writable(m, in)
	if err != nil {
		return nil, err
	}
	for _, r := range records {
		delete(m.records, r.id())
	}
	return true, nil
}

func archive(s *Server, m *model, in arguments) (any, *Error) {
	records, err := s.writable(m, in)
	for _, r := range records {
		r["active"] = false
	}
	return nil, err
}
