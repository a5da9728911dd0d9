package chat

import (
	"bytes"
	"context"
	"errors"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
	"unicode/utf8"

	"github.com/rivo/uniseg"
	"go.uber.org/goleak"

	"hearth/cache"
	"hearth/client/wire"
	"hearth/internal/guard"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func newService(t *testing.T, cfg Config) *Service {
	t.Helper()
	memory, err := cache.New(cache.Config{Bytes: 1})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(memory.Close)
	cfg.Cache = memory
	s, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestDefaultsAreThoseOfTheDocs(t *testing.T) {
	for _, n := range []int{0, -1} {
		if c := newService(t, Config{Preview: n, Workers: n}).cfg; c.Preview != 200 || c.Workers != 5 {
			t.Errorf("%+v", c)
		}
	}
	if c := newService(t, Config{Preview: 1, Workers: 1}).cfg; c.Preview != 1 || c.Workers != 1 {
		t.Errorf("what is set becomes %+v", c)
	}
	if _, err := New(Config{}); err == nil {
		t.Error("a service without a cache was made")
	}
}

func TestObjectIDs(t *testing.T) {
	// Stored objects are found again by these: they must never change. (Python: uuid5(namespace, "2:id4:chat7:message"))
	if got := objectID("id", "chat", "message"); got != "692657ed-1464-5eae-a323-03646b63e676" {
		t.Errorf("objectID changed: %s", got)
	}
	seen := map[string][]string{}
	for _, parts := range [][]string{
		{"id", "a", "bc"},
		{"id", "ab", "c"},
		{"id", "abc", ""},
		{"id", "", "abc"},
		{"ida", "b", "c"},
		{"id", "a", "b", "c"},
		{"id", "a1:b", "c"},
		{"key", "a", "bc"},
		{"id", "a", "b\x00c"},
	} {
		id := objectID(parts...)
		if other, ok := seen[id]; ok {
			t.Errorf("%q and %q share %s", parts, other, id)
		}
		seen[id] = parts
	}
}

func FuzzPreview(f *testing.F) {
	for _, s := range []string{"", "abc", "e\u0301e\u0301", "👩‍👩‍👧‍👦👩‍👩‍👧‍👦", "🇩🇪🇩🇪🇩🇪", "a\r\nb\r\nc", strings.Repeat("ü", 300)} {
		f.Add(s, 2)
	}
	f.Fuzz(func(t *testing.T, s string, n int) {
		if n < 1 || n > 1000 || !utf8.ValidString(s) {
			return
		}
		want, clusters := "", 0
		for g := uniseg.NewGraphemes(s); g.Next() && clusters < n; clusters++ {
			want += g.Str()
		}
		if want != s {
			want += "…"
		}
		if got := preview(s, n); got != want {
			t.Errorf("preview(%q, %d) = %q, want %q", s, n, got, want)
		}
	})
}

func TestTheOriginOfAReplyMadeOfTwo(t *testing.T) {
	hit := cache.Origin{Served: cache.Hit, Age: 1, TTL: 9}
	old := cache.Origin{Served: cache.Hit, Age: 5, TTL: 5}
	stale := cache.Origin{Served: cache.Stale, Age: 12, TTL: -2}
	miss := cache.Origin{Served: cache.Miss, Fwd: "miss", TTL: 10}
	for _, c := range []struct{ a, b, want cache.Origin }{
		{hit, old, cache.Origin{Served: cache.Hit, Age: 5, TTL: 5}},
		{old, miss, cache.Origin{Served: cache.Miss, Fwd: "miss", Age: 5, TTL: 5}},
		{miss, stale, cache.Origin{Served: cache.Stale, Age: 12, TTL: -2}},
	} {
		if got, back := together(c.a, c.b), together(c.b, c.a); got != c.want || back != c.want {
			t.Errorf("%v and %v: %v and %v, want %v", c.a, c.b, got, back, c.want)
		}
	}
}

func TestAHistoryIsEncodedMessageByMessageIntoOnePieceOfMemory(t *testing.T) {
	s := newService(t, Config{})
	at := time.Date(2026, 1, 2, 3, 4, 5, 678, time.UTC)
	message := func(id, role, content string) wire.Message {
		return wire.Message{ID: id, Role: role, Content: content, CreatedAt: at}
	}
	for name, h := range map[string]wire.History{
		"empty": s.renderHistory("a", nil, nil, 5),
		"one":   s.renderHistory("<a>", []wire.Message{message("1", "user", "<b>&\n\"\u2028 😀")}, nil, 5),
		"both": s.renderHistory("a", []wire.Message{message("1", "user", "x"), message("2", "user", strings.Repeat("long ", 100))},
			[]wire.Message{message("3", "assistant", "")}, 1),
	} {
		want, err := Encode(h)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := encodeHistory(h); err != nil || !bytes.Equal(got, want) {
			t.Errorf("%s: %s %v, want %s", name, got, err, want)
		}
	}

	var large []wire.Message
	for i := range 20 {
		large = append(large, message(strconv.Itoa(i), "user", strings.Repeat("x\n", 32<<10)))
	}
	body, err := encodeHistory(s.renderHistory("a", large, nil, 20))
	if err != nil || cap(body) > len(body)*5/4 { // memory that had to grow would be twice as large
		t.Errorf("%d bytes are in a piece of %d: %v", len(body), cap(body), err)
	}
}

func TestAsManyPartsGoOutAtOnceAsThereAreWorkers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &Service{cfg: Config{Workers: 2}}
		var begun atomic.Int32
		release := make(chan struct{})
		var jobs []job
		for range 3 {
			jobs = append(jobs, job{"part", func(context.Context) (Part, error) {
				begun.Add(1)
				<-release
				return Part{}, nil
			}})
		}
		done := make(chan struct{})
		go func() { s.runParts(t.Context(), jobs); close(done) }()
		for _, want := range []int32{2, 3, 3, 3} {
			synctest.Wait()
			if n := begun.Load(); n != want {
				t.Errorf("%d have begun, want %d", n, want)
			}
			select {
			case release <- struct{}{}:
			case <-done:
			}
		}
	})
}

func TestAPartThatPanicsFailsAlone(t *testing.T) {
	s := newService(t, Config{})
	parts := s.runParts(t.Context(), []job{
		{wire.PartMute, func(context.Context) (Part, error) { return Part{Body: []byte("{}")}, nil }},
		{wire.PartRelevant, func(context.Context) (Part, error) { panic("on purpose") }},
	})
	if p := parts[0]; p.Name != wire.PartMute || p.Err != nil || string(p.Body) != "{}" {
		t.Errorf("the other is %+v", p)
	}
	if p := parts[1]; p.Name != wire.PartRelevant || !errors.Is(p.Err, guard.ErrPanic) || p.Body != nil {
		t.Errorf("it is %+v", p)
	}
}

func TestWhatCannotBeEncodedIsAnError(t *testing.T) {
	if b, err := Encode(func() {}); err == nil {
		t.Errorf("got %q", b)
	}
}

func TestWhatIsHeldUnderAChatsSpellingIsDropped(t *testing.T) {
	memory, err := cache.New(cache.Config{Bytes: 1 << 20})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(memory.Close)
	s, err := New(Config{Cache: memory})
	if err != nil {
		t.Fatal(err)
	}
	load := func(context.Context) (cache.LoadedMute, error) { return cache.LoadedMute{}, nil }
	if _, _, err := memory.Mute(t.Context(), "chat", cache.Policy{Fresh: time.Minute}, cache.Directives{}, load); err != nil {
		t.Fatal(err)
	}
	if n, err := s.DropChat(t.Context(), "chat"); n != 1 || err != nil {
		t.Errorf("dropped %d, %v", n, err)
	}
}
