package cache

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"hearth/client/wire"
	"hearth/internal/clock"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// tester is a cache and loads that end when the test says so.
type tester struct {
	*testing.T
	c     *Cache
	kind  Resource // that ask reads
	mu    sync.Mutex
	loads []chan string // what each load under way is to return; closed: fail
	texts []string      // that mutes stand for
}

func newTester(t *testing.T, cfg Config) *tester {
	t.Helper()
	c, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	x := &tester{T: t, c: c, kind: OdooModels}
	t.Cleanup(func() {
		x.mu.Lock()
		for _, l := range x.loads {
			close(l)
		}
		x.mu.Unlock()
		c.Close()
		for id, ch := range c.chats.byID {
			if ch.pins != 0 {
				t.Errorf("at the end chat %q has %d pins", id, ch.pins)
			}
		}
		for name, sc := range c.store.scopes {
			if sc.pins != 0 {
				t.Errorf("at the end scope %q has %d pins", name, sc.pins)
			}
		}
	})
	return x
}

var errLoad = errors.New("load failed")

func (x *tester) load(ctx context.Context) ([]byte, error) {
	l := make(chan string, 1)
	x.mu.Lock()
	x.loads = append(x.loads, l)
	x.mu.Unlock()
	select {
	case body, ok := <-l:
		if !ok {
			return nil, errLoad
		}
		return []byte(body), nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// got is a read under way.
type got struct {
	done chan struct{}
	Reply
	err error
}

func (x *tester) get(key Key, p Policy, d Directives) *got {
	x.Helper()
	return x.start(func(g *got) { g.Reply, g.err = getOf(context.Background(), x.c, key, p, d, x.load) })
}

func (x *tester) start(read func(*got)) *got {
	g := &got{done: make(chan struct{})}
	go func() {
		defer close(g.done)
		read(g)
	}()
	synctest.Wait()
	return g
}

// ask reads what the test is about: whatever its kind, its loads bring a text, and its reply is that text.
func (x *tester) ask(p Policy, d Directives) *got {
	x.Helper()
	return x.start(func(g *got) { x.askNow(context.Background(), g, p, d, x.load) })
}

func (x *tester) askNow(ctx context.Context, g *got, p Policy, d Directives, load func(context.Context) ([]byte, error)) {
	switch x.kind {
	case History:
		g.Reply, g.err = historyOf(ctx, x.c, HistoryRequest{
			Chat: "a", View: View{Messages: 1}, Policy: p, Directives: d,
			Load: func(ctx context.Context, _, _ int) (Loaded, error) {
				body, err := load(ctx)
				user := Page{Messages: []wire.Message{{ID: "x", Role: "user", Content: string(body)}}, Complete: true}
				return Loaded{User: user, Assistant: Page{Complete: true}}, err
			},
			Render: func(user, _ []wire.Message) ([]byte, error) { return []byte(user[0].Content), nil },
		})
	case Mute:
		var m wire.Mute
		m, g.Origin, g.err = muteOf(ctx, x.c, "a", p, d, func(ctx context.Context) (LoadedMute, error) {
			body, err := load(ctx)
			return LoadedMute{Mute: wire.Mute{Muted: true, Until: x.until(string(body))}}, err
		})
		if g.err == nil {
			g.Body = []byte(x.texts[m.Until.Unix()])
		}
	default:
		g.Reply, g.err = getOf(ctx, x.c, key, p, d, load)
	}
}

// historyOf reads a history as callers do: from memory, or else by the way that may wait.
func historyOf(ctx context.Context, c *Cache, r HistoryRequest) (Reply, error) {
	if reply, ok := c.HeldHistory(c.now(), []byte(r.Chat), r.View, r.Policy, r.Directives); ok {
		return reply, nil
	}
	return c.History(ctx, r)
}

// muteOf is historyOf for a mute.
func muteOf(ctx context.Context, c *Cache, chat string, p Policy, d Directives, load func(context.Context) (LoadedMute, error)) (wire.Mute, Origin, error) {
	if m, o, ok := c.HeldMute(c.now(), []byte(chat), p, d); ok {
		return m, o, nil
	}
	return c.Mute(ctx, chat, p, d, load)
}

// getOf is historyOf for what is in the store.
func getOf(ctx context.Context, c *Cache, key Key, p Policy, d Directives, load func(context.Context) ([]byte, error)) (Reply, error) {
	if reply, ok := c.Held(c.now(), key, p, d); ok {
		return reply, nil
	}
	return c.Get(ctx, key, p, d, load)
}

// until is a time that stands for a text.
func (x *tester) until(text string) *time.Time {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.texts = append(x.texts, text)
	return new(time.Unix(int64(len(x.texts)-1), 0))
}

// finish ends the oldest load under way.
func (x *tester) finish(body string) {
	x.Helper()
	x.mu.Lock()
	if len(x.loads) == 0 {
		x.Fatal("no load is under way")
	}
	l := x.loads[0]
	x.loads = x.loads[1:]
	x.mu.Unlock()
	l <- body
	synctest.Wait()
}

func (x *tester) fail() {
	x.Helper()
	x.mu.Lock()
	l := x.loads[0]
	x.loads = x.loads[1:]
	x.mu.Unlock()
	close(l)
	synctest.Wait()
}

func (x *tester) wantLoads(n int) {
	x.Helper()
	x.mu.Lock()
	defer x.mu.Unlock()
	if len(x.loads) != n {
		x.Fatalf("%d loads are under way, want %d", len(x.loads), n)
	}
}

func (x *tester) want(g *got, body string, s Served) {
	x.Helper()
	select {
	case <-g.done:
	default:
		x.Fatal("the read has not ended")
	}
	if g.err != nil || string(g.Body) != body || g.Served != s {
		x.Fatalf("got %q %s %v, want %q %s", g.Body, g.Served, g.err, body, s)
	}
}

func (x *tester) wantErr(g *got, err error) {
	x.Helper()
	<-g.done
	if !errors.Is(g.err, err) {
		x.Fatalf("got %v, want %v", g.err, err)
	}
}

func bubble(t *testing.T, f func(x *tester)) {
	synctest.Test(t, func(t *testing.T) { f(newTester(t, Config{})) })
}

// everyKind runs a test on whatever can be read: there is one way to read it.
func everyKind(t *testing.T, f func(x *tester)) {
	for _, kind := range []Resource{OdooModels, History, Mute} {
		t.Run(string(kind), func(t *testing.T) {
			bubble(t, func(x *tester) { x.kind = kind; f(x) })
		})
	}
}

var (
	key    = ModelKey("res.partner", "id")
	policy = Policy{Fresh: 10 * time.Second, WhileRevalidate: 10 * time.Second, IfError: 60 * time.Second}
)

func TestARefreshRunsBesideAStaleReply(t *testing.T) {
	everyKind(t, func(x *tester) {
		g := x.ask(policy, Directives{})
		x.finish("one")
		x.want(g, "one", Miss)
		x.want(x.ask(policy, Directives{}), "one", Hit)
		time.Sleep(10 * time.Second)
		g = x.ask(policy, Directives{})
		x.want(g, "one", Stale)
		if g.TTL != 0 || g.Age != 10*time.Second {
			t.Fatalf("ttl %v age %v", g.TTL, g.Age)
		}
		x.ask(policy, Directives{})
		x.wantLoads(1) // two stale replies, one refresh
		x.finish("two")
		x.want(x.ask(policy, Directives{}), "two", Hit)
	})
}

func TestAFailureIsCoveredByWhatIsHeldForAWhile(t *testing.T) {
	everyKind(t, func(x *tester) {
		g := x.ask(policy, Directives{})
		x.finish("one")
		x.want(g, "one", Miss)
		time.Sleep(60 * time.Second)
		g = x.ask(policy, Directives{})
		x.fail()
		x.want(g, "one", Stale)
		time.Sleep(10 * time.Second)
		g = x.ask(policy, Directives{})
		x.fail()
		x.wantErr(g, errLoad)
	})
}

func TestALoadThatBeganBeforeADropDoesNotFill(t *testing.T) {
	for name, drop := range map[string]func(*Cache) int{
		"model": func(c *Cache) int { return c.DropModel("res.partner") },
		"all":   (*Cache).DropAll,
		"reads": (*Cache).DropRecords,
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(x *tester) {
				key := RecordKey("res.partner", "id")
				a := x.get(key, policy, Directives{})
				drop(x.c)
				b := x.get(key, policy, Directives{}) // must not join either
				x.wantLoads(2)
				x.finish("before")
				x.want(a, "before", Miss)
				x.finish("after")
				x.want(b, "after", Miss)
				x.want(x.get(key, policy, Directives{}), "after", Hit)
				if n := drop(x.c); n != 1 {
					t.Fatalf("dropped %d, want 1", n)
				}
				if n := len(x.c.store.scopes); n != 0 {
					t.Fatalf("%d scopes are left", n)
				}
				if s := x.c.Stats(); s.Entries != 0 || s.Bytes != 0 {
					t.Fatalf("left: %+v", s)
				}
			})
		})
	}
}

func TestAScopeWithoutEntriesAndReadsIsForgotten(t *testing.T) {
	bubble(t, func(x *tester) {
		for _, end := range []func(){func() { x.c.DropAll(); x.fail() }, x.fail} {
			g := x.ask(Policy{}, Directives{})
			end()
			x.wantErr(g, errLoad)
		}
		if _, err := x.c.Get(t.Context(), ModelKey("res.partner", ""), Policy{}, Directives{OnlyIfCached: true}, x.load); !errors.Is(err, ErrNotCached) {
			t.Error(err)
		}
		if n := len(x.c.store.scopes); n != 0 {
			t.Errorf("%d scopes are left", n)
		}
	})
}

func TestAnEntryCostsWhatItHolds(t *testing.T) {
	cost := func(body int, name string, scopes ...string) int64 {
		e := &entry{body: make([]byte, body), name: name}
		for i, scope := range scopes {
			e.scopes[i] = chatScope(scope)
		}
		return e.cost()
	}
	nothing := cost(0, "")
	for what, c := range map[string]struct{ got, want int64 }{
		"a body":           {cost(100, "") - nothing, 100},
		"a name":           {cost(0, "name") - nothing, 4},
		"two scopes":       {cost(0, "", "a", "b") - cost(0, "", "a"), cost(0, "", "a") - nothing},
		"a longer scope":   {cost(0, "", "ab") - cost(0, "", "a"), 2},
		"nothing but room": {min(nothing, 100), 100},
	} {
		if c.got != c.want {
			t.Errorf("%s costs %d, want %d", what, c.got, c.want)
		}
	}
}

func TestDirectives(t *testing.T) {
	everyKind(t, func(x *tester) {
		x.wantErr(x.ask(policy, Directives{OnlyIfCached: true}), ErrNotCached)
		g := x.ask(policy, Directives{NoStore: true})
		x.finish("unstored")
		x.want(g, "unstored", Miss)
		g = x.ask(policy, Directives{})
		x.finish("one")
		x.want(g, "one", Miss)
		time.Sleep(5 * time.Second)
		x.want(x.ask(policy, Directives{MaxAge: new(6 * time.Second), OnlyIfCached: true}), "one", Hit)
		x.wantErr(x.ask(policy, Directives{MaxAge: new(5 * time.Second), OnlyIfCached: true}), ErrNotCached)
		time.Sleep(25 * time.Second)
		x.wantErr(x.ask(policy, Directives{OnlyIfCached: true}), ErrNotCached)
		x.want(x.ask(policy, Directives{OnlyIfCached: true, MaxStale: new(20 * time.Second)}), "one", Stale)
		x.wantErr(x.ask(policy, Directives{OnlyIfCached: true, MaxStale: new(19 * time.Second)}), ErrNotCached)
		x.want(x.ask(policy, Directives{OnlyIfCached: true, MaxStale: new(time.Duration(-1))}), "one", Stale)
		x.wantLoads(0)
	})
}

func TestMaxStaleBoundsWhatIsServedForOtherReasonsToo(t *testing.T) {
	everyKind(t, func(x *tester) {
		x.ask(policy, Directives{})
		x.finish("one")
		time.Sleep(15 * time.Second) // 5 s stale, and may be served while it is fetched again
		g := x.ask(policy, Directives{MaxStale: new(4 * time.Second)})
		x.wantLoads(1)
		x.fail()
		x.wantErr(g, errLoad) // which 4 s of staleness could not stand in for
		x.want(x.ask(policy, Directives{NoStore: true, MaxStale: new(5 * time.Second)}), "one", Stale)
		x.wantLoads(0) // nobody would keep it
		time.Sleep(leastBackoff)
		x.want(x.ask(policy, Directives{MaxStale: new(6 * time.Second)}), "one", Stale)
		x.wantLoads(1) // fetched again meanwhile, as for anybody
		x.fail()
	})
}

func TestEveryReadCountsOnceAndEveryFailedLoad(t *testing.T) {
	everyKind(t, func(x *tester) {
		get := func(load func(context.Context) ([]byte, error)) {
			x.Helper()
			x.askNow(x.Context(), &got{}, policy, Directives{}, load)
		}
		want := func(what string, n wire.CacheCounts) {
			x.Helper()
			s := x.c.Stats().Resources[string(x.kind)]
			s.HitRatio, s.Entries, s.Bytes = 0, 0, 0
			if s != n {
				x.Errorf("after %s: %+v, want %+v", what, s, n)
			}
		}
		get(func(ctx context.Context) ([]byte, error) { <-ctx.Done(); return nil, context.Cause(ctx) })
		want("a load that took too long", wire.CacheCounts{Misses: 1, Errors: 1})
		get(func(context.Context) ([]byte, error) { panic("boom") })
		want("a panic", wire.CacheCounts{Misses: 2, Errors: 2})
		get(func(context.Context) ([]byte, error) { return []byte("x"), nil })
		want("a good load", wire.CacheCounts{Misses: 3, Errors: 2})
		time.Sleep(30 * time.Second)
		get(func(context.Context) ([]byte, error) { return nil, errLoad })
		want("a failure that what is held stood in for", wire.CacheCounts{Misses: 3, Errors: 3, Stale: 1})
	})
}

func TestMemoryIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const bound = 1 << 20
		x := newTester(t, Config{Bytes: bound})
		body := make([]byte, 10<<10)
		for i := range 1000 {
			id := fmt.Sprint(i)
			_, err := x.c.Get(t.Context(), RelevantKey(id, "q"), policy, Directives{}, func(context.Context) ([]byte, error) { return body, nil })
			if err != nil {
				t.Fatal(err)
			}
			w, err := x.c.BeginMessages(t.Context(), id, Draft{Messages: []wire.Message{{ID: id}}, Key: "key", Body: 1})
			if err != nil {
				t.Fatal(err)
			}
			if err := w.Commit(t.Context(), []wire.Message{{ID: id, Role: "user", Content: string(body)}}); err != nil {
				t.Fatal(err)
			}
			w.End()
			if s := x.c.Stats(); s.Bytes > bound {
				t.Fatalf("%d bytes after %d chats", s.Bytes, i)
			}
		}
		s := x.c.Stats()
		if s.Evictions == 0 {
			t.Fatal("nothing was evicted")
		}
		x.c.DropAll()
		if s := x.c.Stats(); s.Resources[string(Relevant)].Entries != 0 || s.Resources[string(Relevant)].Bytes != 0 {
			t.Fatalf("left: %+v", s.Resources[string(Relevant)])
		}
	})
}

func TestMessagesWithoutATimeGetOneAfterTheNewest(t *testing.T) {
	bubble(t, func(x *tester) {
		now := time.Now().UTC()
		times := func(w *MessageWrite) (t []time.Duration) {
			for _, m := range w.Messages() {
				if m.Content != "" || m.CreatedAt.Location() != time.UTC || m.CreatedAt.Nanosecond()%1000 != 0 {
					x.Errorf("got %+v", m)
				}
				t = append(t, m.CreatedAt.Sub(now))
			}
			w.End()
			return t
		}
		want := func(what string, got []time.Duration, want ...time.Duration) {
			x.Helper()
			if !slices.Equal(got, want) {
				x.Errorf("%s: %v from now, want %v", what, got, want)
			}
		}
		const ms = time.Millisecond
		want("two messages", times(begin(x, x.c, "a", wire.Message{ID: "1", Content: "x"}, wire.Message{ID: "2"})), 0, ms)
		want("one with a time of its own", times(begin(x, x.c, "a", wire.Message{ID: "1", CreatedAt: now.Add(-ms)}, wire.Message{ID: "2"})), -ms, 2*ms)
		want("another chat", times(begin(x, x.c, "b", wire.Message{ID: "1"})), 0)
		commit(x, x.c, "a", wire.Message{ID: "late", Role: "system", CreatedAt: now.Add(time.Hour)})
		want("after a later one that was written", times(begin(x, x.c, "a", wire.Message{ID: "1"})), time.Hour+ms)
		_, err := x.history("c", 5, func(context.Context, int, int) (Loaded, error) {
			return Loaded{
				User:      Page{Messages: []wire.Message{{ID: "x", Role: "user", CreatedAt: now.Add(time.Minute)}}, Complete: true},
				Assistant: Page{Messages: []wire.Message{{ID: "y", Role: "assistant", CreatedAt: now.Add(time.Hour)}}, Complete: true},
			}, nil
		})
		if err != nil {
			x.Fatal(err)
		}
		want("after a later one that was loaded", times(begin(x, x.c, "c", wire.Message{ID: "1"})), time.Hour+ms)
		time.Sleep(2*time.Hour + 500*time.Nanosecond)
		want("when time has passed", times(begin(x, x.c, "a", wire.Message{ID: "1"})), 2*time.Hour)
	})
}

// What was acknowledged is laid over a load that began before, however much time a freeze has let pass meanwhile.
func TestALoadThatAFreezePassedOverMissesNoWrite(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var frozen atomic.Int64
		system := clock.System()
		x := newTester(t, Config{Pulse: clock.NewPulse(func() clock.Instant {
			now := system()
			now.Wall = now.Wall.Add(time.Duration(frozen.Load()))
			return now
		})})
		answer := make(chan struct{})
		read := func() <-chan string {
			held := make(chan string, 1)
			go func() {
				r, err := x.c.History(t.Context(), HistoryRequest{
					Chat: "chat", View: View{Messages: 10}, Policy: policy,
					Load: func(context.Context, int, int) (Loaded, error) {
						<-answer // as it was before both writes
						return Loaded{User: Page{Complete: true}, Assistant: Page{Complete: true}}, nil
					},
					Render: func(user, _ []wire.Message) ([]byte, error) {
						var ids []string
						for _, m := range user {
							ids = append(ids, m.ID)
						}
						return []byte(strings.Join(ids, " ")), nil
					},
				})
				if err != nil {
					t.Error(err)
				}
				held <- string(r.Body)
			}()
			synctest.Wait()
			return held
		}
		write := func(id string) {
			commit(t, x.c, "chat", wire.Message{ID: id, Role: "user", CreatedAt: time.Now()})
		}
		before := read()
		write("first")
		after := read()
		frozen.Store(int64(10 * time.Minute))
		write("second")
		close(answer)
		for _, held := range []<-chan string{before, after} {
			if got := <-held; got != "first second" {
				t.Errorf("the history holds %q", got)
			}
		}
	})
}

func TestWhatWasUsedLongestAgoGoesFirst(t *testing.T) {
	touches := map[string]func(*tester, string) error{
		"history": func(x *tester, chat string) error { _, err := x.history(chat, 1, exact); return err },
		"mute": func(x *tester, chat string) error {
			_, _, err := x.c.Mute(x.Context(), chat, policy, Directives{}, func(context.Context) (LoadedMute, error) { return LoadedMute{}, nil })
			return err
		},
		"write": func(x *tester, chat string) error { begin(x, x.c, chat).End(); return nil },
	}
	for name, touch := range touches {
		t.Run(name, func(t *testing.T) {
			small(t, func(x *tester) {
				chats := func(from, to int) {
					for i := from; i < to; i++ {
						if _, err := x.history(fmt.Sprint(i), 1, exact); err != nil {
							t.Fatal(err)
						}
					}
				}
				chats(0, 1)
				fit := int(x.c.chats.max / x.c.chats.usage.bytes)
				chats(1, fit-10)
				if err := touch(x, "0"); err != nil {
					t.Fatal(err)
				}
				chats(fit-10, fit+20)
				held := func(i int) bool { return x.c.chats.byID[fmt.Sprint(i)] != nil }
				if !held(0) || held(1) || !held(fit/2) || !held(fit+19) {
					t.Errorf("held: the one used again %t, the second one %t, a later one %t, the last one %t", held(0), held(1), held(fit/2), held(fit+19))
				}
			})
		})
	}
}

func TestWhatJustFitsStays(t *testing.T) {
	small(t, func(x *tester) {
		read := func(chat string) {
			if _, err := x.history(chat, 1, exact); err != nil {
				t.Fatal(err)
			}
		}
		for i := range 10 {
			read(fmt.Sprint(i))
		}
		x.c.chats.max = x.c.chats.usage.bytes / 10 * 9
		begin(x, x.c, "0").End()
		if n := len(x.c.chats.byID); n != 9 || x.c.chats.usage.bytes != x.c.chats.max {
			t.Errorf("%d chats are held, want 9: %d of %d bytes", n, x.c.chats.usage.bytes, x.c.chats.max)
		}
	})
}

// Two names may have the same hash.
func TestAnotherKeysEntryIsNotServed(t *testing.T) {
	bubble(t, func(x *tester) {
		g := x.get(key, policy, Directives{})
		x.finish("one")
		x.want(g, "one", Miss)
		for _, e := range x.c.store.scopes[modelScope("res.partner")].entries {
			if x.c.store.get([]byte(e.name)) != e {
				t.Error("the entry is not found under its name")
			}
			e.name = "another" // as if its hash were the same
		}
		x.get(key, policy, Directives{})
		x.wantLoads(1)
		x.finish("two")
	})
}

func TestAnEmptyCacheIsSmall(t *testing.T) {
	for _, bytes := range []int64{1, 1 << 20, 64 << 20, 8 << 30} {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		c, err := New(Config{Bytes: bytes, Refresh: true})
		if err != nil {
			t.Fatal(err)
		}
		runtime.ReadMemStats(&after)
		c.Close()
		if took := after.TotalAlloc - before.TotalAlloc; took > 1<<20 {
			t.Errorf("a cache of %d bytes takes %d before it holds anything", bytes, took)
		}
	}
}

func TestCloseEndsLoadsAndRefusesNewOnes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, err := New(Config{})
		if err != nil {
			t.Fatal(err)
		}
		ended := false
		read := make(chan error, 1)
		go func() {
			_, err := c.Get(context.Background(), key, policy, Directives{}, func(ctx context.Context) ([]byte, error) {
				<-ctx.Done()
				time.Sleep(time.Second) // it takes its time
				ended = true
				return nil, ctx.Err()
			})
			read <- err
		}()
		synctest.Wait()
		begun := time.Now()
		c.Close()
		if took := time.Since(begun); !ended || took != time.Second {
			t.Errorf("Close took %v, the load has ended: %t", took, ended)
		}
		if err := <-read; !errors.Is(err, context.Canceled) {
			t.Errorf("the read under way: %v", err)
		}
		if _, err := c.Get(context.Background(), key, policy, Directives{}, func(context.Context) ([]byte, error) { return nil, nil }); !errors.Is(err, ErrClosed) {
			t.Errorf("a read after Close: %v", err)
		}
		if n := c.Stats().Errors; n != 0 {
			t.Errorf("%d errors are counted, that Close made", n)
		}
	})
}

func TestEveryFaultOfAConfigIsTold(t *testing.T) {
	_, err := New(Config{Bytes: -1, Window: -1, LoadTimeout: -1})
	for _, field := range []string{"Bytes", "Window", "LoadTimeout"} {
		if err == nil || !strings.Contains(err.Error(), "Config."+field) {
			t.Errorf("%s: %v", field, err)
		}
	}
}
