package cache

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"hearth/client/wire"
)

// asked is what a load was asked for.
type asked struct{ need, want int }

// chatOfUser is a chat of the user's messages, and notes what is asked of it. A load brings as many as it needs and extra.
type chatOfUser struct {
	messages []wire.Message
	extra    int

	mu    sync.Mutex
	asked []asked // guarded by mu
}

func newChatOfUser(n, bytes int) *chatOfUser {
	c := &chatOfUser{}
	for i := range n {
		c.messages = append(c.messages, wire.Message{ID: fmt.Sprint(i), Role: "user", Content: strings.Repeat("x", bytes), CreatedAt: time.Unix(int64(i), 0)})
	}
	return c
}

func (c *chatOfUser) load(_ context.Context, need, want int) (Loaded, error) {
	c.mu.Lock()
	c.asked = append(c.asked, asked{need, want})
	c.mu.Unlock()
	n := min(need+c.extra, want, len(c.messages))
	return Loaded{
		User:      Page{Messages: c.messages[len(c.messages)-n:], Complete: n == len(c.messages)},
		Assistant: Page{Complete: true},
	}, nil
}

func (c *chatOfUser) ids(n int) string {
	var ids []string
	for _, m := range c.messages[len(c.messages)-n:] {
		ids = append(ids, m.ID)
	}
	return strings.Join(ids, " ")
}

func TestALoadIsToldWhatIsNeededAndWhatIsWanted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		x := newTester(t, Config{Window: 50})
		chat := newChatOfUser(100, 10)
		read := func(n int, want ...asked) {
			t.Helper()
			chat.asked = nil
			if got, err := x.history("a", n, chat.load); got != chat.ids(n) || err != nil {
				t.Errorf("the newest %d: %q %v", n, got, err)
			}
			if !slices.Equal(chat.asked, want) {
				t.Errorf("a read of %d asked for %v, want %v", n, chat.asked, want)
			}
			time.Sleep(time.Millisecond)
		}
		read(10, asked{10, 50})
		read(10)
		read(11, asked{11, 50}) // the first load brought 10
		read(5)
		chat.extra = 1000
		read(12, asked{12, 50})
		read(50)
		read(70, asked{70, 70})
		read(70)
	})
}

func TestALoadThatBringsTooFewIsAnError(t *testing.T) {
	bubble(t, func(x *tester) {
		_, err := x.history("a", 10, func(context.Context, int, int) (Loaded, error) {
			return Loaded{User: Page{Messages: newChatOfUser(9, 1).messages}, Assistant: Page{Complete: true}}, nil
		})
		if !errors.Is(err, errShortLoad) {
			x.Error(err)
		}
	})
}

func TestAReadJoinsALoadThatBringsEnoughForIt(t *testing.T) {
	bubble(t, func(x *tester) {
		chat := newChatOfUser(100, 10)
		begun, end := 0, make(chan struct{})
		read := func(n int) <-chan string {
			got := make(chan string, 1)
			go func() {
				ids, err := x.history("a", n, func(ctx context.Context, need, want int) (Loaded, error) {
					begun++
					<-end
					return chat.load(ctx, need, want)
				})
				if err != nil {
					x.Error(err)
				}
				got <- ids
			}()
			synctest.Wait()
			return got
		}
		twenty := read(20)
		ten := read(10)
		if begun != 1 {
			x.Errorf("%d loads for 20 and 10", begun)
		}
		thirty := read(30)
		if begun != 2 {
			x.Errorf("%d loads for 20 and 30", begun)
		}
		close(end)
		for n, got := range map[int]<-chan string{10: ten, 20: twenty, 30: thirty} {
			if ids := <-got; ids != chat.ids(n) {
				x.Errorf("the newest %d: %q", n, ids)
			}
		}
	})
}

func TestAMessageMovedDuringALoadLeavesTheHistoryAsLongAsItIs(t *testing.T) {
	for _, behind := range []bool{false, true} {
		t.Run(fmt.Sprintf("behind=%t", behind), func(t *testing.T) {
			bubble(t, func(x *tester) {
				chat := newChatOfUser(20, 10)
				want := strings.Join([]string{"14", "15", "16", "17", "18"}, " ")
				moved := false
				got, err := x.history("a", 5, func(ctx context.Context, need, want int) (Loaded, error) {
					l, err := chat.load(ctx, need, want)
					l.MayLag = behind
					if !moved { // after the load has looked
						moved = true
						commit(x, x.c, "a", wire.Message{ID: "19", Role: "system", CreatedAt: time.Unix(19, 0)})
						if !behind {
							chat.messages = chat.messages[:19]
						}
					}
					return l, err
				})
				if got != want || err != nil {
					x.Errorf("got %q %v, want %q", got, err, want)
				}
			})
		})
	}
}

func TestTheLoadThatBeganLastIsKept(t *testing.T) {
	bubble(t, func(x *tester) {
		end := map[string]chan struct{}{"old": make(chan struct{}), "new": make(chan struct{})}
		read := func(id string) {
			go func() {
				_, err := x.c.History(x.Context(), HistoryRequest{
					Chat: "a", View: View{Messages: 1, Full: 1}, Policy: policy, Directives: Directives{NoCache: true},
					Load: func(context.Context, int, int) (Loaded, error) {
						<-end[id]
						return Loaded{User: Page{Messages: []wire.Message{{ID: id, Role: "user"}}, Complete: true}, Assistant: Page{Complete: true}}, nil
					},
					Render: func(_, _ []wire.Message) ([]byte, error) { return nil, nil },
				})
				if err != nil {
					x.Error(err)
				}
			}()
			synctest.Wait()
		}
		read("old")
		time.Sleep(time.Millisecond)
		read("new")
		close(end["new"])
		synctest.Wait()
		close(end["old"])
		synctest.Wait()
		if got, err := x.history("a", 1, nil); got != "new" || err != nil {
			x.Errorf("got %q %v", got, err)
		}
	})
}

func TestAHugeChatIsReadAndOnlyItsNewestMessagesAreHeld(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const bound = 4 << 20
		x := newTester(t, Config{Bytes: bound, Window: 50})
		chat := newChatOfUser(60, 100<<10)
		for _, n := range []int{50, 4, 50} {
			if got, err := x.history("a", n, chat.load); got != chat.ids(n) || err != nil {
				t.Fatalf("the newest %d: %v", n, err)
			}
			x.wantBounded()
			if b := x.c.chats.byID["a"].timeline.bytes(); b == 0 || b > x.c.chats.maxOfOne() {
				t.Errorf("a timeline of %d bytes is held", b)
			}
			time.Sleep(time.Millisecond)
		}
		if len(chat.asked) != 2 {
			t.Errorf("asked for %v: what is held serves 4", chat.asked)
		}
		chat.messages = append(chat.messages, wire.Message{ID: "new", Role: "user", Content: strings.Repeat("x", 500<<10), CreatedAt: time.Unix(1000, 0)})
		commit(t, x.c, "a", chat.messages[60:]...)
		x.wantBounded()
		if got, err := x.history("a", 2, chat.load); got != chat.ids(2) || err != nil {
			t.Errorf("after a write: %q %v", got, err)
		}
	})
}

// What is in use counts too: it goes once it is not needed to stay right.
func TestParallelReadsOfHugeChatsKeepNoMoreThanTheBound(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		x := newTester(t, Config{Bytes: 4 << 20, Window: 50})
		end := make(chan struct{})
		done := make(chan error)
		var encoding atomic.Int32
		const reads = 40
		for i := range reads {
			go func() {
				chat := newChatOfUser(60, 100<<10)
				_, err := x.c.History(x.Context(), HistoryRequest{
					Chat: fmt.Sprint(i / 2), View: View{Messages: 50}, Policy: policy, Directives: Directives{NoCache: true}, Load: chat.load,
					Render: func(user, _ []wire.Message) ([]byte, error) {
						if len(user) != 50 {
							return nil, fmt.Errorf("%d messages", len(user))
						}
						if encoding.Add(1) > 1 {
							return nil, errors.New("two are encoded at the same time")
						}
						defer encoding.Add(-1)
						<-end
						return make([]byte, 5<<20), nil
					},
				})
				done <- err
			}()
		}
		synctest.Wait()
		x.wantBounded()
		close(end)
		for range reads {
			if err := <-done; err != nil {
				t.Error(err)
			}
			x.wantBounded()
		}
	})
}

func TestRepliesTooLargeToKeepAreRenderedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		x := newTester(t, Config{Bytes: 4 << 20})
		rendered := 0
		read := func(full, size int) {
			r, err := x.c.History(t.Context(), HistoryRequest{
				Chat: "a", View: View{Messages: 1, Full: full}, Policy: policy, Load: exact,
				Render: func(_, _ []wire.Message) ([]byte, error) { rendered++; return make([]byte, size), nil },
			})
			if err != nil || len(r.Body) != size {
				t.Fatalf("%d bytes %v", len(r.Body), err)
			}
			x.wantBounded()
		}
		limit := int(x.c.chats.maxOfOne())
		for range 2 {
			read(0, limit+1)
		}
		if rendered != 2 {
			t.Errorf("rendered %d times", rendered)
		}
		rendered = 0
		for _, full := range []int{1, 1, 2, 2, 1} { // two halves of the limit do not fit side by side: each has bookkeeping
			read(full, limit/2)
		}
		if rendered != 3 {
			t.Errorf("rendered %d times, want 3", rendered)
		}
	})
}

// A load under way when what it read is dropped answers its own caller, and nobody after it.
func TestALoadThatADropOvertakesIsNotKept(t *testing.T) {
	drops := map[string]func(*tester){
		"drop chat": func(x *tester) { x.c.DropChat("a") },
		"drop all":  func(x *tester) { x.c.DropAll() },
		"unknown write": func(x *tester) {
			w := begin(x, x.c, "a")
			defer w.End()
			if err := w.Unknown(x.Context()); err != nil {
				x.Error(err)
			}
		},
		"failed mute": func(x *tester) { setMute(x, x.c, "a", wire.Mute{}, errLoad) },
	}
	reads := map[string]func(x *tester, loaded func()) error{
		"history": func(x *tester, loaded func()) error {
			_, err := x.history("a", 1, func(ctx context.Context, need, want int) (Loaded, error) {
				loaded()
				return exact(ctx, need, want)
			})
			return err
		},
		"mute": func(x *tester, loaded func()) error {
			_, _, err := x.c.Mute(x.Context(), "a", policy, Directives{}, func(context.Context) (LoadedMute, error) {
				loaded()
				return LoadedMute{}, nil
			})
			return err
		},
	}
	for what, read := range reads {
		for how, drop := range drops {
			if what == "history" && how == "failed mute" {
				continue
			}
			t.Run(what+", "+how, func(t *testing.T) {
				bubble(t, func(x *tester) {
					if err := read(x, func() { drop(x) }); err != nil {
						x.Fatal(err)
					}
					again := false
					if err := read(x, func() { again = true }); err != nil || !again {
						x.Errorf("loaded again: %t, %v", again, err)
					}
				})
			})
		}
	}
}

// Writes may lengthen a window by as many messages as a load wants, and no further.
func TestAWindowGrowsByWrites(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		x := newTester(t, Config{Window: 5})
		chat := newChatOfUser(100, 10)
		read := func(n int) {
			t.Helper()
			if got, err := x.history("a", n, chat.load); got != chat.ids(n) || err != nil {
				t.Fatalf("the newest %d: %q %v", n, got, err)
			}
			time.Sleep(time.Millisecond)
		}
		read(8)
		for i := range 10 {
			m := wire.Message{ID: fmt.Sprint("new", i), Role: "user", CreatedAt: time.Unix(int64(1000+i), 0)}
			chat.messages = append(chat.messages, m)
			commit(t, x.c, "a", m)
		}
		read(8)
		read(13)
		if len(chat.asked) != 1 {
			t.Errorf("13 of 18 messages are held, and loads asked for %v", chat.asked)
		}
		read(14)
		if len(chat.asked) != 2 {
			t.Errorf("a window of 13 messages served 14")
		}
		x.wantBounded()
	})
}

func TestWhatWasRenderedIsKeptByItsView(t *testing.T) {
	bubble(t, func(x *tester) {
		rendered := 0
		read := func(v View, want string, renderings int) {
			x.Helper()
			rendered = 0
			r, err := x.c.History(x.Context(), HistoryRequest{
				Chat: "a", View: v, Policy: policy, Load: newChatOfUser(100, 1).load,
				Render: func(user, assistant []wire.Message) ([]byte, error) {
					rendered++
					return fmt.Appendf(nil, "%d %d %d", len(user), len(assistant), v.Full), nil
				},
			})
			if string(r.Body) != want || r.ETag != ETag(r.Body) || err != nil || rendered != renderings {
				x.Errorf("%+v: %q %s %v, rendered %d times, want %q, %d times", v, r.Body, r.ETag, err, rendered, want, renderings)
			}
		}
		read(View{6, 0}, "6 0 0", 1)
		read(View{6, 0}, "6 0 0", 0)
		read(View{6, 1}, "6 0 1", 1)
		read(View{5, 1}, "5 0 1", 1)
		read(View{4, 1}, "4 0 1", 1)
		for _, v := range []View{{6, 0}, {6, 1}, {5, 1}, {4, 1}} {
			read(v, fmt.Sprint(v.Messages, 0, v.Full), 0)
		}
		read(View{3, 1}, "3 0 1", 1) // the fifth takes the place of the first
		read(View{6, 1}, "6 0 1", 0)
		read(View{6, 0}, "6 0 0", 1)
		x.wantBounded()
	})
}

// What is held may be shorter than what a request wants: then it does not stand in for it.
func TestAFailedLoadIsNotCoveredByAShorterHistory(t *testing.T) {
	bubble(t, func(x *tester) {
		chat := newChatOfUser(100, 1)
		if _, err := x.history("a", 10, chat.load); err != nil {
			x.Fatal(err)
		}
		time.Sleep(policy.Fresh + policy.WhileRevalidate)
		fails := func(context.Context, int, int) (Loaded, error) { return Loaded{}, errLoad }
		if _, err := x.history("a", 50, fails); !errors.Is(err, errLoad) {
			x.Errorf("the newest 50 of 10 that are held: %v", err)
		}
		if got, err := x.history("a", 10, fails); got != chat.ids(10) || err != nil {
			x.Errorf("the newest 10: %q %v", got, err)
		}
	})
}

// A load goes on when its caller has left, and what is acknowledged meanwhile is in what it keeps.
func TestALoadWhoseCallerHasLeftMissesNoWrite(t *testing.T) {
	bubble(t, func(x *tester) {
		if _, err := x.history("b", 1, exact); err != nil { // now it is known that loads see every write
			x.Fatal(err)
		}
		end := make(chan struct{})
		ctx, cancel := context.WithCancel(x.Context())
		left := make(chan error)
		go func() {
			_, err := x.c.History(ctx, HistoryRequest{
				Chat: "a", View: View{Messages: 5}, Policy: policy,
				Load: func(ctx context.Context, need, want int) (Loaded, error) {
					l, err := exact(ctx, need, want) // before the write
					<-end
					return l, err
				},
			})
			left <- err
		}()
		synctest.Wait()
		cancel()
		if err := <-left; !errors.Is(err, context.Canceled) {
			x.Fatal(err)
		}
		x.write("a", "hello", "m")
		close(end)
		synctest.Wait()
		if got, err := x.history("a", 5, nil); got != "m" || err != nil {
			x.Errorf("got %q %v", got, err)
		}
	})
}
