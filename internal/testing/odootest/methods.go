package odootest

import (
	"cmp"
	"maps"
	"net/http"
	"slices"
	"strings"
)

// call is a method call of either protocol.
type call struct {
	model, method string
	args          []any // JSON-RPC only
	kwargs        map[string]any
	json2         bool
}

// method is one that can be called. Its parameters are in the order in which JSON-RPC gives them; those of a record
// method come behind the ids. required ones have no default.
type method struct {
	records  bool
	params   []string
	required int
	since    int    // Odoo version
	until    int    // Odoo version; all later ones if 0
	only     string // the model that has it; all if empty
	run      func(s *Server, m *model, in arguments) (any, *Error)
}

// arguments are a call's, by name.
type arguments struct {
	ids     []int64
	named   map[string]any
	context map[string]any
	json2   bool
}

func (in arguments) strings(name string) []string {
	list, _ := in.named[name].([]any)
	var out []string
	for _, e := range list {
		if s, ok := e.(string); ok {
			out = append(out, s)
		}
	}
	return out
}

func (in arguments) number(name string) int {
	n, _ := in.named[name].(int64)
	return int(n)
}

func fails(e *Error) method {
	return method{records: true, run: func(*Server, *model, arguments) (any, *Error) { return nil, e }}
}

func methods(version int) map[string]method {
	return map[string]method{
		"search":              {params: []string{"domain", "offset", "limit", "order"}, required: 1, run: search},
		"search_read":         {params: []string{"domain", "fields", "offset", "limit", "order"}, run: searchRead},
		"search_count":        {params: []string{"domain", "limit"}, required: 1, run: searchCount},
		"read":                {records: true, params: []string{"fields", "load"}, run: read},
		"fields_get":          {params: []string{"allfields", "attributes"}, run: fieldsGet},
		"name_search":         {params: []string{"name", "domain", "operator", "limit"}, run: nameSearch},
		"create":              {params: []string{"vals_list"}, required: 1, run: create},
		"write":               {records: true, params: []string{"vals"}, required: 1, run: write},
		"unlink":              {records: true, run: unlink},
		"has_access":          {records: true, params: []string{"operation"}, required: 1, since: 18, run: hasAccess},
		"check_access_rights": {params: []string{"operation", "raise_exception"}, required: 1, run: hasAccess},
		"action_archive":      {records: true, run: archive}, // answers None
		"name_get":            {records: true, until: 17, run: nameGet},
		"get_param":           {only: "ir.config_parameter", params: []string{"key", "default"}, required: 1, run: getParam},
		"set_param":           {only: "ir.config_parameter", params: []string{"key", "value"}, required: 2, run: setParam},
		"has_group":           {only: "res.users", records: version >= 18, params: []string{"group_ext_id"}, required: 1, run: hasGroup},
		"context_get":         {only: "res.users", run: contextGet},
		"display_name_for":    {only: "ir.model", params: []string{"models"}, required: 1, since: 16, run: displayNameFor},
		// No real Odoo has these: one for each class of error.
		"fail_user_error":       fails(userError("You cannot do that.")),
		"fail_validation_error": fails(validationError("That is not valid.")),
		"fail_access_error":     fails(accessError("You are not allowed to do that.")),
		"fail_missing_error":    fails(missingError("res.partner", 99999, 2)),
		"fail_value_error":      fails(valueError("invalid value")),
		"fail_lock_error":       fails(lockError("Cannot grab a lock on records")),
	}
}

// runLocked finds the method, names its arguments and runs it. The caller holds mu.
func (s *Server) runLocked(c call) (any, *Error) {
	m := s.models[c.model]
	if m == nil {
		if c.json2 {
			return nil, httpError(http.StatusNotFound, "NotFound", "the model '"+c.model+"' does not exist")
		}
		return nil, userError("Object %s doesn't exist", c.model)
	}
	full := c.model + "." + c.method
	if strings.HasPrefix(c.method, "_") || c.method == "browse" {
		return nil, accessError("Private methods (such as '%s') cannot be called remotely.", full)
	}
	f, ok := methods(s.cfg.Version)[c.method]
	if !ok || f.only != "" && f.only != c.model || s.cfg.Version < f.since || f.until != 0 && s.cfg.Version > f.until {
		msg := "The method '" + full + "' does not exist"
		if c.json2 {
			return nil, httpError(http.StatusNotFound, "NotFound", msg)
		}
		return nil, exception(500, "builtins.AttributeError", "%s", msg)
	}
	if s.cfg.Version < 16 && (c.method == "search" || c.method == "search_count") || s.cfg.Version < 19 && c.method == "name_search" {
		f.params[slices.Index(f.params, "domain")] = "args"
	}
	in, err := c.bind(f)
	if err != nil {
		return nil, err
	}
	if args, ok := in.named["args"]; ok {
		in.named["domain"] = args
	}
	if lang, ok := in.context["lang"].(string); ok && lang != "en_US" && lang != "es_ES" && lang != "" && s.cfg.Version > 14 {
		return nil, userError("Invalid language code: %s", lang)
	}
	return f.run(s, m, in)
}

func (c call) bind(f method) (arguments, *Error) {
	in := arguments{named: maps.Clone(c.kwargs), json2: c.json2}
	if in.named == nil {
		in.named = map[string]any{}
	}
	ctx, given := in.named["context"]
	in.context, _ = ctx.(map[string]any)
	if given && ctx != nil && in.context == nil {
		return in, typeError("'%s' object is not iterable", pythonType(ctx))
	}
	delete(in.named, "context")

	args := c.args
	ids, given := in.named["ids"]
	switch {
	case c.json2 && given && !f.records:
		return in, httpError(http.StatusUnprocessableEntity, "UnprocessableEntity", "cannot call "+c.model+"."+c.method+" with ids")
	case c.json2:
		delete(in.named, "ids")
	case f.records && len(args) > 0:
		ids, args = args[0], args[1:]
	}
	in.ids = toIDs(ids)
	if len(args) > len(f.params) {
		return in, typeError("BaseModel.%s() takes %d positional arguments but %d were given", c.method, len(f.params)+1, len(args)+1)
	}
	for i, v := range args {
		in.named[f.params[i]] = v
	}
	if err := c.missing(f, in); err != nil && c.json2 { // Python itself looks for unknown names first
		return in, err
	}
	for _, name := range slices.Sorted(maps.Keys(in.named)) {
		switch {
		case slices.Contains(f.params, name):
		case c.method == "search_read": // hands on what it does not know
			return in, typeError("BaseModel._read_format() got an unexpected keyword argument '%s'", name)
		case c.json2:
			return in, httpError(http.StatusUnprocessableEntity, "UnprocessableEntity", "got an unexpected keyword argument '"+name+"'")
		default:
			return in, typeError("BaseModel.%s() got an unexpected keyword argument '%s'", c.method, name)
		}
	}
	return in, c.missing(f, in)
}

func (c call) missing(f method, in arguments) *Error {
	for _, name := range f.params[:f.required] {
		if _, ok := in.named[name]; ok {
			continue
		}
		if c.json2 {
			return httpError(http.StatusUnprocessableEntity, "UnprocessableEntity", "missing a required argument: '"+name+"'")
		}
		return typeError("BaseModel.%s() missing 1 required positional argument: '%s'", c.method, name)
	}
	return nil
}

func pythonType(v any) string {
	switch v.(type) {
	case string:
		return "str"
	case bool:
		return "bool"
	case float64:
		return "float"
	}
	return "int"
}

// toIDs reads a list of ids, or one id.
func toIDs(v any) []int64 {
	switch v := v.(type) {
	case int64:
		return []int64{v}
	case []any:
		var ids []int64
		for _, e := range v {
			if id, ok := e.(int64); ok {
				ids = append(ids, id)
			}
		}
		return ids
	}
	return nil
}

func search(_ *Server, m *model, in arguments) (any, *Error) {
	found, err := m.search(in)
	if err != nil {
		return nil, err
	}
	ids := []int64{}
	for _, r := range found {
		ids = append(ids, r.id())
	}
	return ids, nil
}

func searchRead(s *Server, m *model, in arguments) (any, *Error) {
	found, err := m.search(in)
	if err != nil {
		return nil, err
	}
	return s.format(m, found, in.strings("fields"))
}

func searchCount(_ *Server, m *model, in arguments) (any, *Error) {
	found, err := m.search(in)
	return len(found), err
}

// read leaves out records that do not exist: no error.
func read(s *Server, m *model, in arguments) (any, *Error) {
	var found []record
	for _, id := range in.ids {
		if r := m.records[id]; r != nil {
			found = append(found, r)
		}
	}
	return s.format(m, found, in.strings("fields"))
}

func fieldsGet(_ *Server, m *model, in arguments) (any, *Error) {
	attributes, wanted := in.strings("attributes"), in.strings("allfields")
	out := map[string]any{}
	for _, f := range m.fields {
		if wanted != nil && !slices.Contains(wanted, f.Name) {
			continue
		}
		all := f.attributes()
		all["string"] = in.translated(f.Label)
		if attributes != nil {
			maps.DeleteFunc(all, func(k string, _ any) bool { return !slices.Contains(attributes, k) })
		}
		out[f.Name] = all
	}
	return out, nil
}

func nameSearch(s *Server, m *model, in arguments) (any, *Error) {
	domain, _ := in.named["domain"].([]any)
	if name, _ := in.named["name"].(string); name != "" {
		domain = append(slices.Clone(domain), []any{"display_name", "ilike", name})
	}
	if _, ok := in.named["limit"]; !ok {
		in.named["limit"] = int64(100)
	}
	in.named["domain"] = domain
	found, err := m.search(in)
	if err != nil {
		return nil, err
	}
	out := []any{}
	for _, r := range found {
		out = append(out, []any{r.id(), s.displayName(m, r)})
	}
	return out, nil
}

func hasAccess(_ *Server, _ *model, in arguments) (any, *Error) {
	op, _ := in.named["operation"].(string)
	if !slices.Contains([]string{"read", "write", "create", "unlink"}, op) {
		return nil, exception(500, "builtins.AssertionError", "Invalid access mode")
	}
	return true, nil
}

func contextGet(s *Server, _ *model, _ arguments) (any, *Error) {
	own := map[string]any{"lang": s.cfg.Lang, "tz": "Europe/Brussels"}
	if s.cfg.Version >= 19 {
		own["uid"] = s.cfg.UID
	}
	return own, nil
}

func displayNameFor(s *Server, _ *model, in arguments) (any, *Error) {
	out := []any{}
	for _, name := range in.strings("models") {
		label := name
		if m := s.models[name]; m != nil {
			label = in.translated(m.label)
		}
		out = append(out, map[string]any{"display_name": label, "model": name})
	}
	return out, nil
}

// translated is a label in the language of the context.
func (in arguments) translated(label string) string {
	spanish := map[string]string{
		"Contact": "Contacto", "User": "Usuario", "Name": "Nombre", "Email": "Correo electrónico", "Active": "Activo",
	}
	if in.context["lang"] == "es_ES" {
		return cmp.Or(spanish[label], label)
	}
	return label
}

func nameGet(s *Server, m *model, in arguments) (any, *Error) {
	records, err := s.writable(m, in)
	if err != nil {
		return nil, err
	}
	out := []any{}
	for _, r := range records {
		out = append(out, []any{r.id(), s.displayName(m, r)})
	}
	return out, nil
}

func getParam(_ *Server, m *model, in arguments) (any, *Error) {
	for _, r := range m.records {
		if r["key"] == in.named["key"] {
			return r["value"], nil
		}
	}
	return cmp.Or(in.named["default"], any(false)), nil
}

func setParam(_ *Server, m *model, in arguments) (any, *Error) {
	for _, r := range m.records {
		if r["key"] == in.named["key"] {
			old := r["value"]
			r["value"] = in.named["value"]
			return old, nil
		}
	}
	m.add(record{"key": in.named["key"], "value": in.named["value"]})
	return false, nil
}

// hasGroup is true of whoever is asked about: everybody may do everything.
func hasGroup(_ *Server, _ *model, in arguments) (any, *Error) {
	if group, _ := in.named["group_ext_id"].(string); !strings.Contains(group, ".") {
		return nil, valueError("not enough values to unpack (expected 2, got 1)")
	}
	return true, nil
}
