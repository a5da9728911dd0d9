package cache

import (
	"container/list"
	"time"

	"hearth/client/wire"
	"hearth/internal/clock"
)

// writeKind is a kind of write. Each kind has a class of its own upstream, so loads may lag for one and not for the other.
type writeKind int

// The kinds of writes.
const (
	messageWrites writeKind = iota
	muteWrites
	writeKinds
)

// chat is what is known of one chat. It is guarded by chats.mu.
//
// A pinned chat stays in chats.byID. A read pins it while it waits for its load, and a write while it waits for its outcome: both
// must find here what happened meanwhile.
type chat struct {
	id            string
	inLRU         *list.Element // nil: evicted
	inUnconfirmed *list.Element // nil: no recent writes
	pins          int
	usage         usage

	token         token               // changes when what was loaded of the messages is dropped
	timeline      *timeline           // nil: not held; replaced, never changed, so that readers may keep it
	ids           map[string]struct{} // of the messages in timeline; nil: not made yet
	loadedAt      clock.Instant       // when the load of timeline began
	encoded       []encoded           // replies cut from timeline
	maxWindow     int                 // messages per role to which writes may lengthen timeline
	recent        recentWrites
	lastCreatedAt time.Time // the newest one that was given to a message
	claims        []*claim

	muteToken     token         // as token
	mute          *heldMute     // nil: not held
	lastMuteWrite *heldMute     // the last acknowledged write of the mute, if loads may miss it; nil: there is none, or it is lost
	lostMuteWrite lost          // a write of the mute that loads may miss and that is no longer held
	muteTurn      chan struct{} // holds one value while a mute write is under way; nil: there was no mute write yet
}

// heldMute is a mute that was loaded or written. It does not change.
type heldMute struct {
	wire.Mute
	at           clock.Instant // when its load, or the write of it, began
	acknowledged clock.Instant // of a write
}

func (m *heldMute) began() clock.Instant { return m.at }

func (m *heldMute) policy(p Policy) Policy { return p }

// encoded is an encoded reply cut from the timeline that is held.
type encoded struct {
	view View
	body []byte
	etag string
}

func (e encoded) bytes() int64 { return int64(cap(e.body)) + 128 }

// usage is what is held, in numbers.
type usage struct {
	bytes     int64
	recent    int64 // of bytes, what an eviction leaves behind
	timelines int64
	mutes     int64
}

func (u *usage) change(from, to usage) {
	u.bytes += to.bytes - from.bytes
	u.recent += to.recent - from.recent
	u.timelines += to.timelines - from.timelines
	u.mutes += to.mutes - from.mutes
}

const (
	chatBytes = 512 // the struct, its map slot and its list elements
	muteBytes = 64
	idBytes   = 48 // one of chat.ids
)

// base is how many bytes a chat takes if nothing of it is held.
func (ch *chat) base() int64 { return int64(chatBytes + 2*len(ch.id)) }

// count counts what is held of the chat.
func (ch *chat) count() usage {
	u := usage{bytes: ch.base()}
	if ch.timeline != nil {
		u.timelines = 1
		u.bytes += ch.timeline.bytes() + idBytes*int64(len(ch.ids))
	}
	for _, e := range ch.encoded {
		u.bytes += e.bytes()
	}
	for _, k := range ch.claims {
		u.bytes += k.bytes()
	}
	if ch.mute != nil {
		u.mutes = 1
		u.bytes += muteBytes
	}
	if ch.recent.count > 0 || ch.lastMuteWrite != nil {
		u.bytes += ch.recent.bytes + muteBytes
		u.recent = ch.base() + ch.recent.bytes + muteBytes
	}
	return u
}

// lastAcknowledged is when the last of the recent writes was acknowledged.
func (ch *chat) lastAcknowledged() clock.Instant {
	at := ch.recent.last
	if w := ch.lastMuteWrite; w != nil && w.acknowledged.Mono >= at.Mono {
		at = w.acknowledged
	}
	return at
}

// confirm forgets the recent writes of a kind: every load to come sees them.
func (ch *chat) confirm(kind writeKind) {
	if kind == messageWrites {
		ch.recent = recentWrites{}
	} else {
		ch.lastMuteWrite, ch.lostMuteWrite = nil, lost{}
	}
}

// dropTimeline forgets what was loaded of the messages, and what was cut from it.
func (ch *chat) dropTimeline() { ch.timeline, ch.ids, ch.encoded = nil, nil, nil }

// insert puts messages into the timeline, which takes at most limit bytes, and forgets what was cut from it.
func (ch *chat) insert(messages []wire.Message, limit int64) {
	if ch.ids == nil {
		ch.ids = ch.timeline.ids()
	}
	t, ok := ch.timeline.followedBy(messages, ch.ids, ch.maxWindow)
	if !ok || t.bytes() > limit {
		t, ch.ids = ch.timeline.with(messages, ch.maxWindow).within(limit), nil
	}
	ch.timeline, ch.encoded = t, nil
}
