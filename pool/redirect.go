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
}

func (e *RedirectError) Error() string {
	where := cmp.Or(e.Location, "an address that it does not name")
	return fmt.Sprintf("%s redirects (%d) to %s: set it to the address that answers itself", cmp.Or(e.Variable, "the URL"), e.Status, where)
}

// redirected returns a *RedirectError if resp is a redirect.
func (p *Pool) redirected(resp *http.Response) error {
	switch resp.StatusCode {
	case http.StatusMovedPermanently, http.StatusFound, http.StatusSeeOther, http.StatusTemporaryRedirect, http.StatusPermanentRedirect:
		return &RedirectError{Status: resp.StatusCode, Location: location(resp), Variable: p.cfg.Variable}
	}
	return nil
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
