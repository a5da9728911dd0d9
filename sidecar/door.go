package sidecar

import (
	"bytes"
	"crypto/subtle"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"mime"
	"net"
	"net/url"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/valyala/fasthttp"

	"hearth/client/wire"
)

const (
	maxChatID = 512 // bytes, decoded
	notHTTP   = "the request cannot be read as HTTP/1.1"
)

// headerUnread marks a request whose body is not read. If a caller sends this header, its request is refused.
const headerUnread = "X-Hearth-Unread"

// headReceived looks at the headers of a request before fasthttp waits for its body. If the body is too large, or the token is wrong and
// the call needs it, the body need not come: the request is refused without it, and its connection ends.
func (s *Server) headReceived(h *fasthttp.RequestHeader) fasthttp.RequestConfig {
	const chunked = -1
	n := h.ContentLength()
	if n > s.cfg.MaxBody || (n > 0 || n == chunked) && !s.isToken(h.Peek(wire.HeaderToken)) && !needsNoToken(parseTarget(h.RequestURI()).path) {
		h.SetContentLength(0)
		h.Del("Expect") // the caller must not send the body
		h.Set(headerUnread, "1")
	}
	return fasthttp.RequestConfig{}
}

// isToken says, in constant time, whether a token is the right one. Without Config.Token every token is.
func (s *Server) isToken(token []byte) bool {
	return s.cfg.Token == "" || subtle.ConstantTimeCompare(token, []byte(s.cfg.Token)) == 1
}

// admit finds the request's route and reads the request, or returns why the request is refused. It checks in this order: the framing (400),
// the origin (403), the token (401), and whether there is room for one more caller (503). Then accept checks the rest. What
// needsNoToken needs no room either. broken is the error of a request that could not be read; nil: it could be read.
func (s *Server) admit(r *request, broken error) (refusal *wire.Problem) {
	if broken != nil {
		return unreadable(broken)
	}
	r.headers = readHeaders(&r.Request.Header)
	if r.headers.unread {
		r.SetConnectionClose()
		if r.conn != nil {
			r.conn.lingers.Store(true)
		}
	}
	if !wellFramed(&r.Request.Header) || r.headers.spacedName || r.conn != nil && r.conn.bareLF {
		r.SetConnectionClose()
		return wire.NewProblem(wire.KindNotHTTP, notHTTP)
	}
	asked := parseTarget(r.Request.Header.RequestURI())
	if why := r.headers.foreign(asked, r.socket); why != "" {
		r.SetConnectionClose()
		return wire.NewProblem(wire.KindForbidden, why)
	}
	if needsNoToken(asked.path) {
		return s.accept(r, asked)
	}
	if !s.isToken(r.headers.token) {
		r.SetConnectionClose()
		return wire.NewProblem(wire.KindToken, wrongToken(s.cfg.TokenFrom))
	}
	if r.conn != nil && !r.conn.admitted && !r.conn.admit() {
		r.SetConnectionClose()
		r.Response.Header.Set("Retry-After", "1")
		return wire.NewProblem(wire.KindOverloaded, "as many callers as may be are served at this moment")
	}
	return s.accept(r, asked)
}

// accept is the rest of admit. It checks in this order: the path (404), the method (405), the body's size (413) and type (415), then the
// chat id, the query, Cache-Control and the deadline (400). The calls of a batch begin here.
func (s *Server) accept(r *request, asked target) (refusal *wire.Problem) {
	calls, segment := s.router.find(asked.path)
	if len(calls) == 0 {
		return wire.NewProblem(wire.KindNoSuchCall, "there is no call "+shortened(asked.path))
	}
	found := slices.IndexFunc(calls, func(c route) bool { return c.takes(r.Method()) })
	if found < 0 {
		r.Response.Header.Set("Allow", methods(calls))
		return wire.NewProblem(wire.KindMethod, "this call takes "+methods(calls))
	}
	r.route = &calls[found]
	if refusal = s.readBody(r); refusal != nil {
		return refusal
	}
	if r.body.Len() > 0 && !isJSON(r.Request.Header.ContentType()) {
		return wire.NewProblem(wire.KindMediaType, "a body must be application/json")
	}
	if segment != nil {
		if refusal = r.decodeChat(segment); refusal != nil {
			return refusal
		}
	}
	if refusal = r.parseQuery(asked.query, r.route.query); refusal != nil {
		return refusal
	}
	r.directives, refusal = parseCacheControl(r.headers.cacheControl)
	r.directives.Tally = r.tally
	if refusal != nil || s.cfg.NoDeadline {
		return refusal
	}
	r.left, refusal = timeLeft(r.headers.timeouts)
	return refusal
}

// wrongToken says which variable the token comes from, and why a caller may have another token.
func wrongToken(variable string) string {
	why := "the call must carry the right " + wire.HeaderToken + ". "
	if variable == "HEARTH_TOKEN" {
		return why + "It is this sidecar's HEARTH_TOKEN: the caller's must be the same. A caller without one derives its own from " +
			"AWS_SESSION_TOKEN or AWS_CONTAINER_AUTHORIZATION_TOKEN"
	}
	return why + "It is derived from the " + variable + " that this sidecar has: a handler that overwrites it, or that has a HEARTH_TOKEN " +
		"of its own, brings another. Set HEARTH_TOKEN for the whole function"
}

// headers are the values of a request's headers that many calls look at. They are parts of the request.
type headers struct {
	host, token  []byte
	forwarded    bool
	spacedName   bool     // the name of a header has a space
	unread       bool     // the body is not read
	crossSite    bool     // a browser says so
	origins      [][]byte // the pages that the request comes from
	cacheControl [][]byte
	ifNoneMatch  [][]byte
	timeouts     [][]byte
	trace        []byte // X-Amzn-Trace-Id
}

// readHeaders reads them in one pass.
func readHeaders(h *fasthttp.RequestHeader) (got headers) {
	got.host = h.Host()
	for name, value := range h.All() {
		switch string(name) {
		default:
			got.spacedName = got.spacedName || bytes.IndexByte(name, ' ') >= 0
		case wire.HeaderToken:
			if got.token == nil {
				got.token = value
			}
		case headerUnread:
			got.unread = true
		case "X-Forwarded-For", "Forwarded":
			got.forwarded = true
		case "Sec-Fetch-Site":
			got.crossSite = got.crossSite || string(value) == "cross-site"
		case "Origin":
			got.origins = append(got.origins, value)
		case "Cache-Control":
			got.cacheControl = append(got.cacheControl, value)
		case "If-None-Match":
			got.ifNoneMatch = append(got.ifNoneMatch, value)
		case "X-Amzn-Trace-Id":
			got.trace = value
		case wire.HeaderTimeout:
			got.timeouts = append(got.timeouts, value)
		}
	}
	return got
}

// foreign says why a request does not count as one of this machine: it was forwarded, it names another host, or a page of
// another site sent it. It is empty if the request counts as one of this machine.
func (h *headers) foreign(asked target, socket bool) string {
	switch {
	case h.forwarded:
		return "forwarded requests are refused"
	case !localHost(h.host, socket):
		return "the Host must be this machine"
	case !asked.isLocal(socket):
		return "an absolute target must be http:// and this machine"
	case h.crossSite:
		return "cross-site requests are refused"
	}
	for _, page := range h.origins {
		u, err := url.Parse(string(page))
		if err != nil || !localHost([]byte(u.Host), socket) {
			return "cross-site requests are refused"
		}
	}
	return ""
}

// localHost says whether a Host names this machine; over the socket it may be hearth too.
func localHost(host []byte, socket bool) bool {
	if name, port, _ := bytes.Cut(host, []byte(":")); bytes.IndexByte(port, ':') < 0 {
		switch string(name) { // what clients send
		case "localhost", "127.0.0.1":
			return true
		}
	}
	name := string(host)
	if n, _, err := net.SplitHostPort(name); err == nil {
		name = n
	}
	name = strings.ToLower(strings.Trim(name, "[]"))
	return wire.IsLoopback(name) || socket && name == "hearth"
}

// isJSON says whether a Content-Type is JSON in UTF-8.
func isJSON(contentType []byte) bool {
	if string(contentType) == "application/json" {
		return true
	}
	kind, params, err := mime.ParseMediaType(string(contentType))
	charset := params["charset"]
	return err == nil && kind == "application/json" && (charset == "" || strings.EqualFold(charset, "utf-8"))
}

// readBody reads the body, if there is one.
func (s *Server) readBody(r *request) (refusal *wire.Problem) {
	if r.headers.unread {
		return s.tooLarge()
	}
	stream := r.RequestBodyStream()
	if stream == nil {
		return nil
	}
	r.limited = io.LimitedReader{R: stream, N: int64(s.cfg.MaxBody) + 1}
	if _, err := r.body.ReadFrom(&r.limited); err != nil {
		r.SetConnectionClose()
		return unreadable(err)
	}
	r.now = s.cfg.Pulse.Now() // the body may have taken its time: what is held is judged now
	if r.body.Len() > s.cfg.MaxBody {
		return s.tooLarge()
	}
	return nil
}

func (s *Server) tooLarge() *wire.Problem {
	return wire.NewProblem(wire.KindTooLarge, fmt.Sprintf("a body may have %d bytes", s.cfg.MaxBody))
}

// How much of a refused request is still read, and for how long. If the connection were closed while the caller is still sending, the
// caller would not read the answer.
const (
	maxDrained    = 16 << 20
	drainPatience = time.Second
)

// drain reads the rest of a refused request.
func (r *request) drain() {
	stream := r.RequestBodyStream()
	if stream == nil {
		return
	}
	if r.conn != nil && !r.conn.admitted {
		r.conn.enter(reading) // its slot may be taken
	}
	_ = r.Conn().SetReadDeadline(time.Now().Add(drainPatience)) // the server sets it anew for the next request
	if n, err := io.Copy(io.Discard, io.LimitReader(stream, maxDrained)); n == maxDrained || err != nil {
		r.SetConnectionClose()
	}
}

// decodeChat decodes the path's segment that holds a chat's id. It is decoded once only: an id may hold percent signs.
func (r *request) decodeChat(segment []byte) *wire.Problem {
	for len(segment) > 0 {
		var plain []byte
		var escaped bool
		plain, segment, escaped = bytes.Cut(segment, []byte("%"))
		r.chat = append(r.chat, plain...)
		if !escaped {
			break
		}
		if len(segment) < 2 {
			return wire.BadField("chat_id", "is not percent-encoded")
		}
		var err error
		if r.chat, err = hex.AppendDecode(r.chat, segment[:2]); err != nil {
			return wire.BadField("chat_id", "is not percent-encoded")
		}
		segment = segment[2:]
	}
	return checkChat(r.chat)
}

// checkChat says what is wrong with a chat's id, as far as that does not depend on the classes; nil: nothing is wrong.
func checkChat(chat []byte) *wire.Problem {
	switch {
	case len(chat) == 0 || len(chat) > maxChatID:
		return wire.BadField("chat_id", fmt.Sprintf("must have 1 to %d bytes", maxChatID))
	case !utf8.Valid(chat):
		return wire.BadField("chat_id", "must be UTF-8")
	}
	return nil
}

// unreadable is the problem of a request that could not be read.
func unreadable(err error) *wire.Problem {
	if _, ok := errors.AsType[*fasthttp.ErrSmallBuffer](err); ok {
		return wire.NewProblem(wire.KindHeaders, fmt.Sprintf("request line and headers may have %d bytes", headerBytes))
	}
	if ne, ok := errors.AsType[net.Error](err); ok && ne.Timeout() {
		return wire.NewProblem(wire.KindSlowRequest, "the request did not come in time")
	}
	return wire.NewProblem(wire.KindNotHTTP, notHTTP)
}

// shortened cuts a path for a message, and replaces what is not UTF-8.
func shortened(path []byte) string {
	const most = 100
	if len(path) > most {
		path = append(path[:most:most], "…"...)
	}
	return string(bytes.ToValidUTF8(path, []byte("?")))
}
