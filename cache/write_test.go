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

// What is in the windows already, and what was written lately, costs nothing either: a message is not copied for the next one.
func TestAMessageIsPutBehindOthersWithoutCopyingThem(t *testing.T) {
	for _, mayLag := range []bool{false, true} {
		cost := func(held int) uint64 {
			x := newTester(t, Config{Window: held})
			series := messageSeries{at: time.Now()}
			readChat(x, x.c, "a", series.take(held), mayLag)
			for range held { // past the length to which a window grows
				commit(t, x.c, "a", series.take(1)...)
			}
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			for range 500 {
				commit(t, x.c, "a", series.take(1)...)
			}
			runtime.ReadMemStats(&after)
			return (after.TotalAlloc - before.TotalAlloc) / 500
		}
		few, many := cost(20), cost(1000)
		if many > 2*few {
			t.Errorf("replicas: %t: %d bytes behind 20 messages, %d behind 1,000", mayLag, few, many)
		}
	}
}
