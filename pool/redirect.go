package pool

import (
	"cmp"
	"errors"
	"fmt"
	"net/http"
	"net/url"
)

// RedirectError is an answer that sends the caller to another address. The pool does not follow it: the call's key and
// content are for the configured address alone. The next call would be answered the same.
type RedirectError struct {
	Status   int
	Location string // without user, query and fragment, at most 512 bytes; empty if the answer names none
	Variable string // Config.Variable

	Answer *Response // the redirect itself, for a caller that follows it under rules of its own
}

func (e *RedirectError) Error() string {
	where := cmp.Or(e.Location, "an address that it does not name")
	return fmt.Sprintf("%s redirects (%d) to %s: set it to the address that answers itself", cmp.Or(e.Variable, "the URL"), e.Status, where)
}

// redirects is the link that turns a redirect into a *[RedirectError]. It does so before net/http handles the redirect, because
// net/http fails if it cannot parse the Location.
type redirects struct {
	next     http.RoundTripper
	variable string // Config.Variable
}

// RoundTrip sends req to the next link.
func (r *redirects) RoundTrip(req *http.Request) (*http.Response, error) {
	resp, err := r.next.RoundTrip(req)
	if err != nil {
		return nil, err
	}
	switch resp.StatusCode {
	case http.StatusMovedPermanently, http.StatusFound, http.StatusSeeOther, http.StatusTemporaryRedirect, http.StatusPermanentRedirect:
		body, err := bodyOf(resp)
		_ = resp.Body.Close()
		if err != nil {
			return nil, err
		}
		answer := &Response{Status: resp.StatusCode, Header: resp.Header, Body: body}
		return nil, &RedirectError{Status: resp.StatusCode, Location: location(resp), Variable: r.variable, Answer: answer}
	}
	return resp, nil
}

// location is where a redirect leads, without what may be secret.
func location(resp *http.Response) string {
	u, err := resp.Location() // a relative one is resolved
	if err != nil {
		return ""
	}
	bare := url.URL{Scheme: u.Scheme, Host: u.Host, Path: u.Path, RawPath: u.RawPath}
	const most = 512
	s := bare.String()
	return s[:min(len(s), most)]
}

// notApplied says that a call which failed with err after so many tries changed nothing: it was not sent, or the only try
// was redirected.
func notApplied(tries int64, err error) bool {
	_, ok := errors.AsType[*RedirectError](err)
	return tries == 0 || tries == 1 && ok
}
