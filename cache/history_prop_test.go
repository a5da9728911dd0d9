package cache

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"hearth/client/wire"
)

// The histories of chats against plain lists of messages. Reads, loads, writes, failures, outside writes and deletions,
// evictions and invalidations interleave at every point where they can: a load is a step that begins, one that looks at the
// upstream and one that ends; a write one that begins, one that reaches the upstream and one that is answered; and a write
// may be answered, or the chat dropped, while a reply is rendered. Where the class is replicated a load may miss whatever
// was acknowledged within the minute before it looked.
func TestHistoryHoldsWhatWasAcknowledged(t *testing.T) {
	steps := flag.Lookup("rapid.steps").Value
	defer func(was string) { _ = steps.Set(was) }(steps.String())
	if err := steps.Set("100"); err != nil {
		t.Fatal(err)
	}
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
	mu sync.Mutex // of loads, as they are added

	t          *rapid.T
	c          *Cache
	replicated bool
	serial     int
	crowded    time.Time // when writes last took so much room that some may have been lost

	upstream map[string][]*version // by chat; every message that is or was there
	dropped  map[string]time.Time  // by chat; when what was held of it was given up
	reads    []*reading
	counted  int64 // reads of histories that have ended
	loads    []*loading
	writes   []*writing
	stop     context.CancelFunc
	ctx      context.Context
}

// version is what a message was once, and when it was there.
type version struct {
	wire.Message
	applied, deleted time.Time // zero: not yet
	acked            time.Time // zero: not by us, or not yet
	before           *version  // that it replaced
}

type reading struct {
	chat           string
	view           View
	policy         Policy
	directives     Directives
	started, ended time.Time
	dropped        time.Time         // when what was held was given up last, before it began
	acked          map[*version]bool // acknowledged before it began
	loads, done    bool
	giveUp         context.CancelFunc
	unasked        bool // the upstream refused to be asked by its load
	origin         Origin
	got            rendering
	err            error
}

// rendering is the encoded reply of the tests.
type rendering struct {
	View            View
	User, Assistant []wire.Message
}

// asOf is the moment of which the reply tells, by its own account.
func (r *reading) asOf() time.Time { return r.ended.Add(-r.origin.Age) }

// mayBe says whether a reply may be what it says it is.
func (r *reading) mayBe() bool {
	age, d, p := r.origin.Age, r.directives, r.policy
	limit := p.Fresh
	if d.MinFresh != nil {
		limit = max(0, limit-*d.MinFresh)
	}
	if d.MaxAge != nil {
		limit = min(limit, *d.MaxAge)
	}
	if d.NoCache {
		limit = 0
	}
	if r.origin.TTL != p.Fresh-age {
		return false
	}
	switch r.origin.Served {
	case Hit:
		return age < limit && r.origin.Fwd == ""
	case Miss: // a load that it made, or joined
		began := r.started.Sub(r.asOf())
		return !d.OnlyIfCached && r.origin.Fwd != "" && (began <= 0 || began < limit && !d.NoStore)
	case Stale:
		within := p.WhileRevalidate
		if r.origin.Fwd != "" || r.unasked { // the load failed
			within = p.IfError
		}
		if d.MaxStale == nil {
			return !d.NoCache && d.MinFresh == nil && d.MaxAge == nil && age < p.Fresh+within
		}
		stale := *d.MaxStale < 0 || age <= p.Fresh+*d.MaxStale
		return !d.NoCache && d.MinFresh == nil && stale && (d.MaxAge == nil || age < *d.MaxAge)
	}
	return false
}

type loading struct {
	chat       string
	need, want int
	looked     bool
	result     Loaded
	answer     chan error
	left       <-chan struct{} // nobody waits for it, so it has ended by itself
}

type writing struct {
	chat string
	w    *MessageWrite
	v    *version
}

func newWorld(t *rapid.T, replicated bool) *world {
	c, err := New(Config{Bytes: 256 << 10, Window: 4, LoadTimeout: time.Hour, Failure: failureOfTest})
	if err != nil {
		t.Fatal(err)
	}
	w := &world{t: t, c: c, replicated: replicated, upstream: map[string][]*version{}, dropped: map[string]time.Time{}}
	w.ctx, w.stop = context.WithCancel(context.Background())
	return w
}

func (w *world) run() {
	defer func() {
		for len(w.loads) > 0 {
			w.endLoad(0, errors.New("the test is over"))
		}
		w.stop()
		for len(w.writes) > 0 {
			w.writes[0].w.End()
			w.writes = w.writes[1:]
		}
		w.c.Close()
		synctest.Wait()
	}()
	w.t.Repeat(map[string]func(*rapid.T){
		"read":      func(*rapid.T) { w.read(w.chat(), w.view(), nil) },
		"giveUp":    func(*rapid.T) { w.giveUp() },
		"look":      func(*rapid.T) { w.pickLoad(func(i int) { w.look(w.loads[i]) }) },
		"endLoad":   func(*rapid.T) { w.pickLoad(func(i int) { w.look(w.loads[i]); w.endLoad(i, nil) }) },
		"failLoad":  func(*rapid.T) { w.pickLoad(func(i int) { w.endLoad(i, drawFailure(w.t)) }) },
		"readWhole": func(*rapid.T) { w.readWhole(w.chat(), w.view()) },
		"readMore":  func(*rapid.T) { w.readWhole(w.chat(), w.view()) },
		"readFails": func(*rapid.T) { w.readFails(w.chat()) },
		"turn":      func(*rapid.T) { w.turn(w.chat()) },
		"turnAgain": func(*rapid.T) { w.turn(w.chat()) },
		"write":     func(*rapid.T) { w.begin(w.chat()) },
		"writeMore": func(*rapid.T) { w.begin(w.chat()); w.ack(len(w.writes) - 1) },
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

// chat is mostly the same one, so that much happens to it.
func (w *world) chat() string {
	return rapid.SampledFrom([]string{"a", "a", "a", "b"}).Draw(w.t, "chat")
}

// view is one of few, so that what was rendered before is asked for again.
func (w *world) view() View {
	return View{
		Messages: rapid.SampledFrom([]int{1, 3, 4, 6, 12}).Draw(w.t, "n"),
		Full:     rapid.IntRange(0, 1).Draw(w.t, "full"),
	}
}

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

// turn is what a bot does: a read, a write, and at once a read of the same view. Some of the writes are answered, and
// sometimes the chat is dropped, while one of the reads is being rendered.
func (w *world) turn(chat string) {
	v := w.view()
	w.readWhole(chat, v)
	w.begin(chat)
	wr := w.writes[len(w.writes)-1]
	ack := func() {
		if i := slices.Index(w.writes, wr); i >= 0 {
			w.ack(i)
		}
	}
	switch rapid.IntRange(0, 3).Draw(w.t, "while rendering") {
	case 0:
		other := v
		other.Full = 2 + w.serial // so that it is rendered
		w.readWholeAnd(chat, other, ack)
		w.readWhole(chat, other)
	case 1:
		w.readWholeAnd(chat, w.view(), func() { w.drop(chat) })
	}
	ack() // where nothing was rendered
	w.readWhole(chat, v)
}

// readWhole is a read whose load, if it makes one, ends at once.
func (w *world) readWhole(chat string, v View) { w.readWholeAnd(chat, v, nil) }

func (w *world) readWholeAnd(chat string, v View, rendering func()) {
	before := len(w.loads)
	w.read(chat, v, rendering)
	for len(w.loads) > before {
		w.look(w.loads[before])
		if rapid.IntRange(0, 3).Draw(w.t, "overtaken") == 0 {
			w.begin(chat)
			w.ack(len(w.writes) - 1)
		}
		w.endLoad(before, nil)
	}
}

// readFails is a read whose load, if it makes one, fails at once.
func (w *world) readFails(chat string) {
	before := len(w.loads)
	w.read(chat, w.view(), nil)
	for len(w.loads) > before {
		w.endLoad(before, drawFailure(w.t))
	}
}

// What a load may fail with: an upstream that is down, one that was not asked, and an answer that says no.
var (
	errUnasked = errors.New("not asked")
	errWrong   = errors.New("refused")
	errMissing = errors.New("there is no such thing")
)

func failureOfTest(err error) Failure {
	switch {
	case errors.Is(err, errUnasked):
		return Unasked
	case errors.Is(err, errWrong):
		return Wrong
	case errors.Is(err, errMissing):
		return Missing
	}
	return Down
}

func drawFailure(t *rapid.T) error {
	return rapid.SampledFrom([]error{errLoad, errLoad, errUnasked, errWrong}).Draw(t, "failure")
}

// checkFailure looks at a read that has ended because its load failed.
func (r *reading) checkFailure(t *rapid.T, err error) {
	r.unasked = errors.Is(err, errUnasked)
	switch {
	case r.err != nil && !errors.Is(r.err, err):
		t.Fatalf("read after %v: %v", err, r.err)
	case r.err != nil:
	case errors.Is(err, errWrong):
		t.Fatalf("read after an answer that says no: %+v", r.origin)
	case r.origin.Served != Stale || (r.origin.Fwd == "") != r.unasked:
		t.Fatalf("read after %v: %+v", err, r.origin)
	}
}

func drawPolicy(t *rapid.T) Policy {
	return rapid.SampledFrom([]Policy{
		{Fresh: fresh},
		{Fresh: fresh, WhileRevalidate: fresh},
		{Fresh: fresh, IfError: 10 * fresh},
		{Fresh: fresh, WhileRevalidate: fresh, IfError: 10 * fresh},
	}).Draw(t, "policy")
}

func drawDirectives(t *rapid.T) (d Directives) {
	seconds := func(n int) *time.Duration { return new(time.Duration(n) * time.Second) }
	switch rapid.IntRange(0, 13).Draw(t, "directive") {
	case 0:
		d.NoCache = true
	case 1:
		d.NoStore = true
	case 2:
		d.MaxAge = seconds(1)
	case 3:
		d.MinFresh = seconds(1)
	case 4:
		d.MaxStale = seconds(3)
	case 5:
		d.OnlyIfCached = true
	case 6:
		d.OnlyIfCached, d.MaxStale = true, seconds(-1)
	}
	return d
}

func (w *world) read(chat string, v View, rendered func()) {
	r := &reading{
		chat: chat, view: v, policy: drawPolicy(w.t), directives: drawDirectives(w.t),
		started: time.Now(), dropped: w.dropped[chat], acked: map[*version]bool{},
	}
	for _, v := range w.upstream[chat] {
		if !v.acked.IsZero() {
			r.acked[v] = true
		}
	}
	w.reads = append(w.reads, r)
	ctx, cancel := context.WithCancel(w.ctx)
	r.giveUp = cancel
	go func() {
		defer cancel()
		var reply Reply
		reply, r.err = historyOf(ctx, w.c, HistoryRequest{
			Chat: chat, View: v, Policy: r.policy, Directives: r.directives,
			Load: func(ctx context.Context, need, want int) (Loaded, error) {
				l := &loading{chat: chat, need: need, want: want, answer: make(chan error), left: ctx.Done()}
				w.mu.Lock() // two loads may begin at the same time
				w.loads = append(w.loads, l)
				r.loads = true
				w.mu.Unlock()
				select {
				case err := <-l.answer:
					return l.result, err
				case <-ctx.Done():
					return Loaded{}, ctx.Err()
				}
			},
			Render: func(user, assistant []wire.Message) ([]byte, error) {
				if rendered != nil {
					rendered()
				}
				return json.Marshal(rendering{v, user, assistant})
			},
		})
		r.ended, r.origin = time.Now(), reply.Origin
		if r.err == nil {
			r.err = json.Unmarshal(reply.Body, &r.got)
		}
		if r.err == nil && reply.ETag != ETag(reply.Body) {
			r.err = errors.New("the tag is another body's")
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
	l.result = Loaded{MayLag: w.replicated}
	n := rapid.IntRange(l.need, l.want).Draw(w.t, "brought")
	pages := map[string][]wire.Message{}
	seed := rapid.Uint64().Draw(w.t, "behind")
	for i, v := range w.upstream[l.chat] {
		seen := v
		for seen != nil && w.replicated && !seen.acked.IsZero() && time.Since(seen.acked) < replicaLag && seed>>(i%64)&1 == 1 {
			seen = seen.before
		}
		if there := !v.applied.IsZero() && v.deleted.IsZero(); there && seen != nil {
			pages[seen.Role] = append(pages[seen.Role], seen.Message)
		}
	}
	for role, page := range map[string]*Page{"user": &l.result.User, "assistant": &l.result.Assistant} {
		all := pages[role]
		slices.SortFunc(all, func(a, b wire.Message) int { return CompareMessages(b, a) })
		cut := min(n, len(all))
		for cut > 0 && cut < len(all) && all[cut-1].CreatedAt.Equal(all[cut].CreatedAt) {
			cut++ // never cut equal timestamps
		}
		*page = Page{Messages: all[:cut], Complete: cut == len(all)}
	}
}

func (w *world) giveUp() {
	if len(w.reads) == 0 {
		w.t.Skip("no read under way")
	}
	w.reads[rapid.IntRange(0, len(w.reads)-1).Draw(w.t, "read")].giveUp()
	synctest.Wait()
}

func (w *world) endLoad(i int, err error) {
	waiting := slices.DeleteFunc(slices.Clone(w.reads), func(r *reading) bool { return r.done })
	l := w.loads[i]
	w.loads = slices.Delete(w.loads, i, i+1)
	select {
	case l.answer <- err:
	case <-l.left:
	}
	synctest.Wait()
	for _, r := range waiting {
		if r.done && err != nil {
			r.checkFailure(w.t, err)
		}
	}
}

func (w *world) message(chat string, at time.Time) wire.Message {
	w.serial++
	return wire.Message{
		ID: fmt.Sprintf("%s-%04d", chat, w.serial), Role: rapid.SampledFrom([]string{"user", "assistant", "system"}).Draw(w.t, "role"),
		Content: fmt.Sprint("text ", w.serial), CreatedAt: at.UTC(),
	}
}

// begin begins a write, of a new message or of one that is there.
func (w *world) begin(chat string) {
	m := w.message(chat, time.Time{})
	list := w.upstream[chat]
	if len(list) > 0 && rapid.Bool().Draw(w.t, "backdated") {
		near := list[rapid.IntRange(0, len(list)-1).Draw(w.t, "near")]
		m.CreatedAt = near.CreatedAt.Add(time.Duration(rapid.IntRange(-2, 2).Draw(w.t, "by")) * time.Millisecond)
	}
	var before *version
	if len(list) > 0 && rapid.IntRange(0, 3).Draw(w.t, "again") < 2 {
		old := list[rapid.IntRange(0, len(list)-1).Draw(w.t, "which")]
		if old.deleted.IsZero() && !w.written(old.ID) {
			m.ID, before = old.ID, old
		}
	}
	wr := &writing{chat: chat, w: begin(w.t, w.c, chat, m)}
	m.CreatedAt = wr.w.Messages()[0].CreatedAt
	wr.v = &version{Message: m, before: before}
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
	w.do(wr.w.Commit(w.ctx, []wire.Message{wr.v.Message}))
	wr.v.acked = time.Now()
	w.end(i)
}

func (w *world) do(err error) {
	if err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) refuse(i int) {
	if !w.writes[i].v.applied.IsZero() {
		w.t.Skip("applied already")
	}
	w.end(i)
}

func (w *world) unknown(i int) {
	w.do(w.writes[i].w.Unknown(w.ctx))
	w.dropped[w.end(i).chat] = time.Now()
}

func (w *world) drop(chat string) {
	w.c.DropChat(chat)
	w.dropped[chat] = time.Now()
}

// bulk writes many messages at once, backdated or not.
func (w *world) bulk(chat string) {
	wr := begin(w.t, w.c, chat, wire.Message{})
	defer wr.End()
	at := wr.Messages()[0].CreatedAt
	if rapid.Bool().Draw(w.t, "backdated") {
		at = at.Add(-time.Minute)
	}
	role := rapid.SampledFrom([]string{"user", "assistant"}).Draw(w.t, "role")
	var batch []wire.Message
	for i := range 100 {
		w.serial++
		m := wire.Message{ID: fmt.Sprintf("%s-%04d", chat, w.serial), Role: role, Content: fmt.Sprint("text ", w.serial), CreatedAt: at.Add(time.Duration(i) * time.Microsecond).UTC()}
		batch = append(batch, m)
		w.upstream[chat] = append(w.upstream[chat], &version{Message: m, applied: time.Now(), acked: time.Now()})
	}
	w.do(wr.Commit(w.ctx, batch))
	w.crowded = time.Now()
}

func (w *world) outside(chat string) {
	at := time.Now().Add(-time.Duration(rapid.IntRange(0, 3000).Draw(w.t, "ago")) * time.Millisecond)
	m := w.message(chat, at)
	if rapid.IntRange(0, 4).Draw(w.t, "large") == 0 { // a few of them are more than a chat's windows may take
		m.Content += strings.Repeat(" long", 2000)
	}
	w.upstream[chat] = append(w.upstream[chat], &version{Message: m, applied: time.Now()})
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
		_, err := historyOf(w.ctx, w.c, HistoryRequest{
			Chat: fmt.Sprintf("read-%d", i), View: View{Messages: 1}, Policy: Policy{Fresh: fresh},
			Load: func(context.Context, int, int) (Loaded, error) {
				return Loaded{
					User:      Page{Messages: []wire.Message{{ID: "x", Role: "user", Content: strings.Repeat("y", 12<<10)}}, Complete: true},
					Assistant: Page{Complete: true}, MayLag: w.replicated,
				}, nil
			},
			Render: func(_, _ []wire.Message) ([]byte, error) { return nil, nil },
		})
		w.counted++
		if err != nil && !w.mayLose(time.Now()) {
			w.t.Fatalf("read of another chat: %v", err)
		}
	}
}

// crowd writes to so many other chats that what loads may miss of them cannot all be held.
func (w *world) crowd() {
	for i := range 20 {
		commit(w.t, w.c, fmt.Sprintf("written-%d", i), wire.Message{ID: "x", Role: "user", Content: strings.Repeat("y", 12<<10)})
	}
	w.crowded = time.Now()
}

// mayLose says whether writes that a load may miss may not be held, for want of room: a crowd takes it for as long as
// loads may miss the crowd's own writes, and what was lost meanwhile is missed for as long again.
func (w *world) mayLose(started time.Time) bool { return started.Sub(w.crowded) < 2*replicaLag }

// check looks at every read that has ended since.
func (w *world) check() {
	synctest.Wait()
	w.reads = slices.DeleteFunc(w.reads, func(r *reading) bool {
		if !r.done {
			return false
		}
		w.counted++
		if r.err == nil {
			w.checkRead(r)
		}
		if _, lost := errors.AsType[*MayMissError](r.err); lost && !w.mayLose(r.started) {
			w.t.Fatalf("read of %s begun at %v: %v", r.chat, r.started, r.err)
		}
		if errors.Is(r.err, errShortLoad) {
			w.t.Fatalf("read of %+v of %s: %v", r.view, r.chat, r.err)
		}
		if r.loads && r.directives.OnlyIfCached || errors.Is(r.err, ErrNotCached) != (r.err != nil && r.directives.OnlyIfCached) {
			w.t.Fatalf("read of %s with %+v loads: %t, %v", r.chat, r.directives, r.loads, r.err)
		}
		return true
	})
	w.c.chats.verify(w.t)
	if s := w.c.Stats().Resources[string(History)]; s.Hits+s.Misses+s.Stale != w.counted {
		w.t.Fatalf("%d reads have ended, counted are %+v", w.counted, s)
	}
}

func (w *world) checkRead(r *reading) {
	if r.got.View != r.view {
		w.t.Fatalf("read of %+v of %s: got %+v", r.view, r.chat, r.got.View)
	}
	if !r.mayBe() || r.asOf().Before(r.dropped) {
		w.t.Fatalf("read of %s with %+v, %+v from %v to %v, dropped at %v: got %+v", r.chat, r.policy, r.directives, r.started, r.ended, r.dropped, r.origin)
	}
	for _, m := range slices.Concat(r.got.User, r.got.Assistant) {
		i := slices.IndexFunc(w.upstream[r.chat], func(v *version) bool { return v.Message == m })
		if i < 0 {
			w.t.Fatalf("read of %s: %v was never in this chat", r.chat, m)
		}
		v := w.upstream[r.chat][i]
		if !v.deleted.IsZero() && v.deleted.Before(r.asOf()) && !w.replicated {
			w.t.Fatalf("read of %s at %v, as of %v: %v was deleted at %v", r.chat, r.started, r.asOf(), m, v.deleted)
		}
		for _, o := range w.upstream[r.chat] {
			moved := o.Role != v.Role || !o.CreatedAt.Equal(v.CreatedAt)
			if o.before == v && r.acked[o] && (!moved || !w.mayLose(r.started)) { // what is lost of a moved one is where it was
				w.t.Fatalf("read of %s at %v: %v was replaced by %v", r.chat, r.started, m, o.Message)
			}
		}
	}
	for role, got := range map[string][]wire.Message{"user": r.got.User, "assistant": r.got.Assistant} {
		wrong := func(m wire.Message) bool { return m.Role != role }
		if !slices.IsSortedFunc(got, CompareMessages) || len(got) > r.view.Messages || slices.ContainsFunc(got, wrong) {
			w.t.Fatalf("read of %+v of %s: %v is out of order, too long or in the wrong place", r.view, r.chat, got)
		}
		for _, v := range w.upstream[r.chat] {
			// Over replicas our own writes are laid for a minute, whoever else changes them.
			settled := v.applied.Before(r.asOf()) && (!w.replicated || v.acked.IsZero() && v.before == nil)
			mustSee := v.Role == role && v.deleted.IsZero() && (r.acked[v] || settled)
			pushedOut := len(got) == r.view.Messages && CompareMessages(v.Message, got[0]) < 0
			if mustSee && !pushedOut && !slices.Contains(got, v.Message) {
				w.t.Fatalf("read of %+v of %s begun at %v, as of %v, misses %v (applied %v, acknowledged %v): %v",
					r.view, r.chat, r.started, r.asOf(), v.Message, v.applied, v.acked, got)
			}
		}
	}
}
