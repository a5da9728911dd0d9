package cache

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"
	"golang.org/x/sync/errgroup"

	"hearth/internal/clock"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// tester is a cache and loads that end when the test says so.
type tester struct {
	*testing.T
	c     *Cache
	mu    sync.Mutex
	loads []chan string // what each load under way is to return; closed: fail
}

func newTester(t *testing.T, cfg Config) *tester {
	t.Helper()
	c, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	x := &tester{T: t, c: c}
	t.Cleanup(func() {
		x.mu.Lock()
		for _, l := range x.loads {
			close(l)
		}
		x.mu.Unlock()
		c.Close()
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
	g := &got{done: make(chan struct{})}
	go func() {
		defer close(g.done)
		g.Reply, g.err = x.c.Get(context.Background(), key, p, d, x.load)
	}()
	synctest.Wait()
	return g
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
	l := x.loads[0]
	x.loads = x.loads[1:]
	close(l)
	synctest.Wait()
}

func (x *tester) wantLoads(n int) {
	x.Helper()
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

var (
	key    = ModelKey("res.partner", "id")
	policy = Policy{Fresh: 10 * time.Second, WhileRevalidate: 10 * time.Second, IfError: 60 * time.Second}
)

func TestARefreshRunsBesideAStaleReply(t *testing.T) {
	bubble(t, func(x *tester) {
		g := x.get(key, policy, Directives{})
		x.finish("one")
		x.want(g, "one", Miss)
		x.want(x.get(key, policy, Directives{}), "one", Hit)
		time.Sleep(10 * time.Second)
		g = x.get(key, policy, Directives{})
		x.want(g, "one", Stale)
		if g.TTL != 0 || g.Age != 10*time.Second {
			t.Fatalf("ttl %v age %v", g.TTL, g.Age)
		}
		x.get(key, policy, Directives{})
		x.wantLoads(1) // two stale replies, one refresh
		x.finish("two")
		x.want(x.get(key, policy, Directives{}), "two", Hit)
	})
}

func TestAFailureIsCoveredByWhatIsHeldForAWhile(t *testing.T) {
	bubble(t, func(x *tester) {
		g := x.get(key, policy, Directives{})
		x.finish("one")
		x.want(g, "one", Miss)
		time.Sleep(60 * time.Second)
		g = x.get(key, policy, Directives{})
		x.fail()
		x.want(g, "one", Stale)
		time.Sleep(10 * time.Second)
		g = x.get(key, policy, Directives{})
		x.fail()
		x.wantErr(g, errLoad)
	})
}

func TestRequestsShareALoadOnlyWhileItIsFresh(t *testing.T) {
	bubble(t, func(x *tester) {
		a := x.get(key, policy, Directives{})
		time.Sleep(9 * time.Second)
		b := x.get(key, policy, Directives{})
		x.wantLoads(1)
		time.Sleep(time.Second)
		c := x.get(key, policy, Directives{})
		x.wantLoads(2) // the first would bring what is 10 s old
		x.finish("old")
		x.want(a, "old", Miss)
		x.want(b, "old", Miss)
		if a.Collapsed || !b.Collapsed {
			t.Fatalf("collapsed: %t and %t", a.Collapsed, b.Collapsed)
		}
		x.finish("new")
		x.want(c, "new", Miss)
		x.want(x.get(key, policy, Directives{}), "new", Hit)
	})
}

// A load may end between a request's look at what is held and its look at what is under way.
func TestRequestsAtTheSameTimeShareALoadThatEndsAtOnce(t *testing.T) {
	c := newTester(t, Config{}).c
	var loads atomic.Int32
	for name, ask := range map[string]func(chat string) error{
		"the store": func(chat string) error {
			_, err := c.Get(t.Context(), RelevantKey(chat, "x"), policy, Directives{}, func(context.Context) ([]byte, error) {
				loads.Add(1)
				return []byte("x"), nil
			})
			return err
		},
		"history": func(chat string) error {
			_, err := c.History(t.Context(), HistoryRequest{
				Chat: chat, View: View{1, 1}, Policy: policy,
				Load: func(context.Context, int) (Loaded, error) {
					loads.Add(1)
					return Loaded{User: Page{Complete: true}, Assistant: Page{Complete: true}}, nil
				},
				Render: func(_, _ []Message) ([]byte, error) { return []byte("x"), nil },
			})
			return err
		},
		"mute": func(chat string) error {
			_, _, err := c.Mute(t.Context(), chat, policy, Directives{}, func(context.Context) (LoadedMute, error) {
				loads.Add(1)
				return LoadedMute{}, nil
			})
			return err
		},
	} {
		for i := range 1000 {
			loads.Store(0)
			var g errgroup.Group
			for range 8 {
				g.Go(func() error { return ask(fmt.Sprint(name, i)) })
			}
			if err := g.Wait(); err != nil {
				t.Fatal(err)
			}
			if n := loads.Load(); n != 1 {
				t.Errorf("%s: 8 requests at once made %d loads, in round %d", name, n, i)
				break
			}
		}
	}
}

func TestNoCacheJoinsNothingThatBeganBefore(t *testing.T) {
	bubble(t, func(x *tester) {
		a := x.get(key, policy, Directives{})
		b := x.get(key, policy, Directives{NoCache: true})
		x.wantLoads(2)
		second := x.loads[1]
		x.loads = x.loads[:1]
		second <- "new"
		synctest.Wait()
		x.want(b, "new", Miss)
		x.finish("old") // the earlier load ends later, and must not win
		x.want(a, "old", Miss)
		x.want(x.get(key, policy, Directives{}), "new", Hit)
		if g := x.get(key, policy, Directives{NoCache: true}); g.Body != nil {
			t.Fatal("answered from memory")
		}
		x.finish("newer")
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

func TestDirectives(t *testing.T) {
	bubble(t, func(x *tester) {
		x.wantErr(x.get(key, policy, Directives{OnlyIfCached: true}), ErrNotCached)
		g := x.get(key, policy, Directives{NoStore: true})
		x.finish("unstored")
		x.want(g, "unstored", Miss)
		g = x.get(key, policy, Directives{})
		x.finish("one")
		x.want(g, "one", Miss)
		time.Sleep(5 * time.Second)
		x.want(x.get(key, policy, Directives{MaxAge: new(6 * time.Second), OnlyIfCached: true}), "one", Hit)
		x.wantErr(x.get(key, policy, Directives{MaxAge: new(5 * time.Second), OnlyIfCached: true}), ErrNotCached)
		time.Sleep(25 * time.Second)
		x.wantErr(x.get(key, policy, Directives{OnlyIfCached: true}), ErrNotCached)
		x.want(x.get(key, policy, Directives{OnlyIfCached: true, MaxStale: new(20 * time.Second)}), "one", Stale)
		x.wantErr(x.get(key, policy, Directives{OnlyIfCached: true, MaxStale: new(19 * time.Second)}), ErrNotCached)
		x.want(x.get(key, policy, Directives{OnlyIfCached: true, MaxStale: new(time.Duration(-1))}), "one", Stale)
		x.wantLoads(0)
	})
}

func TestMaxStaleBoundsWhatIsServedForOtherReasonsToo(t *testing.T) {
	bubble(t, func(x *tester) {
		x.get(key, policy, Directives{})
		x.finish("one")
		time.Sleep(15 * time.Second) // 5 s stale, and may be served while it is fetched again
		g := x.get(key, policy, Directives{MaxStale: new(4 * time.Second)})
		x.wantLoads(1)
		x.fail()
		x.wantErr(g, errLoad) // which 4 s of staleness could not stand in for
		x.want(x.get(key, policy, Directives{NoStore: true, MaxStale: new(5 * time.Second)}), "one", Stale)
		x.wantLoads(0) // nobody would keep it
		x.want(x.get(key, policy, Directives{MaxStale: new(5 * time.Second)}), "one", Stale)
		x.wantLoads(1) // fetched again meanwhile, as for anybody
		x.fail()
	})
}

func TestALoadThatIsNotToBeStoredIsNotShared(t *testing.T) {
	bubble(t, func(x *tester) {
		g := x.get(key, policy, Directives{NoStore: true})
		h := x.get(key, policy, Directives{})
		x.wantLoads(2)
		x.finish("unstored")
		x.finish("stored")
		x.want(g, "unstored", Miss)
		x.want(h, "stored", Miss)
		x.want(x.get(key, policy, Directives{}), "stored", Hit)
	})
}

// What is handed out without a load is as old as it is: nobody may join it as if it began now.
func TestWhatIsHeldIsNoFlight(t *testing.T) {
	f := newFlights(clock.Awake(), time.Minute)
	defer f.close()
	held, joined := f.start(t.Context(), "k", time.Hour, func() any { return "held" }, nil)
	if v, err := held.wait(t.Context()); v != "held" || err != nil || !joined {
		t.Errorf("got %v %v, joined: %t", v, err, joined)
	}
	loaded, joined := f.start(t.Context(), "k", time.Hour, nil, func(context.Context) (any, error) { return "loaded", nil })
	if v, err := loaded.wait(t.Context()); v != "loaded" || err != nil || joined {
		t.Errorf("got %v %v, joined: %t", v, err, joined)
	}
}

func TestEveryReadCountsOnceAndEveryFailedLoad(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newTester(t, Config{LoadTimeout: time.Second}).c
		get := func(load func(context.Context) ([]byte, error)) {
			_, _ = c.Get(t.Context(), key, policy, Directives{}, load)
		}
		want := func(what string, n Counts) {
			t.Helper()
			s := c.Stats().Resources[OdooModels]
			s.HitRatio, s.Entries, s.Bytes = 0, 0, 0
			if s != n {
				t.Errorf("after %s: %+v, want %+v", what, s, n)
			}
		}
		get(func(ctx context.Context) ([]byte, error) { <-ctx.Done(); return nil, context.Cause(ctx) })
		want("a load that took too long", Counts{Misses: 1, Errors: 1})
		get(func(context.Context) ([]byte, error) { panic("boom") })
		want("a panic", Counts{Misses: 2, Errors: 2})
		get(func(context.Context) ([]byte, error) { return []byte("x"), nil })
		want("a good load", Counts{Misses: 3, Errors: 2})
		time.Sleep(30 * time.Second)
		get(func(context.Context) ([]byte, error) { return nil, errLoad })
		want("a failure that what is held stood in for", Counts{Misses: 3, Errors: 3, Stale: 1})
	})
}

func TestAPanickingLoadIsAnError(t *testing.T) {
	bubble(t, func(x *tester) {
		_, err := x.c.Get(x.Context(), key, policy, Directives{}, func(context.Context) ([]byte, error) { panic("boom") })
		if err == nil {
			t.Fatal("no error")
		}
	})
}

func TestACallerThatGivesUpLeavesTheLoadToTheOthers(t *testing.T) {
	bubble(t, func(x *tester) {
		ctx, cancel := context.WithCancel(x.Context())
		done := make(chan error)
		go func() {
			_, err := x.c.Get(ctx, key, policy, Directives{}, x.load)
			done <- err
		}()
		synctest.Wait()
		g := x.get(key, policy, Directives{})
		cancel()
		if err := <-done; !errors.Is(err, context.Canceled) {
			t.Fatal(err)
		}
		x.finish("one")
		x.want(g, "one", Miss)
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
			w := x.c.BeginWrite(id)
			if _, err := w.Claim("key", 1, []Message{{ID: id}}); err != nil {
				t.Fatal(err)
			}
			w.Acknowledge([]Message{{ID: id, Role: "user", Content: string(body)}})
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
		if s := x.c.Stats(); s.Resources[Relevant].Entries != 0 || s.Resources[Relevant].Bytes != 0 {
			t.Fatalf("left: %+v", s.Resources[Relevant])
		}
	})
}

func TestAWriteOfAMuteThatFailedLeavesTheOneBeforeIt(t *testing.T) {
	bubble(t, func(x *tester) {
		old := time.Now()
		behind := func(context.Context) (LoadedMute, error) { return LoadedMute{Updated: old, Replicated: true}, nil }
		time.Sleep(time.Second)
		if err := x.c.SetMute("a", MuteState{Muted: true}, func() error { return nil }); err != nil {
			t.Fatal(err)
		}
		if err := x.c.SetMute("a", MuteState{}, func() error { return errLoad }); !errors.Is(err, errLoad) {
			t.Fatal(err)
		}
		if m, _, err := x.c.Mute(x.Context(), "a", policy, Directives{}, behind); !m.Muted || err != nil {
			t.Errorf("a replica that is behind: %+v %v", m, err)
		}
		done := func(context.Context) (LoadedMute, error) {
			return LoadedMute{Updated: time.Now(), Replicated: true}, nil
		}
		if m, _, err := x.c.Mute(x.Context(), "a", policy, Directives{NoCache: true}, done); m.Muted || err != nil {
			t.Errorf("it was done after all: %+v %v", m, err)
		}
	})
}

func TestMute(t *testing.T) {
	muted := func(at time.Time) func(context.Context) (LoadedMute, error) {
		return func(context.Context) (LoadedMute, error) {
			return LoadedMute{MuteState: MuteState{Muted: true}, Updated: at}, nil
		}
	}
	read := func(x *tester, load func(context.Context) (LoadedMute, error)) (MuteState, Served) {
		m, o, err := x.c.Mute(x.Context(), "chat", policy, Directives{}, load)
		if err != nil {
			x.Error(err)
		}
		return m, o.Served
	}
	t.Run("a write is what the next read says", func(t *testing.T) {
		bubble(t, func(x *tester) {
			read(x, muted(time.Now()))
			if err := x.c.SetMute("chat", MuteState{}, func() error { return nil }); err != nil {
				t.Fatal(err)
			}
			if m, s := read(x, nil); m.Muted || s != Hit {
				t.Fatal(m, s)
			}
		})
	})
	t.Run("a load that a write overtakes does not fill", func(t *testing.T) {
		bubble(t, func(x *tester) {
			release := make(chan struct{})
			go read(x, func(ctx context.Context) (LoadedMute, error) { <-release; return muted(time.Now())(ctx) })
			synctest.Wait()
			if err := x.c.SetMute("chat", MuteState{}, func() error { return nil }); err != nil {
				t.Fatal(err)
			}
			close(release)
			synctest.Wait()
			if m, s := read(x, nil); m.Muted || s != Hit {
				t.Fatal(m, s)
			}
		})
	})
	t.Run("a write that failed leaves nothing held", func(t *testing.T) {
		bubble(t, func(x *tester) {
			read(x, muted(time.Now()))
			if err := x.c.SetMute("chat", MuteState{}, func() error { return errLoad }); !errors.Is(err, errLoad) {
				t.Fatal(err)
			}
			if m, s := read(x, muted(time.Now())); !m.Muted || s != Miss {
				t.Fatal(m, s)
			}
		})
	})
	t.Run("a replica that is behind does not undo a write", func(t *testing.T) {
		bubble(t, func(x *tester) {
			before := time.Now()
			time.Sleep(time.Second)
			if err := x.c.SetMute("chat", MuteState{}, func() error { return nil }); err != nil {
				t.Fatal(err)
			}
			behind := func(context.Context) (LoadedMute, error) {
				return LoadedMute{MuteState: MuteState{Muted: true}, Updated: before, Replicated: true}, nil
			}
			time.Sleep(20 * time.Second)
			if m, s := read(x, behind); m.Muted || s != Miss {
				t.Fatal(m, s)
			}
			time.Sleep(time.Minute)
			if m, _ := read(x, behind); !m.Muted {
				t.Fatal("our own write is laid over loads for good")
			}
		})
	})
}

func TestClaimsAndReservations(t *testing.T) {
	bubble(t, func(x *tester) {
		w := x.c.BeginWrite("chat")
		defer w.End()
		now := time.Now()
		first := w.Reserve(now)
		if second := w.Reserve(now); second.Sub(first) != time.Millisecond {
			t.Fatalf("%v after %v", second, first)
		}
		w.Acknowledge([]Message{{ID: "late", Role: "user", CreatedAt: now.Add(time.Hour)}})
		if third := w.Reserve(now); third.Sub(now) != time.Hour+time.Millisecond {
			t.Fatalf("%v is before the newest message", third)
		}
		a, err := w.Claim("key", 1, []Message{{ID: "a", CreatedAt: now}})
		if err != nil {
			t.Fatal(err)
		}
		b, err := w.Claim("key", 1, []Message{{ID: "a", CreatedAt: now.Add(time.Second)}})
		if err != nil || !b[0].CreatedAt.Equal(a[0].CreatedAt) {
			t.Fatal(b, err)
		}
		if _, err := w.Claim("key", 2, nil); !errors.Is(err, ErrKeyReused) {
			t.Fatal(err)
		}
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
					Load: func(context.Context, int) (Loaded, error) {
						<-answer // as it was before both writes
						return Loaded{User: Page{Complete: true}, Assistant: Page{Complete: true}}, nil
					},
					Render: func(user, _ []Message) ([]byte, error) {
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
			w := x.c.BeginWrite("chat")
			defer w.End()
			w.Acknowledge([]Message{{ID: id, Role: "user", CreatedAt: time.Now()}})
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

func TestALoadsTimeoutDoesNotCountAFreeze(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		x := newTester(t, Config{Pulse: clock.NewPulse(nil), LoadTimeout: 30 * time.Second}) // nobody lets it beat
		g := x.get(key, policy, Directives{})
		time.Sleep(31 * time.Second)
		x.finish("late")
		x.want(g, "late", Miss)
	})
}
