package odoo

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
)

// signature is how a method of every model takes its arguments.
type signature struct {
	records  bool     // works on records: the first positional argument is their ids
	formerly bool     // until Odoo 17 it did not
	params   []string // the names of the others, in Odoo 19's order
}

// signatureOf knows the methods whose positional arguments can be named. Read off Odoo 19.0: odoo/orm/models.py,
// addons/web/models/models.py and addons/base/models.
func signatureOf(method string) (s signature, known bool) {
	switch method {
	case "search":
		s.params = []string{"domain", "offset", "limit", "order"}
	case "search_read":
		s.params = []string{"domain", "fields", "offset", "limit", "order"}
	case "search_count":
		s.params = []string{"domain", "limit"}
	case "read":
		s = signature{records: true, params: []string{"fields", "load"}}
	case "name_search":
		s.params = []string{"name", "domain", "operator", "limit"}
	case "read_group":
		s.params = []string{"domain", "fields", "groupby", "offset", "limit", "orderby", "lazy"}
	case "formatted_read_group":
		s.params = []string{"domain", "groupby", "aggregates", "having", "offset", "limit", "order"}
	case "formatted_read_grouping_sets":
		s.params = []string{"domain", "grouping_sets", "aggregates"}
	case "web_search_read":
		s.params = []string{"domain", "specification", "offset", "limit", "order", "count_limit"}
	case "web_read_group":
		s.params = []string{"domain", "groupby", "aggregates", "limit", "offset", "order"}
	case "web_name_search":
		s.params = []string{"name", "specification", "domain", "operator", "limit"}
	case "read_progress_bar":
		s.params = []string{"domain", "group_by", "progress_bar"}
	case "get_metadata", "get_external_id", "unlink":
		s.records = true
	case "get_field_translations":
		s = signature{records: true, params: []string{"field_name", "langs"}}
	case "check_object_reference":
		s.params = []string{"module", "xml_id", "raise_on_access_error"}
	case "fields_get":
		s.params = []string{"allfields", "attributes"}
	case "get_view":
		s.params = []string{"view_id", "view_type"}
	case "get_views":
		s.params = []string{"views", "options"}
	case "display_name_for":
		s.params = []string{"models"}
	case "search_panel_select_range", "search_panel_select_multi_range":
		s.params = []string{"field_name"}
	case "check_access_rights":
		s.params = []string{"operation", "raise_exception"}
	case "check_field_access_rights":
		s.params = []string{"operation", "field_names"}
	case "check_access_rule", "has_access":
		s = signature{records: true, params: []string{"operation"}}
	case "has_group":
		s = signature{records: true, formerly: true, params: []string{"group_ext_id"}}
	case "has_groups":
		s = signature{records: true, params: []string{"group_spec"}}
	case "get_param":
		s.params = []string{"key", "default"}
	case "context_get", "get_installed":
	case "default_get":
		s.params = []string{"fields"}
	case "create":
		s.params = []string{"vals_list"}
	case "write":
		s = signature{records: true, params: []string{"vals"}}
	default:
		return s, false
	}
	return s, true
}

// normalize returns a copy of the call in which the ids, if there are any, are a list in Kwargs: both protocols take them from
// there. It refuses what neither protocol could carry.
func (c Call) normalize() (Call, error) {
	sig, known := signatureOf(c.Method)
	c.Args, c.Kwargs = slices.Clone(c.Args), maps.Clone(c.Kwargs)
	if c.Kwargs == nil {
		c.Kwargs = map[string]json.RawMessage{}
	}
	if isNull(c.Kwargs["context"]) {
		delete(c.Kwargs, "context") // JSON-2 fails on null
	}

	raw, named := c.Kwargs["ids"]
	switch {
	case named && known && !sig.records:
		return c, &ArgumentError{"kwargs.ids", c.Method + " works on no records"}
	case named:
		ids, ok := idList(raw)
		if !ok {
			return c, &ArgumentError{"kwargs.ids", "must be an integer or a list of integers"}
		}
		if len(c.Args) > 0 {
			return c, &ArgumentError{"args", "cannot be used beside kwargs.ids: name every argument"}
		}
		c.Kwargs["ids"] = ids
	case sig.records && len(c.Args) > 0:
		ids, ok := idList(c.Args[0])
		switch {
		case ok:
			c.Kwargs["ids"], c.Args = ids, c.Args[1:]
		case !sig.formerly:
			return c, &ArgumentError{"args[0]", "must be an integer or a list of integers: the ids of records"}
		}
	case sig.records && !sig.formerly:
		c.Kwargs["ids"] = json.RawMessage("[]")
	}
	for i := range min(len(c.Args), len(sig.params)) {
		if name := sig.params[i]; c.Kwargs[name] != nil {
			return c, &ArgumentError{"kwargs." + name, "is given in args too"}
		}
	}
	return c, nil
}

// asKwargs returns the arguments of a normalized call by name alone.
func (c Call) asKwargs() (map[string]json.RawMessage, error) {
	sig, known := signatureOf(c.Method)
	all := make(map[string]json.RawMessage, len(c.Kwargs)+len(c.Args))
	maps.Copy(all, c.Kwargs)
	switch {
	case sig.formerly && all["ids"] == nil:
		return nil, &ArgumentError{"kwargs.ids", "is missing: since Odoo 18 " + c.Method + " works on records"}
	case len(c.Args) == 0:
	case !known:
		ids, ok := idList(c.Args[0])
		if !ok || len(c.Args) > 1 {
			return nil, &ArgumentError{"args", "of " + c.Method + " have no known names: use kwargs"}
		}
		all["ids"] = ids
	case len(c.Args) > len(sig.params):
		return nil, &ArgumentError{"args", fmt.Sprintf("are too many: %s takes %s", c.Method, sig)}
	default:
		for i, a := range c.Args {
			all[sig.params[i]] = a
		}
	}
	return all, nil
}

// asPositional returns the arguments of a normalized call as execute_kw takes them: ids first. Two other arguments must be
// positional too: the values of create, because execute_kw looks there whether they are one record or a list; and a domain,
// because older versions name that parameter args.
func (c Call) asPositional() (args []json.RawMessage, kwargs map[string]json.RawMessage) {
	args, kwargs = slices.Clone(c.Args), maps.Clone(c.Kwargs)
	place := func(name string) {
		if v, ok := kwargs[name]; ok {
			delete(kwargs, name)
			args = append(args, v)
		}
	}
	switch c.Method {
	case "create":
		place("vals_list")
	case "search", "search_count": // until Odoo 15
		place("domain")
	case "name_search": // until Odoo 18
		if len(args) == 0 && kwargs["domain"] != nil {
			if kwargs["name"] == nil {
				kwargs["name"] = json.RawMessage(`""`)
			}
			place("name")
		}
		place("domain")
	}
	if ids, ok := kwargs["ids"]; ok {
		delete(kwargs, "ids")
		args = append([]json.RawMessage{ids}, args...)
	}
	if args == nil {
		args = []json.RawMessage{}
	}
	return args, kwargs
}

func (s signature) String() string {
	names := s.params
	if s.records {
		names = append([]string{"ids"}, names...)
	}
	if len(names) == 0 {
		return "none"
	}
	return fmt.Sprint(names)
}

// idList reads an integer or a list of integers, and makes a list of it.
func idList(raw json.RawMessage) (json.RawMessage, bool) {
	var one *int64
	if json.Unmarshal(raw, &one) == nil && one != nil {
		return fmt.Appendf(nil, "[%d]", *one), true
	}
	var many []*int64
	if json.Unmarshal(raw, &many) != nil || many == nil || slices.Contains(many, nil) {
		return nil, false
	}
	return raw, true
}

func isNull(raw json.RawMessage) bool { return bytes.Equal(bytes.TrimSpace(raw), []byte("null")) }

// isObject says whether raw, which is valid JSON, is an object.
func isObject(raw json.RawMessage) bool {
	return bytes.HasPrefix(bytes.TrimLeft(raw, " \t\r\n"), []byte("{"))
}
