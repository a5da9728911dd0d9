package cache

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"
	"unsafe"

	"hearth/client/wire"
)

// lagging loads of a class with replicas: they never see what was written through us.
func lagging(_ context.Context, _, _ int) (Loaded, error) {
	return Loaded{User: Page{Complete: true}, Assistant: Page{Complete: true}, MayLag: true}, nil
}

func exact(_ context.Context, _, _ int) (Loaded, error) {
	return Loaded{User: Page{Complete: true}, Assistant: Page{Complete: true}}, nil
}

func (x *tester) history(chat string, n int, load func(context.Context, int, int) (Loaded, error)) (ids string, err error) {
	x.Helper()
	r, err := x.c.History(x.Context(), HistoryRequest{
		Chat: chat, View: View{Messages: n}, Policy: policy, Load: load,
		Render: func(user, assistant []wire.Message) ([]byte, error) {
			var ids []string
			for _, m := range slices.Concat(user, assistant) {
				ids = append(ids, m.ID)
			}
			return []byte(strings.Join(ids, " ")), nil
		},
	})
	return string(r.Body), err
}

func (x *tester) write(chat, content string, ids ...string) {
	x.Helper()
	var batch []wire.Message
	for _, id := range ids {
		batch = append(batch, wire.Message{ID: id, Role: "user", Content: content})
	}
	w := begin(x, x.c, chat, batch...)
	defer w.End()
	for i, m := range w.Messages() {
		batch[i].CreatedAt = m.CreatedAt
	}
	if err := w.Commit(x.Context(), batch); err != nil {
		x.Fatal(err)
	}
	x.wantBounded()
}

func (x *tester) wantBounded() {
	x.Helper()
	if s := x.c.Stats(); s.Bytes > s.MaxBytes {
		x.Fatalf("%d of %d bytes are held", s.Bytes, s.MaxBytes)
	}
	x.c.chats.verify(x)
}

func small(t *testing.T, f func(x *tester)) {
	synctest.Test(t, func(t *testing.T) { f(newTester(t, Config{Bytes: 256 << 10, Window: 5})) })
}

func TestAMessageOutlivesTheEvictionOfItsChat(t *testing.T) {
	small(t, func(x *tester) {
		x.write("first", "hello", "m1", "m2")
		for i := range 2000 {
			x.write(fmt.Sprint("other ", i), "hello", "m")
		}
		if x.c.chats.byID["first"].inLRU != nil {
			x.Fatal("the chat was not evicted")
		}
		if got, err := x.history("first", 10, lagging); got != "m1 m2" || err != nil {
			x.Errorf("got %q %v", got, err)
		}
		time.Sleep(replicaLag)
		if got, err := x.history("first", 10, lagging); got != "" || err != nil {
			x.Errorf("a minute later: %q %v", got, err)
		}
	})
}

func TestWhatCannotBeKeptIsAnErrorUntilLoadsCanBeTrusted(t *testing.T) {
	small(t, func(x *tester) {
		const chats = 500
		for i := range chats {
			x.write(fmt.Sprint(i), strings.Repeat("x", 1000), "m")
		}
		time.Sleep(20 * time.Second)
		kept, lost := 0, 0
		loads := 0
		counting := func(ctx context.Context, need, want int) (Loaded, error) {
			loads++
			return lagging(ctx, need, want)
		}
		for i := range chats {
			got, err := x.history(fmt.Sprint(i), 10, counting)
			e, refused := errors.AsType[*MayMissError](err)
			switch {
			case got == "m" && err == nil:
				kept++
			case refused && e.Wait == replicaLag-20*time.Second:
				lost++
			default:
				x.Fatalf("chat %d: %q %v", i, got, err)
			}
			x.wantBounded()
		}
		if kept == 0 || lost == 0 {
			x.Errorf("%d kept, %d lost", kept, lost)
		}
		if loads != chats {
			x.Errorf("%d loads for %d chats: another one brings no more", loads, chats)
		}
		time.Sleep(replicaLag - 20*time.Second)
		for i := range chats {
			if _, err := x.history(fmt.Sprint(i), 10, lagging); err != nil {
				x.Fatalf("a minute later, chat %d: %v", i, err)
			}
		}
		for range 2 {
			time.Sleep(replicaLag)
			x.wantBounded()
		}
		if b := x.c.chats.marks[messageWrites].bytes(); b != 0 || x.c.chats.usage.recent != 0 {
			x.Errorf("%d bytes of marks are left, and %+v", b, x.c.chats.usage)
		}
	})
}

func TestAChatWhoseWritesWereLostTakesNewOnes(t *testing.T) {
	small(t, func(x *tester) {
		for i := range 500 {
			x.write(fmt.Sprint(i), strings.Repeat("x", 1000), "old")
		}
		if _, err := x.history("499", 1, lagging); err == nil {
			x.Fatal("nothing was lost")
		}
		time.Sleep(replicaLag - time.Second)
		for range 30 { // the others' have expired, and this one is written all the time
			time.Sleep(time.Second)
			x.write("499", "x", "new")
		}
		if got, err := x.history("499", 1, lagging); got != "new" || err != nil {
			x.Errorf("got %q %v", got, err)
		}
	})
}

func TestAWriteThatIsLostIsLostOfItsChatAlone(t *testing.T) {
	small(t, func(x *tester) {
		m := &x.c.chats.marks[messageWrites]
		for i := 0; len(m.young) == 0 && !m.all.set && i < 1000; i++ {
			x.write(fmt.Sprint(i), strings.Repeat("x", 1000), "m")
		}
		if len(m.young) == 0 {
			x.Fatalf("no chat is remembered for its lost write: %+v", m)
		}
		if _, err := x.history("another", 10, lagging); err != nil {
			x.Errorf("a chat without writes: %v", err)
		}
	})
}

func TestAMillionChatsAreForgottenKnowingly(t *testing.T) {
	small(t, func(x *tester) {
		x.write("first", "hello", "m")
		for i := range 20_000 {
			commit(x, x.c, fmt.Sprint(i), wire.Message{ID: "m", Role: "user", CreatedAt: time.Now()})
		}
		x.wantBounded()
		if got, err := x.history("first", 1, lagging); got != "m" || err != nil {
			x.Errorf("what is kept stays known: %q %v", got, err)
		}
		for _, chat := range []string{"19999", "10000", "never written"} {
			if _, err := x.history(chat, 1, lagging); !isMayMiss(err) {
				x.Errorf("chat %s: %v", chat, err)
			}
		}
		time.Sleep(time.Millisecond)
		if got, err := x.history("19999", 1, exact); err != nil { // a load that sees every write
			x.Errorf("got %q %v", got, err)
		}
		time.Sleep(replicaLag)
		if _, err := x.history("10000", 1, lagging); err != nil {
			x.Error(err)
		}
	})
}

func isMayMiss(err error) bool {
	_, ok := errors.AsType[*MayMissError](err)
	return ok
}

func TestAWriteForgetsThoseThatEveryLoadSees(t *testing.T) {
	small(t, func(x *tester) {
		x.write("chat", "hello", "m1")
		time.Sleep(replicaLag)
		x.write("chat", "hello", "m2")
		if n := x.c.chats.byID["chat"].recent.count; n != 1 {
			x.Errorf("%d messages are kept for loads that may have missed them, want the last one", n)
		}
	})
}

func TestNothingIsKeptForAClassWithoutReplicas(t *testing.T) {
	small(t, func(x *tester) {
		for i := range 500 { // before it is known
			x.write(fmt.Sprint("early ", i), strings.Repeat("x", 1000), "m")
		}
		time.Sleep(time.Millisecond)
		if _, err := x.history("a", 1, exact); err != nil {
			x.Fatal(err)
		}
		if _, _, err := x.c.Mute(x.Context(), "a", policy, Directives{}, func(context.Context) (LoadedMute, error) { return LoadedMute{}, nil }); err != nil {
			x.Fatal(err)
		}
		for i := range 500 {
			x.write(fmt.Sprint(i), strings.Repeat("x", 1000), "m")
			setMute(x, x.c, fmt.Sprint(i), wire.Mute{Muted: true}, nil)
		}
		for _, m := range x.c.chats.marks {
			if m.all.set || m.bytes() != 0 || x.c.chats.usage.recent != 0 {
				x.Errorf("kept: %+v, marks %+v", x.c.chats.usage, m)
			}
		}
		if _, err := x.history("499", 1, exact); err != nil {
			x.Error(err)
		}
	})
}

func TestAMuteOutlivesTheEvictionOfItsChat(t *testing.T) {
	small(t, func(x *tester) {
		before := time.Now()
		time.Sleep(time.Second)
		mute := func(chat string) {
			setMute(x, x.c, chat, wire.Mute{Muted: true}, nil)
		}
		muted := func(chat string) (bool, error) {
			m, _, err := x.c.Mute(x.Context(), chat, policy, Directives{}, func(context.Context) (LoadedMute, error) {
				return LoadedMute{Updated: before, MayLag: true}, nil
			})
			return m.Muted, err
		}
		const chats = 500
		for i := range chats {
			mute(fmt.Sprint(i))
			x.wantBounded()
		}
		kept, lost := 0, 0
		for i := range chats {
			switch m, err := muted(fmt.Sprint(i)); {
			case m && err == nil:
				kept++
			case isMayMiss(err):
				lost++
			default:
				x.Fatalf("chat %d is muted: %t %v", i, m, err)
			}
		}
		if kept == 0 || lost == 0 {
			x.Errorf("%d kept, %d lost", kept, lost)
		}
		time.Sleep(replicaLag)
		for i := range chats {
			if _, err := muted(fmt.Sprint(i)); err != nil {
				x.Fatal(err)
			}
		}
	})
}

func TestALostMessageLeavesTheMuteAlone(t *testing.T) {
	small(t, func(x *tester) {
		x.write("a", strings.Repeat("x", 100<<10), "too large")
		if _, err := x.history("a", 1, lagging); !isMayMiss(err) {
			x.Errorf("history: %v", err)
		}
		_, _, err := x.c.Mute(x.Context(), "a", policy, Directives{}, func(context.Context) (LoadedMute, error) { return LoadedMute{MayLag: true}, nil })
		if err != nil {
			x.Errorf("mute: %v", err)
		}
	})
}

func TestAnImportLeavesTheNewestOfItInEveryHistory(t *testing.T) {
	for name, step := range map[string]time.Duration{"in order": time.Millisecond, "backdated": -time.Millisecond} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				x := newTester(t, Config{})
				at := time.Now()
				for range 30 {
					var batch []wire.Message
					for range 100 {
						at = at.Add(step)
						batch = append(batch, wire.Message{ID: fmt.Sprint(at.UnixMilli()), Role: "user", CreatedAt: at})
					}
					commit(t, x.c, "a", batch...)
				}
				x.wantBounded()
				if n := x.c.chats.byID["a"].recent.count; n != maxRecent {
					t.Errorf("%d messages are kept", n)
				}
				newest := max(at.UnixMilli(), at.Add(-3000*step).UnixMilli()-1)
				if step > 0 {
					newest = at.UnixMilli()
				}
				got, err := x.history("a", 200, lagging)
				if ids := strings.Fields(got); err != nil || len(ids) != 200 || ids[199] != fmt.Sprint(newest) || ids[0] != fmt.Sprint(newest-199) {
					t.Errorf("got %d messages, the last %q: %v", len(ids), ids[max(0, len(ids)-1):], err)
				}
			})
		})
	}
}

// What is dropped must not stay behind in the room of a list.
func TestLostWritesTakeNoMemory(t *testing.T) {
	small(t, func(x *tester) {
		for i := range 2000 {
			var ids []string
			for n := range 100 {
				ids = append(ids, fmt.Sprint(n))
			}
			x.write(fmt.Sprint(i), strings.Repeat("x", 100), ids...)
		}
		room := 0
		for _, ch := range x.c.chats.byID {
			for _, l := range ch.recent.roles {
				room += cap(l.messages) * int(unsafe.Sizeof(wire.Message{}))
			}
		}
		if limit := x.c.chats.max; int64(room) > limit {
			x.Errorf("lists have room for %d bytes, all chats together may take %d", room, limit)
		}
	})
}

func TestALostMuteIsRememberedWhenMessagesTurnOutToBeSafe(t *testing.T) {
	small(t, func(x *tester) {
		mute := func(chat string) {
			setMute(x, x.c, chat, wire.Mute{Muted: true}, nil)
		}
		for i := range 500 {
			mute(fmt.Sprint(i))
		}
		time.Sleep(replicaLag / 2)
		mute("a") // for which there is no room
		time.Sleep(replicaLag / 2)
		x.write("a", "x", "m") // for which there is
		for i := range 500 {
			if _, err := x.history(fmt.Sprint("read ", i), 1, lagging); err != nil {
				x.Fatal(err)
			}
		}
		if ch := x.c.chats.byID["a"]; ch == nil || ch.inLRU != nil {
			x.Fatalf("the chat was not evicted, or not kept: %+v", ch)
		}
		if _, err := x.history("b", 1, exact); err != nil {
			x.Fatal(err)
		}
		x.wantBounded()
		_, _, err := x.c.Mute(x.Context(), "a", policy, Directives{}, func(context.Context) (LoadedMute, error) { return LoadedMute{MayLag: true}, nil })
		if !isMayMiss(err) {
			x.Errorf("got %v", err)
		}
	})
}

func TestWritesOfMoreThanAMinuteAgoGiveWay(t *testing.T) {
	small(t, func(x *tester) {
		x.write("a", "x", strings.Fields("1 2 3 4 5 6 7 8 9 10")...)
		time.Sleep(replicaLag)
		x.write("a", "x", "11") // and their room, see verify
		if n := x.c.chats.byID["a"].recent.count; n != 1 {
			x.Errorf("%d messages are kept", n)
		}
	})
}

// Where not all writes fit, the oldest go, whatever their roles.
func TestTheNewestWritesAreKept(t *testing.T) {
	small(t, func(x *tester) {
		at := time.Now()
		var batch []wire.Message
		for i := range 150 {
			role := []string{"user", "assistant", "system"}[i%3]
			batch = append(batch, wire.Message{ID: fmt.Sprint(i), Role: role, Content: strings.Repeat("x", 1000), CreatedAt: at.Add(time.Duration(i) * time.Second)})
		}
		commit(x, x.c, "a", batch...)
		x.wantBounded()
		kept := map[string]bool{}
		for _, l := range x.c.chats.byID["a"].recent.roles {
			for _, m := range l.messages {
				kept[m.ID] = true
			}
		}
		for i := range len(kept) {
			if !kept[fmt.Sprint(149-i)] {
				x.Errorf("%d of 150 are kept, and number %d is not", len(kept), 149-i)
			}
		}
		if room := x.c.chats.max / 2; len(kept) < 40 || x.c.chats.usage.recent < room-2000 {
			x.Errorf("%d are kept in %d of %d bytes", len(kept), x.c.chats.usage.recent, room)
		}
	})
}

// What was lost of a chat long ago says nothing of what is lost of it now.
func TestWhatWasLostIsForgottenAfterAMinute(t *testing.T) {
	small(t, func(x *tester) {
		for i := range 500 {
			x.write(fmt.Sprint(i), strings.Repeat("x", 1000), "old")
		}
		if _, err := x.history("499", 1, lagging); !isMayMiss(err) { // it was evicted: all that it had may be lost
			x.Fatal(err)
		}
		time.Sleep(replicaLag)
		at := time.Now()
		for i := range maxRecent + 10 {
			commit(x, x.c, "499", wire.Message{ID: fmt.Sprint(i), Role: "user", CreatedAt: at.Add(time.Duration(i) * time.Second)})
		}
		if got, err := x.history("499", 2, lagging); got != fmt.Sprint(maxRecent+8, " ", maxRecent+9) || err != nil {
			x.Errorf("got %q %v", got, err)
		}
	})
}

// A load that began before a write was lost misses it, however long the load takes.
func TestASlowLoadMissesWhatWasLostMeanwhile(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		x := newTester(t, Config{Bytes: 256 << 10, Window: 5, LoadTimeout: time.Hour})
		end, read := make(chan struct{}), make(chan error)
		loads := 0
		go func() {
			_, err := x.history("a", 2, func(ctx context.Context, need, want int) (Loaded, error) {
				if loads++; loads > 1 {
					return Loaded{}, errLoad // the second one could be trusted
				}
				l, err := exact(ctx, need, want)
				<-end
				return l, err
			})
			read <- err
		}()
		synctest.Wait()
		x.write("a", strings.Repeat("x", 100<<10), "too large")
		time.Sleep(2 * replicaLag)
		x.write("a", "x", "small")
		close(end)
		if err := <-read; !errors.Is(err, errLoad) || loads != 2 {
			t.Errorf("after %d loads: %v", loads, err)
		}
	})
}

func TestAMuteWrittenAgainIsLostNoMore(t *testing.T) {
	small(t, func(x *tester) {
		for i := range 500 {
			setMute(x, x.c, fmt.Sprint(i), wire.Mute{Muted: true}, nil)
		}
		time.Sleep(replicaLag / 2)
		muted := func() (bool, error) {
			m, _, err := x.c.Mute(x.Context(), "a", policy, Directives{NoCache: true}, func(context.Context) (LoadedMute, error) { return LoadedMute{MayLag: true}, nil })
			return m.Muted, err
		}
		setMute(x, x.c, "a", wire.Mute{Muted: true}, nil)
		if _, err := muted(); !isMayMiss(err) {
			x.Fatalf("there was no room: %v", err)
		}
		time.Sleep(replicaLag / 2)
		setMute(x, x.c, "a", wire.Mute{Muted: true}, nil)
		if m, err := muted(); !m || err != nil {
			x.Errorf("muted: %t, %v", m, err)
		}
	})
}
