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
	"reflect"
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
	write  bool   // changes something
	once   bool   // must not be sent again once it may have arrived
	reply  *http.Header
	accept int // a status besides 2xx whose body is the answer

	sent atomic.Bool // it may have arrived
}

func newCall(method, target string, opts []Option) *call {
	c := &call{method: method, target: target, header: http.Header{}}
	for _, o := range opts {
		o(c)
	}
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

// unfit names the first field of a body, or of one of several, that cannot be encoded: a number that is none, say.
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

// do makes a call and decodes its answer into v. A call that may be sent twice is, over a new connection, if the
// first one broke.
func (c *Client) do(ctx context.Context, req *call, patience time.Duration, v any) error {
	given := ctx
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	a, err := c.exchange(ctx, req)
	if err != nil && !req.once && ctx.Err() == nil && !final(err) {
		c.http.CloseIdleConnections() // what broke one has broken the others
		a, err = c.exchange(ctx, req)
	}
	switch {
	case err == nil:
	case given.Err() != nil:
		err = fmt.Errorf("hearth: %w", context.Cause(given))
	case ctx.Err() != nil:
		err = fmt.Errorf("hearth: no answer within %v: %w", patience, ctx.Err())
	default:
		err = fmt.Errorf("hearth: %w", err)
	}
	switch {
	case errors.Is(err, ErrUnreachable) && !req.sent.Load():
		return errors.Unwrap(err) // it names us itself
	case err != nil && req.write && req.sent.Load():
		return fmt.Errorf("%w: %w", ErrUnknownOutcome, err)
	case err != nil:
		return err
	}
	if req.reply != nil {
		*req.reply = a.header
	}
	if a.status/100 != 2 && a.status != req.accept {
		return a.problem()
	}
	if v == nil {
		return nil
	}
	if err := json.Unmarshal(a.body, v); err != nil {
		return fmt.Errorf("hearth: the answer cannot be read: %w", err)
	}
	return nil
}

var errTooLarge = errors.New("the answer is too large")

// final says that trying again over a new connection would not help.
func final(err error) bool { return errors.Is(err, ErrUnreachable) || errors.Is(err, errTooLarge) }

type answer struct {
	status int
	header http.Header
	body   []byte
}

// exchange sends the call once and reads the whole answer. net/http itself sends it again if it finds a kept
// connection dead before it has written anything, and a GET also if no byte came back.
func (c *Client) exchange(ctx context.Context, req *call) (*answer, error) {
	var body io.Reader
	if req.body != nil {
		body = bytes.NewReader(req.body)
	}
	if req.write {
		ctx = httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{WroteHeaders: func() { req.sent.Store(true) }})
	}
	r, err := http.NewRequestWithContext(ctx, req.method, "http://"+host+req.target, body)
	if err != nil {
		return nil, err
	}
	r.Header = req.header.Clone()
	if req.body != nil {
		r.Header.Set("Content-Type", "application/json")
	}
	if trace, ok := ctx.Value("x-amzn-trace-id").(string); ok && r.Header.Get("X-Amzn-Trace-Id") == "" {
		r.Header.Set("X-Amzn-Trace-Id", trace) // where github.com/aws/aws-lambda-go keeps it
	}
	if c.cfg.Token != "" {
		r.Header.Set(HeaderToken, c.cfg.Token)
	}
	resp, err := c.http.RoundTrip(r)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(io.LimitReader(resp.Body, maxReply+1))
	if err != nil {
		return nil, err
	}
	if len(b) > maxReply {
		return nil, errTooLarge
	}
	return &answer{resp.StatusCode, resp.Header, b}, nil
}

// problem reads the answer as a problem report. What is none becomes one.
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

// chatPath fills a chat's id into a path, as one segment. An id that UTF-8 cannot carry is refused here, because
// JSON would quietly make another one of it.
func chatPath(path, chat string) (string, error) {
	if err := checkChat(chat); err != nil {
		return "", err
	}
	segment := url.PathEscape(chat)
	if chat == "." || chat == ".." {
		segment = strings.ReplaceAll(chat, ".", "%2E") // or somebody on the way might resolve it
	}
	return strings.Replace(path, "{chat_id}", segment, 1), nil
}

func checkChat(chat string) error {
	if chat == "" || len(chat) > 512 || !utf8.ValidString(chat) {
		return wire.BadField("chat_id", "must have 1 to 512 bytes of UTF-8")
	}
	return nil
}
