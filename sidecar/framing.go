package sidecar

import (
	"bytes"

	"github.com/valyala/fasthttp"
)

// wellFramed says whether every reader that follows RFC 9112 finds the same headers and the same end of the request. It refuses requests
// that fasthttp accepts: with a line that ends with LF alone, with a folded line, with both Content-Length and Transfer-Encoding, with a
// transfer coding other than chunked, and with a version other than HTTP/1.0 and 1.1.
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

// named says whether a line begins with a name. The name is in lower case and ends with the colon.
func named(line []byte, name string) bool {
	return len(line) >= len(name) && bytes.EqualFold(line[:len(name)], []byte(name))
}
