package cache

import (
	"container/list"
	"sync"
	"sync/atomic"
	"time"

	"hearth/internal/clock"
)

// chats is a bounded LRU of what is known of each chat. One mutex guards it all: what it holds must be seen by
// the very next read, and every step under it is short and costs what it touches.
//
// A chat that is evicted leaves behind what loads may miss: the writes acknowledged within the overlay. All of them
// together take at most half of the bytes. What does not fit is lost, and known to be lost: see [recentWrites] and marks.
type chats struct {
	now  func() clock.Instant
	next func() uint64
	max  int64

	mu        sync.Mutex
	byID      map[string]*chat // guarded by mu
	lru       *list.List       // guarded by mu; of *chat, newest use first; those that were not evicted
	kept      *list.List       // guarded by mu; of *chat, last acknowledgement last; those with recent writes
	held      holding          // guarded by mu; of all chats
	mayLag    [kinds]bool      // guarded by mu; loads may miss writes acknowledged before; assumed until a load says no
	marks     [kinds]marks     // guarded by mu
	evictions atomic.Int64
}

// The kinds of writes: each has a class of its own, and only its own may lag.
const (
	messageWrites = iota
	muteWrites
	kinds
)

// holding is what is held, in numbers.
type holding struct {
	bytes      int64
	recent     int64 // of the bytes, what an eviction leaves behind
	timelines  int64
	muteStates int64
}

func (h *holding) change(from, to holding) {
	h.bytes += to.bytes - from.bytes
	h.recent += to.recent - from.recent
	h.timelines += to.timelines - from.timelines
	h.muteStates += to.muteStates - from.muteStates
}

// chat is guarded by chats.mu. A pinned chat stays where it is: a read waits for its load, or a write for its
// acknowledgement, and must find here what happened meanwhile.
type chat struct {
	id     string
	inLRU  *list.Element // nil: evicted
	inKept *list.Element // nil: no recent writes
	pins   int
	held   holding

	generation uint64        // of what is loaded: changes when that is dropped
	timeline   *timeline     // nil: not held; replaced, never changed, so that readers may keep it
	loadedAt   clock.Instant // when the load of timeline began
	rendered   []rendered
	most       int // messages a window may grow to by writes
	recent     recentWrites
	reserved   time.Time // the newest created_at given out
	keys       []*claim

	muteGeneration uint64
	mute           *muteState // nil: not held
	put            *muteState // last written through us
	putLost        lost
}

// rendered is an encoded reply cut from the present timeline.
type rendered struct {
	view View
	body []byte
	etag string
}

func (r rendered) bytes() int64 { return int64(cap(r.body)) + 128 }

const (
	chatBytes = 512 // the struct, its map slot and its list elements
	muteBytes = 64
)

func newChats(bytes int64, next func() uint64, now func() clock.Instant) *chats {
	cs := &chats{now: now, next: next, max: bytes, byID: map[string]*chat{}, lru: list.New(), kept: list.New()}
	for k := range kinds {
		cs.mayLag[k], cs.marks[k] = true, newMarks(bytes/16)
	}
	return cs
}

// mostOfOne is how many bytes one chat's timeline may take, and as many its encoded replies.
func (cs *chats) mostOfOne() int64 { return cs.max / 4 }

// pinLocked returns the chat, made if need be, and keeps it until it is unpinned.
func (cs *chats) pinLocked(id string) *chat {
	ch := cs.byID[id]
	if ch == nil {
		now := cs.now()
		ch = &chat{id: id, generation: cs.next(), muteGeneration: cs.next(), putLost: cs.marks[muteWrites].of(id, now)}
		if l := cs.marks[messageWrites].of(id, now); l.set {
			ch.recent = allLost(l)
		}
		cs.byID[id] = ch
		cs.countLocked(ch)
	}
	if ch.inLRU == nil {
		ch.inLRU = cs.lru.PushFront(ch)
	}
	cs.lru.MoveToFront(ch.inLRU)
	ch.pins++
	return ch
}

// unpin lets go of ch. With nothing under way no load can have missed a write, unless it reads a replica.
func (cs *chats) unpin(ch *chat) {
	cs.mu.Lock()
	defer cs.mu.Unlock()
	ch.pins--
	for k := range kinds {
		if ch.pins == 0 && !cs.mayLag[k] {
			ch.settle(k)
		}
	}
	cs.countLocked(ch)
	cs.evictLocked()
}

// settle forgets the recent writes of a kind: every load to come sees them.
func (ch *chat) settle(kind int) {
	if kind == messageWrites {
		ch.recent = recentWrites{}
	} else {
		ch.put, ch.putLost = nil, lost{}
	}
}

// countLocked counts what ch holds again after a change.
func (cs *chats) countLocked(ch *chat) {
	base := int64(chatBytes + 2*len(ch.id))
	n := holding{bytes: base}
	if ch.timeline != nil {
		n.timelines = 1
		n.bytes += ch.timeline.bytes()
	}
	for _, r := range ch.rendered {
		n.bytes += r.bytes()
	}
	for _, k := range ch.keys {
		n.bytes += k.bytes()
	}
	if ch.mute != nil {
		n.muteStates = 1
		n.bytes += muteBytes
	}
	if ch.recent.count > 0 || ch.put != nil {
		n.bytes += ch.recent.bytes + muteBytes
		n.recent = base + ch.recent.bytes + muteBytes
	}
	cs.held.change(ch.held, n)
	ch.held = n
	switch {
	case n.recent > 0 && ch.inKept == nil:
		ch.inKept = cs.kept.PushBack(ch)
	case n.recent == 0 && ch.inKept != nil:
		cs.kept.Remove(ch.inKept)
		ch.inKept = nil
	}
}

// roomLocked is how many bytes the recent writes of ch may take, its own bookkeeping aside.
func (cs *chats) roomLocked(ch *chat) int64 {
	others := cs.held.recent - ch.held.recent
	return cs.max/2 - others - int64(chatBytes+2*len(ch.id)+muteBytes)
}

// wroteLocked follows a write of ch that was acknowledged now: it makes room for it, or loses it knowingly.
func (cs *chats) wroteLocked(ch *chat, now clock.Instant) {
	cs.expireLocked(now)
	room := cs.roomLocked(ch)
	ch.recent.fit(room)
	if room < 0 && ch.put != nil {
		ch.put = nil
		ch.putLost.add(lost{true, now})
	}
	cs.countLocked(ch)
	if ch.inKept != nil {
		cs.kept.MoveToBack(ch.inKept)
	}
}

// expireLocked forgets what every load to come sees, replicated or not.
func (cs *chats) expireLocked(now clock.Instant) {
	for e := cs.kept.Front(); e != nil; {
		ch := chatOf(e)
		if now.Since(ch.lastWrite()) < overlay {
			break
		}
		e = e.Next()
		if ch.pins == 0 {
			cs.settleLocked(ch, messageWrites, muteWrites)
		}
	}
	for k := range cs.marks {
		cs.marks[k].expire(now)
	}
}

func (cs *chats) settleLocked(ch *chat, kinds ...int) {
	for _, k := range kinds {
		ch.settle(k)
	}
	cs.countLocked(ch)
	if ch.inKept == nil && ch.inLRU == nil {
		cs.removeLocked(ch)
	}
}

func (ch *chat) lastWrite() clock.Instant {
	at := ch.recent.last
	if ch.put != nil && ch.put.acknowledged.Mono >= at.Mono {
		at = ch.put.acknowledged
	}
	return at
}

// learnLocked takes in what a load says of its class.
func (cs *chats) learnLocked(kind int, mayLag bool) {
	if cs.mayLag[kind] == mayLag {
		return
	}
	cs.mayLag[kind] = mayLag
	if mayLag {
		return
	}
	cs.marks[kind] = newMarks(cs.max / 16)
	for e := cs.kept.Front(); e != nil; {
		ch := chatOf(e)
		e = e.Next()
		if ch.pins == 0 {
			cs.settleLocked(ch, kind)
		}
	}
}

func chatOf(e *list.Element) *chat { return e.Value.(*chat) } //nolint:forcetypeassert // the lists hold nothing else

func (cs *chats) bytesLocked() int64 {
	return cs.held.bytes + cs.marks[messageWrites].bytes() + cs.marks[muteWrites].bytes()
}

// evictLocked makes room: the chats used longest ago go but for their recent writes. Pinned ones stay without their windows.
func (cs *chats) evictLocked() {
	if cs.bytesLocked() <= cs.max {
		return
	}
	cs.expireLocked(cs.now())
	for e := cs.lru.Back(); e != nil && cs.bytesLocked() > cs.max; {
		ch := chatOf(e)
		e = e.Prev()
		if ch.pins > 0 && ch.timeline == nil {
			continue
		}
		cs.evictions.Add(1)
		ch.timeline, ch.rendered = nil, nil
		if ch.pins > 0 {
			cs.countLocked(ch)
			continue
		}
		ch.mute, ch.keys = nil, nil
		cs.lru.Remove(ch.inLRU)
		ch.inLRU = nil
		cs.countLocked(ch)
		if ch.inKept == nil {
			cs.removeLocked(ch)
		}
	}
}

// removeLocked forgets a chat but for what is lost of it.
func (cs *chats) removeLocked(ch *chat) {
	now := cs.now()
	for k, l := range [kinds]lost{messageWrites: ch.recent.lost(), muteWrites: ch.putLost} {
		if cs.mayLag[k] && l.live(now) {
			cs.marks[k].add(ch.id, l, now)
		}
	}
	cs.held.change(ch.held, holding{})
	delete(cs.byID, ch.id)
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
	cs.countLocked(ch)
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
