package cache

import (
	"context"
	"errors"
	"time"

	"hearth/internal/clock"
)

// Answer is an answer of HTTP, with the policy that its headers ask for.
type Answer struct {
	Body   []byte
	Policy Policy
	Age    time.Duration // of the answer, when its load began
	Keep   bool          // it may be remembered, and other requests may have it
	Failed bool          // the server failed; what is held is served instead, if its own policy allows that
}

// FetchKey is the key of a request to a URL. The id names everything that the answer depends on.
func FetchKey(url, id string) Key {
	return Key{Resource: Fetched, Scopes: [2]Scope{urlScope(url)}, ID: id}
}

func urlScope(url string) Scope { return Scope{"url", url} }

// DropURL forgets what was fetched from a URL.
func (c *Cache) DropURL(url string) int { return c.drop(urlScope(url)) }

// Fetch is [Cache.Get] for answers that bring their own policy. load gets the body that is held, nil for none, and may ask the server to
// confirm it.
func (c *Cache) Fetch(ctx context.Context, key Key, d Directives, load func(ctx context.Context, held []byte) (Answer, error)) (Reply, error) {
	s := &fetchSource{entrySource: entrySource{c: c, key: key, noStore: d.NoStore}, fetch: load}
	// The policy comes with the answer. Until then requests join the load under way, however old that is.
	q := question{resource: Fetched, policy: Policy{Fresh: c.cfg.LoadTimeout}, directives: d}
	e, o, err := read(ctx, c, q, s)
	if err == nil && o.Collapsed && !e.servesOthers(c.now(), d) {
		e, err = s.load(ctx)
		o.Collapsed = false
	}
	if failed, ok := errors.AsType[*failedAnswer](err); ok {
		e, o, err = failed.entry, Policy{}.origin(Miss, 0).fetched("stale", false), nil
	}
	if err != nil {
		return Reply{}, err
	}
	return Reply{Body: e.body, ETag: e.etag, Origin: o}, nil
}

// HeldFetch returns what Fetch would return, if it is held, and both the request and usable accept it. It never waits.
func (c *Cache) HeldFetch(now clock.Instant, key Key, d Directives, usable func(body []byte) bool) (Reply, bool) {
	e := c.store.find(key)
	if e == nil || !usable(e.body) {
		return Reply{}, false
	}
	o, ok := judgeHeld(now, e.own.Policy, d, e.began())
	if !ok {
		return Reply{}, false
	}
	c.counters[Fetched].count(o.Served, d)
	return Reply{Body: e.body, ETag: e.etag, Origin: o}, true
}

// servesOthers says whether e may answer a request that has joined its load.
func (e *entry) servesOthers(now clock.Instant, d Directives) bool {
	return e.own.keep && now.Since(e.began()) < e.own.freshFor(d)
}

// failedAnswer makes the answer of a server that failed an error of the load, so that read may serve what is held in its place.
type failedAnswer struct{ entry *entry }

func (*failedAnswer) Error() string { return "the server failed" }

// fetchSource reads an entry that has its own policy.
type fetchSource struct {
	entrySource

	fetch func(ctx context.Context, held []byte) (Answer, error)
}

func (s *fetchSource) load(ctx context.Context) (*entry, error) {
	st := s.c.store
	tokens := st.pin(s.key.Scopes)
	defer st.unpin(s.key.Scopes, tokens)
	var held []byte
	name := entryName(s.key, tokens)
	if e := st.get([]byte(name)); e != nil {
		held = e.body
	}
	at := s.c.now()
	a, err := s.fetch(ctx, held)
	if err != nil {
		return nil, err
	}
	e := &entry{
		name: name, resource: s.key.Resource, scopes: s.key.Scopes, body: a.Body, etag: ETag(a.Body), at: at,
		own: &ownPolicy{Policy: a.Policy, age: a.Age, keep: a.Keep},
	}
	if a.Failed && held != nil {
		return nil, &failedAnswer{e}
	}
	if a.Keep && !s.noStore {
		st.put(e, tokens)
	}
	return e, nil
}
