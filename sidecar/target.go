package sidecar

import (
	"net/url"
	"slices"
	"strings"

	"hearth/client/wire"
)

// target is a request's target, split as RFC 9112 says.
type target struct {
	absolute     bool
	scheme, host string // of an absolute target
	path, query  string // raw
}

func parseTarget(raw string) (t target) {
	if scheme, rest, ok := strings.Cut(raw, "://"); ok && raw[0] != '/' {
		t.absolute, t.scheme = true, scheme
		end := strings.IndexAny(rest, "/?")
		if end < 0 {
			end = len(rest)
		}
		t.host, raw = rest[:end], rest[end:]
		if !strings.HasPrefix(raw, "/") { // an empty path means the root
			raw = "/" + raw
		}
	}
	t.path, t.query, _ = strings.Cut(raw, "?")
	return t
}

// isLocal says whether the target names this machine, or no machine at all.
func (t target) isLocal(socket bool) bool {
	return !t.absolute || strings.EqualFold(t.scheme, "http") && localHost(t.host, socket)
}

// parseQuery reads the query's parameters. It refuses those that the call does not take: a misspelt name must not pass for a
// default.
func (r *request) parseQuery(query string, known []string) *wire.Problem {
	r.query.Parse(query)
	given := make([]string, 0, 2)
	for pair := range strings.SplitSeq(query, "&") {
		if pair == "" {
			continue
		}
		raw, value, _ := strings.Cut(pair, "=")
		name, err := url.QueryUnescape(raw)
		switch _, e := url.QueryUnescape(value); {
		case raw == "":
			return wire.BadField("query", "has a parameter without a name")
		case err != nil || !slices.Contains(known, name):
			return wire.BadField(shortened(raw), "is not a parameter of this call")
		case e != nil:
			return wire.BadField(name, "is not percent-encoded")
		case slices.Contains(given, name):
			return wire.BadField(name, "is given more than once")
		}
		given = append(given, name)
	}
	return nil
}
