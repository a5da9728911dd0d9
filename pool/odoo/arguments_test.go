package odoo

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
)

// TestPositionalArgumentsHaveTheNamesOfOdoo holds what Odoo 19 calls the arguments of its methods. "ids" stands for the records
// that a method works on.
func TestPositionalArgumentsHaveTheNamesOfOdoo(t *testing.T) {
	for _, python := range []string{
		"search(domain, offset, limit, order)",
		"search_read(domain, fields, offset, limit, order)",
		"search_count(domain, limit)",
		"read(ids, fields, load)",
		"name_search(name, domain, operator, limit)",
		"read_group(domain, fields, groupby, offset, limit, orderby, lazy)",
		"formatted_read_group(domain, groupby, aggregates, having, offset, limit, order)",
		"formatted_read_grouping_sets(domain, grouping_sets, aggregates)",
		"web_search_read(domain, specification, offset, limit, order, count_limit)",
		"web_read_group(domain, groupby, aggregates, limit, offset, order)",
		"web_name_search(name, specification, domain, operator, limit)",
		"read_progress_bar(domain, group_by, progress_bar)",
		"get_metadata(ids)",
		"get_external_id(ids)",
		"unlink(ids)",
		"get_field_translations(ids, field_name, langs)",
		"check_object_reference(module, xml_id, raise_on_access_error)",
		"fields_get(allfields, attributes)",
		"get_view(view_id, view_type)",
		"get_views(views, options)",
		"display_name_for(models)",
		"search_panel_select_range(field_name)",
		"search_panel_select_multi_range(field_name)",
		"check_access_rights(operation, raise_exception)",
		"check_field_access_rights(operation, field_names)",
		"check_access_rule(ids, operation)",
		"has_access(ids, operation)",
		"has_group(ids, group_ext_id)",
		"has_groups(ids, group_spec)",
		"get_param(key, default)",
		"context_get()",
		"get_installed()",
		"default_get(fields)",
		"create(vals_list)",
		"write(ids, vals)",
	} {
		method, list, _ := strings.Cut(strings.TrimSuffix(python, ")"), "(")
		params := strings.FieldsFunc(list, func(r rune) bool { return r == ',' || r == ' ' })
		call := Call{Model: "m", Method: method}
		want := map[string]json.RawMessage{}
		for i, name := range params {
			value := fmt.Appendf(nil, "[%d]", i)
			call.Args = append(call.Args, value)
			want[name] = value
		}
		f := answering(200, `[]`)
		if _, err := overJSON2(f).Call(t.Context(), call); err != nil {
			t.Errorf("%s: %v", python, err)
			continue
		}
		wanted, err := json.Marshal(want)
		if err != nil {
			t.Fatal(err)
		}
		if got := compact(t, f.requests()[0].Body); got != string(wanted) {
			t.Errorf("%s is sent as %s", python, got)
		}
		call.Args = append(call.Args, json.RawMessage("0"))
		names := "none"
		if len(params) > 0 {
			names = fmt.Sprint(params)
		}
		_, err = overJSON2(neverAsked(t)).Call(t.Context(), call)
		if e, ok := errors.AsType[*ArgumentError](err); !ok || e.Field != "args" || !strings.HasSuffix(e.Detail, "are too many: "+method+" takes "+names) {
			t.Errorf("%s with one more: %v", python, err)
		}
	}
}

// A caller of a method that is not known may name the records alone by position: one argument, which are ids.
func TestAMethodOfAnAppIsCalledByName(t *testing.T) {
	for _, call := range []Call{
		{Model: "sale.order", Method: "action_confirm", Args: raw(` [3, 4] `)},
		{Model: "sale.order", Method: "action_confirm", Kwargs: kw(`{"ids":[3,4]}`)},
	} {
		f := answering(200, `true`)
		if _, err := overJSON2(f).Call(t.Context(), call); err != nil {
			t.Fatal(err)
		}
		if got := compact(t, f.requests()[0].Body); got != `{"ids":[3,4]}` {
			t.Errorf("sent %s", got)
		}
	}
}

func TestACallWithoutRecordsAndArgumentsSaysSoWhereItMust(t *testing.T) {
	for method, want := range map[string]string{
		"unlink":    `["m","unlink",[[]],{}]`,
		"has_group": `["m","has_group",[],{}]`, // until Odoo 17 its first argument would be taken for the group
		"search":    `["m","search",[],{}]`,
	} {
		f := answering(200, `{"jsonrpc":"2.0","result":true}`)
		if _, err := overJSONRPC(f).Call(t.Context(), Call{Model: "m", Method: method}); err != nil {
			t.Fatal(err)
		}
		if got := execution(t, f.requests()[0].Body); got != want {
			t.Errorf("sent %s, want %s", got, want)
		}
	}
}

// The arguments are slices and maps of the caller, which may have room left and be used again.
func TestAnArgumentListWithRoomIsNotWrittenTo(t *testing.T) {
	kwargs := kw(`{"domain":[]}`)
	args := make([]json.RawMessage, 1, 4)
	args[0] = json.RawMessage(`"x"`)
	f := answering(200, `{"jsonrpc":"2.0","result":[]}`)
	if _, err := overJSONRPC(f).Call(t.Context(), Call{Model: "m", Method: "name_search", Args: args, Kwargs: kwargs}); err != nil {
		t.Fatal(err)
	}
	if room := args[:4]; slices.ContainsFunc(room[1:], func(a json.RawMessage) bool { return a != nil }) || len(kwargs) != 1 {
		t.Errorf("the caller's arguments have become %s and %s", room, kwargs)
	}
	normalized, err := Call{Model: "m", Method: "create", Kwargs: kw(`{"vals_list":{}}`)}.normalize()
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if args, kwargs := normalized.asPositional(); len(args) != 1 || len(kwargs) != 0 {
			t.Errorf("placed as %s and %s", args, kwargs)
		}
	}
}

func TestAContextOfNullIsLeftOutHoweverItIsWritten(t *testing.T) {
	f := answering(200, `1`)
	call := Call{Model: "m", Method: "foo", Kwargs: map[string]json.RawMessage{"context": json.RawMessage(" null\n")}}
	if _, err := overJSON2(f).Call(t.Context(), call); err != nil {
		t.Fatal(err)
	}
	if got := string(f.requests()[0].Body); got != `{}` {
		t.Errorf("sent %s", got)
	}
}

func TestNamesOfModelsAndMethods(t *testing.T) {
	long := strings.Repeat("a", maxName)
	for _, name := range []string{"a", "A", "z", "Z", "x_0", "x9", long} {
		if !ValidModel(name) || !isMethod(name) {
			t.Errorf("%.20s is refused", name)
		}
	}
	for _, name := range []string{"res.partner", "0", "9", "9x.0", "_", "a._b"} {
		if !ValidModel(name) || isMethod(name) {
			t.Errorf("%s must be a model's name and no method's", name)
		}
	}
	for _, name := range []string{"", ".", "a.", ".a", "a..b", long + "a", "a b", "a-b", "a/b", "é", "`", "{", "@", "[", ":", "a:", "/"} {
		if ValidModel(name) || isMethod(name) {
			t.Errorf("%.20q is taken", name)
		}
	}
}

func TestWhatIsWrongWithAnArgumentIsSaid(t *testing.T) {
	for want, call := range map[string]Call{
		"model must be a model's technical name such as res.partner, at most 128 bytes": {Model: "a b", Method: "read"},
		"method must be the name of a public method, at most 128 bytes":                 {Model: "m", Method: "_read"},
		"args[0] must be JSON":                                                 {Model: "m", Method: "read", Args: raw("{")},
		"kwargs.ids must be JSON":                                              {Model: "m", Method: "read", Kwargs: map[string]json.RawMessage{"ids": json.RawMessage("{")}},
		"kwargs.ids must be an integer or a list of integers":                  {Model: "m", Method: "read", Kwargs: kw(`{"ids":{}}`)},
		"kwargs.ids search works on no records":                                {Model: "m", Method: "search", Kwargs: kw(`{"ids":1}`)},
		"args cannot be used beside kwargs.ids: name every argument":           {Model: "m", Method: "read", Args: raw("1"), Kwargs: kw(`{"ids":1}`)},
		"args[0] must be an integer or a list of integers: the ids of records": {Model: "m", Method: "read", Args: raw("{}")},
		"kwargs.domain is given in args too":                                   {Model: "m", Method: "search", Args: raw("[]"), Kwargs: kw(`{"domain":[]}`)},
		"kwargs.ids is missing: since Odoo 18 has_group works on records":      {Model: "m", Method: "has_group", Args: raw(`"x"`)},
		"args of message_post have no known names: use kwargs":                 {Model: "m", Method: "message_post", Args: raw(`"x"`)},
	} {
		_, err := overJSON2(neverAsked(t)).Call(t.Context(), call)
		if err == nil || err.Error() != "odoo: "+want {
			t.Errorf("got %v, want %s", err, want)
		}
	}
}
