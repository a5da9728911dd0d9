package fetch

import (
	"errors"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/pquerna/cachecontrol/cacheobject"

	"hearth/cache"
	"hearth/client/wire"
)

// mostHeuristic is how long an answer is fresh at most if its headers do not say for how long.
const mostHeuristic = 24 * time.Hour

// rulesOf reads what an answer says about its use, by RFC 9111 for a private cache:
//
//  1. It is not kept if it says no-store, if Vary has *, or if its status needs more than this cache knows.
//  2. It is fresh for max-age, else until Expires, else, if its status allows that, for a tenth of the time since Last-Modified.
//  3. With no-cache it is never fresh. With no-cache or must-revalidate it is never served stale.
//  4. stale-while-revalidate and stale-if-error (RFC 5861) allow it to be served stale.
//  5. Its age, at the time of the request, is what Age says or what Date shows, whichever is more.
//
// If its Cache-Control cannot be read, it is not kept.
func rulesOf(f wire.Fetched, began time.Time, took time.Duration) (p cache.Policy, age time.Duration, keep bool) {
	d, err := cacheobject.ParseResponseCacheControl(f.Headers["Cache-Control"])
	if err != nil {
		return p, 0, false
	}
	date, err := http.ParseTime(f.Headers["Date"])
	if err != nil {
		date = began.Add(took)
	}
	age = max(0, began.Sub(date))
	if n, err := strconv.ParseUint(strings.TrimSpace(f.Headers["Age"]), 10, 31); err == nil || errors.Is(err, strconv.ErrRange) {
		age = max(age, time.Duration(n)*time.Second) //nolint:gosec // 31 bits
	}
	lifetime, explicit := lifetimeOf(f, d, date)
	p = cache.Policy{Fresh: lifetime}
	switch {
	case d.NoCachePresent:
		p = cache.Policy{NeverStale: true}
	case d.MustRevalidate:
		p.NeverStale = true
	default:
		p.WhileRevalidate, p.IfError = seconds(d.StaleWhileRevalidate), seconds(d.StaleIfError)
	}
	understood := explicit && f.Status >= http.StatusOK && f.Status != http.StatusPartialContent && f.Status != http.StatusNotModified
	confirmable := f.Headers["Etag"] != "" || f.Headers["Last-Modified"] != ""
	keep = !d.NoStore && !strings.Contains(f.Headers["Vary"], "*") && (understood || heuristic(f.Status)) &&
		(p.Fresh > age || p.IfError > 0 || confirmable)
	return p, age, keep
}

// lifetimeOf is how long an answer is fresh, and says whether its headers say so.
func lifetimeOf(f wire.Fetched, d *cacheobject.ResponseCacheDirectives, date time.Time) (lifetime time.Duration, explicit bool) {
	if d.MaxAge >= 0 {
		return seconds(d.MaxAge), true
	}
	if text, ok := f.Headers["Expires"]; ok {
		expires, err := http.ParseTime(text)
		if err != nil {
			return 0, true // such as 0: it has expired
		}
		return max(0, expires.Sub(date)), true
	}
	modified, err := http.ParseTime(f.Headers["Last-Modified"])
	if err != nil || !heuristic(f.Status) {
		return 0, false
	}
	return min(max(0, date.Sub(modified)/10), mostHeuristic), false
}

// heuristic says whether an answer of a status may be kept although its headers do not say for how long.
func heuristic(status int) bool {
	switch status {
	case http.StatusOK, http.StatusNonAuthoritativeInfo, http.StatusNoContent, http.StatusMultipleChoices, http.StatusMovedPermanently,
		http.StatusPermanentRedirect, http.StatusNotFound, http.StatusMethodNotAllowed, http.StatusGone, http.StatusRequestURITooLong,
		http.StatusNotImplemented:
		return true
	}
	return false
}

// seconds is the time of a directive. The parser's -1, for a directive that is not there, becomes 0.
func seconds(d cacheobject.DeltaSeconds) time.Duration { return max(0, time.Duration(d)*time.Second) }
