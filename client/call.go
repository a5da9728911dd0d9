package client

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"os"
	"reflect"
	"strconv"
	"strings"
	"sync/atomic"
	"time"
	"unicode/utf8"

	"hearth/client/wire"
)

// call is one request on its way.
type call struct {
	method string
	target string // path and query, encoded
	header http.Header
	body   []byte // nil: none
	write  bool   // the call changes something

	ownTimeout  bool         // the body or the query says how long the sidecar may take
	neverRepeat bool         // the call must not be sent twice
	takes       bool         // the sidecar gives the answer only once
	headersInto *http.Header // where the caller wants the reply's headers; nil: nowhere
	alsoOK      int          // a status besides 2xx whose body is the answer
	chat        string       // the chat that it is about; empty: none
	part        string       // what the cache may hold of the answer; empty: nothing

	end  time.Time    // when the sidecar must have answered; zero: the sidecar is not told
	sent atomic.Int64 // how often the headers were sent of a call that writes or takes: the sidecar may have acted on each
}

func newCall(method, target string, opts []Option) *call {
	c := &call{method: method, target: target, header: http.Header{}}
	for _, o := range opts {
		o(c)
	}
	return c
}

// about says which chat the call is about, and what the cache may hold of the answer. Either may be empty.
func (c *call) about(chat, part string) *call {
	c.chat, c.part = chat, part
	return c
}

// withBody encodes v as the call's body.
func (c *call) withBody(v any) (*call, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		return nil, unfit(reflect.ValueOf(v), "", err)
	}
	c.body = b.Bytes()
	return c, nil
}

// unfit makes the error that names the first field of a body that JSON cannot hold, such as a NaN. A body may be a list of
// bodies.
func unfit(body reflect.Value, prefix string, err error) error {
	switch body.Kind() {
	case reflect.Slice:
		for i := range body.Len() {
			if item := body.Index(i); !encodes(item) {
				return unfit(item, fmt.Sprintf("[%d].", i), err)
			}
		}
	case reflect.Struct:
		for field, value := range body.Fields() {
			if !encodes(value) {
				name, _, _ := strings.Cut(field.Tag.Get("json"), ",")
				return wire.BadField(prefix+name, fmt.Sprintf("cannot be written as JSON: %v", err))
			}
		}
	}
	return fmt.Errorf("hearth: the body cannot be encoded: %w", err)
}

func encodes(v reflect.Value) bool {
	_, err := json.Marshal(v.Interface())
	return err == nil
}

// do makes a call and decodes its answer into v. If the connection breaks, do makes the call once more over a new one,
// unless the call must not be repeated.
func (c *Client) do(ctx context.Context, req *call, patience time.Duration, v any) error {
	if req.chat != "" {
		noteChat(ctx, req.chat)
	}
	parent, began := ctx, time.Now()
	patience = c.limit(ctx, req, patience)
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	a, err := c.exchange(ctx, req)
	if err != nil && !req.neverRepeat && ctx.Err() == nil && !final(err) {
		c.http.CloseIdleConnections() // the second try must not take another connection that is broken
		a, err = c.exchange(ctx, req)
	}
	switch {
	case err == nil:
	case parent.Err() != nil:
		err = fmt.Errorf("hearth: %w", context.Cause(parent))
	case ctx.Err() != nil:
		err = fmt.Errorf("hearth: no answer within %v: %w", patience, ctx.Err())
	default:
		err = fmt.Errorf("hearth: %w", err)
	}
	switch {
	case errors.Is(err, ErrUnreachable) && req.sent.Load() == 0:
		return errors.Unwrap(err) // its text begins with "hearth:" already
	case err != nil && req.write && req.sent.Load() > 0:
		return fmt.Errorf("%w: %w", ErrUnknownOutcome, err)
	case err != nil:
		return err
	}
	if req.headersInto != nil {
		*req.headersInto = a.header
	}
	if a.status/100 != 2 && a.status != req.alsoOK {
		return a.problem()
	}
	if v == nil {
		return nil
	}
	if err := json.Unmarshal(a.body, v); err != nil {
		return fmt.Errorf("hearth: the answer cannot be read: %w", err)
	}
	if req.part != "" {
		noteCache(parent, req.part, a.header, v, time.Since(began))
	}
	return nil
}

// mostMargin is how long before the end of its invocation a call ends, at most. The sidecar keeps a larger margin, so its answer comes
// before that.
const mostMargin = 100 * time.Millisecond

// limit sets when the sidecar must have answered: at the end of ctx, which is that of the invocation, or after a Config.Timeout that is
// shorter than the default, whichever comes first. It returns how long to wait for the answer.
func (c *Client) limit(ctx context.Context, req *call, patience time.Duration) time.Duration {
	now := time.Now()
	if c.cfg.Timeout < defaultTimeout && !req.ownTimeout {
		req.end = now.Add(c.cfg.Timeout)
	}
	end, ok := ctx.Deadline()
	left := end.Sub(now)
	if !ok || left > wire.MaxTimeout { // some environments tell a deadline that is far too late
		return patience
	}
	if req.end.IsZero() || end.Before(req.end) {
		req.end = end
	}
	return min(patience, left-min(mostMargin, left/20))
}

var errTooLarge = errors.New("the answer is too large")

// final says that a second try would fail as well.
func final(err error) bool { return errors.Is(err, ErrUnreachable) || errors.Is(err, errTooLarge) }

type answer struct {
	status int
	header http.Header
	body   []byte
}

// exchange sends the call and reads the whole answer. net/http itself may send it twice: any call if a kept connection was
// closed before a byte was written, and a GET also if no byte of the answer came.
func (c *Client) exchange(ctx context.Context, req *call) (*answer, error) {
	var body io.Reader
	if req.body != nil {
		body = bytes.NewReader(req.body)
	}
	if req.write || req.takes {
		ctx = httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{WroteHeaders: func() { req.sent.Add(1) }})
	}
	r, err := http.NewRequestWithContext(ctx, req.method, "http://"+host+req.target, body)
	if err != nil {
		return nil, err
	}
	r.Header = req.header.Clone()
	if req.body != nil {
		r.Header.Set("Content-Type", "application/json")
	}
	if trace := traceOf(ctx); trace != "" && r.Header.Get("X-Amzn-Trace-Id") == "" {
		r.Header.Set("X-Amzn-Trace-Id", trace)
	}
	if !req.end.IsZero() && r.Header.Get(HeaderTimeout) == "" {
		r.Header.Set(HeaderTimeout, strconv.FormatInt(max(1, time.Until(req.end).Milliseconds()), 10))
	}
	if c.cfg.Token != "" {
		r.Header.Set(HeaderToken, c.cfg.Token)
	}
	resp, err := c.http.RoundTrip(r)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	b, err := readBody(resp)
	if err != nil {
		return nil, err
	}
	return &answer{resp.StatusCode, resp.Header, b}, nil
}

// traceOf is the trace of the invocation, as github.com/aws/aws-lambda-go keeps it: in the context, and for programs that serve one
// invocation at a time in the environment. It is empty if there is none that a header can carry.
func traceOf(ctx context.Context) string {
	trace, ok := ctx.Value("x-amzn-trace-id").(string)
	if !ok {
		trace = os.Getenv("_X_AMZN_TRACE_ID")
	}
	if strings.ContainsFunc(trace, func(r rune) bool { return r < ' ' || r > '~' }) {
		return ""
	}
	return trace
}

// readBody reads the body into a buffer that has room for all of it, if the reply says how long it is.
func readBody(resp *http.Response) ([]byte, error) {
	if resp.ContentLength > maxReply {
		return nil, errTooLarge
	}
	room := max(0, resp.ContentLength) + bytes.MinRead // ReadFrom wants MinRead bytes to find the end in
	b := bytes.NewBuffer(make([]byte, 0, room))
	if _, err := b.ReadFrom(io.LimitReader(resp.Body, maxReply+1)); err != nil {
		return nil, err
	}
	if b.Len() > maxReply {
		return nil, errTooLarge
	}
	return b.Bytes(), nil
}

// problem reads the answer as a problem. An answer of another type becomes a problem whose detail is its first 300 bytes.
func (a *answer) problem() *Problem {
	p := &Problem{}
	kind, _, _ := mime.ParseMediaType(a.header.Get("Content-Type"))
	if kind != "application/problem+json" || json.Unmarshal(a.body, p) != nil {
		const most = 300
		p = &Problem{Detail: strings.ToValidUTF8(string(a.body[:min(len(a.body), most)]), "")}
	}
	p.Status = a.status
	if p.Title == "" {
		p.Title = http.StatusText(a.status)
	}
	return p
}

// chatPath puts a chat's id into a path, as one segment. It refuses an id that is not UTF-8, because encoding would change
// the id.
func chatPath(path, chat string) (string, error) {
	if err := checkChat(chat); err != nil {
		return "", err
	}
	segment := url.PathEscape(chat)
	if chat == "." || chat == ".." {
		segment = strings.ReplaceAll(chat, ".", "%2E") // so that nothing between here and the sidecar resolves it
	}
	return strings.Replace(path, "{chat_id}", segment, 1), nil
}

func checkChat(chat string) error {
	if chat == "" || len(chat) > 512 || !utf8.ValidString(chat) {
		return wire.BadField("chat_id", "must have 1 to 512 bytes of UTF-8")
	}
	return nil
}
