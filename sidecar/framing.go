package sidecar

import (
	"bytes"

	"github.com/valyala/fasthttp"
)

// wellFramed says whether every reader of RFC 9112 finds the same headers and the same end of the request. It refuses what fasthttp
// takes: a line that ends with LF alone, a folded line, a body whose length is told twice or by a coding that is none, another version.
func wellFramed(h *fasthttp.RequestHeader) bool {
	if !h.IsHTTP11() && string(h.Protocol()) != "HTTP/1.0" {
		return false
	}
	length, coding := false, false
	for rest := h.RawHeaders(); len(rest) > 0; {
		end := bytes.IndexByte(rest, '\n')
		if end < 1 || rest[end-1] != '\r' {
			return false
		}
		switch rest[0] {
		case ' ', '\t':
			return false
		case 'C', 'c':
			length = length || named(rest, "content-length:")
		case 'T', 't':
			if named(rest, "transfer-encoding:") {
				coding = true
				if !bytes.EqualFold(bytes.Trim(rest[len("transfer-encoding:"):end], " \t\r"), []byte("chunked")) {
					return false
				}
			}
		}
		rest = rest[end+1:]
	}
	return !length || !coding
}

// named says whether a line begins with a name, which is in lower case and has the colon.
func named(line []byte, name string) bool {
	return len(line) >= len(name) && bytes.EqualFold(line[:len(name)], []byte(name))
}
