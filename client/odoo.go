package client

import (
	"context"
	"encoding/json"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
)

// OdooModels returns Odoo models by their technical names, or those of HEARTH_ODOO_MODELS if names is empty. If only some
// of them could be read, it returns these together with an error that is a [ModelErrors].
func (c *Client) OdooModels(ctx context.Context, names []string, opts ...Option) (map[string]Model, error) {
	target := PathOdooModels
	if len(names) > 0 {
		target += "?names=" + url.QueryEscape(strings.Join(names, ","))
	}
	var m Models
	if err := c.do(ctx, newCall(http.MethodGet, target, opts).about("", PartOdoo), c.cfg.Timeout, &m); err != nil {
		return nil, err
	}
	if len(m.Errors) > 0 {
		return m.Models, ModelErrors(m.Errors)
	}
	return m.Models, nil
}

// ModelErrors holds a problem for each Odoo model that could not be read.
type ModelErrors map[string]*Problem

func (e ModelErrors) Error() string {
	var why []string
	for _, name := range slices.Sorted(maps.Keys(e)) {
		why = append(why, name+": "+e[name].Error())
	}
	return strings.Join(why, "; ")
}

// Unwrap returns the problems, in the order of the models' names.
func (e ModelErrors) Unwrap() (all []error) {
	for _, name := range slices.Sorted(maps.Keys(e)) {
		all = append(all, e[name])
	}
	return all
}

// OdooCall calls a method of an Odoo model and returns its result. The call is sent once, because most methods change
// something. If no answer comes, the error is [ErrUnknownOutcome], or a [Problem] of kind unknown-outcome if the sidecar
// got no answer from Odoo.
func (c *Client) OdooCall(ctx context.Context, q Call, opts ...Option) (json.RawMessage, error) {
	req, err := newCall(http.MethodPost, PathOdooCall, opts).about("", "odoo_call").withBody(q)
	if err != nil {
		return nil, err
	}
	req.write, req.neverRepeat = true, true
	var r Result
	if err := c.do(ctx, req, c.cfg.Timeout, &r); err != nil {
		return nil, err
	}
	return r.Result, nil
}
