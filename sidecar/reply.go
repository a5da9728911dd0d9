package sidecar

import (
	"encoding/json"
	"net/http"

	"hearth/cache"
	"hearth/client/wire"
	"hearth/sidecar/chat"
)

// sendCached sends a reply of the cache. A GET gets a 304 if its caller has the same reply already.
func (r *request) sendCached(part string, got cache.Reply) error {
	r.setCacheStatus(got.Origin)
	r.timed(part)
	if r.IsGet() || r.IsHead() {
		r.line = append(r.line[:0], got.ETag...)
		r.Response.Header.SetCanonical([]byte("Etag"), r.line)
		if matchesETag(r.headers.ifNoneMatch, got.ETag) {
			r.SetStatusCode(http.StatusNotModified)
			return nil
		}
	}
	r.sendBody(http.StatusOK, got.Body)
	return nil
}

// sendJSON encodes a reply and sends it.
func (r *request) sendJSON(status int, v any) error {
	body, err := chat.Encode(v)
	if err != nil {
		return err
	}
	r.sendBody(status, body)
	return nil
}

// sendBody sends JSON. The body must not change afterwards: it is not copied.
func (r *request) sendBody(status int, body []byte) {
	r.SetStatusCode(status)
	r.SetContentType("application/json")
	r.Response.SetBodyRaw(body)
}

// usualReply is the size of a body, in bytes, up to which a connection keeps the memory for it.
const usualReply = 16 << 10

// bodyMemory returns memory for a body of that size. sendOwnBody sends the body.
func (r *request) bodyMemory(size int) []byte {
	if size > usualReply {
		return make([]byte, 0, size)
	}
	return r.Response.SwapBody(nil)[:0]
}

// sendOwnBody sends JSON in memory of bodyMemory.
func (r *request) sendOwnBody(status int, body []byte) {
	if cap(body) > usualReply {
		r.sendBody(status, body)
		return
	}
	r.SetStatusCode(status)
	r.SetContentType("application/json")
	r.Response.SwapBody(body)
}

// refuse sends a problem, and discards a body that was set before.
func (r *request) refuse(p *wire.Problem) {
	body, err := json.Marshal(p)
	if err != nil { // a Problem always encodes
		panic(err)
	}
	r.Response.ResetBody()
	r.SetStatusCode(p.Status)
	r.SetContentType("application/problem+json")
	r.SetBody(body)
}
