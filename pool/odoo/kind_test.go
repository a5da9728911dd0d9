package odoo

import "testing"

func TestTheKindOfACall(t *testing.T) {
	for want, c := range map[string]struct {
		method string
		read   bool
	}{"model": {"fields_get", true}, "read": {"search_read", true}, "write": {"create", false}} {
		if got := kindOfCall(Call{Model: "res.partner", Method: c.method}, c.read); got != want {
			t.Errorf("%s is a %s, want %s", c.method, got, want)
		}
	}
}
