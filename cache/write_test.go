package cache

import (
	"context"
	"fmt"
	"runtime"
	"testing"
	"time"

	"hearth/client/wire"
)

// failer is a test, whatever its kind.
type failer interface{ Fatalf(string, ...any) }

// begin begins a write of messages.
func begin(t failer, c *Cache, chat string, messages ...wire.Message) *MessageWrite {
	w, err := c.BeginMessages(context.Background(), chat, Draft{Messages: messages})
	if err != nil {
		t.Fatalf("a write of %v to %s: %v", messages, chat, err)
	}
	return w
}

// commit writes messages, which the upstream takes.
func commit(t failer, c *Cache, chat string, messages ...wire.Message) {
	w := begin(t, c, chat, messages...)
	defer w.End()
	if err := w.Commit(context.Background(), messages); err != nil {
		t.Fatalf("a write of %v to %s: %v", messages, chat, err)
	}
}

// setMute writes a mute. The outcome of the write is err.
func setMute(t failer, c *Cache, chat string, m wire.Mute, err error) {
	w, failed := c.BeginMute(context.Background(), chat)
	if failed != nil {
		t.Fatalf("a mute of %s: %v", chat, failed)
	}
	defer w.End()
	if err == nil {
		err = w.Commit(context.Background(), m)
	} else {
		err = w.Unknown(context.Background())
	}
	if err != nil {
		t.Fatalf("a mute of %s: %v", chat, err)
	}
}

// What an import has written before costs nothing: neither time under the lock nor memory.
func TestAnAcknowledgementCostsWhatItTouches(t *testing.T) {
	cost := func(earlier int) uint64 {
		x := newTester(t, Config{})
		batch := acknowledging(t, x.c, earlier)
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		for range 20 {
			batch()
		}
		runtime.ReadMemStats(&after)
		return (after.TotalAlloc - before.TotalAlloc) / 20
	}
	few, many := cost(1000), cost(30_000)
	if many > 2*few {
		t.Errorf("%d bytes after 1,000 messages, %d after 30,000", few, many)
	}
}

// acknowledging writes messages to a chat that is read now and then, and returns how to write 100 more.
func acknowledging(t failer, c *Cache, earlier int) (more func()) {
	at, n := time.Now(), 0
	write := func(count int) {
		batch := make([]wire.Message, count)
		for i := range batch {
			n++
			at = at.Add(time.Millisecond)
			batch[i] = wire.Message{ID: fmt.Sprintf("01890a5d-ac96-774b-bcce-%012d", n), Role: []string{"user", "assistant"}[n%2], Content: "hello", CreatedAt: at}
		}
		commit(t, c, "a", batch...)
	}
	_, _ = c.History(context.Background(), HistoryRequest{
		Chat: "a", View: View{Messages: 10}, Policy: policy, Load: lagging,
		Render: func(_, _ []wire.Message) ([]byte, error) { return nil, nil },
	})
	for ; earlier > 0; earlier -= 100 {
		write(min(100, earlier))
	}
	return func() { write(100) }
}

func BenchmarkAcknowledge(b *testing.B) {
	for _, earlier := range []int{10, 200, 1000, 30_000} {
		b.Run(fmt.Sprint(earlier), func(b *testing.B) {
			c, err := New(Config{})
			if err != nil {
				b.Fatal(err)
			}
			defer c.Close()
			more := acknowledging(b, c, earlier)
			b.ReportAllocs()
			for b.Loop() {
				more()
			}
		})
	}
}
