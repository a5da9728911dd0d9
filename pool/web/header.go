package web

import (
	"fmt"
	"net/http"
	"net/textproto"
	"strings"

	"golang.org/x/net/http/httpguts"
)

// Bounds of the headers of a request and of an answer.
const (
	MaxHeaders     = 64
	maxHeaderBytes = 64 << 10
)

// Header reads the headers that a caller names. The error says what is wrong with one of them.
func Header(fields map[string]string) (http.Header, error) {
	if len(fields) > MaxHeaders {
		return nil, fmt.Errorf("must be at most %d", MaxHeaders)
	}
	h := make(http.Header, len(fields))
	for name, value := range fields {
		canonical := textproto.CanonicalMIMEHeaderKey(name)
		switch {
		case !httpguts.ValidHeaderFieldName(name):
			return nil, fmt.Errorf("must have names of HTTP's letters: %.40q is none", name)
		case !httpguts.ValidHeaderFieldValue(value):
			return nil, fmt.Errorf("must have values without control characters: that of %s has one", name)
		case ofTheConnection(canonical):
			return nil, fmt.Errorf("must not have %s, which Hearth sets itself", name)
		case h[canonical] != nil:
			return nil, fmt.Errorf("must not have %s twice", name)
		}
		h[canonical] = []string{strings.Trim(value, " \t")}
	}
	return h, nil
}

// ofTheConnection says whether a header is about the connection, the framing or the host of a request, or is Hearth's own.
func ofTheConnection(name string) bool {
	switch name {
	case "Host", "Content-Length", "Transfer-Encoding", "Connection", "Keep-Alive", "Te", "Trailer", "Upgrade", "Expect", "Http2-Settings":
		return true
	}
	return strings.HasPrefix(name, "Proxy-") || strings.HasPrefix(name, "X-Hearth-")
}

// textOf is an answer's headers as a caller sees them. The values of a repeated header are joined by a comma. Those of Set-Cookie, which
// hold commas, are joined by a line feed. Headers of the connection are left out, except Content-Length.
func textOf(h http.Header) map[string]string {
	fields := make(map[string]string, len(h))
	for name, values := range h {
		if ofTheConnection(name) && name != "Content-Length" {
			continue
		}
		between := ", "
		if name == "Set-Cookie" {
			between = "\n"
		}
		fields[name] = strings.ToValidUTF8(strings.Join(values, between), "\uFFFD")
	}
	return fields
}
