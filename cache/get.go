package cache

import (
	"context"
	"strconv"
	"time"

	"github.com/cespare/xxhash/v2"

	"hearth/internal/clock"
)

// Key names something that can always be fetched again.
type Key struct {
	Resource Resource
	Scopes   [2]Scope // dropping one of them forgets it; the zero scope is none
	ID       string   // everything that its content depends on
	// LoadBytes is the memory that its load function holds, its arguments above all: Config.Refresh keeps load functions.
	LoadBytes int64
}

func (k Key) bytes() int64 {
	n := len(k.ID)
	for _, s := range k.Scopes {
		n += len(s.name)
	}
	return int64(n)
}

// Scope is a set of keys that are forgotten together.
type Scope struct{ kind, name string }

// recordScope holds every record read from Odoo.
func recordScope() Scope            { return Scope{kind: "records"} }
func chatScope(chat string) Scope   { return Scope{"chat", chat} }
func modelScope(model string) Scope { return Scope{"model", model} }

// RelevantKey is the key of a relevance search in a chat.
func RelevantKey(chat, id string) Key {
	return Key{Resource: Relevant, Scopes: [2]Scope{chatScope(chat)}, ID: id}
}

// RecordKey is the key of a read from an Odoo model.
func RecordKey(model, id string) Key {
	return Key{Resource: OdooRead, Scopes: [2]Scope{recordScope(), modelScope(model)}, ID: id}
}

// ModelKey is the key of an Odoo model's definition. The scope names the model, so the id need not.
func ModelKey(model, id string) Key {
	return Key{Resource: OdooModels, Scopes: [2]Scope{modelScope(model)}, ID: id}
}

// Get returns what key stands for, encoded: from memory, or from load. If there is no such thing ([Missing]), it returns the error of the
// load, from memory or not, and a reply that has only an Origin.
func (c *Cache) Get(ctx context.Context, key Key, p Policy, d Directives, load func(context.Context) ([]byte, error)) (Reply, error) {
	s := &entrySource{c: c, key: key, noStore: d.NoStore, fetch: load}
	e, o, err := read(ctx, c, question{resource: key.Resource, policy: p, directives: d}, s)
	if c.refreshes(key.Resource, d) {
		c.remember(s, p)
	}
	if err != nil {
		return Reply{}, err
	}
	return Reply{Body: e.body, ETag: e.etag, Origin: o}, e.missing
}

// DropMissing forgets the entry of key, if that says that there is no such thing.
func (c *Cache) DropMissing(key Key) {
	if e := c.store.find(key); e != nil && e.missing != nil {
		c.drop(key.Scopes[0])
	}
}

// Held returns what key stands for, if it is held and the request accepts it. It never waits. If it returns false, call Get.
func (c *Cache) Held(now clock.Instant, key Key, p Policy, d Directives) (Reply, bool) {
	r, ok := c.heldEntry(now, key, p, d)
	if ok {
		c.counters[key.Resource].count(r.Served, d)
	}
	return r, ok
}

// HeldAll is Held for several keys. It appends a reply for each of them to memory, which is empty, or returns false.
func (c *Cache) HeldAll(now clock.Instant, keys []Key, p Policy, d Directives, memory []Reply) ([]Reply, bool) {
	for _, key := range keys {
		r, ok := c.heldEntry(now, key, p, d)
		if !ok {
			return nil, false
		}
		memory = append(memory, r)
	}
	for i, r := range memory {
		c.counters[keys[i].Resource].count(r.Served, d)
	}
	return memory, true
}

func (c *Cache) heldEntry(now clock.Instant, key Key, p Policy, d Directives) (Reply, bool) {
	if c.refreshes(key.Resource, d) { // Get remembers the read
		return Reply{}, false
	}
	e := c.store.find(key)
	if e == nil || e.missing != nil {
		return Reply{}, false
	}
	o, ok := judgeHeld(now, p, d, e.at)
	if !ok {
		return Reply{}, false
	}
	return Reply{Body: e.body, ETag: e.etag, Origin: o}, true
}

// refreshes says whether reads of a resource are remembered for Refresh. The same text is seldom asked about twice.
func (c *Cache) refreshes(r Resource, d Directives) bool {
	return c.cfg.Refresh && !d.NoStore && r != Relevant
}

// remember keeps a read for Refresh, unless what it read was dropped meanwhile: nothing is found under its name then.
func (c *Cache) remember(s *entrySource, p Policy) {
	if s.name == "" || s.name != c.store.nameOf(s.key) {
		return
	}
	load := c.guarded(s.key.Resource, func(ctx context.Context) (any, error) { return s.load(ctx) })
	c.recentReads.add(recentRead{key: s.key, name: s.name, policy: p, load: load})
}

// ETag of a body: strong, quoted.
func ETag(body []byte) string { return `"` + strconv.FormatUint(xxhash.Sum64(body), 36) + `"` }

// entrySource reads one entry of the store.
type entrySource struct {
	c       *Cache
	key     Key
	noStore bool
	fetch   func(context.Context) ([]byte, error)

	name   string   // in the store; empty until it is known
	tokens [2]token // of the scopes; set by pin
}

func (s *entrySource) look() (*entry, bool) {
	name := s.c.store.nameOf(s.key)
	if name == "" {
		return nil, false
	}
	s.name = name
	e := s.c.store.get([]byte(name))
	return e, e != nil
}

func (s *entrySource) pin() string {
	s.tokens = s.c.store.pin(s.key.Scopes)
	s.name = entryName(s.key, s.tokens)
	return s.name
}

func (s *entrySource) unpin() { s.c.store.unpin(s.key.Scopes, s.tokens) }

func (s *entrySource) load(ctx context.Context) (*entry, error) {
	st := s.c.store
	tokens := st.pin(s.key.Scopes)
	defer st.unpin(s.key.Scopes, tokens)
	at := s.c.now()
	body, err := s.fetch(ctx)
	if err != nil && s.c.failureOf(err) != Missing {
		return nil, err
	}
	e := &entry{name: entryName(s.key, tokens), resource: s.key.Resource, scopes: s.key.Scopes, body: body, etag: ETag(body), at: at, missing: err}
	if !s.noStore {
		st.put(e, tokens)
	}
	return e, nil
}

func (s *entrySource) finish(e *entry) (*entry, error) { return e, nil }

// entry is one thing held in the store. It does not change.
type entry struct {
	name     string // its whole key: a hash alone could be another's
	hash     uint64 // of name
	resource Resource
	scopes   [2]Scope
	body     []byte
	etag     string
	missing  error         // why there is no body: there is no such thing; nil: there is one
	at       clock.Instant // when its load began
	own      *ownPolicy    // nil: the request brings the policy
}

// ownPolicy is what an entry says itself about its freshness.
type ownPolicy struct {
	Policy

	age  time.Duration // of the entry, when its load began
	keep bool          // other requests may have it
}

func (e *entry) began() clock.Instant {
	if e.own == nil {
		return e.at
	}
	return clock.Instant{Wall: e.at.Wall.Add(-e.own.age), Mono: e.at.Mono - e.own.age}
}

// freshMissing is how long an entry says that there is no such thing, at most.
const freshMissing = 5 * time.Second

// policy is the entry's own, or else the request's.
func (e *entry) policy(p Policy) Policy {
	switch {
	case e.own != nil:
		return e.own.Policy
	case e.missing != nil:
		return Policy{Fresh: min(p.Fresh, freshMissing)}
	}
	return p
}

// gone says that there is no such thing.
func (e *entry) gone() bool { return e.missing != nil }

func (e *entry) cost() int64 {
	const overhead = 256 // the struct, the map slots here and in ristretto
	n := cap(e.body) + len(e.name)
	for _, s := range e.scopes {
		if s != (Scope{}) {
			n += 48 + 2*len(s.name) // here and in the map of scopes
		}
	}
	return int64(n) + overhead
}
