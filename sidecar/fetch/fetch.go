// Package fetch sends a caller's requests to other hosts, and keeps the answers by HTTP's caching rules (RFC 9111, a private cache).
//
// Start at [Service.Do]. It follows redirects. For each address it asks the cache, and the cache loads what it does not hold from pool/web
// (load.go). rules.go reads from the headers of an answer whether it may be kept, and for how long. jobs.go runs requests in the
// background and keeps their results. pool/web decides which hosts may be asked.
//
// The package knows nothing of the localhost API: sidecar decodes the calls, and makes problems of errors.
package fetch

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/tidwall/gjson"

	"hearth/cache"
	"hearth/client/wire"
	"hearth/internal/clock"
	"hearth/pool"
	"hearth/pool/web"
)

// maxRedirects is how many redirects one request follows.
const maxRedirects = 5

// TooManyRedirectsError is a request with more than maxRedirects redirects.
type TooManyRedirectsError struct{ Host string }

func (e *TooManyRedirectsError) Error() string {
	return fmt.Sprintf("%s redirects more than %d times", e.Host, maxRedirects)
}

// Service sends requests to other hosts, or answers them from the cache. It is safe for concurrent use.
type Service struct {
	web   *web.Client
	cache *cache.Cache
}

// New makes a service. It starts nothing.
func New(w *web.Client, c *cache.Cache) *Service { return &Service{w, c} }

// Allow returns the origins that may be asked.
func (s *Service) Allow() web.Allow { return s.web.Allow() }

// Pools returns the pools of the origins that were asked.
func (s *Service) Pools() map[string]*pool.Pool { return s.web.Pools() }

// Held returns the reply that Do would return, if that is in memory and the request accepts it. The answer to a GET serves a HEAD too. It
// never waits. If it returns false, call Do.
func (s *Service) Held(now clock.Instant, req web.Request, d cache.Directives) (cache.Reply, bool) {
	if !cacheable(req) {
		return cache.Reply{}, false
	}
	reply, ok := s.cache.HeldFetch(now, keyOf(req), d, isLast)
	if ok || req.Method != http.MethodHead {
		return reply, ok
	}
	req.Method = http.MethodGet
	if reply, ok = s.cache.HeldFetch(now, keyOf(req), d, isLast); !ok {
		return cache.Reply{}, false
	}
	body, err := withoutBody(reply.Body)
	reply.Body, reply.ETag = body, cache.ETag(body)
	return reply, err == nil
}

// isLast says whether an encoded reply is no redirect.
func isLast(body []byte) bool {
	_, _, redirected := redirect(body)
	return !redirected
}

// withoutBody makes the reply to a HEAD from the encoded reply to a GET.
func withoutBody(body []byte) ([]byte, error) {
	var f wire.Fetched
	if err := json.Unmarshal(body, &f); err != nil {
		return nil, err
	}
	f.Body, f.BodyBase64 = "", nil
	return encode(f)
}

// Do sends a request and follows its redirects. The reply's body is a wire.Fetched. Errors are those of [web.Client.Do], of
// [cache.Cache.Fetch] and of [web.Allow.Redirected], or a *TooManyRedirectsError.
func (s *Service) Do(ctx context.Context, req web.Request, d cache.Directives) (cache.Reply, error) {
	forwarded := ""
	for range maxRedirects + 1 {
		reply, err := s.once(ctx, req, d)
		if err != nil {
			return cache.Reply{}, err
		}
		if reply.Fwd != "" {
			forwarded = reply.Fwd
		}
		status, location, redirected := redirect(reply.Body)
		if !redirected {
			reply.Fwd = forwarded
			return reply, nil
		}
		if req, err = s.web.Allow().Redirected(req, status, location); err != nil {
			return cache.Reply{}, err
		}
	}
	return cache.Reply{}, &TooManyRedirectsError{req.Target.Origin.HostPort()}
}

// once sends a request, or answers it from the cache.
func (s *Service) once(ctx context.Context, req web.Request, d cache.Directives) (cache.Reply, error) {
	if cacheable(req) {
		return s.cache.Fetch(ctx, keyOf(req), d, func(ctx context.Context, held []byte) (cache.Answer, error) {
			return s.load(ctx, req, d, held)
		})
	}
	if d.OnlyIfCached {
		return cache.Reply{}, cache.ErrNotCached
	}
	answer, err := s.web.Do(ctx, req)
	if !web.IsSafe(req.Method) && (err == nil || errors.Is(err, pool.ErrUnknownOutcome)) {
		s.forget(req, answer)
	}
	if err != nil {
		return cache.Reply{}, err
	}
	body, err := encode(fetched(answer))
	return cache.Reply{Body: body, ETag: cache.ETag(body), Origin: cache.Origin{Served: cache.Miss, Fwd: "bypass"}}, err
}

// forget drops what is held of the URL of an unsafe request, and of the URLs of the same origin that its answer names: the request may have
// changed them. A request that the server refused has changed nothing.
func (s *Service) forget(req web.Request, answer *web.Answer) {
	if answer != nil && answer.Status >= http.StatusBadRequest {
		return
	}
	s.cache.DropURL(req.Target.URL())
	if answer == nil {
		return
	}
	base, err := url.Parse(req.Target.URL())
	if err != nil {
		return
	}
	for _, name := range []string{"Location", "Content-Location"} {
		to, err := base.Parse(answer.Header.Get(name))
		if err != nil || answer.Header.Get(name) == "" {
			continue
		}
		to.Fragment = ""
		if target, err := s.web.Allow().Check(to.String()); err == nil && target.Origin == req.Target.Origin {
			s.cache.DropURL(target.URL())
		}
	}
}

// cacheable says whether a request may be answered from the cache. Conditions and directives in a request's own headers are meant for the
// server.
func cacheable(req web.Request) bool {
	if req.Method != http.MethodGet && req.Method != http.MethodHead {
		return false
	}
	for _, name := range []string{
		"If-Match", "If-None-Match", "If-Modified-Since", "If-Unmodified-Since", "If-Range", "Range", "Cache-Control", "Pragma",
	} {
		if req.Header.Get(name) != "" {
			return false
		}
	}
	return true
}

// keyOf is the cache's key of a request. It has all headers of the request, whether Vary lists them or not: one of them may be a
// credential, and a caller without it must not get the answer.
func keyOf(req web.Request) cache.Key {
	var id strings.Builder
	id.WriteString(req.Method)
	names := make([]string, 0, len(req.Header))
	for name := range req.Header {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		id.WriteString("\n" + name + ":" + req.Header.Get(name))
	}
	u := req.Target.URL()
	id.WriteString("\n\n" + u)
	return cache.FetchKey(u, id.String())
}

// redirect says whether an encoded reply is a redirect, and where that leads.
func redirect(body []byte) (status int, location string, ok bool) {
	const first = `{"status":3` // most replies begin with another status, and need not be parsed
	if !strings.HasPrefix(string(body[:min(len(body), len(first))]), first) {
		return 0, "", false
	}
	got := gjson.GetManyBytes(body, "status", "headers.Location")
	status, location = int(got[0].Int()), got[1].String()
	return status, location, web.IsRedirect(status, http.Header{"Location": {location}})
}
