package cache

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
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
// Where the class is replicated a load may miss whatever was acknowledged within the minute before it looked.
func TestHistoryHoldsWhatWasAcknowledged(t *testing.T) {
	for _, replicated := range []bool{false, true} {
		t.Run(fmt.Sprintf("replicated=%t", replicated), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				for range 3 {
					// Within a bubble a test has no deadline, and says so with a panic.
					rapid.Check(struct{ testing.TB }{t}, func(rt *rapid.T) { newWorld(rt, replicated).run() })
				}
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
	crowded    time.Time // when writes last took so much room that some may have been lost

	upstream map[string][]*version // by chat; every message that is or was there
	dropped  map[string]time.Time  // by chat; when what was held of it was given up
	reads    []*reading
	loads    []*loading
	writes   []*writing
	stop     context.CancelFunc
	ctx      context.Context
}

// version is what a message was once, and when it was there.
type version struct {
	Message
	applied, deleted time.Time // zero: not yet
	acked            time.Time // zero: not by us, or not yet
	before           *version  // that it replaced
}

type reading struct {
	chat    string
	n       int
	limit   time.Duration // how old what it is told may be
	started time.Time
	acked   map[*version]bool // acknowledged before it began
	done    bool
	got     []Message
	err     error
}

type loading struct {
	chat       string
	need, want int
	looked     bool
	result     Loaded
	answer     chan error
}

type writing struct {
	chat string
	w    *Write
	v    *version
}

func newWorld(t *rapid.T, replicated bool) *world {
	c, err := New(Config{Bytes: 256 << 10, Window: 4, LoadTimeout: time.Hour})
	if err != nil {
		t.Fatal(err)
	}
	w := &world{t: t, c: c, replicated: replicated, upstream: map[string][]*version{}, dropped: map[string]time.Time{}}
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
	views := rapid.IntRange(1, 12)
	w.t.Repeat(map[string]func(*rapid.T){
		"read":      func(t *rapid.T) { w.read(w.chat(), views.Draw(t, "n"), nil) },
		"look":      func(t *rapid.T) { w.pickLoad(func(i int) { w.look(w.loads[i]) }) },
		"endLoad":   func(t *rapid.T) { w.pickLoad(func(i int) { w.look(w.loads[i]); w.endLoad(i, nil) }) },
		"failLoad":  func(t *rapid.T) { w.pickLoad(func(i int) { w.endLoad(i, errors.New("load failed")) }) },
		"readWhole": func(t *rapid.T) { w.readWhole(w.chat(), views.Draw(t, "n"), nil) },
		"turn":      func(t *rapid.T) { w.turn(w.chat(), views.Draw(t, "n")) },
		"write":     func(*rapid.T) { w.begin(w.chat()) },
		"apply":     func(*rapid.T) { w.pickWrite(func(i int) { w.apply(w.writes[i]) }) },
		"ack":       func(*rapid.T) { w.pickWrite(func(i int) { w.ack(i) }) },
		"refuse":    func(*rapid.T) { w.pickWrite(func(i int) { w.refuse(i) }) },
		"unknown":   func(*rapid.T) { w.pickWrite(func(i int) { w.unknown(i) }) },
		"import":    func(*rapid.T) { w.bulk(w.chat()) },
		"outside":   func(*rapid.T) { w.outside(w.chat()) },
		"delete":    func(*rapid.T) { w.delete(w.chat()) },
		"wait":      func(t *rapid.T) { time.Sleep(time.Duration(rapid.IntRange(1, 3000).Draw(t, "ms")) * time.Millisecond) },
		"waitLong":  func(t *rapid.T) { time.Sleep(time.Duration(rapid.IntRange(3, 45).Draw(t, "s")) * time.Second) },
		"drop":      func(*rapid.T) { w.drop(w.chat()) },
		"dropAll":   func(*rapid.T) { w.c.DropAll(); w.dropped["a"], w.dropped["b"] = time.Now(), time.Now() },
		"evict":     func(*rapid.T) { w.evict() },
		"crowd":     func(*rapid.T) { w.crowd() },
		"":          func(*rapid.T) { w.check() },
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

// turn is what a bot does: a write, and at once a read. Some of the writes come while the read is being rendered.
func (w *world) turn(chat string, n int) {
	w.begin(chat)
	wr := w.writes[len(w.writes)-1]
	ack := func() {
		if i := slices.Index(w.writes, wr); i >= 0 {
			w.ack(i)
		}
	}
	if rapid.Bool().Draw(w.t, "while rendering") {
		w.readWhole(chat, n, ack) // where the reply is held there is no rendering: the write goes on
	} else {
		ack()
	}
	w.readWhole(chat, n, nil)
}

// readWhole is a read whose load, if it makes one, ends at once.
func (w *world) readWhole(chat string, n int, rendering func()) {
	before := len(w.loads)
	w.read(chat, n, rendering)
	for len(w.loads) > before {
		w.look(w.loads[before])
		if rapid.Bool().Draw(w.t, "overtaken") {
			w.begin(chat)
			w.ack(len(w.writes) - 1)
		}
		w.endLoad(before, nil)
	}
}

func (w *world) directives() (d Directives, limit time.Duration) {
	limit = fresh
	switch rapid.IntRange(0, 9).Draw(w.t, "directive") {
	case 0:
		d.NoCache, limit = true, 0
	case 1:
		d.NoStore = true
	case 2:
		limit = time.Second
		d.MaxAge = &limit
	}
	return d, limit
}

func (w *world) read(chat string, n int, rendering func()) {
	d, limit := w.directives()
	limit = min(limit, time.Since(w.dropped[chat]))
	r := &reading{chat: chat, n: n, limit: limit, started: time.Now(), acked: map[*version]bool{}}
	for _, v := range w.upstream[chat] {
		if !v.acked.IsZero() {
			r.acked[v] = true
		}
	}
	w.reads = append(w.reads, r)
	go func() {
		var reply Reply
		reply, r.err = w.c.History(w.ctx, HistoryRequest{
			Chat: chat, View: View{Messages: n, Full: n % 2}, Policy: Policy{Fresh: fresh}, Directives: d,
			Load: func(ctx context.Context, need, want int) (Loaded, error) {
				l := &loading{chat: chat, need: need, want: want, answer: make(chan error)}
				w.loads = append(w.loads, l)
				select {
				case err := <-l.answer:
					return l.result, err
				case <-ctx.Done():
					return Loaded{}, ctx.Err()
				}
			},
			Render: func(user, assistant []Message) ([]byte, error) {
				if rendering != nil {
					rendering()
				}
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
	n := rapid.IntRange(l.need, l.want).Draw(w.t, "brought")
	pages := map[string][]Message{}
	seed := rapid.Uint64().Draw(w.t, "behind")
	for i, v := range w.upstream[l.chat] {
		seen := v
		for seen != nil && w.replicated && !seen.acked.IsZero() && time.Since(seen.acked) < overlay && seed>>(i%64)&1 == 1 {
			seen = seen.before
		}
		if there := !v.applied.IsZero() && v.deleted.IsZero(); there && seen != nil {
			pages[seen.Role] = append(pages[seen.Role], seen.Message)
		}
	}
	for role, page := range map[string]*Page{"user": &l.result.User, "assistant": &l.result.Assistant} {
		all := pages[role]
		slices.SortFunc(all, func(a, b Message) int { return b.Compare(a) })
		cut := min(n, len(all))
		for cut > 0 && cut < len(all) && all[cut-1].CreatedAt.Equal(all[cut].CreatedAt) {
			cut++ // never cut equal timestamps
		}
		*page = Page{Messages: all[:cut], Complete: cut == len(all)}
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
		Content: fmt.Sprint("text ", w.serial), CreatedAt: at.UTC(),
	}
}

// begin begins a write, of a new message or of one that is there.
func (w *world) begin(chat string) {
	wr := &writing{chat: chat, w: w.c.BeginWrite(chat)}
	at := wr.w.Reserve(time.Now())
	list := w.upstream[chat]
	if len(list) > 0 && rapid.Bool().Draw(w.t, "backdated") {
		near := list[rapid.IntRange(0, len(list)-1).Draw(w.t, "near")]
		at = near.CreatedAt.Add(time.Duration(rapid.IntRange(-2, 2).Draw(w.t, "by")) * time.Millisecond)
	}
	wr.v = &version{Message: w.message(chat, at)}
	if len(list) > 0 && rapid.IntRange(0, 3).Draw(w.t, "again") == 0 {
		old := list[rapid.IntRange(0, len(list)-1).Draw(w.t, "which")]
		if old.deleted.IsZero() && !w.written(old.ID) {
			wr.v.ID, wr.v.before = old.ID, old
		}
	}
	w.writes = append(w.writes, wr)
}

func (w *world) written(id string) bool {
	return slices.ContainsFunc(w.writes, func(wr *writing) bool { return wr.v.ID == id })
}

func (w *world) apply(wr *writing) {
	if wr.v.applied.IsZero() {
		wr.v.applied = time.Now()
		if wr.v.before != nil {
			wr.v.before.deleted = wr.v.applied
		}
		w.upstream[wr.chat] = append(w.upstream[wr.chat], wr.v)
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
	wr.w.Acknowledge([]Message{wr.v.Message})
	wr.v.acked = time.Now()
	w.end(i)
}

func (w *world) refuse(i int) {
	if !w.writes[i].v.applied.IsZero() {
		w.t.Skip("applied already")
	}
	w.end(i)
}

func (w *world) unknown(i int) {
	w.writes[i].w.Unknown()
	w.dropped[w.end(i).chat] = time.Now()
}

func (w *world) drop(chat string) {
	w.c.DropChat(chat)
	w.dropped[chat] = time.Now()
}

// bulk writes many messages at once, backdated or not.
func (w *world) bulk(chat string) {
	wr := w.c.BeginWrite(chat)
	defer wr.End()
	at := wr.Reserve(time.Now())
	if rapid.Bool().Draw(w.t, "backdated") {
		at = at.Add(-time.Minute)
	}
	role := rapid.SampledFrom([]string{"user", "assistant"}).Draw(w.t, "role")
	var batch []Message
	for i := range 100 {
		w.serial++
		m := Message{ID: fmt.Sprintf("%s-%04d", chat, w.serial), Role: role, Content: fmt.Sprint("text ", w.serial), CreatedAt: at.Add(time.Duration(i) * time.Microsecond).UTC()}
		batch = append(batch, m)
		w.upstream[chat] = append(w.upstream[chat], &version{Message: m, applied: time.Now(), acked: time.Now()})
	}
	wr.Acknowledge(batch)
	w.crowded = time.Now()
}

func (w *world) outside(chat string) {
	at := time.Now().Add(-time.Duration(rapid.IntRange(0, 3000).Draw(w.t, "ago")) * time.Millisecond)
	w.upstream[chat] = append(w.upstream[chat], &version{Message: w.message(chat, at), applied: time.Now()})
}

func (w *world) delete(chat string) {
	list := w.upstream[chat]
	if len(list) == 0 || w.replicated { // over replicas our own writes are laid for a minute, deleted or not
		w.t.Skip("nothing to delete")
	}
	v := list[rapid.IntRange(0, len(list)-1).Draw(w.t, "which")]
	if v.deleted.IsZero() && !w.written(v.ID) {
		v.deleted = time.Now()
	}
}

// evict fills the cache with other chats that were read.
func (w *world) evict() {
	for i := range 20 {
		_, err := w.c.History(w.ctx, HistoryRequest{
			Chat: fmt.Sprintf("read-%d", i), View: View{Messages: 1}, Policy: Policy{Fresh: fresh},
			Load: func(context.Context, int, int) (Loaded, error) {
				return Loaded{
					User:      Page{Messages: []Message{{ID: "x", Role: "user", Content: strings.Repeat("y", 12<<10)}}, Complete: true},
					Assistant: Page{Complete: true}, Replicated: w.replicated,
				}, nil
			},
			Render: func(_, _ []Message) ([]byte, error) { return nil, nil },
		})
		if err != nil && !w.mayLose(time.Now()) {
			w.t.Fatalf("read of another chat: %v", err)
		}
	}
}

// crowd writes to so many other chats that what loads may miss of them cannot all be held.
func (w *world) crowd() {
	for i := range 20 {
		o := w.c.BeginWrite(fmt.Sprintf("written-%d", i))
		o.Acknowledge([]Message{{ID: "x", Role: "user", Content: strings.Repeat("y", 12<<10)}})
		o.End()
	}
	w.crowded = time.Now()
}

// mayLose says whether writes that a load may miss may not be held, for want of room: a crowd takes it for as long as
// loads may miss the crowd's own writes, and what was lost meanwhile is missed for as long again.
func (w *world) mayLose(started time.Time) bool { return started.Sub(w.crowded) < 2*overlay }

// check looks at every read that has ended since.
func (w *world) check() {
	synctest.Wait()
	w.reads = slices.DeleteFunc(w.reads, func(r *reading) bool {
		if r.done && r.err == nil {
			w.checkRead(r)
		}
		if _, lost := errors.AsType[*MayMissError](r.err); lost && !w.mayLose(r.started) {
			w.t.Fatalf("read of %s begun at %v: %v", r.chat, r.started, r.err)
		}
		if errors.Is(r.err, errShortLoad) {
			w.t.Fatalf("read of %d of %s: %v", r.n, r.chat, r.err)
		}
		return r.done
	})
	w.c.chats.verify(w.t)
}

func (w *world) checkRead(r *reading) {
	byRole := map[string][]Message{"user": nil, "assistant": nil}
	for _, m := range r.got {
		i := slices.IndexFunc(w.upstream[r.chat], func(v *version) bool { return v.Message == m })
		if i < 0 {
			w.t.Fatalf("read of %s: %v was never in this chat", r.chat, m)
		}
		v := w.upstream[r.chat][i]
		// What is told may be as old as the request allows, counted from the start of the read.
		if !v.deleted.IsZero() && v.deleted.Before(r.started.Add(-r.limit)) && !w.replicated {
			w.t.Fatalf("read of %s at %v: %v was deleted at %v", r.chat, r.started, m, v.deleted)
		}
		for _, o := range w.upstream[r.chat] {
			moved := o.Role != v.Role || !o.CreatedAt.Equal(v.CreatedAt)
			if o.before == v && r.acked[o] && (!moved || !w.mayLose(r.started)) { // what is lost of a moved one is where it was
				w.t.Fatalf("read of %s at %v: %v was replaced by %v", r.chat, r.started, m, o.Message)
			}
		}
		byRole[m.Role] = append(byRole[m.Role], m)
	}
	for role, got := range byRole {
		if !slices.IsSortedFunc(got, Message.Compare) || len(got) > r.n {
			w.t.Fatalf("read of %d of %s: %v is out of order or too long", r.n, r.chat, got)
		}
		for _, v := range w.upstream[r.chat] {
			// Over replicas our own writes are laid for a minute, whoever else changes them.
			settled := v.applied.Before(r.started.Add(-r.limit)) && (!w.replicated || v.acked.IsZero() && v.before == nil)
			mustSee := v.Role == role && v.deleted.IsZero() && (r.acked[v] || settled)
			pushedOut := len(got) == r.n && v.Compare(got[0]) < 0
			if mustSee && !pushedOut && !slices.Contains(got, v.Message) {
				w.t.Fatalf("read of %d of %s begun at %v misses %v (applied %v, acknowledged %v): %v",
					r.n, r.chat, r.started, v.Message, v.applied, v.acked, got)
			}
		}
	}
}
