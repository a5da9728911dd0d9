package odoo

import (
	"context"
	"errors"
	"testing"

	"hearth/pool"
)

func TestAnAddressThatRedirectsEverythingIsNamed(t *testing.T) {
	moved := &pool.Error{Upstream: "odoo", Err: &pool.RedirectError{Status: 301, Location: "https://example.com/"}}
	for _, p := range []Protocol{Auto, JSON2, JSONRPC} {
		for _, user := range []string{"", "u"} {
			if user == "" && p == JSONRPC {
				continue // not configured
			}
			c := newClient(doerFunc(func(context.Context, pool.Request) (*pool.Response, error) { return nil, moved }),
				Config{DB: "d", User: user, Key: "k", Protocol: p})
			_, err := c.Call(t.Context(), Call{Model: "res.partner", Method: "write", Args: raw(`[1]`)})
			r, ok := errors.AsType[*pool.RedirectError](err)
			if !ok || r.Location != "https://example.com/" || errors.Is(err, pool.ErrUnknownOutcome) {
				t.Errorf("%s with user %q: %v", p, user, err)
			}
		}
	}
}
