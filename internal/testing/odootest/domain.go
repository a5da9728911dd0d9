package odootest

import (
	"reflect"
	"slices"
	"strings"
)

// domain makes a filter of a call's domain: conditions that must all hold.
func (m *model) domain(in arguments) (func(record) bool, *Error) {
	var conditions []func(record) bool
	spoken := false // of archived records
	list, ok := in.named["domain"].([]any)
	if v := in.named["domain"]; !ok && v != nil && v != false {
		return nil, typeError("Domain() invalid argument type for domain: %s", repr(v))
	}
	for _, item := range list {
		c, ok := item.([]any)
		if op, isStr := item.(string); isStr && op != "&" {
			return nil, valueError("stand-in: the operator %s in a domain is not covered", repr(op))
		} else if isStr {
			continue // "and" is what is done anyway
		}
		if !ok || len(c) != 3 {
			return nil, valueError("Domain() invalid item in domain: %s", repr(item))
		}
		match, err := m.condition(c)
		if err != nil {
			return nil, err
		}
		conditions = append(conditions, match)
		spoken = spoken || c[0] == "active"
	}
	if _, has := m.field("active"); has && !spoken && in.context["active_test"] != false {
		conditions = append(conditions, func(r record) bool { return r["active"] == true })
	}
	return func(r record) bool {
		return !slices.ContainsFunc(conditions, func(match func(record) bool) bool { return !match(r) })
	}, nil
}

func (m *model) condition(c []any) (func(record) bool, *Error) {
	name, _ := c[0].(string)
	if _, ok := m.field(name); !ok {
		return nil, valueError("Invalid field %s.%s in condition (%s, %s, %s)", m.name, name, repr(c[0]), repr(c[1]), repr(c[2]))
	}
	value := func(r record) any {
		if name == "display_name" {
			return r["name"]
		}
		if r[name] == nil {
			return false
		}
		return r[name]
	}
	want := c[2]
	if want == nil {
		want = false
	}
	among := func(v any) bool {
		list, ok := want.([]any)
		return ok && slices.ContainsFunc(list, func(e any) bool { return reflect.DeepEqual(e, v) })
	}
	switch c[1] {
	case "=":
		return func(r record) bool { return reflect.DeepEqual(value(r), want) }, nil
	case "!=":
		return func(r record) bool { return !reflect.DeepEqual(value(r), want) }, nil
	case "in":
		return func(r record) bool { return among(value(r)) }, nil
	case ">":
		return func(r record) bool { return compare(value(r), want) > 0 }, nil
	case "<":
		return func(r record) bool { return compare(value(r), want) < 0 }, nil
	case "ilike":
		text, _ := want.(string)
		return func(r record) bool {
			v, _ := value(r).(string)
			return strings.Contains(strings.ToLower(v), strings.ToLower(text))
		}, nil
	}
	return nil, valueError("Invalid operator in condition (%s, %s, %s)", repr(c[0]), repr(c[1]), repr(c[2]))
}
