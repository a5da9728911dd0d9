package cache

import (
	"container/list"
	"sync"
	"sync/atomic"
	"time"

	"hearth/internal/clock"
)

// chats is a bounded LRU of what is known of each chat. One mutex guards it all: what it holds must be seen by
// the very next read, and every step under it is short.
type chats struct {
	next func() uint64
	max  int64

	mu        sync.Mutex
	byID      map[string]*chat // guarded by mu
	lru       *list.List       // guarded by mu; of *chat, newest use first
	bytes     int64            // guarded by mu
	evictions atomic.Int64
}

// chat is guarded by chats.mu. A pinned chat is not evicted: a read waits for its load, or a write for its
// acknowledgement, and must find here what happened meanwhile.
type chat struct {
	id      string
	element *list.Element
	pins    int
	size    int64

	generation uint64        // of what is loaded: changes when that is dropped
	timeline   *timeline     // nil: not held; replaced, never changed, so that readers may keep it
	loadedAt   clock.Instant // when the load of timeline began
	rendered   []rendered
	most       int  // messages a window may grow to by writes
	replicated bool // loads may miss writes acknowledged before; assumed until a load says no
	recent     []acknowledged
	reserved   time.Time // the newest created_at given out
	keys       []*claim

	muteGeneration uint64
	mute           *muteState // nil: not held
	put            *muteState // last written through us
}

// rendered is an encoded reply cut from the present timeline.
type rendered struct {
	view View
	body []byte
	etag string
}

// acknowledged is a message that Weaviate has: laid over loads that may have missed it.
type acknowledged struct {
	message Message
	at      clock.Instant
}

func newChats(bytes int64, next func() uint64) *chats {
	return &chats{next: next, max: bytes, byID: map[string]*chat{}, lru: list.New()}
}

// pinLocked returns the chat, made if need be, and keeps it until it is unpinned.
func (cs *chats) pinLocked(id string) *chat {
	ch := cs.byID[id]
	if ch == nil {
		ch = &chat{id: id, replicated: true, generation: cs.next(), muteGeneration: cs.next()}
		ch.element = cs.lru.PushFront(ch)
		cs.byID[id] = ch
		cs.sizeLocked(ch)
	}
	cs.lru.MoveToFront(ch.element)
	ch.pins++
	return ch
}

// unpin lets go of ch. With nothing under way no load can have missed a write, unless it reads a replica.
func (cs *chats) unpin(ch *chat) {
	cs.mu.Lock()
	defer cs.mu.Unlock()
	ch.pins--
	if ch.pins == 0 && !ch.replicated {
		ch.recent = nil
	}
	cs.sizeLocked(ch)
	cs.evictLocked()
}

// sizeLocked counts ch's bytes again after a change.
func (cs *chats) sizeLocked(ch *chat) {
	const overhead = 512 // the struct, its map slot and its list element
	n := int64(overhead + 2*len(ch.id))
	if ch.timeline != nil {
		n += ch.timeline.bytes()
	}
	for _, r := range ch.rendered {
		n += int64(len(r.body)) + 64
	}
	for _, a := range ch.recent {
		n += a.message.bytes()
	}
	for _, k := range ch.keys {
		n += k.bytes()
	}
	cs.bytes += n - ch.size
	ch.size = n
}

func (cs *chats) evictLocked() {
	for e := cs.lru.Back(); e != nil && cs.bytes > cs.max; {
		ch := e.Value.(*chat) //nolint:forcetypeassert // the list holds nothing else
		e = e.Prev()
		if ch.pins == 0 {
			cs.lru.Remove(ch.element)
			delete(cs.byID, ch.id)
			cs.bytes -= ch.size
			cs.evictions.Add(1)
		}
	}
}

// forgetLocked drops what was loaded, and keeps what loads may miss.
func (cs *chats) forgetLocked(ch *chat) (n int) {
	if ch.timeline != nil {
		n++
	}
	if ch.mute != nil {
		n++
	}
	ch.timeline, ch.rendered, ch.mute = nil, nil, nil
	ch.generation, ch.muteGeneration = cs.next(), cs.next()
	cs.sizeLocked(ch)
	return n
}

func (cs *chats) drop(id string) int {
	cs.mu.Lock()
	defer cs.mu.Unlock()
	if ch := cs.byID[id]; ch != nil {
		return cs.forgetLocked(ch)
	}
	return 0
}

func (cs *chats) dropAll() (n int) {
	cs.mu.Lock()
	defer cs.mu.Unlock()
	for _, ch := range cs.byID {
		n += cs.forgetLocked(ch)
	}
	return n
}
