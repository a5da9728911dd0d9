package cache

import (
	"cmp"
	"math"
	"slices"
	"strings"
	"time"
)

// The roles of a timeline, in the order in which they stand at equal timestamps. Others are not remembered.
const (
	user = iota
	assistant
	roleCount
)

func roleOf(role string) int { return slices.Index([]string{"user", "assistant"}, role) }

// Message is one message of a chat.
type Message struct {
	ID        string
	Role      string
	Content   string
	CreatedAt time.Time // UTC
}

// Compare orders messages: by time, then the user's before the assistant's, then by ID.
func (m Message) Compare(o Message) int {
	return cmp.Or(m.CreatedAt.Compare(o.CreatedAt), cmp.Compare(roleOf(m.Role), roleOf(o.Role)), strings.Compare(m.ID, o.ID))
}

func (m Message) bytes() int64 {
	const overhead = 96 // the struct
	return overhead + int64(len(m.ID)+len(m.Role)+len(m.Content))
}

func (m Message) place() place { return place{m.CreatedAt, m.ID} }

// place is a position among the messages of one role.
type place struct {
	at time.Time
	id string
}

func (p place) compare(o place) int { return cmp.Or(p.at.Compare(o.at), strings.Compare(p.id, o.id)) }

// after is the next position behind p.
func (p place) after() place { return place{p.at, p.id + "\x00"} }

// end is behind every message.
func end() place { return place{at: time.Unix(math.MaxInt32<<16, 0)} }

// window is the newest messages of one role in one chat, oldest first. It does not change.
type window struct {
	messages []Message
	complete bool  // reaches back to the first message
	edge     place // unless complete: every message from here on is held, and none before
	bytes    int64
}

func newWindow(p Page) window {
	w := window{messages: slices.Clone(p.Messages), complete: p.Complete, edge: end()}
	slices.SortFunc(w.messages, Message.Compare)
	for _, m := range w.messages {
		w.bytes += m.bytes()
	}
	if len(w.messages) > 0 {
		w.edge = place{at: w.messages[0].CreatedAt}
	}
	return w
}

// fits says whether the newest n messages can be cut from w.
func (w window) fits(n int) bool { return w.complete || len(w.messages) >= n }

func (w window) newest(n int) []Message { return w.messages[max(0, len(w.messages)-n):] }

// with is w without the messages of those ids, and with added in their places. What would stand before the edge of an
// incomplete window is left out: what else lies there is not known, and a message alone would hide the gap.
func (w window) with(ids map[string]int, added []Message) window {
	old := w.messages
	w.messages = make([]Message, 0, len(old)+len(added))
	for _, m := range old {
		if _, again := ids[m.ID]; again {
			w.bytes -= m.bytes()
		} else {
			w.messages = append(w.messages, m)
		}
	}
	for _, m := range added {
		if w.complete || m.place().compare(w.edge) >= 0 {
			w.messages = append(w.messages, m)
			w.bytes += m.bytes()
		}
	}
	slices.SortFunc(w.messages, func(a, b Message) int { return a.place().compare(b.place()) })
	w.messages = snug(w.messages)
	return w
}

// without is w without its n oldest messages.
func (w window) without(n int) window {
	if n <= 0 {
		return w
	}
	for _, m := range w.messages[:n] {
		w.bytes -= m.bytes()
	}
	w.complete, w.edge = false, w.messages[n-1].place().after()
	w.messages = slices.Clone(w.messages[n:])
	return w
}

// from is w without what stands before p.
func (w window) from(p place) window {
	if !w.complete && w.edge.compare(p) >= 0 {
		return w
	}
	n := slices.IndexFunc(w.messages, func(m Message) bool { return m.place().compare(p) >= 0 })
	if n < 0 {
		n = len(w.messages)
	}
	w = w.without(n)
	w.complete, w.edge = false, p
	return w
}

// timeline is both windows of a chat. It does not change.
type timeline [roleCount]window

func (t *timeline) fits(n int) bool { return t[user].fits(n) && t[assistant].fits(n) }

func (t *timeline) bytes() int64 { return t[user].bytes + t[assistant].bytes }

// with is t with the messages in the windows of their roles, and nowhere else: of the same ID the last one counts.
// A window longer than most loses its oldest messages.
func (t *timeline) with(messages []Message, most int) *timeline {
	last := lastOf(messages)
	var added [roleCount][]Message
	for i, m := range messages {
		if r := roleOf(m.Role); r >= 0 && last[m.ID] == i {
			added[r] = append(added[r], m)
		}
	}
	c := *t
	for r := range c {
		w := c[r].with(last, added[r])
		c[r] = w.without(len(w.messages) - most)
	}
	return &c
}

// lastOf is the index of the last message of each ID.
func lastOf(messages []Message) map[string]int {
	last := make(map[string]int, len(messages))
	for i, m := range messages {
		last[m.ID] = i
	}
	return last
}

// within is t without the oldest messages that do not fit into so many bytes.
func (t *timeline) within(limit int64) *timeline {
	c := *t
	var drop [roleCount]int
	for left := t.bytes(); left > limit; {
		r := oldest(c[user].messages[drop[user]:], c[assistant].messages[drop[assistant]:])
		left -= c[r].messages[drop[r]].bytes()
		drop[r]++
	}
	for r := range c {
		c[r] = c[r].without(drop[r])
	}
	return &c
}

// oldest is the index of the list whose first message is the oldest. Not all may be empty.
func oldest(lists ...[]Message) int {
	first := -1
	for i, l := range lists {
		if len(l) > 0 && (first < 0 || l[0].CreatedAt.Before(lists[first][0].CreatedAt)) {
			first = i
		}
	}
	return first
}
