package sidecar

import (
	"bytes"
	"net/url"
	"slices"

	"hearth/client/wire"
)

// target is a request's target, split as RFC 9112 says. It is a part of the request's header.
type target struct {
	absolute     bool
	scheme, host []byte // of an absolute target
	path, query  []byte // raw
}

func parseTarget(raw []byte) (t target) {
	if bytes.HasPrefix(raw, []byte("/")) { // the usual form
		t.path, t.query, _ = bytes.Cut(raw, []byte("?"))
		return t
	}
	if scheme, rest, ok := bytes.Cut(raw, []byte("://")); ok {
		t.absolute, t.scheme = true, scheme
		end := bytes.IndexAny(rest, "/?")
		if end < 0 {
			end = len(rest)
		}
		t.host, raw = rest[:end], rest[end:]
		if !bytes.HasPrefix(raw, []byte("/")) { // an empty path means the root
			raw = append([]byte("/"), raw...)
		}
	}
	t.path, t.query, _ = bytes.Cut(raw, []byte("?"))
	return t
}

// isLocal says whether the target names this machine, or no machine at all.
func (t target) isLocal(socket bool) bool {
	return !t.absolute || bytes.EqualFold(t.scheme, []byte("http")) && localHost(t.host, socket)
}

// parameter is a parameter of the query. A value without escapes is a part of the request's header.
type parameter struct {
	name  string
	value []byte
}

// parseQuery reads the query's parameters. It refuses those that the call does not take: a misspelt name must not pass for a
// default.
func (r *request) parseQuery(query []byte, known []string) *wire.Problem {
	plain := bytes.IndexByte(query, '%') < 0 && bytes.IndexByte(query, '+') < 0
	for len(query) > 0 {
		var pair []byte
		pair, query, _ = bytes.Cut(query, []byte("&"))
		if len(pair) == 0 {
			continue
		}
		rawName, rawValue, _ := bytes.Cut(pair, []byte("="))
		if len(rawName) == 0 {
			return wire.BadField("query", "has a parameter without a name")
		}
		unescaped, err := unescape(rawName, plain)
		i := slices.IndexFunc(known, func(name string) bool { return name == string(unescaped) })
		if err != nil || i < 0 {
			return wire.BadField(shortened(rawName), "is not a parameter of this call")
		}
		name := known[i]
		value, err := unescape(rawValue, plain)
		if err != nil {
			return wire.BadField(name, "is not percent-encoded")
		}
		if r.has(name) {
			return wire.BadField(name, "is given more than once")
		}
		r.query = append(r.query, parameter{name, value})
	}
	return nil
}

// unescape decodes a name or a value of a query. In a plain query there are no escapes.
func unescape(raw []byte, plain bool) ([]byte, error) {
	if plain {
		return raw, nil
	}
	text, err := url.QueryUnescape(string(raw))
	return []byte(text), err
}

// parameter returns a parameter's value; nil: the query does not have the parameter.
func (r *request) parameter(name string) []byte {
	for _, p := range r.query {
		if p.name == name {
			return p.value
		}
	}
	return nil
}

func (r *request) has(name string) bool {
	return slices.ContainsFunc(r.query, func(p parameter) bool { return p.name == name })
}
