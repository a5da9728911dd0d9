package web

import (
	"net/http"
	"net/url"
	"slices"
	"strings"
)

// IsRedirect says whether an answer is a redirect that names its target.
func IsRedirect(status int, header http.Header) bool {
	switch status {
	case http.StatusMovedPermanently, http.StatusFound, http.StatusSeeOther, http.StatusTemporaryRedirect, http.StatusPermanentRedirect:
		return header.Get("Location") != ""
	}
	return false
}

// Redirected returns the request that follows a redirect, by the rules of RFC 9110. If the redirect leads outside the
// allow-list, the error is a *NotAllowedError.
//
//  1. After 303, and after 301 or 302 for a POST, the next request is a GET without a body. Otherwise it is the same request.
//  2. A request to another origin has only the harmless headers: none that may hold a credential.
func (a Allow) Redirected(req Request, status int, location string) (Request, error) {
	const what = "the redirect"
	from, err := url.Parse(req.Target.URL())
	if err != nil {
		return Request{}, &NotAllowedError{what, "its Location is no URL"}
	}
	for _, c := range []byte(location) {
		if c <= ' ' || c == 0x7f || c == '\\' {
			return Request{}, &NotAllowedError{what, "its Location has a space, a control character or a backslash"}
		}
	}
	to, err := from.Parse(location)
	if err != nil || len(location) > MaxURL {
		return Request{}, &NotAllowedError{what, "its Location is no URL"}
	}
	target, err := a.checkURL(to, what+" to "+origin(to))
	if err != nil {
		if _, notURL := err.(*NotURLError); notURL { //nolint:errorlint // checkURL wraps nothing
			return Request{}, &NotAllowedError{what, "its Location is no URL"}
		}
		return Request{}, err
	}
	next := Request{Method: req.Method, Target: target, Header: req.Header.Clone(), Body: req.Body}
	if status == http.StatusSeeOther && req.Method != http.MethodHead ||
		(status == http.StatusMovedPermanently || status == http.StatusFound) && req.Method == http.MethodPost {
		next.Method, next.Body = http.MethodGet, nil
		for name := range next.Header {
			if strings.HasPrefix(name, "Content-") {
				next.Header.Del(name)
			}
		}
	}
	if target.Origin != req.Target.Origin {
		for name := range next.Header {
			if !slices.Contains(harmless, name) {
				next.Header.Del(name)
			}
		}
	}
	return next, nil
}

// harmless are the headers that are sent to another origin.
var harmless = []string{ //nolint:gochecknoglobals // a constant list
	"Accept", "Accept-Encoding", "Accept-Language", "Content-Encoding", "Content-Language", "Content-Type", "User-Agent",
}

// origin is the beginning of a URL, without what may be secret.
func origin(u *url.URL) string {
	const most = 100
	s := u.Scheme + "://" + u.Host
	return s[:min(len(s), most)]
}
