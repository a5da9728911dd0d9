package odoo

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"hearth/pool"
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

// Call asks Odoo and returns the bare result, null where there is none. Methods on the read list may be sent more
// than once; any other is sent at most once.
//
// Errors: an [*ArgumentError] if the call cannot be sent as it is; an [*Error] if Odoo (or what stands before it)
// refused or failed; a *[pool.Error] if no answer came. An error of a write that may nevertheless have been carried
// out is an [ErrUnknownOutcome] too, and of no other may that be said, whatever its pool.Error tells of Sent: that
// may be of a request that went before.
func (c *Client) Call(ctx context.Context, call Call) (json.RawMessage, error) {
	return c.call(ctx, call, c.IsRead(call.Method))
}

func (c *Client) call(ctx context.Context, call Call, read bool) (json.RawMessage, error) {
	if err := call.validate(); err != nil {
		return nil, err
	}
	call, err := call.ordered()
	if err != nil {
		return nil, err
	}
	s, err := c.settled(ctx)
	if err != nil {
		return nil, err
	}
	call, added := call.inLanguage(s.state.Lang)
	result, err := c.send(ctx, s, call, read)
	if added {
		err = c.refusedLanguage(err, s)
	}
	if e, ok := errors.AsType[*Error](err); ok && e.absent && c.cfg.Protocol == Auto {
		c.session.CompareAndSwap(s, nil) // Odoo was changed for another version: settle anew
	}
	return result, err
}

// send makes one ordered call.
func (c *Client) send(ctx context.Context, w wire, call Call, read bool) (json.RawMessage, error) {
	req, err := w.encode(call)
	if err != nil {
		return nil, err
	}
	req.Repeatable = read
	r, err := c.ask(ctx, req)
	if err != nil {
		if e, ok := errors.AsType[*pool.Error](err); !read && (!ok || e.Sent) {
			return nil, fmt.Errorf("%w: %w", ErrUnknownOutcome, err)
		}
		return nil, err
	}
	result, fault := w.decode(call, r)
	if fault == nil {
		return result, nil
	}
	fault = fault.without(c.cfg.Key)
	if !read && fault.unsure {
		fault.Retryable = false
		return nil, fmt.Errorf("%w: %w", ErrUnknownOutcome, fault)
	}
	return nil, fault
}

// ask sends a request and brings its answer, which is JSON where Python would take it for JSON.
func (c *Client) ask(ctx context.Context, req pool.Request) (*pool.Response, error) {
	r, err := c.doer.Do(ctx, req)
	if err != nil {
		return nil, err
	}
	return &pool.Response{Status: r.Status, Header: r.Header, Body: clean(r.Body)}, nil
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
