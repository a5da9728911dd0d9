package client

import (
	"context"
	"encoding/json"
	"net/http"
	"net/url"
	"strings"
)

// OdooModels describes Odoo models by their technical names, or those of HEARTH_ODOO_MODELS if none are named.
func (c *Client) OdooModels(ctx context.Context, names []string, opts ...Option) (map[string]Model, error) {
	target := PathOdooModels
	if len(names) > 0 {
		target += "?names=" + url.QueryEscape(strings.Join(names, ","))
	}
	var m Models
	if err := c.do(ctx, newCall(http.MethodGet, target, opts), c.cfg.Timeout, &m); err != nil {
		return nil, err
	}
	return m.Models, nil
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
