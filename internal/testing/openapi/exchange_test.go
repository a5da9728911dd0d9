package openapi

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"regexp"
	"strings"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/getkin/kin-openapi/openapi3filter"
	"github.com/getkin/kin-openapi/routers"

	"hearth/internal/testing/contract"
)

// exchange is a request that Hearth has got, and its answer.
type exchange contract.Exchange

func (e exchange) String() string {
	return fmt.Sprintf("%s %.200s %.500s\n-> %d %v %.1000s", e.Method, e.Target, e.Body, e.Status, e.ReplyHeader, e.Reply)
}

// kind is the problem that the reply is; empty: it is none.
func (e exchange) kind() string {
	var p struct{ Type string }
	if e.Status < http.StatusBadRequest || json.Unmarshal(e.Reply, &p) != nil {
		return ""
	}
	return strings.TrimPrefix(p.Type, "/docs/errors.md#")
}

// operation finds the call of the document, with the values of the path's parameters; nil: the document has no such call.
func operation(doc *openapi3.T, e exchange) (*routers.Route, map[string]string) {
	raw, _, _ := strings.Cut(e.Target, "?")
	if _, rest, ok := strings.Cut(raw, "://"); ok { // an absolute target
		_, raw, _ = strings.Cut(rest, "/")
		raw = "/" + raw
	}
	method := e.Method
	if method == http.MethodHead {
		method = http.MethodGet
	}
	for path, item := range doc.Paths.Map() {
		if params, ok := match(path, raw); ok && item.GetOperation(method) != nil {
			return &routers.Route{Spec: doc, Path: path, PathItem: item, Method: method, Operation: item.GetOperation(method)}, params
		}
	}
	return nil, nil
}

// match says whether a raw path is one of a pattern, segment by segment, and returns the values of the parameters.
func match(pattern, raw string) (map[string]string, bool) {
	names, segments, params := strings.Split(pattern, "/"), strings.Split(raw, "/"), map[string]string{}
	if len(names) != len(segments) {
		return nil, false
	}
	for i, name := range names {
		parameter, ok := strings.CutPrefix(name, "{")
		switch value, err := url.PathUnescape(segments[i]); {
		case !ok && name != segments[i]:
			return nil, false
		case ok && err != nil:
			params[strings.TrimSuffix(parameter, "}")] = segments[i]
		case ok:
			params[strings.TrimSuffix(parameter, "}")] = value
		}
	}
	return params, true
}

// check says in what an exchange is not as the document says; nil: in nothing.
func check(doc *openapi3.T, e exchange) error {
	route, params := operation(doc, e)
	if route == nil || e.Status == http.StatusMethodNotAllowed && e.Method == http.MethodHead {
		return checkRefusal(doc, e)
	}
	in := requestOf(route, params, e)
	if err := checkReply(in, e); err != nil {
		return err
	}
	wrong := openapi3filter.ValidateRequest(in.Request.Context(), in)
	if wrong == nil {
		wrong = checkQuery(route, in.Request.URL)
	}
	switch {
	case e.Status < http.StatusBadRequest:
		return wrong
	case wrong == nil && (e.kind() == "bad-field" || e.kind() == "bad-body") && !saidInWords(e):
		return errors.New("the document has nothing against this request")
	}
	return nil
}

// checkRefusal checks the reply to a request that is none of the document's calls.
func checkRefusal(doc *openapi3.T, e exchange) error {
	response := map[string]string{
		"no-such-call": "NoSuchCall", "method": "WrongMethod", "token": "NoToken", "forbidden": "Forbidden", "not-http": "BadRequest",
	}[e.kind()]
	if e.Method == http.MethodHead && e.Status == http.StatusMethodNotAllowed { // without a body
		response = "WrongMethod"
	}
	if response == "" {
		return errors.New("the document has no such call")
	}
	return checkReply(requestOf(&routers.Route{Spec: doc, PathItem: &openapi3.PathItem{}, Operation: &openapi3.Operation{
		Responses: openapi3.NewResponses(openapi3.WithStatus(e.Status, doc.Components.Responses[response])),
	}}, nil, e), e)
}

// saidInWords says that a request was refused by a rule that the document tells in words, because its schemas cannot.
func saidInWords(e exchange) bool {
	var p struct{ Detail string }
	rule := regexp.MustCompile(`^Cache-Control \S+ must be a number|^properties may not name|^chat_id is not percent-encoded|must be UTF-8$| stands twice | does not go with chat$|` +
		`is given more than once$|^not JSON: |^(kwargs|args)`)
	if json.Unmarshal(e.Reply, &p) != nil {
		return false
	}
	return rule.MatchString(p.Detail) || e.Target == "/v1/odoo/call" && strings.HasSuffix(p.Detail, " is not a field of this call")
}

// requestOf is the exchange's request. A field that is null counts as absent, which the document says in words.
func requestOf(route *routers.Route, params map[string]string, e exchange) *openapi3filter.RequestValidationInput {
	_, query, _ := strings.Cut(e.Target, "?")
	target := &url.URL{Scheme: "http", Host: "hearth", Path: "/", RawQuery: query} // params has what matters of the path
	req := &http.Request{Method: e.Method, URL: target, Header: e.Header.Clone(), Body: http.NoBody}
	if body := withoutNulls(e.Body); len(body) > 0 {
		req.Body, req.ContentLength = io.NopCloser(bytes.NewReader(body)), int64(len(body))
	}
	return &openapi3filter.RequestValidationInput{
		Request: req, PathParams: params, QueryParams: target.Query(), Route: route,
		Options: &openapi3filter.Options{
			IncludeResponseStatus: true, RejectWhenRequestBodyNotSpecified: true, SkipSettingDefaults: true,
			AuthenticationFunc: openapi3filter.NoopAuthenticationFunc,
		},
	}
}

func withoutNulls(body []byte) []byte {
	var members map[string]json.RawMessage
	if json.Unmarshal(body, &members) != nil {
		return body
	}
	maps.DeleteFunc(members, func(_ string, value json.RawMessage) bool { return string(value) == "null" })
	stripped, err := json.Marshal(members)
	if err != nil {
		return body
	}
	return stripped
}

// checkQuery checks what openapi3filter does not: that the call takes each parameter, and that each is there once.
func checkQuery(route *routers.Route, target *url.URL) error {
	for name, values := range target.Query() {
		if route.Operation.Parameters.GetByInAndName("query", name) == nil {
			return fmt.Errorf("%s is not a parameter of this call", name)
		}
		if len(values) > 1 {
			return fmt.Errorf("%s is given %d times", name, len(values))
		}
	}
	return nil
}

func checkReply(in *openapi3filter.RequestValidationInput, e exchange) error {
	documented := in.Route.Operation.Responses.Status(e.Status)
	if documented == nil {
		return fmt.Errorf("the document has no status %d", e.Status)
	}
	if err := checkHeaders(documented.Value, e); err != nil {
		return err
	}
	if len(documented.Value.Content) == 0 && len(e.Reply) > 0 {
		return errors.New("the document has no body for this reply")
	}
	reply := &openapi3filter.ResponseValidationInput{
		RequestValidationInput: in, Status: e.Status, Header: e.ReplyHeader, Options: in.Options,
	}
	return openapi3filter.ValidateResponse(in.Request.Context(), reply.SetBodyBytes(e.Reply))
}

// checkHeaders checks what openapi3filter does not: that the document has each header of the reply, apart from those of the message
// itself, and that those which must be there are, of a 304 too.
func checkHeaders(documented *openapi3.Response, e exchange) error {
	known := map[string]bool{"Content-Type": true, "Content-Length": true, "Connection": true, "Server": true, "Date": false}
	for name, header := range documented.Headers {
		name = http.CanonicalHeaderKey(name)
		known[name] = true
		if header.Value.Required && e.ReplyHeader.Get(name) == "" {
			return fmt.Errorf("the reply has no %s", name)
		}
	}
	for name := range e.ReplyHeader {
		if !known[name] {
			return fmt.Errorf("the document has no header %s in this reply", name)
		}
	}
	return nil
}
