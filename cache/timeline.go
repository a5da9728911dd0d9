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

// window is the newest messages of one role in one chat, oldest first. It is not safe for concurrent use.
type window struct {
	messages []Message
	complete bool      // reaches back to the first message
	edge     time.Time // unless complete: every message from here on is held, and none before
}

func newWindow(p Page) window {
	slices.SortFunc(p.Messages, Message.Compare)
	w := window{messages: p.Messages, complete: p.Complete, edge: time.Unix(math.MaxInt32<<16, 0)}
	if len(w.messages) > 0 {
		w.edge = w.messages[0].CreatedAt
	}
	return w
}

// fits says whether the newest n messages can be cut from w.
func (w *window) fits(n int) bool { return w.complete || len(w.messages) >= n }

func (w *window) newest(n int) []Message { return w.messages[max(0, len(w.messages)-n):] }

// insert puts m in its place, unless that is before the edge of an incomplete window: what lies there is not
// known, and a message alone would hide the gap. A window longer than most loses its oldest timestamps.
func (w *window) insert(m Message, most int) {
	if !w.complete && m.CreatedAt.Before(w.edge) {
		return
	}
	i, _ := slices.BinarySearchFunc(w.messages, m, Message.Compare)
	w.messages = slices.Insert(w.messages, i, m)
	if cut := len(w.messages) - most; cut > 0 {
		last := w.messages[cut-1].CreatedAt
		for cut < len(w.messages) && w.messages[cut].CreatedAt.Equal(last) {
			cut++
		}
		if cut == len(w.messages) {
			return // all at one timestamp: keep them
		}
		w.messages = slices.Delete(w.messages, 0, cut)
		w.complete, w.edge = false, w.messages[0].CreatedAt
	}
}

func (w *window) remove(id string) (found bool) {
	i := w.index(id)
	if i >= 0 {
		w.messages = slices.Delete(w.messages, i, i+1)
	}
	return i >= 0
}

func (w *window) index(id string) int {
	return slices.IndexFunc(w.messages, func(m Message) bool { return m.ID == id })
}

// timeline is both windows of a chat.
type timeline [roleCount]window

func (t *timeline) fits(n int) bool { return t[user].fits(n) && t[assistant].fits(n) }

// put writes m into the window of its role, and out of wherever it stood before.
func (t *timeline) put(m Message, most int) {
	for i := range t {
		t[i].remove(m.ID)
	}
	if r := roleOf(m.Role); r >= 0 {
		t[r].insert(m, most)
	}
}

func (t *timeline) has(id string) bool { return t[user].index(id) >= 0 || t[assistant].index(id) >= 0 }

func (t *timeline) clone() *timeline {
	c := *t
	for i := range c {
		c[i].messages = slices.Clone(c[i].messages)
	}
	return &c
}

func (t *timeline) bytes() (n int64) {
	for i := range t {
		for _, m := range t[i].messages {
			n += m.bytes()
		}
	}
	return n
}
