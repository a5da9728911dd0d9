package odoo

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
)

const maxName = 128 // bytes of a model's or a method's name

// Call is a method of a model with its arguments. What is named in Kwargs and what stands in Args is the same to
// Odoo as in Python; besides, Kwargs may hold "ids", the records that a method works on, and "context". The language is
// that of the [Config], reads and writes alike, unless the context names one.
type Call struct {
	Model  string
	Method string
	Args   []json.RawMessage
	Kwargs map[string]json.RawMessage
}

// Call asks Odoo and returns the bare result, or null if there is none. A call of a method on the read list may be sent more
// than once. A call of any other method is sent at most once.
//
// Errors: an [*ArgumentError] if the call cannot be sent as it is; an [*Error] if Odoo, or what stands before Odoo,
// refused or failed; a *[pool.Error] if no answer came. If a write may have been carried out although it failed, its error
// wraps [pool.ErrUnknownOutcome]: Call does not repeat such a write, and the caller should look before repeating it. Only that
// error means this: [pool.Error.Sent] of another error may speak of a request that was sent before the write.
func (c *Client) Call(ctx context.Context, call Call) (json.RawMessage, error) {
	return c.call(ctx, call, c.IsRead(call.Method))
}

func (c *Client) call(ctx context.Context, call Call, read bool) (json.RawMessage, error) {
	if err := call.validate(); err != nil {
		return nil, err
	}
	call, err := call.normalize()
	if err != nil {
		return nil, err
	}
	s, err := c.connected(ctx)
	if err != nil {
		return nil, err
	}
	result, err := c.callIn(ctx, s, call, read)
	if c.newerKey(ctx, err, s.secret()) == "" {
		return result, err
	}
	// Odoo has not carried out a call whose key it refuses, so even a write is sent again.
	c.session.CompareAndSwap(s, nil)
	if s, err = c.connected(ctx); err != nil {
		return nil, err
	}
	return c.callIn(ctx, s, call, read)
}

// callIn makes a normalized call in a session.
func (c *Client) callIn(ctx context.Context, s *session, call Call, read bool) (json.RawMessage, error) {
	call, added := call.inLanguage(s.state.Lang)
	result, err := c.send(ctx, s, call, read)
	if added {
		err = c.refusedLanguage(err, s)
	}
	if e, ok := errors.AsType[*Error](err); ok && e.protocolMissing && c.cfg.Protocol == Auto {
		c.session.CompareAndSwap(s, nil) // Odoo was changed for another version: connect anew
	}
	return result, err
}

func (c Call) validate() error {
	if !ValidModel(c.Model) {
		return &ArgumentError{"model", "must be a model's technical name such as res.partner, at most 128 bytes"}
	}
	if !isMethod(c.Method) {
		return &ArgumentError{"method", "must be the name of a public method, at most 128 bytes"}
	}
	for i, a := range c.Args {
		if !json.Valid(a) {
			return &ArgumentError{fmt.Sprintf("args[%d]", i), "must be JSON"}
		}
	}
	for k, v := range c.Kwargs {
		if !json.Valid(v) {
			return &ArgumentError{"kwargs." + k, "must be JSON"}
		}
	}
	return nil
}

// ValidModel says whether s can be a model's technical name: ^[A-Za-z0-9_]+(\.[A-Za-z0-9_]+)*$ up to maxName bytes.
func ValidModel(s string) bool {
	if len(s) > maxName {
		return false
	}
	last := byte('.')
	for i := range len(s) {
		if b := s[i]; !isWord(b) && (b != '.' || last == '.') {
			return false
		}
		last = s[i]
	}
	return last != '.'
}

// isMethod matches ^[A-Za-z][A-Za-z0-9_]*$ up to maxName bytes: what starts with an underscore is private.
func isMethod(s string) bool {
	if s == "" || len(s) > maxName || s[0] == '_' || '0' <= s[0] && s[0] <= '9' {
		return false
	}
	for i := range len(s) {
		if !isWord(s[i]) {
			return false
		}
	}
	return true
}

func isWord(b byte) bool {
	return 'a' <= b && b <= 'z' || 'A' <= b && b <= 'Z' || '0' <= b && b <= '9' || b == '_'
}
