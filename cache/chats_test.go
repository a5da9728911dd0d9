package cache

import (
	"maps"
	"slices"

	"hearth/client/wire"
)

// holds counts what is held of a chat, without the help of what it checks.
func (ch *chat) holds() (h usage) {
	h.bytes = chatBytes + 2*int64(len(ch.id))
	of := func(m wire.Message) int64 { return 96 + int64(len(m.ID)+len(m.Role)+len(m.Content)) }
	if ch.timeline != nil {
		h.timelines = 1
		h.bytes += idBytes * int64(len(ch.ids))
		for _, w := range ch.timeline {
			h.bytes += w.dropped
			for _, m := range w.messages {
				h.bytes += of(m)
			}
		}
	}
	for _, r := range ch.encoded {
		h.bytes += int64(cap(r.body)) + 128
	}
	for _, k := range ch.claims {
		h.bytes += 64 + int64(len(k.key))
		for _, m := range k.messages {
			h.bytes += of(m)
		}
	}
	if ch.mute != nil {
		h.mutes = 1
		h.bytes += muteBytes
	}
	recent, any := int64(muteBytes), ch.lastMuteWrite != nil
	for _, l := range ch.recent.roles {
		for _, m := range l.messages {
			any = true
			recent += of(m) + 2*96 + 96 // lists that grow have room for three times what they hold, and ids has a slot
		}
	}
	if any {
		h.bytes += recent
		h.recent = chatBytes + 2*int64(len(ch.id)) + recent
	}
	return h
}

// verify checks the books against what is held.
func (cs *chats) verify(t interface{ Fatalf(string, ...any) }) {
	cs.mu.Lock()
	defer cs.mu.Unlock()
	var total usage
	inLRU, inUnconfirmed := 0, 0
	for _, ch := range cs.byID {
		if held := ch.holds(); held != ch.usage {
			t.Fatalf("chat %s is counted as %+v, and holds %+v", ch.id, ch.usage, held)
		}
		total.change(usage{}, ch.usage)
		if ch.inLRU != nil {
			inLRU++
		} else if ch.timeline != nil || ch.inUnconfirmed == nil || ch.pins > 0 {
			t.Fatalf("chat %s was evicted, and holds %+v with %d pins", ch.id, ch.usage, ch.pins)
		}
		if ch.inUnconfirmed != nil {
			inUnconfirmed++
		}
		bytes, count := int64(0), 0
		for _, l := range ch.recent.roles {
			count += len(l.messages)
			for _, m := range l.messages {
				bytes += recentBytes(m)
			}
			if max(cap(l.messages), cap(l.at)) > 3*len(l.messages) {
				t.Fatalf("%d recent writes of %s have room for %d and %d", len(l.messages), ch.id, cap(l.messages), cap(l.at))
			}
		}
		if bytes != ch.recent.bytes || count != ch.recent.count || count != len(ch.recent.ids) {
			t.Fatalf("recent writes of %s: counted %d of %d bytes, there are %d of %d", ch.id, ch.recent.count, ch.recent.bytes, count, bytes)
		}
		if ch.timeline == nil {
			continue
		}
		if ids := ch.timeline.ids(); ch.ids != nil && !maps.Equal(ids, ch.ids) {
			t.Fatalf("IDs in the timeline of %s are %v, and there are %v", ch.id, ch.ids, ids)
		}
		for _, win := range ch.timeline {
			if len(win.messages) > ch.maxWindow {
				t.Fatalf("a window of %s has %d messages, at most %d may be", ch.id, len(win.messages), ch.maxWindow)
			}
			bytes := int64(0)
			for _, m := range win.messages {
				bytes += messageBytes(m)
			}
			if bytes != win.bytes || !slices.IsSortedFunc(win.messages, CompareMessages) {
				t.Fatalf("window of %s: %d bytes counted as %d, or out of order: %v", ch.id, bytes, win.bytes, win.messages)
			}
		}
	}
	if total != cs.usage || inLRU != cs.lru.Len() || inUnconfirmed != cs.unconfirmed.Len() {
		t.Fatalf("counted %+v, the chats hold %+v; %d of %d in the LRU, %d of %d unconfirmed", cs.usage, total, inLRU, cs.lru.Len(), inUnconfirmed, cs.unconfirmed.Len())
	}
	if cs.usage.recent > cs.max/2 {
		t.Fatalf("recent writes take %d of %d bytes", cs.usage.recent, cs.max)
	}
	if pinned := slices.ContainsFunc(slices.Collect(maps.Values(cs.byID)), func(ch *chat) bool { return ch.pins > 0 }); !pinned && cs.bytesLocked() > cs.max {
		t.Fatalf("%d bytes are held, at most %d may be", cs.bytesLocked(), cs.max)
	}
}
