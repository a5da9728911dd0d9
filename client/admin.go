package client

import (
	"context"
	"encoding/json"
	"net/http"
	"net/url"

	"hearth/client/wire"
)

// DropCache drops everything that is cached, and returns the number of entries dropped.
func (c *Client) DropCache(ctx context.Context) (int, error) { return c.drop(ctx, "") }

// DropChat drops what is cached of one chat, and returns the number of entries dropped.
func (c *Client) DropChat(ctx context.Context, chat string) (int, error) {
	if err := checkChat(chat); err != nil {
		return 0, err
	}
	return c.drop(ctx, "?chat="+url.QueryEscape(chat))
}

// DropModel drops what is cached of one Odoo model, and returns the number of entries dropped.
func (c *Client) DropModel(ctx context.Context, model string) (int, error) {
	return c.drop(ctx, "?model="+url.QueryEscape(model))
}

func (c *Client) drop(ctx context.Context, query string) (int, error) {
	var d Dropped
	err := c.do(ctx, newCall(http.MethodDelete, PathCache+query, nil), c.cfg.Timeout, &d)
	return d.Dropped, err
}

// Health returns nil if Hearth answers. The call needs no token.
func (c *Client) Health(ctx context.Context) error {
	return c.do(ctx, newCall(http.MethodGet, PathHealth, nil), c.cfg.Timeout, nil)
}

// Ready says which upstreams Hearth has reached. An upstream that is not reached is no error here.
func (c *Client) Ready(ctx context.Context) (Readiness, error) {
	req := newCall(http.MethodGet, PathReady, nil)
	req.alsoOK = http.StatusServiceUnavailable
	var r Readiness
	err := c.do(ctx, req, c.cfg.Timeout, &r)
	return r, err
}

// CacheStats says what the cache holds, and what it has done since Hearth started.
func (c *Client) CacheStats(ctx context.Context) (*CacheStats, error) {
	s := &CacheStats{}
	if err := c.do(ctx, newCall(http.MethodGet, PathDebugCache, nil), c.cfg.Timeout, s); err != nil {
		return nil, err
	}
	return s, nil
}

// DebugCache returns the reply of GET debug/cache as it came. [Client.CacheStats] decodes it.
func (c *Client) DebugCache(ctx context.Context) (json.RawMessage, error) {
	return c.raw(ctx, PathDebugCache)
}

// PoolStats says what the connection pools of each upstream hold, and what they have done since Hearth started.
func (c *Client) PoolStats(ctx context.Context) (Pools, error) {
	var p Pools
	err := c.do(ctx, newCall(http.MethodGet, PathDebugPools, nil), c.cfg.Timeout, &p)
	return p, err
}

// DebugPools returns the reply of GET debug/pools as it came. [Client.PoolStats] decodes it.
func (c *Client) DebugPools(ctx context.Context) (json.RawMessage, error) {
	return c.raw(ctx, PathDebugPools)
}

// Invocations says what happened in the last invocations.
func (c *Client) Invocations(ctx context.Context) (*Invocations, error) {
	v := &Invocations{}
	if err := c.do(ctx, newCall(http.MethodGet, PathInvocations, nil), c.cfg.Timeout, v); err != nil {
		return nil, err
	}
	return v, nil
}

// Advice says what to change in Hearth's settings, by what was measured since it started.
func (c *Client) Advice(ctx context.Context) ([]Advice, error) {
	var v wire.Advices
	err := c.do(ctx, newCall(http.MethodGet, PathAdvice, nil), c.cfg.Timeout, &v)
	return v.Advice, err
}

// DebugInvocations returns the reply of GET debug/invocations as it came. [Client.Invocations] decodes it.
func (c *Client) DebugInvocations(ctx context.Context) (json.RawMessage, error) {
	return c.raw(ctx, PathInvocations)
}

// DebugAdvice returns the reply of GET debug/advice as it came. [Client.Advice] decodes it.
func (c *Client) DebugAdvice(ctx context.Context) (json.RawMessage, error) {
	return c.raw(ctx, PathAdvice)
}

func (c *Client) raw(ctx context.Context, path string) (raw json.RawMessage, err error) {
	err = c.do(ctx, newCall(http.MethodGet, path, nil), c.cfg.Timeout, &raw)
	return raw, err
}
