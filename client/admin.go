package client

import (
	"context"
	"encoding/json"
	"net/http"
	"net/url"
)

// DropCache forgets everything that is cached, and returns how many things that were.
func (c *Client) DropCache(ctx context.Context) (int, error) { return c.drop(ctx, "") }

// DropChat forgets what is cached of one chat.
func (c *Client) DropChat(ctx context.Context, chat string) (int, error) {
	if err := checkChat(chat); err != nil {
		return 0, err
	}
	return c.drop(ctx, "?chat="+url.QueryEscape(chat))
}

// DropModel forgets what is cached of one Odoo model.
func (c *Client) DropModel(ctx context.Context, model string) (int, error) {
	return c.drop(ctx, "?model="+url.QueryEscape(model))
}

func (c *Client) drop(ctx context.Context, query string) (int, error) {
	var d Dropped
	err := c.do(ctx, newCall(http.MethodDelete, PathCache+query, nil), c.cfg.Timeout, &d)
	return d.Dropped, err
}

// Health says whether Hearth is alive: nil if so. It needs no token.
func (c *Client) Health(ctx context.Context) error {
	return c.do(ctx, newCall(http.MethodGet, PathHealth, nil), c.cfg.Timeout, nil)
}

// Ready says which upstreams Hearth has reached. It is no error if it has not reached one.
func (c *Client) Ready(ctx context.Context) (Readiness, error) {
	req := newCall(http.MethodGet, PathReady, nil)
	req.accept = http.StatusServiceUnavailable
	var r Readiness
	err := c.do(ctx, req, c.cfg.Timeout, &r)
	return r, err
}

// DebugCache returns the cache's statistics as they came: hit rates overall and per resource.
func (c *Client) DebugCache(ctx context.Context) (json.RawMessage, error) {
	return c.raw(ctx, PathDebugCache)
}

// DebugPools returns the connection pools' statistics as they came, per upstream.
func (c *Client) DebugPools(ctx context.Context) (json.RawMessage, error) {
	return c.raw(ctx, PathDebugPools)
}

func (c *Client) raw(ctx context.Context, path string) (raw json.RawMessage, err error) {
	err = c.do(ctx, newCall(http.MethodGet, path, nil), c.cfg.Timeout, &raw)
	return raw, err
}
