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
		r.scratch = append(r.scratch[:0], got.ETag...)
		r.Response.Header.SetCanonical([]byte("Etag"), r.scratch)
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

// maxKeptBody is the size in bytes up to which a connection keeps the memory of a reply's body for the next reply.
const maxKeptBody = 16 << 10

// bodyBuffer returns an empty buffer for a body of about that size. sendBuffer sends the body.
func (r *request) bodyBuffer(size int) []byte {
	if size > maxKeptBody {
		return make([]byte, 0, size)
	}
	return r.Response.SwapBody(nil)[:0]
}

// sendBuffer sends JSON in a buffer of bodyBuffer, and gives the buffer back to the connection.
func (r *request) sendBuffer(status int, body []byte) {
	if cap(body) > maxKeptBody {
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
