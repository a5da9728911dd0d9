package cache

import (
	"context"
	"encoding/binary"
	"fmt"
	"maps"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cespare/xxhash/v2"
	"github.com/dgraph-io/ristretto/v2"

	"hearth/internal/clock"
)

// Key names something that can always be fetched again.
type Key struct {
	Resource Resource
	Scopes   []Scope // what dropping forgets it
	ID       string  // everything that its content depends on
	// LoadBytes is the memory that the load of it holds on to, its arguments above all: Config.Refresh keeps loads.
	LoadBytes int64
}

func (k Key) bytes() int64 {
	n := len(k.ID)
	for _, s := range k.Scopes {
		n += 16 + len(s)
	}
	return int64(n)
}

// Scope is a set of keys that are forgotten together.
type Scope string

// recordScope holds every record read from Odoo.
const recordScope Scope = "records"

func chatScope(chat string) Scope   { return Scope("chat\x00" + chat) }
func modelScope(model string) Scope { return Scope("model\x00" + model) }

// RelevantKey is the key of a relevance search in a chat.
func RelevantKey(chat, id string) Key {
	return Key{Resource: Relevant, Scopes: []Scope{chatScope(chat)}, ID: id}
}

// RecordKey is the key of a read from an Odoo model.
func RecordKey(model, id string) Key {
	return Key{Resource: OdooRead, Scopes: []Scope{recordScope, modelScope(model)}, ID: id}
}

// ModelKey is the key of an Odoo model's definition.
func ModelKey(model, id string) Key {
	return Key{Resource: OdooModels, Scopes: []Scope{modelScope(model)}, ID: id}
}

// Get returns what key stands for: held, or from load, which returns it encoded. A load that fails keeps what was held.
func (c *Cache) Get(ctx context.Context, key Key, p Policy, d Directives, load func(context.Context) ([]byte, error)) (Reply, error) {
	count := c.count[key.Resource]
	// Holding the scopes keeps their generations: two requests share a flight unless a drop came between them.
	generations := c.store.begin(key.Scopes)
	defer c.store.end(key.Scopes, generations)
	name := nameOf(key, generations)
	held := c.store.get(name)
	var age time.Duration
	v, reason := fetch, "miss"
	if held != nil {
		age = c.now().Since(held.at)
		v, reason = p.judge(age, d)
	}
	run := func(ctx context.Context) (any, error) { return c.loadEntry(ctx, key, d.NoStore, load) }
	start := func() (*flight, bool) {
		return c.flights.start(ctx, flightTerms{key: d.flight(name), join: p.joinable(d), held: func() any {
			if e := c.store.get(name); e != nil && c.now().Since(e.at) < p.joinable(d) {
				return e
			}
			return nil
		}}, c.counted(key.Resource, run))
	}
	if c.cfg.Refresh && !d.NoStore && key.Resource != Relevant { // nobody asks for the same text twice
		c.upcoming.note(upcomingRead{key: key, name: name, policy: p, load: c.counted(key.Resource, run)})
	}
	switch {
	case v == refresh:
		if !d.OnlyIfCached {
			start()
		}
		fallthrough
	case v != fetch:
		o := p.origin(Hit, age)
		count.served(o.Served)
		return Reply{Body: held.body, ETag: held.etag, Origin: o}, nil
	case d.OnlyIfCached:
		count.misses.Add(1)
		return Reply{}, ErrNotCached
	}
	fl, collapsed := start()
	got, err := fl.wait(ctx)
	if err != nil && held != nil {
		if age = c.now().Since(held.at); p.afterError(age, d) {
			count.stale.Add(1)
			return Reply{Body: held.body, ETag: held.etag, Origin: p.standIn(age, reason, collapsed)}, nil
		}
	}
	count.misses.Add(1)
	if err != nil {
		return Reply{}, err
	}
	e := got.(*entry) //nolint:forcetypeassert // run returns nothing else
	o := p.origin(Miss, c.now().Since(e.at))
	o.Fwd, o.Collapsed = reason, collapsed
	return Reply{Body: e.body, ETag: e.etag, Origin: o}, nil
}

// loadEntry fetches and stores. It takes the scopes' generations before it asks: what is dropped meanwhile is not filled again.
func (c *Cache) loadEntry(ctx context.Context, key Key, noStore bool, load func(context.Context) ([]byte, error)) (*entry, error) {
	generations := c.store.begin(key.Scopes)
	defer c.store.end(key.Scopes, generations)
	at := c.now()
	body, err := load(ctx)
	if err != nil {
		return nil, err
	}
	e := &entry{resource: key.Resource, scopes: key.Scopes, body: body, etag: ETag(body), at: at}
	if !noStore {
		c.store.put(key, generations, e)
	}
	return e, nil
}

// ETag of a body: strong, quoted.
func ETag(body []byte) string { return `"` + strconv.FormatUint(xxhash.Sum64(body), 36) + `"` }

// entry is one thing held in ristretto. It does not change.
type entry struct {
	name     string // its whole key: a hash alone could be another's
	hash     uint64
	resource Resource
	scopes   []Scope
	body     []byte
	etag     string
	at       clock.Instant // when its load began
}

func (e *entry) cost() int64 {
	const overhead = 256 // the struct, the map slots here and in ristretto
	n := cap(e.body) + len(e.name)
	for _, s := range e.scopes {
		n += 16 + 2*len(s) // here and in the map of scopes
	}
	return int64(n) + overhead
}

// store is ristretto behind generations: the number of each scope is part of every stored key, and numbers
// never repeat, so forgetting a scope, or forgetting that it was forgotten, cannot bring old entries back.
type store struct {
	cache *ristretto.Cache[uint64, *entry]
	next  func() uint64
	order [64]sync.Mutex // one per hash: two Sets of a new key in a row would keep the first

	mu     sync.Mutex
	scopes map[Scope]*scope // guarded by mu; those that have entries or loads

	held                map[Resource]*held
	evictions, rejected atomic.Int64
	max                 int64
}

// held is what one resource has in ristretto.
type held struct{ entries, bytes atomic.Int64 }

type scope struct {
	generation uint64
	entries    map[uint64]*entry // by hash
	loads      int
}

func newStore(bytes int64, next func() uint64) (*store, error) {
	s := &store{next: next, scopes: map[Scope]*scope{}, held: map[Resource]*held{}, max: bytes}
	for _, r := range Resources() {
		s.held[r] = &held{}
	}
	var err error
	s.cache, err = ristretto.NewCache(&ristretto.Config[uint64, *entry]{
		NumCounters: min(max(bytes/256, 1e3), 1e5), // ten per entry of 2.5 KiB; 1e5 take 0.7 MB
		MaxCost:     bytes,
		BufferItems: 64,
		KeyToHash:   func(k uint64) (uint64, uint64) { return k, 0 }, // names are compared instead
		OnEvict:     func(*ristretto.Item[*entry]) { s.evictions.Add(1) },
		OnReject:    func(*ristretto.Item[*entry]) { s.rejected.Add(1) },
		OnExit:      s.exit,
	})
	if err != nil {
		return nil, fmt.Errorf("cache: %w", err)
	}
	return s, nil
}

func (s *store) close() { s.cache.Close() }

func (s *store) get(name string) *entry {
	if e, ok := s.cache.Get(xxhash.Sum64String(name)); ok && e.name == name {
		return e
	}
	return nil
}

func nameOf(key Key, generations []uint64) string {
	b := make([]byte, 0, len(key.Resource)+1+9*len(generations)+len(key.ID))
	b = append(append(b, key.Resource...), 0)
	for _, g := range generations {
		b = binary.BigEndian.AppendUint64(b, g)
	}
	return string(append(b, key.ID...))
}

func (s *store) begin(names []Scope) []uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	generations := make([]uint64, len(names))
	for i, name := range names {
		sc := s.scopes[name]
		if sc == nil {
			sc = &scope{generation: s.next(), entries: map[uint64]*entry{}}
			s.scopes[name] = sc
		}
		sc.loads++
		generations[i] = sc.generation
	}
	return generations
}

func (s *store) end(names []Scope, generations []uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i, name := range names {
		if sc := s.scopes[name]; sc != nil && sc.generation == generations[i] {
			sc.loads--
			s.tidyLocked(name, sc)
		}
	}
}

func (s *store) tidyLocked(name Scope, sc *scope) {
	if sc.loads == 0 && len(sc.entries) == 0 {
		delete(s.scopes, name)
	}
}

// put stores e unless one of its scopes was dropped since the load began, or a later load was faster.
func (s *store) put(key Key, generations []uint64, e *entry) {
	e.name = nameOf(key, generations)
	e.hash = xxhash.Sum64String(e.name)
	order := &s.order[e.hash%uint64(len(s.order))]
	order.Lock()
	defer order.Unlock()
	if old, ok := s.cache.Get(e.hash); ok && old.name == e.name && old.at.Mono >= e.at.Mono {
		return
	}
	if !s.link(e, generations) {
		return
	}
	if h := s.held[e.resource]; s.cache.Set(e.hash, e, e.cost()) {
		h.entries.Add(1)
		h.bytes.Add(e.cost())
	} else {
		s.unlink(e)
	}
	s.cache.Wait()
}

func (s *store) link(e *entry, generations []uint64) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i, name := range e.scopes {
		if sc := s.scopes[name]; sc == nil || sc.generation != generations[i] {
			return false
		}
	}
	for _, name := range e.scopes {
		s.scopes[name].entries[e.hash] = e
	}
	return true
}

// exit hears of every entry that leaves ristretto, whatever the reason. It may run under ristretto's locks: no call back.
func (s *store) exit(e *entry) {
	if e == nil {
		return
	}
	h := s.held[e.resource]
	h.entries.Add(-1)
	h.bytes.Add(-e.cost())
	s.unlink(e)
}

func (s *store) unlink(e *entry) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, name := range e.scopes {
		if sc := s.scopes[name]; sc != nil && sc.entries[e.hash] == e {
			delete(sc.entries, e.hash)
			s.tidyLocked(name, sc)
		}
	}
}

// drop forgets a scope: it takes its number away and frees what was stored under it.
func (s *store) drop(name Scope) int {
	s.mu.Lock()
	sc := s.scopes[name]
	delete(s.scopes, name)
	s.mu.Unlock()
	if sc == nil {
		return 0
	}
	return s.free(sc.entries)
}

func (s *store) dropAll() int {
	s.mu.Lock()
	all := map[uint64]*entry{}
	for _, sc := range s.scopes {
		maps.Copy(all, sc.entries)
	}
	clear(s.scopes)
	s.mu.Unlock()
	return s.free(all)
}

func (s *store) free(entries map[uint64]*entry) int {
	for hash := range entries {
		s.cache.Del(hash)
	}
	return len(entries)
}
