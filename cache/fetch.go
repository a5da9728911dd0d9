package cache

import (
	"context"
	"errors"
	"time"

	"hearth/internal/clock"
)

// Answer is an answer of HTTP, which says itself how long it may be used.
type Answer struct {
	Body   []byte
	Policy Policy
	Age    time.Duration // of the answer, when its load began
	Keep   bool          // it may be remembered, and other requests may have it
	Failed bool          // its server failed: what is held may be a better answer, if its policy allows that
}

// FetchKey is the key of a request to a URL. The id names all else that the answer depends on.
func FetchKey(url, id string) Key {
	return Key{Resource: Fetched, Scopes: [2]Scope{urlScope(url)}, ID: id}
}

func urlScope(url string) Scope { return Scope{"url", url} }

// DropURL forgets what was fetched from a URL.
func (c *Cache) DropURL(url string) int { return c.drop(urlScope(url)) }

// Fetch is [Cache.Get] for answers that say themselves how long they may be used. load is given what is held, nil for nothing: it may
// ask whether that is still right.
func (c *Cache) Fetch(ctx context.Context, key Key, d Directives, load func(ctx context.Context, held []byte) (Answer, error)) (Reply, error) {
	s := &fetchSource{entrySource: entrySource{c: c, key: key, noStore: d.NoStore}, fetch: load}
	// Before an answer is there, nothing is known of its freshness: until then requests join its load, however old that is.
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

// HeldFetch returns what Fetch would, if it is held and the request accepts it. It never waits.
func (c *Cache) HeldFetch(now clock.Instant, key Key, d Directives) (Reply, bool) {
	e := c.store.find(key)
	if e == nil {
		return Reply{}, false
	}
	o, ok := judgeHeld(now, e.own.Policy, d, e.began())
	if !ok {
		return Reply{}, false
	}
	c.counters[Fetched].count(o.Served, d)
	return Reply{Body: e.body, ETag: e.etag, Origin: o}, true
}

// servesOthers says whether a request that joined the load of e may have it.
func (e *entry) servesOthers(now clock.Instant, d Directives) bool {
	return e.own.keep && now.Since(e.began()) < e.own.freshFor(d)
}

// failedAnswer is the answer of a server that failed, as an error: so that what is held may be served in its place.
type failedAnswer struct{ entry *entry }

func (*failedAnswer) Error() string { return "the server failed" }

// fetchSource reads an entry that has a policy of its own.
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
