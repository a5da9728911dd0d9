package cache

import (
	"cmp"
	"math"
	"slices"
	"strings"
	"time"

	"hearth/client/wire"
)

// The roles of a timeline, in the order in which their messages stand at equal timestamps. A timeline has no other roles.
const (
	user = iota
	assistant
	roleCount
)

// roleOf is the index of a role, or -1.
func roleOf(m wire.Message) int {
	switch m.Role {
	case wire.RoleUser:
		return user
	case wire.RoleAssistant:
		return assistant
	}
	return -1
}

// CompareMessages orders messages: by time, then the user's before the assistant's, then by ID.
func CompareMessages(a, b wire.Message) int {
	if c := a.CreatedAt.Compare(b.CreatedAt); c != 0 {
		return c
	}
	return cmp.Or(cmp.Compare(roleOf(a), roleOf(b)), strings.Compare(a.ID, b.ID))
}

func messageBytes(m wire.Message) int64 {
	const overhead = 96 // the struct
	return overhead + int64(len(m.ID)+len(m.Role)+len(m.Content))
}

func placeOf(m wire.Message) place { return place{m.CreatedAt, m.ID} }

// place is a position among the messages of one role.
type place struct {
	at time.Time
	id string
}

func (p place) compare(o place) int {
	if c := p.at.Compare(o.at); c != 0 {
		return c
	}
	return strings.Compare(p.id, o.id)
}

// after is the next position behind p.
func (p place) after() place { return place{p.at, p.id + "\x00"} }

// endOfTime is behind every message.
func endOfTime() place { return place{at: time.Unix(math.MaxInt32<<16, 0)} }

// window is the newest messages of one role in one chat, oldest first. It does not change: its methods return new windows.
//
// Windows may share memory: followedBy writes behind the messages of the window that it is called on, where no other window looks.
type window struct {
	messages []wire.Message
	complete bool  // reaches back to the first message
	edge     place // if not complete: every message from here on is held, and no message before
	bytes    int64 // of messages
	dropped  int64 // bytes of dropped messages that are still in the memory of messages
}

func newWindow(p Page) window {
	w := window{messages: slices.Clone(p.Messages), complete: p.Complete, edge: endOfTime()}
	slices.SortFunc(w.messages, CompareMessages)
	for _, m := range w.messages {
		w.bytes += messageBytes(m)
	}
	if len(w.messages) > 0 {
		w.edge = place{at: w.messages[0].CreatedAt}
	}
	return w
}

// fits says whether the newest n messages can be cut from w.
func (w window) fits(n int) bool { return w.complete || len(w.messages) >= n }

func (w window) newest(n int) []wire.Message {
	return slices.Clip(w.messages[max(0, len(w.messages)-n):])
}

// isNext says whether a message belongs behind all others of w.
func (w window) isNext(m wire.Message) bool {
	if n := len(w.messages); n > 0 {
		return placeOf(w.messages[n-1]).compare(placeOf(m)) < 0
	}
	return w.complete || placeOf(m).compare(w.edge) >= 0
}

// followedBy returns w with a message that isNext. It copies the other messages only now and then. Call it only once on a
// window, the newest one: a second call would write into the same memory.
func (w window) followedBy(m wire.Message) window {
	if n := len(w.messages); n == cap(w.messages) {
		w.messages = append(make([]wire.Message, 0, n+n/4+1), w.messages...)
		w.dropped = 0
	}
	w.messages = append(w.messages, m)
	w.bytes += messageBytes(m)
	return w
}

// dropping returns w without its n oldest messages, which stay in its memory until followedBy copies the others.
func (w window) dropping(n int) window {
	for _, m := range w.messages[:n] {
		w.bytes -= messageBytes(m)
		w.dropped += messageBytes(m)
	}
	if n > 0 {
		w.complete, w.edge = false, placeOf(w.messages[n-1]).after()
		w.messages = w.messages[n:]
	}
	return w
}

// with returns w without the messages of those ids and with the added ones. An incomplete window leaves out an added message
// that belongs before the edge: other messages may be missing there, and the added one would hide that gap.
func (w window) with(ids map[string]int, added []wire.Message) window {
	old := w.messages
	w.dropped = 0
	w.messages = make([]wire.Message, 0, len(old)+len(added))
	for _, m := range old {
		if _, again := ids[m.ID]; again {
			w.bytes -= messageBytes(m)
		} else {
			w.messages = append(w.messages, m)
		}
	}
	for _, m := range added {
		if w.complete || placeOf(m).compare(w.edge) >= 0 {
			w.messages = append(w.messages, m)
			w.bytes += messageBytes(m)
		}
	}
	slices.SortFunc(w.messages, func(a, b wire.Message) int { return placeOf(a).compare(placeOf(b)) })
	w.messages = clip(w.messages)
	return w
}

// without is w without its n oldest messages, in memory of its own if some were dropped.
func (w window) without(n int) window {
	n = max(0, n)
	if n == 0 && w.dropped == 0 {
		return w
	}
	w = w.dropping(n)
	w.messages, w.dropped = slices.Clone(w.messages), 0
	return w
}

// from is w without what stands before p.
func (w window) from(p place) window {
	if !w.complete && w.edge.compare(p) >= 0 {
		return w
	}
	n := slices.IndexFunc(w.messages, func(m wire.Message) bool { return placeOf(m).compare(p) >= 0 })
	if n < 0 {
		n = len(w.messages)
	}
	w = w.without(n)
	w.complete, w.edge = false, p
	return w
}

// timeline is the two windows of a chat. It does not change.
type timeline [roleCount]window

func (t *timeline) fits(n int) bool { return t[user].fits(n) && t[assistant].fits(n) }

func (t *timeline) bytes() int64 {
	return t[user].bytes + t[user].dropped + t[assistant].bytes + t[assistant].dropped
}

// ids are the IDs of all messages.
func (t *timeline) ids() map[string]struct{} {
	ids := make(map[string]struct{}, len(t[user].messages)+len(t[assistant].messages))
	for _, w := range t {
		for _, m := range w.messages {
			ids[m.ID] = struct{}{}
		}
	}
	return ids
}

// followedBy returns t with messages, if each of them is new and belongs behind the others of its role, as most messages do. Its
// cost does not depend on how many messages there are. ids are the IDs of all messages in t, and afterwards in the result; if the
// messages do not follow, ids is of no use any more. A window that is longer than maxWindow loses its oldest messages.
func (t *timeline) followedBy(messages []wire.Message, ids map[string]struct{}, maxWindow int) (_ *timeline, ok bool) {
	c := *t
	for _, m := range messages {
		_, again := ids[m.ID]
		r := roleOf(m)
		if again || r >= 0 && !c[r].isNext(m) {
			return nil, false
		}
		if r >= 0 {
			ids[m.ID] = struct{}{}
			c[r] = c[r].followedBy(m)
		}
	}
	for r, w := range c {
		surplus := max(0, len(w.messages)-maxWindow)
		for _, m := range w.messages[:surplus] {
			delete(ids, m.ID)
		}
		c[r] = w.dropping(surplus)
	}
	return &c, true
}

// newestTime is the time of the newest message; zero: there is none.
func (t *timeline) newestTime() (newest time.Time) {
	for _, w := range t {
		if last := w.newest(1); len(last) == 1 && last[0].CreatedAt.After(newest) {
			newest = last[0].CreatedAt
		}
	}
	return newest
}

// with returns t with each message in the window of its role, and in no other window. If two messages have the same ID, the last
// one counts. A window that is longer than maxWindow loses its oldest messages.
func (t *timeline) with(messages []wire.Message, maxWindow int) *timeline {
	last := lastOf(messages)
	var added [roleCount][]wire.Message
	for i, m := range messages {
		if r := roleOf(m); r >= 0 && last[m.ID] == i {
			added[r] = append(added[r], m)
		}
	}
	c := *t
	for r := range c {
		w := c[r].with(last, added[r])
		c[r] = w.without(len(w.messages) - maxWindow)
	}
	return &c
}

// lastOf is the index of the last message of each ID.
func lastOf(messages []wire.Message) map[string]int {
	last := make(map[string]int, len(messages))
	for i, m := range messages {
		last[m.ID] = i
	}
	return last
}

// within returns t without the oldest messages, so that the rest takes at most limit bytes.
func (t *timeline) within(limit int64) *timeline {
	if t.bytes() <= limit {
		return t
	}
	c := *t
	var drop [roleCount]int
	for left := c[user].bytes + c[assistant].bytes; left > limit; {
		r := oldest(c[user].messages[drop[user]:], c[assistant].messages[drop[assistant]:])
		left -= messageBytes(c[r].messages[drop[r]])
		drop[r]++
	}
	for r := range c {
		c[r] = c[r].without(drop[r])
	}
	return &c
}

// oldest is the index of the list whose first message is the oldest. Not all may be empty.
func oldest(lists ...[]wire.Message) int {
	first := -1
	for i, l := range lists {
		if len(l) > 0 && (first < 0 || l[0].CreatedAt.Before(lists[first][0].CreatedAt)) {
			first = i
		}
	}
	return first
}
