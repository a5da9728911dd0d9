package cache

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"
)

// The timeline against a plain list. Reads, loads, writes, failures, outside writes and deletions, evictions and
// invalidations interleave at every point where they can: a load is a step that begins, one that looks at the
// upstream and one that ends; a write one that begins, one that reaches the upstream and one that is answered.
func TestHistoryHoldsWhatWasAcknowledged(t *testing.T) {
	for _, replicated := range []bool{false, true} {
		t.Run(fmt.Sprintf("replicated=%t", replicated), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				// Within a bubble a test has no deadline, and says so with a panic.
				rapid.Check(struct{ testing.TB }{t}, func(rt *rapid.T) { newWorld(rt, replicated).run() })
			})
		})
	}
}

const fresh = 2 * time.Second

// world is the cache under test and what is true.
type world struct {
	t          *rapid.T
	c          *Cache
	replicated bool
	serial     int

	upstream map[string][]version // by chat; every message that is or was there
	reads    []*reading
	loads    []*loading
	writes   []*writing
	stop     context.CancelFunc
	ctx      context.Context
}

// version is a message and when it was there.
type version struct {
	Message
	applied, deleted time.Time // deleted zero: still there
	acked            time.Time // zero: not by us, or not yet
	unknown          bool
}

type reading struct {
	chat    string
	n       int
	started time.Time
	acked   map[string]bool // IDs acknowledged before it began
	done    bool
	got     []Message
	err     error
}

type loading struct {
	chat   string
	n      int
	looked bool
	result Loaded
	answer chan error
}

type writing struct {
	chat    string
	w       *Write
	message Message
	applied bool
}

func newWorld(t *rapid.T, replicated bool) *world {
	c, err := New(Config{Bytes: 256 << 10, Window: 4, LoadTimeout: time.Hour})
	if err != nil {
		t.Fatal(err)
	}
	w := &world{t: t, c: c, replicated: replicated, upstream: map[string][]version{}}
	w.ctx, w.stop = context.WithCancel(context.Background())
	return w
}

func (w *world) run() {
	defer func() {
		w.stop()
		for len(w.loads) > 0 {
			w.endLoad(0, errors.New("the test is over"))
		}
		for len(w.writes) > 0 {
			w.writes[0].w.End()
			w.writes = w.writes[1:]
		}
		w.c.Close()
		synctest.Wait()
	}()
	w.t.Repeat(map[string]func(*rapid.T){
		"read":     func(t *rapid.T) { w.read(w.chat(), rapid.IntRange(1, 12).Draw(t, "n")) },
		"look":     func(t *rapid.T) { w.pickLoad(func(i int) { w.look(w.loads[i]) }) },
		"endLoad":  func(t *rapid.T) { w.pickLoad(func(i int) { w.look(w.loads[i]); w.endLoad(i, nil) }) },
		"failLoad": func(t *rapid.T) { w.pickLoad(func(i int) { w.endLoad(i, errors.New("load failed")) }) },
		"write":    func(*rapid.T) { w.begin(w.chat()) },
		"apply":    func(*rapid.T) { w.pickWrite(func(i int) { w.apply(w.writes[i]) }) },
		"ack":      func(*rapid.T) { w.pickWrite(func(i int) { w.ack(i) }) },
		"refuse":   func(*rapid.T) { w.pickWrite(func(i int) { w.refuse(i) }) },
		"unknown":  func(*rapid.T) { w.pickWrite(func(i int) { w.unknown(i) }) },
		"outside":  func(*rapid.T) { w.outside(w.chat()) },
		"delete":   func(*rapid.T) { w.delete(w.chat()) },
		"wait":     func(t *rapid.T) { time.Sleep(time.Duration(rapid.IntRange(1, 3000).Draw(t, "ms")) * time.Millisecond) },
		"drop":     func(*rapid.T) { w.c.DropChat(w.chat()) },
		"dropAll":  func(*rapid.T) { w.c.DropAll() },
		"evict":    func(*rapid.T) { w.evict() },
		"":         func(*rapid.T) { w.check() },
	})
}

func (w *world) chat() string { return rapid.SampledFrom([]string{"a", "b"}).Draw(w.t, "chat") }

func (w *world) pickLoad(do func(int)) {
	if len(w.loads) == 0 {
		w.t.Skip("no load under way")
	}
	do(rapid.IntRange(0, len(w.loads)-1).Draw(w.t, "load"))
}

func (w *world) pickWrite(do func(int)) {
	if len(w.writes) == 0 {
		w.t.Skip("no write under way")
	}
	do(rapid.IntRange(0, len(w.writes)-1).Draw(w.t, "write"))
}

func (w *world) read(chat string, n int) {
	r := &reading{chat: chat, n: n, started: time.Now(), acked: map[string]bool{}}
	for _, v := range w.upstream[chat] {
		if !v.acked.IsZero() {
			r.acked[v.ID] = true
		}
	}
	w.reads = append(w.reads, r)
	go func() {
		var reply Reply
		reply, r.err = w.c.History(w.ctx, HistoryRequest{
			Chat: chat, View: View{Messages: n}, Policy: Policy{Fresh: fresh},
			Load: func(ctx context.Context, n int) (Loaded, error) {
				l := &loading{chat: chat, n: n, answer: make(chan error)}
				w.loads = append(w.loads, l)
				select {
				case err := <-l.answer:
					return l.result, err
				case <-ctx.Done():
					return Loaded{}, ctx.Err()
				}
			},
			Render: func(user, assistant []Message) ([]byte, error) {
				return json.Marshal(slices.Concat(user, assistant))
			},
		})
		if r.err == nil {
			r.err = json.Unmarshal(reply.Body, &r.got)
		}
		r.done = true
	}()
	synctest.Wait()
}

// look is the moment at which a load sees the upstream.
func (w *world) look(l *loading) {
	if l.looked {
		return
	}
	l.looked = true
	l.result = Loaded{Replicated: w.replicated}
	for i, role := range []string{"user", "assistant"} {
		var page []Message
		for _, v := range w.upstream[l.chat] {
			behind := w.replicated && !v.acked.IsZero() && time.Since(v.acked) < overlay && rapid.Bool().Draw(w.t, "behind")
			if v.Role == role && v.deleted.IsZero() && !v.applied.IsZero() && !behind {
				page = append(page, v.Message)
			}
		}
		slices.SortFunc(page, func(a, b Message) int { return b.Compare(a) })
		p := Page{Messages: page, Complete: true}
		if len(page) > l.n {
			p = Page{Messages: page[:l.n]}
			for p.Messages[len(p.Messages)-1].CreatedAt.Equal(page[len(p.Messages)].CreatedAt) && len(p.Messages) < len(page)-1 {
				p.Messages = page[:len(p.Messages)+1] // never cut equal timestamps
			}
			p.Complete = len(p.Messages) == len(page)
			if last := len(p.Messages) - 1; !p.Complete && p.Messages[last].CreatedAt.Equal(page[last+1].CreatedAt) {
				p = Page{Messages: page, Complete: true}
			}
		}
		*[]*Page{&l.result.User, &l.result.Assistant}[i] = p
	}
}

func (w *world) endLoad(i int, err error) {
	l := w.loads[i]
	w.loads = slices.Delete(w.loads, i, i+1)
	select {
	case l.answer <- err:
	case <-w.ctx.Done():
	}
	synctest.Wait()
}

func (w *world) message(chat string, at time.Time) Message {
	w.serial++
	return Message{
		ID: fmt.Sprintf("%s-%04d", chat, w.serial), Role: rapid.SampledFrom([]string{"user", "assistant", "system"}).Draw(w.t, "role"),
		Content: strings.Repeat("x", 20), CreatedAt: at,
	}
}

func (w *world) begin(chat string) {
	wr := &writing{chat: chat, w: w.c.BeginWrite(chat)}
	at := wr.w.Reserve(time.Now())
	if rapid.Bool().Draw(w.t, "backdated") {
		at = at.Add(-time.Duration(rapid.IntRange(0, 5000).Draw(w.t, "by")) * time.Millisecond)
	}
	wr.message = w.message(chat, at)
	w.writes = append(w.writes, wr)
}

func (w *world) apply(wr *writing) {
	if !wr.applied {
		wr.applied = true
		w.upstream[wr.chat] = append(w.upstream[wr.chat], version{Message: wr.message, applied: time.Now()})
	}
}

func (w *world) end(i int) *writing {
	wr := w.writes[i]
	w.writes = slices.Delete(w.writes, i, i+1)
	wr.w.End()
	return wr
}

func (w *world) ack(i int) {
	wr := w.writes[i]
	w.apply(wr)
	wr.w.Acknowledge([]Message{wr.message})
	w.find(wr).acked = time.Now()
	w.end(i)
}

func (w *world) find(wr *writing) *version {
	list := w.upstream[wr.chat]
	return &list[slices.IndexFunc(list, func(v version) bool { return v.ID == wr.message.ID })]
}

func (w *world) refuse(i int) {
	if w.writes[i].applied {
		w.t.Skip("applied already")
	}
	w.end(i)
}

func (w *world) unknown(i int) {
	w.writes[i].w.Unknown()
	wr := w.end(i)
	if wr.applied {
		w.find(wr).unknown = true
	}
}

func (w *world) outside(chat string) {
	at := time.Now().Add(-time.Duration(rapid.IntRange(0, 3000).Draw(w.t, "ago")) * time.Millisecond)
	w.upstream[chat] = append(w.upstream[chat], version{Message: w.message(chat, at), applied: time.Now()})
}

func (w *world) delete(chat string) {
	list := w.upstream[chat]
	if len(list) == 0 || w.replicated { // over replicas our own writes are laid for a minute, deleted or not
		w.t.Skip("nothing to delete")
	}
	v := &list[rapid.IntRange(0, len(list)-1).Draw(w.t, "which")]
	if v.deleted.IsZero() && !slices.ContainsFunc(w.writes, func(wr *writing) bool { return wr.message.ID == v.ID }) {
		v.deleted = time.Now()
	}
}

// evict fills the cache with other chats. What is pinned stays.
func (w *world) evict() {
	if w.replicated {
		w.t.Skip("what is laid over replicas goes with an eviction: see the package's comment")
	}
	for i := range 40 {
		o := w.c.BeginWrite(fmt.Sprintf("other-%d", i))
		o.Acknowledge([]Message{{ID: "x", Role: "user", Content: strings.Repeat("y", 8<<10)}})
		o.End()
	}
}

// check looks at every read that has ended since.
func (w *world) check() {
	synctest.Wait()
	w.reads = slices.DeleteFunc(w.reads, func(r *reading) bool {
		if r.done && r.err == nil {
			w.checkRead(r)
		}
		return r.done
	})
	cs := w.c.chats
	cs.mu.Lock()
	defer cs.mu.Unlock()
	total := int64(0)
	for _, ch := range cs.byID {
		total += ch.size
		if ch.timeline == nil {
			continue
		}
		for i := range ch.timeline {
			if m := ch.timeline[i].messages; !slices.IsSortedFunc(m, Message.Compare) {
				w.t.Fatalf("window of %s is out of order: %v", ch.id, m)
			}
		}
	}
	if total != cs.bytes || len(cs.byID) != cs.lru.Len() {
		w.t.Fatalf("counted %d bytes in %d chats, the chats have %d and the list %d", cs.bytes, len(cs.byID), total, cs.lru.Len())
	}
}

func (w *world) checkRead(r *reading) {
	versions := map[string]version{}
	for _, v := range w.upstream[r.chat] {
		versions[v.ID] = v
	}
	byRole := map[string][]Message{"user": nil, "assistant": nil}
	for _, m := range r.got {
		v, ok := versions[m.ID]
		if !ok {
			w.t.Fatalf("read of %s: %s was never in this chat", r.chat, m.ID)
		}
		// What is told may be as old as the freshness allows, counted from the start of the read.
		if !v.deleted.IsZero() && v.deleted.Before(r.started.Add(-fresh)) {
			w.t.Fatalf("read of %s at %v: %s was deleted at %v", r.chat, r.started, m.ID, v.deleted)
		}
		byRole[m.Role] = append(byRole[m.Role], m)
	}
	for role, got := range byRole {
		if !slices.IsSortedFunc(got, Message.Compare) || len(got) > r.n {
			w.t.Fatalf("read of %d of %s: %v is out of order or too long", r.n, r.chat, got)
		}
		for _, id := range slices.Sorted(maps.Keys(versions)) {
			v := versions[id]
			mustSee := v.Role == role && v.deleted.IsZero() &&
				(r.acked[id] || v.applied.Before(r.started.Add(-fresh)) && !w.replicated)
			seen := slices.ContainsFunc(got, func(m Message) bool { return m.ID == id })
			pushedOut := len(got) == r.n && v.Compare(got[0]) < 0
			if mustSee && !seen && !pushedOut {
				w.t.Fatalf("read of %d of %s begun at %v misses %s of %v (applied %v, acknowledged %v): %v",
					r.n, r.chat, r.started, id, v.CreatedAt, v.applied, v.acked, got)
			}
		}
	}
}
