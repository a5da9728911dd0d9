package sidecar

import (
	"fmt"
	"net/textproto"
	"slices"
	"strings"
	"time"

	"github.com/tidwall/gjson"

	"hearth/client/wire"
)

// batchOf is a decoded batch.
type batchOf struct {
	calls    []batchCall
	timeout  time.Duration // 0: the batch does not say
	parallel int
	own      bool // the batch says itself how many run at once
}

// batchCall is one call of a batch. It shares no memory with the batch's request.
type batchCall struct {
	id, method, path string
	headers          []headerLine
	body             string        // JSON; empty: none
	timeout          time.Duration // 0: none of its own
}

type headerLine struct{ name, value string }

// decodeBatch decodes the body of a batch. One wrong call is a fault of the whole batch, so that none of its writes is carried out.
func (s *Server) decodeBatch(r *request) (b batchOf, err error) {
	o := r.object()
	b.timeout = o.timeout()
	b.parallel, b.own = o.number("max_parallel", s.cfg.Workers, 1, wire.MaxBatch), o.has("max_parallel")
	requests, ok := o.raw("requests")
	if !ok {
		o.wrong("requests", "is required")
	}
	o.rejectUnknown()
	if err := o.err(); err != nil {
		return b, err
	}
	list := gjson.Parse(requests)
	if !list.IsArray() {
		return b, wire.BadField("requests", "must be an array")
	}
	ids := map[string]bool{}
	list.ForEach(func(_, item gjson.Result) bool {
		if len(b.calls) == wire.MaxBatch {
			err = wire.BadField("requests", fmt.Sprintf("must have 1 to %d requests", wire.MaxBatch))
			return false
		}
		o := decodeObject([]byte(item.Raw), fmt.Sprintf("requests[%d].", len(b.calls)), nil)
		c := decodeBatchCall(o)
		if ids[c.id] {
			o.wrong("id", "stands twice in one batch")
		}
		ids[c.id] = true
		b.calls = append(b.calls, c)
		err = o.err()
		return err == nil
	})
	if err == nil && len(b.calls) == 0 {
		err = wire.BadField("requests", fmt.Sprintf("must have 1 to %d requests", wire.MaxBatch))
	}
	return b, err
}

func decodeBatchCall(o *object) batchCall {
	c := batchCall{
		id:      o.text("id", "", 1, wire.MaxBatchID),
		method:  o.requiredText("method"),
		path:    o.requiredText("path"),
		timeout: o.timeout(),
	}
	if c.id == "" {
		o.wrong("id", "is required")
	}
	if !isToken(c.method) {
		o.wrong("method", "must be a method of HTTP")
	}
	switch path, _, _ := strings.Cut(c.path, "?"); {
	case path == wire.PathBatch:
		o.wrong("path", "must not be a batch")
	case !strings.HasPrefix(path, "/v1/"):
		o.wrong("path", "must begin with /v1/")
	case strings.ContainsFunc(c.path, func(b rune) bool { return b <= ' ' || b == 0x7f }):
		o.wrong("path", "must be encoded as in HTTP")
	}
	o.headerLines(&c)
	size := len(c.method) + len(c.path)
	for _, h := range c.headers {
		size += len(h.name) + len(h.value)
	}
	switch {
	case len(c.path) > headerBytes:
		o.wrong("path", fmt.Sprintf("may have %d bytes", headerBytes))
	case size > headerBytes:
		o.wrong("headers", fmt.Sprintf("may have %d bytes together with the path", headerBytes))
	}
	if body, ok := o.raw("body"); ok {
		c.body = strings.Clone(body)
		if !slices.ContainsFunc(c.headers, func(h headerLine) bool { return h.name == "Content-Type" }) {
			c.headers = append(c.headers, headerLine{"Content-Type", "application/json"})
		}
	}
	o.rejectUnknown()
	return c
}

// headerLines reads the headers of a call. Only those of wire.BatchHeaders may be there: the others have no effect in a batch, and a
// misspelt name should not go unnoticed.
func (o *object) headerLines(c *batchCall) {
	value, ok := o.value("headers")
	if !ok {
		return
	}
	list := gjson.Parse(value)
	if !list.IsObject() {
		o.wrong("headers", "must be an object")
		return
	}
	list.ForEach(func(key, value gjson.Result) bool {
		name := textproto.CanonicalMIMEHeaderKey(key.Str)
		field := "headers." + shortened([]byte(key.Str))
		switch {
		case !slices.ContainsFunc(wire.BatchHeaders(), func(h string) bool { return strings.EqualFold(h, name) }):
			o.wrong(field, "is not a header that a request of a batch may have: "+strings.Join(wire.BatchHeaders(), ", "))
		case value.Type != gjson.String:
			o.wrong(field, "must be a string")
		case strings.ContainsFunc(value.Str, func(b rune) bool { return b < ' ' && b != '\t' || b == 0x7f }):
			o.wrong(field, "must not hold control characters")
		}
		c.headers = append(c.headers, headerLine{name, strings.Clone(strings.Trim(value.Str, " \t"))})
		return o.fault == nil
	})
}

// isToken says whether a text can be a method of HTTP (RFC 9110).
func isToken(text string) bool {
	return text != "" && !strings.ContainsFunc(text, func(c rune) bool {
		return c <= ' ' || c >= 0x7f || strings.ContainsRune("\"(),/:;<=>?@[\\]{}", c)
	})
}
