package cache

import (
	"context"
	"fmt"
	"runtime"
	"testing"
	"testing/synctest"

	"hearth/client/wire"
)

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
