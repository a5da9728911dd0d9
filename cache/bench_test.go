package cache

import (
	"context"
	"fmt"
	"testing"
	"time"

	"hearth/client/wire"
)

// newBench makes a cache.
func newBench(b *testing.B, cfg Config) *Cache {
	b.Helper()
	c, err := New(cfg)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(c.Close)
	b.ReportAllocs()
	return c
}

// messageSeries makes messages, each newer than the one before, of both roles in turn.
type messageSeries struct {
	n  int
	at time.Time
}

func (s *messageSeries) next() wire.Message {
	s.n++
	s.at = s.at.Add(time.Millisecond)
	return wire.Message{
		ID: fmt.Sprintf("01890a5d-ac96-774b-bcce-%012d", s.n), Role: []wire.Role{wire.RoleUser, wire.RoleAssistant}[s.n%2],
		Content: "some words of a message", CreatedAt: s.at,
	}
}

func (s *messageSeries) take(n int) []wire.Message {
	list := make([]wire.Message, n)
	for i := range list {
		list[i] = s.next()
	}
	return list
}

// readChat reads a chat that has these messages, so that its windows are held.
func readChat(b failer, c *Cache, chat string, messages []wire.Message, mayLag bool) {
	loaded := Loaded{User: Page{Complete: true}, Assistant: Page{Complete: true}, MayLag: mayLag}
	for _, m := range messages {
		page := &loaded.User
		if m.Role == wire.RoleAssistant {
			page = &loaded.Assistant
		}
		page.Messages = append(page.Messages, m)
	}
	_, err := c.History(context.Background(), HistoryRequest{
		Chat: chat, View: View{Messages: 10}, Policy: Policy{Fresh: time.Hour}, Directives: Directives{NoCache: true},
		Load:   func(context.Context, int, int) (Loaded, error) { return loaded, nil },
		Render: func(_, _ []wire.Message) ([]byte, error) { return []byte("{}"), nil },
	})
	if err != nil {
		b.Fatalf("%v", err)
	}
}

// BenchmarkAppend is what the cache does for one message that is written, without the encoding of the next read. The chat has so
// many messages in its windows.
func BenchmarkAppend(b *testing.B) {
	for _, mayLag := range []bool{false, true} {
		for _, n := range []int{10, 200, 1000} {
			b.Run(fmt.Sprintf("replicas=%v/%d", mayLag, n), func(b *testing.B) {
				c := newBench(b, Config{Window: n / 2})
				series := messageSeries{at: time.Now()}
				readChat(b, c, "a", series.take(n), mayLag)
				one := series.take(1)
				for b.Loop() {
					one[0] = series.next()
					commit(b, c, "a", one...)
				}
			})
		}
	}
}

// BenchmarkImport is what the cache does for a batch of 100 messages, after so many others were written to the chat.
func BenchmarkImport(b *testing.B) {
	for _, earlier := range []int{100, 1000, 30_000} {
		b.Run(fmt.Sprint(earlier), func(b *testing.B) {
			c := newBench(b, Config{})
			series := messageSeries{at: time.Now()}
			readChat(b, c, "a", series.take(10), false)
			for range earlier / 100 {
				commit(b, c, "a", series.take(100)...)
			}
			for b.Loop() {
				commit(b, c, "a", series.take(100)...)
			}
		})
	}
}

// BenchmarkEntries is a look-up and an insert beside so many other entries, of replies and of chats.
func BenchmarkEntries(b *testing.B) {
	for _, n := range []int{1e3, 1e4, 1e5, 1e6} {
		c := newBench(b, Config{Bytes: 4 << 30})
		load := func(context.Context) ([]byte, error) { return []byte(`{"result":[]}`), nil }
		get := func(b *testing.B, i int, d Directives) {
			if _, err := c.Get(b.Context(), RelevantKey(fmt.Sprint("chat-", i), "q"), Policy{Fresh: time.Hour}, d, load); err != nil {
				b.Fatal(err)
			}
		}
		mute := func(b *testing.B, i int, d Directives) {
			_, _, err := c.Mute(b.Context(), fmt.Sprint("chat-", i), Policy{Fresh: time.Hour}, d, func(context.Context) (LoadedMute, error) {
				return LoadedMute{}, nil
			})
			if err != nil {
				b.Fatal(err)
			}
		}
		for i := range n {
			get(b, i, Directives{})
			mute(b, i, Directives{})
		}
		for _, one := range []struct {
			name string
			do   func(*testing.B, int, Directives)
		}{{"reply", get}, {"mute", mute}} {
			b.Run(fmt.Sprintf("%d/%s/look-up", n, one.name), func(b *testing.B) {
				b.ReportAllocs()
				i := 0
				for b.Loop() {
					one.do(b, i*7919%n, Directives{})
					i++
				}
			})
			b.Run(fmt.Sprintf("%d/%s/insert", n, one.name), func(b *testing.B) {
				b.ReportAllocs()
				i := 0
				for b.Loop() {
					one.do(b, i*7919%n, Directives{NoCache: true})
					i++
				}
			})
		}
	}
}
