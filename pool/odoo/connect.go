package odoo

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"unicode"

	"hearth/internal/guard"
	"hearth/pool"
)

// contextGet is the cheapest call that needs valid credentials: it needs no rights and no table, as Odoo keeps its answer in
// memory.
func contextGet() Call { return Call{Model: "res.users", Method: "context_get"} }

// connectByKey connects with the current key. If Odoo refuses that key and there is a newer one, it connects once more.
func (c *Client) connectByKey(ctx context.Context) (*session, error) {
	key, err := c.cfg.Secret.Value(ctx)
	if err != nil {
		return nil, &pool.Error{Upstream: "odoo", Err: err}
	}
	s, err := c.connect(ctx, key)
	if newer := c.newerKey(ctx, err, key); newer != "" {
		return c.connect(ctx, newer)
	}
	return s, err
}

// newerKey is a key that is newer than one that Odoo refused with err; empty: there is none, or err is another failure. If the secret
// cannot be asked for, package secrets logs why.
func (c *Client) newerKey(ctx context.Context, err error, key string) string {
	if e, ok := errors.AsType[*Error](err); !ok || !e.refused {
		return ""
	}
	newer, err := c.cfg.Secret.Renew(ctx, key)
	if err != nil || newer == key {
		return ""
	}
	return newer
}

// connect finds the protocol and the uid. With Auto, it tries JSON-2 and asks for the version at the same time. It needs the
// version only if JSON-2 fails, to know what the failure means.
func (c *Client) connect(ctx context.Context, key string) (*session, error) {
	switch c.cfg.Protocol {
	case JSON2:
		return c.newSession(ctx, key, State{Protocol: JSON2}, nil)
	case JSONRPC:
		uid, err := c.uid(ctx, key)
		if err != nil {
			return nil, err
		}
		return c.newSession(ctx, key, State{Protocol: JSONRPC, UID: uid}, nil)
	default:
		return c.detectProtocol(ctx, key)
	}
}

func (c *Client) detectProtocol(ctx context.Context, key string) (*session, error) {
	version := ""
	var own json.RawMessage
	err := guard.All(func() error {
		version = c.webVersion(ctx)
		return nil
	}, func() (err error) {
		own, err = c.send(ctx, c.json2(key), contextGet(), true)
		return err
	})
	if err == nil {
		return c.newSession(ctx, key, State{Protocol: JSON2, Version: version}, own)
	}
	refusal, ok := errors.AsType[*Error](err)
	_, redirected := errors.AsType[*pool.RedirectError](err) // Odoo before 19 may redirect paths that it does not know
	if !ok && !redirected || !c.cfg.canJSONRPC() {
		return nil, err // there was no answer, or there is no user for JSON-RPC
	}
	missing := ok && refusal.protocolMissing
	transient := !missing && (!ok || !refusal.refused) // the failure may pass: a server that has JSON-2 may answer the next time
	if transient && major(version) >= 19 {
		return nil, err
	}

	uid := c.cfg.UID
	otherErr := guard.All(func() (err error) {
		if uid == 0 {
			uid, err = c.uid(ctx, key)
		}
		return err
	}, func() (err error) {
		if version == "" {
			version, err = c.commonVersion(ctx)
		}
		return err
	})
	if otherErr != nil {
		if e, ok := errors.AsType[*Error](otherErr); ok && e.protocolMissing && !missing {
			return nil, err // this Odoo has JSON-2, and no JSON-RPC any more
		}
		return nil, otherErr
	}
	if transient && major(version) >= 19 {
		return nil, err
	}
	return c.newSession(ctx, key, State{Protocol: JSONRPC, Version: version, UID: uid}, nil)
}

// newSession makes the session. own is the answer to context_get. If own is nil and no language is configured, newSession asks
// for it: the language is the user's then.
func (c *Client) newSession(ctx context.Context, key string, state State, own json.RawMessage) (*session, error) {
	s := &session{protocol: c.json2(key), state: state}
	if state.Protocol == JSONRPC {
		s.protocol = jsonrpc{db: c.cfg.DB, uid: state.UID, key: key}
	}
	if own == nil && c.cfg.Lang == "" {
		var err error
		own, err = c.send(ctx, s, contextGet(), true)
		if e, ok := errors.AsType[*Error](err); ok && e.definite() {
			c.cfg.Logger.WarnContext(ctx, "odoo does not tell the user's language: calls name no language", slog.Any("error", err))
		} else if err != nil {
			return nil, err
		}
	}
	u := readUser(own)
	s.state.Connected, s.state.Lang, s.state.UID = true, cmp.Or(c.cfg.Lang, u.Lang), cmp.Or(state.UID, u.UID)
	c.cfg.Logger.InfoContext(ctx, "odoo connected", slog.String("protocol", string(state.Protocol)),
		slog.String("version", state.Version), slog.Int("uid", s.state.UID), slog.String("lang", s.state.Lang))
	return s, nil
}

func (c *Client) json2(key string) json2 { return newJSON2(c.cfg.DB, key) }

// webVersion asks a server of 19 or later for its version. It is empty if another server answers, or none.
func (c *Client) webVersion(ctx context.Context) string {
	r, err := c.ask(ctx, pool.Request{Method: http.MethodGet, Path: "/web/version", Repeatable: true})
	if err != nil {
		return ""
	}
	var v struct {
		Version string `json:"version"`
	}
	if r.Status != http.StatusOK || json.Unmarshal(r.Body, &v) != nil || major(v.Version) == 0 {
		return ""
	}
	return v.Version
}

// commonVersion asks a server of any version that has JSON-RPC.
func (c *Client) commonVersion(ctx context.Context) (string, error) {
	result, err := c.common(ctx, "", "version")
	if err != nil {
		return "", err
	}
	var v struct {
		Version string `json:"server_version"`
	}
	if json.Unmarshal(result, &v) != nil || major(v.Version) == 0 {
		return "", unexpectedResult("its version")
	}
	return v.Version, nil
}

// uid is the configured uid, or the one that Odoo has for the user.
func (c *Client) uid(ctx context.Context, key string) (int, error) {
	if c.cfg.UID != 0 {
		return c.cfg.UID, nil
	}
	result, err := c.common(ctx, key, "authenticate", c.cfg.DB, c.cfg.User, key, struct{}{})
	if err != nil {
		return 0, err
	}
	var uid int
	if json.Unmarshal(result, &uid) != nil || uid <= 0 {
		return 0, credentialsRefused() // false
	}
	return uid, nil
}

// common calls the service that needs no user. secret is the key in args, empty if there is none: errors do not show it.
func (c *Client) common(ctx context.Context, secret, method string, args ...any) (json.RawMessage, error) {
	req, err := jsonrpcRequest("common", method, args)
	if err != nil {
		return nil, fmt.Errorf("odoo: %s: %w", method, err)
	}
	req.Repeatable = true
	r, err := c.ask(ctx, req)
	if err != nil {
		return nil, err
	}
	result, fault := jsonrpcAnswer(Call{}, c.cfg.DB, r)
	if fault != nil {
		return nil, fault.redact(secret)
	}
	return result, nil
}

// major is the leading number of a version: 19 of "19.0", 18 of "saas~18.3", 0 if there is none.
func major(version string) (n int) {
	for _, r := range strings.TrimLeftFunc(version, func(r rune) bool { return !unicode.IsDigit(r) }) {
		if r < '0' || r > '9' || n > 1000 {
			break
		}
		n = n*10 + int(r-'0')
	}
	return n
}
