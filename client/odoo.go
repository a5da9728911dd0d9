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

// OdooModels describes Odoo models by their technical names, or those of HEARTH_ODOO_MODELS if none are named. If some of
// them could not be had, the others come together with an error that is a [ModelErrors].
func (c *Client) OdooModels(ctx context.Context, names []string, opts ...Option) (map[string]Model, error) {
	target := PathOdooModels
	if len(names) > 0 {
		target += "?names=" + url.QueryEscape(strings.Join(names, ","))
	}
	var m Models
	if err := c.do(ctx, newCall(http.MethodGet, target, opts), c.cfg.Timeout, &m); err != nil {
		return nil, err
	}
	if len(m.Errors) > 0 {
		return m.Models, ModelErrors(m.Errors)
	}
	return m.Models, nil
}

// ModelErrors says of each Odoo model that could not be had why.
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

// OdooCall calls a method of an Odoo model and returns its result. It is never sent twice, because most methods
// change something: see [ErrUnknownOutcome], and a [Problem] that says the same of the sidecar's own call.
func (c *Client) OdooCall(ctx context.Context, q Call, opts ...Option) (json.RawMessage, error) {
	req, err := newCall(http.MethodPost, PathOdooCall, opts).withBody(q)
	if err != nil {
		return nil, err
	}
	req.write, req.once = true, true
	var r Result
	if err := c.do(ctx, req, c.cfg.Timeout, &r); err != nil {
		return nil, err
	}
	return r.Result, nil
}
