package cache

import (
	"container/list"
	"sync"
	"sync/atomic"

	"hearth/internal/clock"
)

// chats is a bounded LRU of what is known of each chat.
//
// The mutex guards everything in it, the chats included: the next read must see what a write has left. Every step under it is
// short and costs only what it touches.
//
// An evicted chat leaves behind its acknowledged writes that loads may miss (recent.go). Those of all chats together take at
// most half of the bytes. What does not fit is lost, and chats knows that it is: see [recentWrites] and marks.
type chats struct {
	now      func() clock.Instant
	newToken func() token
	max      int64 // bytes

	mu          sync.Mutex
	byID        map[string]*chat  // guarded by mu
	lru         *list.List        // guarded by mu; of *chat, last used first; those that were not evicted
	unconfirmed *list.List        // guarded by mu; of *chat, last acknowledgement last; those with recent writes
	usage       usage             // guarded by mu; of all chats
	mayLag      [writeKinds]bool  // guarded by mu; loads may miss writes acknowledged before; true until a load says no
	marks       [writeKinds]marks // guarded by mu
	evictions   atomic.Int64
}

func newChats(bytes int64, newToken func() token, now func() clock.Instant) *chats {
	cs := &chats{now: now, newToken: newToken, max: bytes, byID: map[string]*chat{}, lru: list.New(), unconfirmed: list.New()}
	for k := range writeKinds {
		cs.mayLag[k], cs.marks[k] = true, newMarks(bytes/16)
	}
	return cs
}

// maxOfOne is how many bytes one chat's timeline may take, and as many its encoded replies.
func (cs *chats) maxOfOne() int64 { return cs.max / 4 }

// pin returns the chat, made if need be, and keeps it until it is unpinned.
func (cs *chats) pin(id string) *chat {
	cs.mu.Lock()
	defer cs.mu.Unlock()
	return cs.pinLocked(id)
}

func (cs *chats) pinLocked(id string) *chat {
	ch := cs.byID[id]
	if ch == nil {
		now := cs.now()
		ch = &chat{id: id, token: cs.newToken(), muteToken: cs.newToken(), lostMuteWrite: cs.marks[muteWrites].of(id, now)}
		if l := cs.marks[messageWrites].of(id, now); l.set {
			ch.recent = allLost(l)
		}
		cs.byID[id] = ch
		cs.countLocked(ch)
	}
	cs.touchLocked(ch)
	ch.pins++
	return ch
}

// beginLoad returns the tokens under which a load of ch begins now, and when now is.
func (cs *chats) beginLoad(ch *chat) (messages, mute token, at clock.Instant) {
	cs.mu.Lock()
	defer cs.mu.Unlock()
	return ch.token, ch.muteToken, cs.now()
}

// touchLocked says that ch is used.
func (cs *chats) touchLocked(ch *chat) {
	if ch.inLRU == nil {
		ch.inLRU = cs.lru.PushFront(ch)
	}
	cs.lru.MoveToFront(ch.inLRU)
}

// unpin lets go of ch. If nothing is under way any more, no load can have missed a write, unless it reads a replica.
func (cs *chats) unpin(ch *chat) {
	cs.mu.Lock()
	defer cs.mu.Unlock()
	ch.pins--
	for k := range writeKinds {
		if ch.pins == 0 && !cs.mayLag[k] {
			ch.confirm(k)
		}
	}
	cs.countLocked(ch)
	cs.evictLocked()
}

// countLocked brings the counts and the list of unconfirmed chats up to date after a change of ch.
func (cs *chats) countLocked(ch *chat) {
	u := ch.count()
	cs.usage.change(ch.usage, u)
	ch.usage = u
	switch {
	case u.recent > 0 && ch.inUnconfirmed == nil:
		ch.inUnconfirmed = cs.unconfirmed.PushBack(ch)
	case u.recent == 0 && ch.inUnconfirmed != nil:
		cs.unconfirmed.Remove(ch.inUnconfirmed)
		ch.inUnconfirmed = nil
	}
}

// roomLocked is how many bytes the recent writes of ch may take, besides what keeping the chat takes.
func (cs *chats) roomLocked(ch *chat) int64 {
	others := cs.usage.recent - ch.usage.recent
	return cs.max/2 - others - ch.base() - muteBytes
}

// wroteLocked follows a write of ch that was acknowledged now: it makes room for the write, or notes that it is lost.
func (cs *chats) wroteLocked(ch *chat, now clock.Instant) {
	cs.expireLocked(now)
	room := cs.roomLocked(ch)
	ch.recent.fit(room)
	if room < 0 && ch.lastMuteWrite != nil {
		ch.lastMuteWrite = nil
		ch.lostMuteWrite.add(lost{true, now})
	}
	cs.countLocked(ch)
	if ch.inUnconfirmed != nil {
		cs.unconfirmed.MoveToBack(ch.inUnconfirmed)
	}
}

// expireLocked forgets the writes that every load to come sees, even from a replica.
func (cs *chats) expireLocked(now clock.Instant) {
	for e := cs.unconfirmed.Front(); e != nil; {
		ch := chatOf(e)
		if now.Since(ch.lastAcknowledged()) < replicaLag {
			break
		}
		e = e.Next()
		if ch.pins == 0 {
			cs.confirmLocked(ch, messageWrites, muteWrites)
		}
	}
	for k := range cs.marks {
		cs.marks[k].expire(now)
	}
}

func (cs *chats) confirmLocked(ch *chat, kinds ...writeKind) {
	for _, k := range kinds {
		ch.confirm(k)
	}
	cs.countLocked(ch)
	if ch.inUnconfirmed == nil && ch.inLRU == nil {
		cs.removeLocked(ch)
	}
}

// learnLocked takes in what a load says of its class: whether loads may miss writes that were acknowledged before.
func (cs *chats) learnLocked(kind writeKind, mayLag bool) {
	if cs.mayLag[kind] == mayLag {
		return
	}
	cs.mayLag[kind] = mayLag
	if mayLag {
		return
	}
	cs.marks[kind] = newMarks(cs.max / 16)
	for e := cs.unconfirmed.Front(); e != nil; {
		ch := chatOf(e)
		e = e.Next()
		if ch.pins == 0 {
			cs.confirmLocked(ch, kind)
		}
	}
}

func chatOf(e *list.Element) *chat { return e.Value.(*chat) } //nolint:forcetypeassert // the lists hold nothing else

func (cs *chats) bytesLocked() int64 {
	return cs.usage.bytes + cs.marks[messageWrites].bytes() + cs.marks[muteWrites].bytes()
}

// evictLocked makes room: the chats used longest ago go, except for their recent writes. A pinned chat loses its timeline.
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
		ch.dropTimeline()
		if ch.pins > 0 {
			cs.countLocked(ch)
			continue
		}
		ch.mute, ch.claims, ch.muteTurn = nil, nil, nil
		cs.lru.Remove(ch.inLRU)
		ch.inLRU = nil
		cs.countLocked(ch)
		if ch.inUnconfirmed == nil {
			cs.removeLocked(ch)
		}
	}
}

// removeLocked forgets a chat, except that some of its writes are lost.
func (cs *chats) removeLocked(ch *chat) {
	now := cs.now()
	for k, l := range [writeKinds]lost{messageWrites: ch.recent.lost(), muteWrites: ch.lostMuteWrite} {
		if cs.mayLag[k] && l.live(now) {
			cs.marks[k].add(ch.id, l, now)
		}
	}
	cs.usage.change(ch.usage, usage{})
	delete(cs.byID, ch.id)
}

// forgetLocked drops what was loaded, and keeps the writes that loads may miss. It returns how many things it dropped.
func (cs *chats) forgetLocked(ch *chat) (n int) {
	if ch.timeline != nil {
		n++
	}
	if ch.mute != nil {
		n++
	}
	ch.dropTimeline()
	ch.mute = nil
	ch.token, ch.muteToken = cs.newToken(), cs.newToken()
	cs.countLocked(ch)
	return n
}

// forget is forgetLocked for a chat that the caller has pinned.
func (cs *chats) forget(ch *chat) {
	cs.mu.Lock()
	defer cs.mu.Unlock()
	cs.forgetLocked(ch)
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
