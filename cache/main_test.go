package cache

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"hearth/client/wire"
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
