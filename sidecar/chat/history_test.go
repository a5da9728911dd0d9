package chat

import (
	"bytes"
	"strconv"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/rivo/uniseg"

	"hearth/client/wire"
)

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
	for i := range 24 {
		large = append(large, message(strconv.Itoa(i), "user", strings.Repeat("x\n\"\\", 8<<10)))
		body, err := encodeHistory(s.renderHistory("a", large, nil, len(large)))
		if err != nil || cap(body) > len(body)*5/4 { // memory that had to grow would soon be twice as large
			t.Errorf("%d bytes are in a piece of %d: %v", len(body), cap(body), err)
		}
	}
}

func TestAHistoryWithATimeThatJSONDoesNotHaveIsAnError(t *testing.T) {
	m := wire.Message{ID: "1", Role: "user", CreatedAt: time.Date(10000, 1, 1, 0, 0, 0, 0, time.UTC)}
	if b, err := encodeHistory(newService(t, Config{}).renderHistory("a", []wire.Message{m}, nil, 1)); err == nil {
		t.Errorf("got %s", b)
	}
}

func TestWhatCannotBeEncodedIsAnError(t *testing.T) {
	if b, err := Encode(func() {}); err == nil {
		t.Errorf("got %q", b)
	}
}
