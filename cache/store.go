package cache

import (
	"encoding/binary"
	"fmt"
	"maps"
	"sync"
	"sync/atomic"

	"github.com/cespare/xxhash/v2"
	"github.com/dgraph-io/ristretto/v2"
)

// store is ristretto behind put, get and drop. The name of an entry contains the token of each of its scopes. Dropping a
// scope takes its token away, and tokens never repeat: so an entry from before cannot be found again, whenever ristretto
// removes it.
//
// mu guards the scopes. A lock of filling is held for the whole of a put: see there.
type store struct {
	cache    *ristretto.Cache[uint64, *entry]
	newToken func() token
	filling  [64]sync.Mutex // by hash

	mu     sync.Mutex
	scopes map[Scope]*scope // guarded by mu; those that have entries or pins

	usage               map[Resource]*storeUsage
	evictions, rejected atomic.Int64
}

// storeUsage is what one resource has in ristretto.
type storeUsage struct{ entries, bytes atomic.Int64 }

// scope is guarded by store.mu.
type scope struct {
	token   token
	entries map[uint64]*entry // by hash
	pins    int
}

func newStore(bytes int64, newToken func() token) (*store, error) {
	s := &store{newToken: newToken, scopes: map[Scope]*scope{}, usage: map[Resource]*storeUsage{}}
	for _, r := range allResources() {
		s.usage[r] = &storeUsage{}
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

func (s *store) held(r Resource) (entries, bytes int64) {
	u := s.usage[r]
	return u.entries.Load(), u.bytes.Load()
}

func (s *store) get(name []byte) *entry {
	if e, ok := s.cache.Get(xxhash.Sum64(name)); ok && e.name == string(name) {
		return e
	}
	return nil
}

// nameOf is the name under which key can be found now. It is empty if nothing is stored in one of its scopes.
func (s *store) nameOf(key Key) string { return string(s.appendNameOf(nil, key)) }

// find is get for the name under which key can be found now.
func (s *store) find(key Key) *entry {
	var memory [512]byte
	return s.get(s.appendNameOf(memory[:0], key)) // no entry has an empty name
}

// appendNameOf appends the name under which key can be found now, or nothing if nothing is stored in one of its scopes.
func (s *store) appendNameOf(b []byte, key Key) []byte {
	var tokens [2]token
	s.mu.Lock()
	defer s.mu.Unlock()
	for i, name := range key.Scopes {
		if name == (Scope{}) {
			continue
		}
		sc := s.scopes[name]
		if sc == nil {
			return b
		}
		tokens[i] = sc.token
	}
	return appendEntryName(b, key, tokens)
}

func entryName(key Key, tokens [2]token) string { return string(appendEntryName(nil, key, tokens)) }

func appendEntryName(b []byte, key Key, tokens [2]token) []byte {
	b = append(append(b, key.Resource...), 0)
	for _, t := range tokens {
		b = binary.BigEndian.AppendUint64(b, uint64(t))
	}
	return append(b, key.ID...)
}

// pin keeps scopes and their tokens until unpin, unless they are dropped.
func (s *store) pin(names [2]Scope) (tokens [2]token) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i, name := range names {
		if name == (Scope{}) {
			continue
		}
		sc := s.scopes[name]
		if sc == nil {
			sc = &scope{token: s.newToken(), entries: map[uint64]*entry{}}
			s.scopes[name] = sc
		}
		sc.pins++
		tokens[i] = sc.token
	}
	return tokens
}

func (s *store) unpin(names [2]Scope, tokens [2]token) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i, name := range names {
		if sc := s.scopes[name]; sc != nil && sc.token == tokens[i] {
			sc.pins--
			s.removeIfUnusedLocked(name, sc)
		}
	}
}

func (s *store) removeIfUnusedLocked(name Scope, sc *scope) {
	if sc.pins == 0 && len(sc.entries) == 0 {
		delete(s.scopes, name)
	}
}

// put stores e, unless one of its scopes was dropped after the load took the tokens, or the store has the result of a later
// load. Puts of one entry run one after another: if a new key were set twice in a row, ristretto would keep the first value.
func (s *store) put(e *entry, tokens [2]token) {
	e.hash = xxhash.Sum64String(e.name)
	filling := &s.filling[e.hash%uint64(len(s.filling))]
	filling.Lock()
	defer filling.Unlock()
	if old, ok := s.cache.Get(e.hash); ok && old.name == e.name && old.at.Mono >= e.at.Mono {
		return
	}
	if !s.link(e, tokens) {
		return
	}
	if u := s.usage[e.resource]; s.cache.Set(e.hash, e, e.cost()) {
		u.entries.Add(1)
		u.bytes.Add(e.cost())
	} else {
		s.unlink(e)
	}
	s.cache.Wait()
}

// link notes e in its scopes, unless one of them was dropped.
func (s *store) link(e *entry, tokens [2]token) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i, name := range e.scopes {
		if sc := s.scopes[name]; name != (Scope{}) && (sc == nil || sc.token != tokens[i]) {
			return false
		}
	}
	for _, name := range e.scopes {
		if sc := s.scopes[name]; sc != nil {
			sc.entries[e.hash] = e
		}
	}
	return true
}

// exit is called by ristretto for every entry that leaves it, whatever the reason. It may run under ristretto's locks, so it
// must not call ristretto.
func (s *store) exit(e *entry) {
	if e == nil {
		return
	}
	u := s.usage[e.resource]
	u.entries.Add(-1)
	u.bytes.Add(-e.cost())
	s.unlink(e)
}

func (s *store) unlink(e *entry) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, name := range e.scopes {
		if sc := s.scopes[name]; sc != nil && sc.entries[e.hash] == e {
			delete(sc.entries, e.hash)
			s.removeIfUnusedLocked(name, sc)
		}
	}
}

// drop forgets a scope: its token goes, and what was stored under it.
func (s *store) drop(name Scope) int { return s.remove(s.take(name)) }

// take removes a scope and returns its entries. After that only the caller has the entries: unlink no longer finds the scope.
func (s *store) take(name Scope) map[uint64]*entry {
	s.mu.Lock()
	defer s.mu.Unlock()
	sc := s.scopes[name]
	if sc == nil {
		return nil
	}
	delete(s.scopes, name)
	return sc.entries
}

func (s *store) dropAll() int { return s.remove(s.takeAll()) }

func (s *store) takeAll() map[uint64]*entry {
	s.mu.Lock()
	defer s.mu.Unlock()
	all := map[uint64]*entry{}
	for _, sc := range s.scopes {
		maps.Copy(all, sc.entries)
	}
	clear(s.scopes)
	return all
}

func (s *store) remove(entries map[uint64]*entry) int {
	for hash := range entries {
		s.cache.Del(hash)
	}
	return len(entries)
}
