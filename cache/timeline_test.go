package cache

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"hearth/client/wire"
)

// A timeline against a plain list of messages. Whatever was done to it, each window holds exactly the messages of its role
// from its edge on, or all of them if it is complete.
func TestAWindowHoldsWhatItSaysAndNothingElse(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		x := &windowsTest{chat: map[string]wire.Message{}}
		for range rapid.IntRange(0, 12).Draw(t, "messages") {
			x.put(x.message(t))
		}
		x.load(t)
		x.check(t)
		t.Repeat(map[string]func(*rapid.T){
			"load":   x.load,
			"write":  x.write,
			"from":   x.from,
			"within": x.within,
			"":       x.check,
		})
	})
}

// windowsTest is the timeline under test and what is true.
type windowsTest struct {
	chat  map[string]wire.Message // by ID
	t     *timeline
	edges [roleCount]place // of the messages that must be held; the zero place: all of them
	whole [roleCount]bool
}

func (x *windowsTest) put(m wire.Message) { x.chat[m.ID] = m }

func (x *windowsTest) message(t *rapid.T) wire.Message {
	return wire.Message{
		ID:        fmt.Sprint(rapid.IntRange(1, 20).Draw(t, "id")),
		Role:      rapid.SampledFrom([]string{"user", "assistant", "system"}).Draw(t, "role"),
		Content:   "0123456789"[:rapid.IntRange(0, 10).Draw(t, "length")],
		CreatedAt: x.moment(t),
	}
}

func (x *windowsTest) moment(t *rapid.T) time.Time {
	return time.Unix(1.8e9+int64(rapid.IntRange(1, 10).Draw(t, "at")), 0).UTC()
}

// of is what the chat has of one role, in the order of a window.
func (x *windowsTest) of(r int) []wire.Message {
	all := slices.Collect(maps.Values(x.chat))
	all = slices.DeleteFunc(all, func(m wire.Message) bool { return m.Role != []string{"user", "assistant"}[r] })
	slices.SortFunc(all, func(a, b wire.Message) int {
		if c := a.CreatedAt.Compare(b.CreatedAt); c != 0 {
			return c
		}
		if a.ID < b.ID {
			return -1
		}
		return 1
	})
	return all
}

// held is what a window must hold.
func (x *windowsTest) held(r int) []wire.Message {
	return slices.DeleteFunc(x.of(r), func(m wire.Message) bool { return !x.whole[r] && placeOf(m).compare(x.edges[r]) < 0 })
}

// load makes the windows anew from pages with all of their oldest timestamp, in any order.
func (x *windowsTest) load(t *rapid.T) {
	x.t = &timeline{}
	for r := range x.t {
		all := x.of(r)
		cut := rapid.IntRange(0, len(all)).Draw(t, "left out")
		for cut > 0 && cut < len(all) && all[cut-1].CreatedAt.Equal(all[cut].CreatedAt) {
			cut--
		}
		page := Page{Messages: slices.Clone(all[cut:]), Complete: cut == 0}
		x.whole[r], x.edges[r] = page.Complete, endOfTime()
		if len(page.Messages) > 0 {
			x.edges[r] = place{at: page.Messages[0].CreatedAt}
		}
		page.Messages = rapid.Permutation(page.Messages).Draw(t, "order")
		before := slices.Clone(page.Messages)
		x.t[r] = newWindow(page)
		if !slices.Equal(before, page.Messages) {
			t.Fatal("the page of the load was changed")
		}
	}
}

// change does something to the timeline, which must leave the one before as it was.
func (x *windowsTest) change(t *rapid.T, do func() *timeline) (before *timeline) {
	before = x.t
	var was timeline
	for r, w := range before {
		w.messages = slices.Clone(w.messages)
		was[r] = w
	}
	x.t = do()
	for r, w := range before {
		if !slices.Equal(w.messages, was[r].messages) || w.bytes != was[r].bytes || w.edge != was[r].edge || w.complete != was[r].complete {
			t.Fatalf("a window was changed: %+v, it was %+v", w, was[r])
		}
	}
	return before
}

// write lays messages over the timeline: new ones, or again with another time or role, also twice in one write.
func (x *windowsTest) write(t *rapid.T) {
	var batch []wire.Message
	for range rapid.IntRange(1, 4).Draw(t, "messages") {
		batch = append(batch, x.message(t))
	}
	for _, m := range batch {
		x.put(m)
	}
	most := rapid.IntRange(1, 12).Draw(t, "most")
	x.change(t, func() *timeline {
		ids := x.t.ids()
		if after, ok := x.t.followedBy(batch, ids, most); ok {
			if want := after.ids(); !maps.Equal(ids, want) {
				t.Fatalf("the IDs are %v, want %v", ids, want)
			}
			return after
		}
		return x.t.with(batch, most)
	})
	for r := range x.t {
		if held := x.held(r); len(held) > most {
			x.whole[r], x.edges[r] = false, placeOf(held[len(held)-most-1]).after()
		}
	}
}

func (x *windowsTest) from(t *rapid.T) {
	r := rapid.IntRange(0, roleCount-1).Draw(t, "window")
	p := place{x.moment(t), fmt.Sprint(rapid.IntRange(0, 20).Draw(t, "id"))}
	x.change(t, func() *timeline {
		c := *x.t
		c[r] = c[r].from(p)
		return &c
	})
	if x.whole[r] || p.compare(x.edges[r]) > 0 {
		x.whole[r], x.edges[r] = false, p
	}
}

// within drops the oldest of both roles, and no more than it must.
func (x *windowsTest) within(t *rapid.T) {
	limit := rapid.Int64Range(0, x.t.bytes()+100).Draw(t, "limit")
	fitted := x.t.bytes() <= limit
	before := x.change(t, func() *timeline { return x.t.within(limit) })
	for r, w := range x.t {
		if !fitted && w.dropped > 0 {
			t.Fatalf("window %d still has %d bytes of dropped messages in memory", r, w.dropped)
		}
	}
	if b := x.t.bytes(); b > limit {
		t.Fatalf("%d bytes are left, %d may be", b, limit)
	}
	var gone, kept []wire.Message
	for r := range x.t {
		n := len(before[r].messages) - len(x.t[r].messages)
		gone, kept = append(gone, before[r].messages[:n]...), append(kept, x.t[r].messages...)
		if n > 0 {
			x.whole[r], x.edges[r] = false, placeOf(before[r].messages[n-1]).after()
		}
	}
	if len(gone) == 0 {
		return
	}
	newest := slices.MaxFunc(gone, func(a, b wire.Message) int { return a.CreatedAt.Compare(b.CreatedAt) })
	if slices.ContainsFunc(kept, func(m wire.Message) bool { return m.CreatedAt.Before(newest.CreatedAt) }) {
		t.Fatalf("%v is gone, of what is left some is older: %v", newest, kept)
	}
	last := slices.MaxFunc(gone, func(a, b wire.Message) int { return int(messageBytes(a) - messageBytes(b)) })
	if x.t.bytes()+messageBytes(last) <= limit {
		t.Fatalf("%v is gone, and would have fitted into %d bytes", last, limit)
	}
}

func (x *windowsTest) check(t *rapid.T) {
	both := true
	bytes := int64(0)
	for r, w := range x.t {
		held := x.held(r)
		if !slices.Equal(w.messages, held) || w.complete != x.whole[r] {
			t.Fatalf("a window holds %v, complete: %t, want %v, %t", w.messages, w.complete, held, x.whole[r])
		}
		size := int64(0)
		for _, m := range held {
			size += int64(96 + len(m.ID) + len(m.Role) + len(m.Content))
		}
		if w.bytes != size || cap(w.messages) > 3*len(w.messages)+1 {
			t.Fatalf("%d messages of %d bytes count as %d, with room for %d", len(held), size, w.bytes, cap(w.messages))
		}
		bytes += size + w.dropped
		n := rapid.IntRange(1, 12).Draw(t, "n")
		fits := x.whole[r] || len(held) >= n
		if w.fits(n) != fits {
			t.Fatalf("the newest %d can be cut from %d messages, complete: %t: it says %t", n, len(held), x.whole[r], w.fits(n))
		}
		if all := x.of(r); fits && !slices.Equal(w.newest(n), all[max(0, len(all)-n):]) {
			t.Fatalf("the newest %d are %v, of %v", n, w.newest(n), all)
		}
	}
	if x.t.bytes() != bytes {
		t.Fatalf("%d bytes are held and count as %d", bytes, x.t.bytes())
	}
	n := rapid.IntRange(1, 12).Draw(t, "of each")
	for r := range x.t {
		both = both && (x.whole[r] || len(x.held(r)) >= n)
	}
	if x.t.fits(n) != both {
		t.Fatalf("the newest %d of each role can be cut: %t, it says %t", n, both, x.t.fits(n))
	}
}

func TestMessagesStandInOrderOfTimeThenRoleThenID(t *testing.T) {
	at := time.Unix(1000, 0)
	ordered := []wire.Message{
		{ID: "z", Role: "assistant", CreatedAt: at},
		{ID: "y", Role: "user", CreatedAt: at.Add(1)},
		{ID: "z", Role: "user", CreatedAt: at.Add(1)},
		{ID: "a", Role: "assistant", CreatedAt: at.Add(1)},
		{ID: "b", Role: "assistant", CreatedAt: at.Add(1)},
		{ID: "a", Role: "user", CreatedAt: at.Add(2)},
	}
	for i, a := range ordered {
		for j, b := range ordered {
			if got := CompareMessages(a, b); got != cmp.Compare(i, j) {
				t.Errorf("%v and %v: %d", a, b, got)
			}
		}
	}
}
