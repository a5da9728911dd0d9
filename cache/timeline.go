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
	return slices.Index([]wire.Role{wire.RoleUser, wire.RoleAssistant}, m.Role)
}

// CompareMessages orders messages: by time, then the user's before the assistant's, then by ID.
func CompareMessages(a, b wire.Message) int {
	return cmp.Or(a.CreatedAt.Compare(b.CreatedAt), cmp.Compare(roleOf(a), roleOf(b)), strings.Compare(a.ID, b.ID))
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

func (p place) compare(o place) int { return cmp.Or(p.at.Compare(o.at), strings.Compare(p.id, o.id)) }

// after is the next position behind p.
func (p place) after() place { return place{p.at, p.id + "\x00"} }

// endOfTime is behind every message.
func endOfTime() place { return place{at: time.Unix(math.MaxInt32<<16, 0)} }

// window is the newest messages of one role in one chat, oldest first. It does not change: its methods return new windows.
type window struct {
	messages []wire.Message
	complete bool  // reaches back to the first message
	edge     place // if not complete: every message from here on is held, and no message before
	bytes    int64
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

func (w window) newest(n int) []wire.Message { return w.messages[max(0, len(w.messages)-n):] }

// with returns w without the messages of those ids and with the added ones. An incomplete window leaves out an added message
// that belongs before the edge: other messages may be missing there, and the added one would hide that gap.
func (w window) with(ids map[string]int, added []wire.Message) window {
	old := w.messages
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

// without is w without its n oldest messages.
func (w window) without(n int) window {
	if n <= 0 {
		return w
	}
	for _, m := range w.messages[:n] {
		w.bytes -= messageBytes(m)
	}
	w.complete, w.edge = false, placeOf(w.messages[n-1]).after()
	w.messages = slices.Clone(w.messages[n:])
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

func (t *timeline) bytes() int64 { return t[user].bytes + t[assistant].bytes }

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
	c := *t
	var drop [roleCount]int
	for left := t.bytes(); left > limit; {
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
