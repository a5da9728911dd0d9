package cache

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"hearth/client/wire"
	"hearth/internal/clock"
)

var errLoad = errors.New("load failed")

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
