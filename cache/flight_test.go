package cache

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/sync/errgroup"

	"hearth/client/wire"
	"hearth/internal/clock"
)

func TestRequestsShareALoadOnlyWhileItIsFresh(t *testing.T) {
	everyKind(t, func(x *tester) {
		a := x.ask(policy, Directives{})
		time.Sleep(9 * time.Second)
		b := x.ask(policy, Directives{})
		x.wantLoads(1)
		time.Sleep(time.Second)
		c := x.ask(policy, Directives{})
		x.wantLoads(2) // the first would bring what is 10 s old
		x.finish("old")
		x.want(a, "old", Miss)
		x.want(b, "old", Miss)
		if a.Collapsed || !b.Collapsed {
			t.Fatalf("collapsed: %t and %t", a.Collapsed, b.Collapsed)
		}
		x.finish("new")
		x.want(c, "new", Miss)
		x.want(x.ask(policy, Directives{}), "new", Hit)
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
				Load: func(context.Context, int, int) (Loaded, error) {
					loads.Add(1)
					return Loaded{User: Page{Complete: true}, Assistant: Page{Complete: true}}, nil
				},
				Render: func(_, _ []wire.Message) ([]byte, error) { return []byte("x"), nil },
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
	everyKind(t, func(x *tester) {
		a := x.ask(policy, Directives{})
		b := x.ask(policy, Directives{NoCache: true})
		x.wantLoads(2)
		second := x.loads[1]
		x.loads = x.loads[:1]
		second <- "new"
		synctest.Wait()
		x.want(b, "new", Miss)
		x.finish("old") // the earlier load ends later, and must not win
		if x.kind == History {
			x.want(a, "new", Miss) // its windows are those held, which are newer
		} else {
			x.want(a, "old", Miss)
		}
		x.want(x.ask(policy, Directives{}), "new", Hit)
		if g := x.ask(policy, Directives{NoCache: true}); g.Body != nil {
			t.Fatal("answered from memory")
		}
		x.finish("newer")
	})
}

func TestALoadThatIsNotToBeStoredIsNotShared(t *testing.T) {
	everyKind(t, func(x *tester) {
		g := x.ask(policy, Directives{NoStore: true})
		h := x.ask(policy, Directives{})
		x.wantLoads(2)
		x.finish("unstored")
		x.finish("stored")
		x.want(g, "unstored", Miss)
		x.want(h, "stored", Miss)
		x.want(x.ask(policy, Directives{}), "stored", Hit)
	})
}

// A caller that looked before a load ended may have missed what the load brought.
func TestNoLoadBeginsInPlaceOfOneThatHasJustEnded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFlights(clock.Awake(), time.Minute)
		defer f.close()
		end := make(chan struct{})
		load := func(context.Context) (any, error) { <-end; return "loaded", nil }
		looked := f.ended.Load()
		first, joined := f.start(t.Context(), flightTerms{key: "k", maxAge: time.Hour, ended: looked}, load)
		if first == nil || joined {
			t.Fatalf("the first one: %v, joined: %t", first, joined)
		}
		if second, joined := f.start(t.Context(), flightTerms{key: "k", maxAge: time.Hour, ended: looked}, load); second != first || !joined {
			t.Errorf("the second one has not joined the first")
		}
		close(end)
		if v, _, err := f.wait(t.Context(), first); v != "loaded" || err != nil {
			t.Errorf("got %v %v", v, err)
		}
		if late, _ := f.start(t.Context(), flightTerms{key: "k", maxAge: time.Hour, ended: looked}, load); late != nil {
			t.Error("a load began although one has ended since the look")
		}
		again, joined := f.start(t.Context(), flightTerms{key: "k", maxAge: time.Hour, ended: f.ended.Load()}, load)
		if again == nil || joined {
			t.Errorf("after another look: %v, joined: %t", again, joined)
		}
	})
}

func TestAPanickingLoadIsAnError(t *testing.T) {
	everyKind(t, func(x *tester) {
		g := &got{}
		x.askNow(x.Context(), g, policy, Directives{}, func(context.Context) ([]byte, error) { panic("boom") })
		if g.err == nil {
			x.Fatal("no error")
		}
	})
}

func TestACallerThatGivesUpLeavesTheLoadToTheOthers(t *testing.T) {
	everyKind(t, func(x *tester) {
		ctx, cancel := context.WithCancel(x.Context())
		done := make(chan error)
		go func() {
			g := &got{}
			x.askNow(ctx, g, policy, Directives{}, x.load)
			done <- g.err
		}()
		synctest.Wait()
		g := x.ask(policy, Directives{})
		cancel()
		if err := <-done; !errors.Is(err, context.Canceled) {
			x.Fatal(err)
		}
		x.finish("one")
		x.want(g, "one", Miss)
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

func TestAHerdThatTakesNothingOlderMakesTwoLoads(t *testing.T) {
	everyKind(t, func(x *tester) {
		first := x.ask(policy, Directives{NoCache: true})
		var herd []*got
		for range 100 {
			herd = append(herd, x.ask(policy, Directives{NoCache: true}))
		}
		x.wantLoads(1)
		time.Sleep(time.Millisecond)
		x.finish("first")
		x.want(first, "first", Miss)
		x.wantLoads(1) // the herd's, which began after all of it had come
		time.Sleep(time.Millisecond)
		late := x.ask(policy, Directives{NoCache: true})
		x.wantLoads(1)
		x.finish("second")
		for i, g := range herd {
			x.want(g, "second", Miss)
			if g.Collapsed != (i > 0) {
				x.Errorf("collapsed: %t", g.Collapsed)
			}
		}
		x.finish("third")
		x.want(late, "third", Miss)
		x.wantLoads(0)
	})
}

func TestAHerdDoesNotWaitLongForALoadThatHangs(t *testing.T) {
	everyKind(t, func(x *tester) {
		x.ask(policy, Directives{NoCache: true})
		herd := []*got{x.ask(policy, Directives{NoCache: true}), x.ask(policy, Directives{NoCache: true})}
		x.wantLoads(1)
		time.Sleep(time.Second)
		synctest.Wait()
		x.wantLoads(2)
		x.loads[0], x.loads[1] = x.loads[1], x.loads[0]
		x.finish("second")
		for _, g := range herd {
			x.want(g, "second", Miss)
		}
		x.finish("first")
	})
}

func TestAFlightThatNobodyWaitsForNeverBegins(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		x := newTester(t, Config{})
		first := x.ask(policy, Directives{NoCache: true})
		gone := x.start(func(g *got) {
			ctx, cancel := context.WithTimeout(context.Background(), time.Millisecond)
			defer cancel()
			x.askNow(ctx, g, policy, Directives{NoCache: true}, x.load)
		})
		x.wantErr(gone, context.DeadlineExceeded)
		x.finish("first")
		x.want(first, "first", Miss)
		x.wantLoads(0)
	})
}
